//go:build linux

package testbed

import (
	"context"
	"fmt"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// evaluateCall is the paper's figure 4.1 (C.1 up): a UDP call of 5 s over two
// links that stay up.
func evaluateCall(ctx context.Context, e *evaluation) error {
	paper := map[string]string{"down": "0.092", "up": "0.07"}
	l, err := lab.New(lab.Config{Links: even(2, 1*mb)})
	if err != nil {
		return err
	}
	defer l.Close()
	call := func(name string, size int, through bool, d direction) (lost, jitter []float64, err error) {
		from := l.Client
		if !through {
			from = l.Local // by its best default route: the first link
		}
		for run := range e.Runs {
			r, err := measure.Call{For: 5 * time.Second, Down: d.down, Size: size}.Run(ctx, from, l.Server, lab.Server.V4, nil)
			if err != nil {
				return nil, nil, err
			}
			e.say("%s, run %d of %d: %v, jitter %v", name, run+1, e.Runs, r, r.Jitter.Round(time.Microsecond))
			lost, jitter = append(lost, float64(r.Lost)), append(jitter, float64(r.Jitter)/1e6)
		}
		return lost, jitter, nil
	}
	alone := map[string][2]float64{}
	for _, d := range e.directions {
		lost, jitter, err := call("one link direct "+d.name, 0, false, d)
		if err != nil {
			return err
		}
		alone[d.name] = [2]float64{measure.Median(lost), measure.Median(jitter)}
	}
	for _, transport := range e.transports {
		t, err := e.tunnel(ctx, l, transport)
		if err != nil {
			return err
		}
		for _, d := range e.directions {
			name, single := "two links "+transport+" "+d.name, alone[d.name]
			size, err := datagram(t)
			var lost, jitter []float64
			if err == nil {
				lost, jitter, err = call(name, size, true, d)
			}
			if err != nil {
				t.Close()
				return fmt.Errorf("%s: %w", name, err)
			}
			e.put(Row{Case: name, Metric: "datagrams lost of 453", Target: AlwaysAtMost(0), Samples: lost, Paper: "0", Single: &single[0]})
			e.put(Row{Case: name, Metric: "jitter", Unit: "ms", Target: AtMost(5), Samples: jitter, Paper: paper[d.name], Single: &single[1]})
		}
		t.Close()
	}
	return nil
}

// The course of the outage evaluation, from the call's start.
const (
	outageBegins = 2 * time.Second // both links are cut
	outageEnds   = 5 * time.Second // and return
	outageLasts  = 9 * time.Second
)

// evaluateOutage is the paper's figure 4.3 (C.3 up): all links die during a
// call. It stalls, and here also goes on when they return.
func evaluateOutage(ctx context.Context, e *evaluation) error {
	l, err := lab.New(lab.Config{Links: even(2, 1*mb)})
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
			if err := e.outage(ctx, l, t, "both links dead for 3 s "+transport+" "+d.name, d); err != nil {
				t.Close()
				return fmt.Errorf("%s %s: %w", transport, d.name, err)
			}
		}
		t.Close()
	}
	return nil
}

func (e *evaluation) outage(ctx context.Context, l *lab.Lab, t *lab.Tunnel, name string, d direction) error {
	var stalled, silent []float64
	for run := range e.Runs {
		if err := waitUp(ctx, t); err != nil {
			return err
		}
		size, err := datagram(t)
		if err != nil {
			return err
		}
		fate := make(chan error, 1)
		r, err := measure.Call{For: outageLasts, Down: d.down, Size: size}.Run(ctx, l.Client, l.Server, lab.Server.V4, func() {
			go func() { fate <- cutAll(ctx, l, outageBegins, outageEnds) }()
		})
		if cut := <-fate; err == nil {
			err = cut
		}
		if err != nil {
			return err
		}
		e.say("%s, run %d of %d: %v", name, run+1, e.Runs, r)
		stalled = append(stalled, r.Gap.Seconds())
		silent = append(silent, r.Gap.Seconds()-(outageEnds-outageBegins).Seconds())
	}
	e.put(Row{Case: name, Metric: "the call falls silent for", Unit: "s", Samples: stalled, Paper: "ever"})
	e.put(Row{Case: name, Metric: "of it after the links' return", Unit: "s", Target: AtMost(3), Samples: silent, Paper: "not shown"})
	return nil
}

// cutAll makes black holes of all links from one moment to another after now.
func cutAll(ctx context.Context, l *lab.Lab, from, to time.Duration) error {
	began := time.Now()
	for _, step := range []struct {
		at  time.Duration
		cut bool
	}{{from, true}, {to, false}} {
		if err := pause(ctx, step.at-time.Since(began)); err != nil {
			return err
		}
		for _, link := range l.Links {
			if err := link.Cut(step.cut); err != nil {
				return err
			}
		}
	}
	return nil
}
