//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// evaluateRestart kills either portal with -9 and starts it again at once,
// while a TCP flow and a call each way go through the tunnel; then it sends again
// what was recorded on a WAN before.
func evaluateRestart(ctx context.Context, e *evaluation) error {
	for _, role := range []string{"local", "remote"} {
		for _, transport := range e.transports {
			if err := e.restart(ctx, role, transport); err != nil {
				return fmt.Errorf("%s portal, %s: %w", role, transport, err)
			}
		}
	}
	return nil
}

func (e *evaluation) restart(ctx context.Context, role, transport string) error {
	l, err := lab.New(lab.Config{Links: even(2, 8e6)})
	if err != nil {
		return err
	}
	defer l.Close()
	// From before the first handshake on, so that it is among what is sent again.
	// Not over TCP: the kernel itself refuses a segment of a connection that is gone.
	replays := transport == "udp"
	if replays {
		if err := record(l); err != nil {
			return err
		}
	}
	t, err := e.tunnel(ctx, l, transport)
	if err != nil {
		return err
	}
	defer t.Close()
	name := fmt.Sprintf("%s portal, %s", role, transport)
	killed := t.Local
	if role == "remote" {
		killed = t.Remote
	}
	var gaps, silences, broken []float64
	var replayed [4][]float64
	for run := range e.Runs {
		r, err := restart(ctx, l, t, killed, replays)
		if err != nil {
			return err
		}
		e.say("%s, run %d of %d: call down silent for %v, up %v; TCP silent for %v, %s",
			name, run+1, e.Runs, r.down.Gap.Round(time.Millisecond), r.up.Gap.Round(time.Millisecond), r.silence, r.verdict())
		gaps = append(gaps, max(r.down.Gap, r.up.Gap).Seconds())
		silences = append(silences, r.silence.Seconds())
		broken = append(broken, map[bool]float64{true: 1}[r.broken != nil])
		if !replays {
			continue
		}
		p, err := attack(ctx, l, t, r.recorded, again)
		if err == nil {
			err = record(l)
		}
		if err != nil {
			return err
		}
		e.say("%s, run %d of %d: sent %d recorded packets again: %d rejected, %d forwarded, %d answered",
			name, run+1, e.Runs, p.sent, p.rejected, p.forwarded, p.answered)
		for i, v := range []int{p.sent, p.sent - p.rejected, p.forwarded, p.answered} {
			replayed[i] = append(replayed[i], float64(v))
		}
	}
	e.add(name, "no traffic for", "s", AlwaysAtMost(2), gaps)
	e.add(name, "the inner TCP flow silent for", "s", nil, silences)
	e.add(name, "inner TCP connections broken", "", AlwaysAtMost(0), broken)
	if replays {
		e.add(name, "recorded packets sent again", "", nil, replayed[0])
		e.add(name, "… of them not counted as rejected", "", AlwaysAtMost(0), replayed[1])
		e.add(name, "… forwarded", "", AlwaysAtMost(0), replayed[2])
		e.add(name, "… answered", "", AlwaysAtMost(0), replayed[3])
	}
	return nil
}

// restarted tells of one run.
type restarted struct {
	down, up measure.CallResult
	silence  time.Duration // of the TCP flow
	broken   error         // what ended the TCP flow
	recorded recording     // of link a, before the kill
}

func (r restarted) verdict() string {
	if r.broken != nil {
		return "broken: " + r.broken.Error()
	}
	return "whole"
}

func restart(ctx context.Context, l *lab.Lab, t *lab.Tunnel, killed *lab.Portal, replays bool) (r restarted, err error) {
	const (
		killAt = 2 * time.Second
		end    = 8 * time.Second
	)
	if err := waitUp(ctx, t); err != nil {
		return r, err
	}
	stream, err := measure.StartStream(ctx, l.Client, l.Server, lab.Server.V4, 5203, measure.TCPTest{Down: true})
	if err != nil {
		return r, err
	}
	defer stream.Close()

	var calls sync.WaitGroup
	var errs [2]error
	for i, d := range directions {
		result := []*measure.CallResult{&r.down, &r.up}[i]
		calls.Go(func() {
			*result, errs[i] = measure.Call{For: end, Down: d.down, Size: 200, Every: 10 * time.Millisecond, Port: uint16(5210 + i)}.
				Run(ctx, l.Client, l.Server, lab.Server.V4, nil)
		})
	}
	defer calls.Wait()
	if err := pause(ctx, killAt-stream.Now()); err != nil {
		return r, err
	}
	if replays {
		if r.recorded, err = recorded(l); err != nil {
			return r, err
		}
	}
	at := stream.Now()
	killed.Kill()
	if err := killed.Start(); err != nil {
		return r, err
	}
	calls.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return r, err
	}
	r.broken = stream.Broken()
	r.silence, _ = stream.Silence(at, stream.Now())
	return r, nil
}
