//go:build linux

package testbed

import (
	"context"
	"fmt"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// The course of the regain evaluation, from the stream's start.
const (
	regainWarm   = 3 * time.Second              // until then the flow may find its rate
	regainCut    = regainWarm + 5*time.Second   // one of two links is cut
	regainReturn = regainCut + 15*time.Second   // and returns
	regainAgain  = regainReturn + 3*time.Second // from then on all is as it was
	regainEnd    = regainAgain + 5*time.Second  //
	regainWindow = 500 * time.Millisecond       // over which a rate is judged
)

// evaluateRegain is the paper's 4.2.4, which it could not do: a link is lost
// during a TCP flow, and regained.
func evaluateRegain(ctx context.Context, e *evaluation) error {
	const rate = 8e6
	l, err := lab.New(lab.Config{Links: even(2, rate)})
	if err != nil {
		return err
	}
	defer l.Close()
	for _, transport := range e.transports {
		t, err := e.tunnel(ctx, l, transport)
		if err != nil {
			return err
		}
		for _, d := range e.directions {
			var after, below, silence []float64
			name := e.inner(fmt.Sprintf("8+8 Mbit/s %s %s", transport, d.name))
			series := Series{Part: e.part, Case: name, Step: seriesStep.Seconds(), Events: []Event{
				{At: regainCut.Seconds(), Text: "one link dies"}, {At: regainReturn.Seconds(), Text: "it is back"},
			}}
			for run := range e.Runs {
				r, err := regain(ctx, l, t, measure.TCPTest{Down: d.down, Congestion: e.Inner})
				if err != nil {
					t.Close()
					return fmt.Errorf("%s: %w", name, err)
				}
				e.say("%s, run %d of %d: before %.2f, on one link %.2f (below nine tenths of that for %v), 3 s after the return %.2f Mbit/s, longest silence %v",
					name, run+1, e.Runs, r.before/1e6, r.alone/1e6, r.below, r.after/1e6, r.silence)
				after = append(after, 100*r.after/r.before)
				below = append(below, float64(r.below)/1e6)
				silence = append(silence, float64(r.silence)/1e6)
				series.Runs = append(series.Runs, scale(r.course, 1e-6))
			}
			e.report.PutSeries(series)
			e.put(Row{Case: name, Metric: "rate 3 s after the return, of before", Unit: "%", Target: AtLeast(95), Samples: after, Paper: "not reached"})
			e.put(Row{Case: name, Metric: "longest time below 90 % of the survivor's rate", Unit: "ms", Target: AtMost(1000), Samples: below, Paper: "not reached"})
			e.add(name, "longest silence", "ms", nil, silence)
		}
		t.Close()
	}
	return e.exactness("8+8 Mbit/s", l)
}

// regained tells the rates, bit/s, of one run.
type regained struct {
	before, alone, after float64
	below                time.Duration // less than nine tenths of alone
	silence              time.Duration
	course               []float64 // each seriesStep
}

func regain(ctx context.Context, l *lab.Lab, t *lab.Tunnel, flow measure.TCPTest) (r regained, err error) {
	if err := waitUp(ctx, t); err != nil {
		return r, err
	}
	s, err := measure.StartStream(ctx, l.Client, l.Server, lab.Server.V4, 5203, flow)
	if err != nil {
		return r, err
	}
	defer s.Close()
	defer l.Link("a").Cut(false)
	for _, step := range []struct {
		at time.Duration
		do func() error
	}{
		{regainCut, func() error { return l.Link("a").Cut(true) }},
		{regainReturn, func() error { return l.Link("a").Cut(false) }},
		{regainEnd, s.Broken},
	} {
		if err := pause(ctx, step.at-s.Now()); err != nil {
			return r, err
		}
		if err := step.do(); err != nil {
			return r, err
		}
	}
	r.before = s.Rate(regainWarm, regainCut)
	r.alone = s.Rate(regainCut+3*time.Second, regainReturn)
	r.below = s.Below(regainCut, regainEnd, regainWindow, 0.9*r.alone)
	r.after = s.Rate(regainAgain, regainEnd)
	r.course = s.Series(regainEnd, seriesStep)
	r.silence, _ = s.Silence(regainCut, regainEnd)
	return r, nil
}
