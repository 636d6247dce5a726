//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
)

// liveLinks are the WANs, each of liveRate; the tunnel is begun on the first two.
var liveLinks = []lab.LinkConfig{
	lab.Symmetric("dsl", link.Shape{Rate: liveRate, Delay: 10 * time.Millisecond}),
	lab.Symmetric("lte", link.Shape{Rate: liveRate, Delay: 15 * time.Millisecond}),
	lab.Symmetric("sat", link.Shape{Rate: liveRate, Delay: 12 * time.Millisecond}),
}

const liveRate = 20e6

// liveStep is what is typed on the local portal, and on the remote too where
// that schedules its own direction; and over how many of the links, in
// size, a flow may go from then on.
type liveStep struct {
	typed string
	both  bool
	links float64
}

var liveSteps = []liveStep{
	{typed: "set nc0 path lte metric 5", links: 1}, // beyond that it may spill
	{typed: "set nc0 path lte metric 0", links: 2},
	{typed: "set nc0 path dsl rate 10mbit", links: 1.5},
	{typed: "reload nc0", links: 3}, // the rate is gone, and sat is there
	{typed: "remove nc0 path sat", links: 2},
	{typed: "set nc0 scheduler greedy", both: true, links: 2},
	{typed: "set nc0 scheduler earliest", both: true, links: 2},
	{typed: "set nc0 path dsl bind sat", links: 2},
	{typed: "add nc0 path dsl2 bind dsl remote REMOTE", links: 3},
	{typed: "remove nc0 path lte", links: 2},
}

const (
	liveWarm  = 4 * time.Second // until the flow has found its rate
	liveEvery = 2 * time.Second // between two changes
	// liveGrowth is how long a flow may take to find that there is more.
	liveGrowth = 2 * time.Second
	// liveSpeed is what of the links' rate one flow gets, undisturbed, at least:
	// the headers, and 90 % of the rest (part profiles).
	liveSpeed = 0.87
)

func liveLast(steps []liveStep) time.Duration { return liveWarm + time.Duration(len(steps))*liveEvery }

func liveLasts(e *evaluation) time.Duration {
	return time.Duration(len(e.ownTransports())*e.Runs*len(e.directions)) * (liveLast(liveSteps) + 5*time.Second)
}

// evaluateLive changes a tunnel that carries a TCP flow and a call, in every way
// that is said to disturb neither.
func evaluateLive(ctx context.Context, e *evaluation) error {
	for _, transport := range e.ownTransports() {
		for _, d := range e.directions {
			var lowest, lost, gap []float64
			name := e.inner(fmt.Sprintf("%s %s", transport, d.name))
			for run := range e.Runs {
				r, err := e.live(ctx, transport, d, liveSteps)
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				e.say("%s, run %d of %d: %v", name, run+1, e.Runs, r)
				lowest, lost, gap = append(lowest, 100*r.lowest), append(lost, float64(r.call.Lost)), append(gap, float64(r.call.Gap)/1e6)
			}
			e.add(name, "lowest second, of what the links carry for a flow", "%", AlwaysAtLeast(80), lowest)
			e.add(name, "datagrams of the call lost", "", AlwaysAtMost(0), lost)
			e.add(name, "longest silence in the call", "ms", nil, gap)
		}
	}
	return nil
}

// liveResult is one run.
type liveResult struct {
	lowest  float64 // share, of any second
	after   string  // what was typed before that
	call    measure.CallResult
	changes int
}

func (r liveResult) String() string {
	return fmt.Sprintf("%d changes, lowest second %.0f %% (%s), call: %v", r.changes, 100*r.lowest, r.after, r.call)
}

func (e *evaluation) live(ctx context.Context, transport string, d direction, steps []liveStep) (r liveResult, err error) {
	l, err := lab.New(lab.Config{Links: liveLinks})
	if err != nil {
		return r, err
	}
	defer l.Close()
	t, err := e.tunnel(ctx, l, transport)
	if err != nil {
		return r, err
	}
	defer t.Close()
	if err := t.Local.Command("remove", lab.Interface, "path", "sat"); err != nil {
		return r, err
	}
	s, err := measure.StartStream(ctx, l.Client, l.Server, lab.Server.V4, 5203, measure.TCPTest{Down: d.down, Congestion: e.Inner})
	if err != nil {
		return r, err
	}
	defer s.Close()
	if err := pause(ctx, liveWarm-s.Now()); err != nil {
		return r, err
	}
	called := make(chan error, 1)
	go func() {
		var err error
		r.call, err = measure.Call{For: liveLast(steps) - liveWarm, Down: d.down, Size: 200, Every: 20 * time.Millisecond}.Run(ctx, l.Client, l.Server, lab.Server.V4, nil)
		called <- err
	}()
	times, err := liveCourse(ctx, t, s, steps)
	err = errors.Join(err, <-called, s.Broken())
	if err != nil {
		return r, err
	}
	r.changes = len(times)
	r.judge(s, times, steps)
	return r, nil
}

// liveCourse makes the changes, and returns when.
func liveCourse(ctx context.Context, t *lab.Tunnel, s *measure.Stream, steps []liveStep) (times []time.Duration, err error) {
	for i, step := range steps {
		if err := pause(ctx, liveWarm+time.Duration(i)*liveEvery-s.Now()); err != nil {
			return nil, err
		}
		times = append(times, s.Now())
		typed := strings.Fields(strings.Replace(step.typed, "REMOTE", netip.AddrPortFrom(lab.Remote.V4, lab.Port).String(), 1))
		if step.both {
			if err := t.Remote.Command(typed...); err != nil {
				return nil, err
			}
		}
		if err := t.Local.Command(typed...); err != nil {
			return nil, err
		}
	}
	return times, pause(ctx, liveLast(steps)-s.Now())
}

// judge finds the lowest second: of those that begin at any Bin, what came in
// it of what the links carried then.
func (r *liveResult) judge(s *measure.Stream, times []time.Duration, steps []liveStep) {
	r.lowest = 1
	for at := liveWarm - time.Second; at+time.Second <= liveLast(steps); at += measure.Bin {
		links, after := liveCarried(steps, times, at, at+time.Second)
		share := s.Rate(at, at+time.Second) / (links * liveRate * liveSpeed)
		if share < r.lowest {
			r.lowest, r.after = share, after
		}
	}
}

// liveCarried is the least that the links carried in a time, and the last change
// before its end. What came new does not count at first.
func liveCarried(steps []liveStep, times []time.Duration, from, to time.Duration) (links float64, after string) {
	links, after = 2, "nothing"
	for i, at := range times {
		if at >= to {
			break
		}
		after = steps[i].typed
		now := steps[i].links
		if now < links || from >= at+liveGrowth {
			links = now
		}
	}
	return links, after
}
