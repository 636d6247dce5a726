//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/testbed/emulator"
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
	if err := record(l); err != nil {
		return err
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
	var replays [4][]float64
	for run := range e.Runs {
		r, err := restart(ctx, l, t, killed)
		if err != nil {
			return err
		}
		e.say("%s, run %d of %d: call down silent for %v, up %v; TCP silent for %v, %s",
			name, run+1, e.Runs, r.down.Gap.Round(time.Millisecond), r.up.Gap.Round(time.Millisecond), r.silence, r.verdict())
		gaps = append(gaps, max(r.down.Gap, r.up.Gap).Seconds())
		silences = append(silences, r.silence.Seconds())
		broken = append(broken, map[bool]float64{true: 1}[r.broken != nil])
		if transport != "udp" { // the kernel refuses a TCP segment of a connection that is gone
			continue
		}
		p, err := replay(ctx, l, t, r.recorded)
		if err == nil {
			err = record(l)
		}
		if err != nil {
			return err
		}
		e.say("%s, run %d of %d: sent %d recorded packets again: %d rejected, %d forwarded, %d answered",
			name, run+1, e.Runs, p.sent, p.rejected, p.forwarded, p.answered)
		for i, v := range []int{p.sent, p.sent - p.rejected, p.forwarded, p.answered} {
			replays[i] = append(replays[i], float64(v))
		}
	}
	e.add(name, "no traffic for", "s", AlwaysAtMost(2), gaps)
	e.add(name, "the inner TCP flow silent for", "s", nil, silences)
	e.add(name, "inner TCP connections broken", "", AlwaysAtMost(0), broken)
	if transport == "udp" {
		e.add(name, "recorded packets sent again", "", nil, replays[0])
		e.add(name, "… of them not counted as rejected", "", AlwaysAtMost(0), replays[1])
		e.add(name, "… forwarded", "", AlwaysAtMost(0), replays[2])
		e.add(name, "… answered", "", AlwaysAtMost(0), replays[3])
	}
	return nil
}

// record begins to record what enters link a, each way.
func record(l *lab.Lab) error {
	const frames = 1000
	a := l.Link("a")
	return errors.Join(a.Record(emulator.Up, frames), a.Record(emulator.Down, frames))
}

// restarted tells of one run.
type restarted struct {
	down, up measure.CallResult
	silence  time.Duration // of the TCP flow
	broken   error         // what ended the TCP flow
	recorded [2][][]byte   // frames on link a before the kill, each way
}

func (r restarted) verdict() string {
	if r.broken != nil {
		return "broken: " + r.broken.Error()
	}
	return "whole"
}

func restart(ctx context.Context, l *lab.Lab, t *lab.Tunnel, killed *lab.Portal) (r restarted, err error) {
	const (
		killAt = 2 * time.Second
		end    = 8 * time.Second
	)
	if err := waitUp(ctx, t); err != nil {
		return r, err
	}
	stream, err := measure.StartStream(ctx, l.Client, l.Server, lab.Server.V4, 5203, true)
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
	for way := range r.recorded {
		if r.recorded[way], err = l.Link("a").Recorded(emulator.Way(way)); err != nil {
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

// replayed tells what became of packets sent again.
type replayed struct{ sent, rejected, forwarded, answered int }

// replay sends recorded frames again, out of the far end of the link they were
// recorded on, to an otherwise idle tunnel.
func replay(ctx context.Context, l *lab.Lab, t *lab.Tunnel, recorded [2][][]byte) (total replayed, err error) {
	a := l.Link("a")
	for way, frames := range recorded {
		victim := t.Remote
		if emulator.Way(way) == emulator.Down {
			victim = t.Local
		}
		frames = payloads(frames)
		if len(frames) == 0 {
			return total, fmt.Errorf("nothing of the tunnel was recorded going %v", emulator.Way(way))
		}
		// What an idle tunnel says by itself in that time is no answer.
		idle, err := watchIdle(ctx, l, victim, way, nil)
		if err != nil {
			return total, err
		}
		busy, err := watchIdle(ctx, l, victim, way, func() error {
			for _, f := range frames {
				if err := a.Inject(emulator.Way(way), f); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		total.sent += len(frames)
		total.rejected += min(len(frames), busy.rejected-idle.rejected)
		total.forwarded += max(0, busy.forwarded-idle.forwarded)
		// Keepalives come at their own times: a few more are no answer, a hundred packets' answers are.
		if extra := busy.answered - idle.answered; extra > max(10, idle.answered/2) {
			total.answered += extra
		}
	}
	return total, nil
}

// watchIdle counts for a second and a half what a portal rejects and
// forwards, and what it sends over link a, during which do is done.
func watchIdle(ctx context.Context, l *lab.Lab, victim *lab.Portal, way int, do func() error) (r replayed, err error) {
	count := func() (r replayed, err error) {
		s, err := victim.Status()
		if err != nil {
			return r, err
		}
		sent, err := l.Link("a").Stats(emulator.Way(1 - way))
		return replayed{rejected: rejected(s), forwarded: int(s.Tunnel.Rx.Packets), answered: int(sent.Arrived)}, err
	}
	before, err := count()
	if err != nil {
		return r, err
	}
	if do != nil {
		if err := do(); err != nil {
			return r, err
		}
	}
	if err := pause(ctx, 1500*time.Millisecond); err != nil {
		return r, err
	}
	after, err := count()
	return replayed{
		rejected:  after.rejected - before.rejected,
		forwarded: after.forwarded - before.forwarded,
		answered:  after.answered - before.answered,
	}, err
}

func rejected(s *control.Status) int {
	return int(s.Rejected.Mac + s.Rejected.Replay + s.Rejected.Malformed + s.Rejected.Source)
}

// payloads are the frames that carry a message of the tunnel over IPv4 and UDP.
func payloads(frames [][]byte) (messages [][]byte) {
	for _, f := range frames {
		const udp = 14 + 20
		if len(f) > udp+8 && f[12] == 8 && f[13] == 0 && f[23] == 17 && (isPort(f[udp:]) || isPort(f[udp+2:])) {
			messages = append(messages, f)
		}
	}
	return messages
}

func isPort(b []byte) bool { return int(b[0])<<8|int(b[1]) == lab.Port }
