//go:build linux

package testbed

import (
	"context"
	"fmt"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// evaluateEqual is the paper's figure 4.6: one TCP flow over two equal links,
// against one link of double the rate without a tunnel.
func evaluateEqual(ctx context.Context, e *evaluation) error {
	for _, rate := range []int64{8e6, 16e6} {
		if err := e.equal(ctx, rate); err != nil {
			return fmt.Errorf("%d+%d Mbit/s: %w", rate/1e6, rate/1e6, err)
		}
	}
	return nil
}

func (e *evaluation) equal(ctx context.Context, rate int64) error {
	l, err := lab.New(lab.Config{Links: append(even(2, rate), spare(2*rate))})
	if err != nil {
		return err
	}
	defer l.Close()
	server, err := measure.StartIperf(l.Server, lab.Server.V4)
	if err != nil {
		return err
	}
	defer server.Close()

	direct := map[string][]float64{}
	for _, d := range directions {
		for run := range e.Runs {
			got, err := server.TCP(ctx, l.Local, measure.TCPTest{For: e.For, Down: d.down, Device: "direct"})
			if err != nil {
				return fmt.Errorf("direct: %w", err)
			}
			direct[d.name] = append(direct[d.name], got)
			e.say("%d Mbit/s direct, %s, run %d of %d: %.2f Mbit/s", 2*rate/1e6, d.name, run+1, e.Runs, got/1e6)
		}
	}
	for _, transport := range e.transports {
		t, err := e.tunnel(ctx, l, transport)
		if err != nil {
			return err
		}
		for _, d := range directions {
			name := fmt.Sprintf("%d+%d Mbit/s %s %s", rate/1e6, rate/1e6, transport, d.name)
			whole := measure.Median(direct[d.name])
			var percent []float64
			for run := range e.Runs {
				got, err := server.TCP(ctx, l.Client, measure.TCPTest{For: e.For, Down: d.down})
				if err != nil {
					t.Close()
					return fmt.Errorf("%s: %w", transport, err)
				}
				percent = append(percent, 100*got/whole)
				e.say("%s, run %d of %d: %.2f Mbit/s", name, run+1, e.Runs, got/1e6)
			}
			e.add(name, "of one direct link of double the rate", "%", AtLeast(88), percent)
		}
		t.Close()
	}
	return e.exactness(fmt.Sprintf("%d+%d Mbit/s", rate/1e6, rate/1e6), l)
}
