//go:build linux

package testbed

import (
	"context"
	"fmt"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

// evaluateFailover is the paper's figure 4.2: a UDP call of 5 s, one link of
// two becomes a black hole after 2 s.
func evaluateFailover(ctx context.Context, e *evaluation) error {
	single, err := e.failoverAlone(ctx)
	if err != nil {
		return fmt.Errorf("one link direct: %w", err)
	}
	for _, transport := range e.transports {
		for _, c := range []struct {
			name  string
			links int
			dead  string // from before the start
			dies  string
		}{
			{"two links, the first dies", 2, "", "a"},
			{"two links, the second dies", 2, "", "b"},
			{"first of three dead at start, the next dies", 3, "a", "b"},
		} {
			if err := e.failover(ctx, transport, c.name, c.links, c.dead, c.dies, single); err != nil {
				return fmt.Errorf("%s, %s: %w", transport, c.name, err)
			}
		}
	}
	return nil
}

func (e *evaluation) failover(ctx context.Context, transport, name string, links int, dead, dies string, single map[string][2]float64) error {
	l, err := lab.New(lab.Config{Links: even(links, 8e6)})
	if err != nil {
		return err
	}
	defer l.Close()
	var except []string
	if dead != "" {
		except = append(except, dead)
		if err := l.Link(dead).Cut(true); err != nil {
			return err
		}
	}
	t, err := e.tunnel(ctx, l, transport, except...)
	if err != nil {
		return err
	}
	defer t.Close()
	for _, d := range e.directions {
		name := fmt.Sprintf("%s, %s %s", name, transport, d.name)
		alone := single[d.name]
		var lost, gap, twice, late []float64
		for run := range e.Runs {
			size, err := datagram(t)
			if err != nil {
				return err
			}
			r, err := callThroughDeath(ctx, l, l.Client, size, d.down, dies)
			if err != nil {
				return err
			}
			e.say("%s, run %d of %d: %v", name, run+1, e.Runs, r)
			lost = append(lost, float64(r.Lost))
			gap = append(gap, float64(r.Gap)/1e6)
			twice = append(twice, float64(r.Duplicate))
			late = append(late, float64(r.Late))
			if err := l.Link(dies).Cut(false); err != nil {
				return err
			}
			if err := waitUp(ctx, t, except...); err != nil {
				return fmt.Errorf("after the link's return: %w", err)
			}
		}
		e.put(Row{Case: name, Metric: "datagrams lost of 453", Target: AlwaysAtMost(0), Samples: lost, Paper: "4", Single: &alone[0]})
		e.put(Row{Case: name, Metric: "longest gap", Unit: "ms", Target: AtMost(60), Samples: gap, Paper: "about 45", Single: &alone[1]})
		e.add(name, "datagrams that came twice", "", AlwaysAtMost(0), twice)
		e.add(name, "datagrams out of order", "", nil, late)
	}
	return nil
}

// failoverAlone makes the call over one link that dies, without a tunnel: the
// medians of what is lost and of the longest gap (ms), by direction.
func (e *evaluation) failoverAlone(ctx context.Context) (map[string][2]float64, error) {
	l, err := lab.New(lab.Config{Links: even(1, 8e6)})
	if err != nil {
		return nil, err
	}
	defer l.Close()
	single := map[string][2]float64{}
	for _, d := range e.directions {
		var lost, gap []float64
		for run := range e.Runs {
			r, err := callThroughDeath(ctx, l, l.Local, 0, d.down, "a")
			if err != nil {
				return nil, err
			}
			e.say("one link direct %s, run %d of %d: %v", d.name, run+1, e.Runs, r)
			lost, gap = append(lost, float64(r.Lost)), append(gap, float64(r.Gap)/1e6)
			if err := l.Link("a").Cut(false); err != nil {
				return nil, err
			}
		}
		single[d.name] = [2]float64{measure.Median(lost), measure.Median(gap)}
	}
	return single, nil
}

// callThroughDeath makes the call from a machine with datagrams of a size (0:
// iperf3's); the link named dies is cut after 2 s, and stays so.
func callThroughDeath(ctx context.Context, l *lab.Lab, from *netns.Namespace, size int, down bool, dies string) (measure.CallResult, error) {
	died := make(chan error, 1)
	r, err := measure.Call{For: 5 * time.Second, Down: down, Size: size}.Run(ctx, from, l.Server, lab.Server.V4, func() {
		go func() {
			if err := pause(ctx, 2*time.Second); err != nil {
				died <- err
				return
			}
			died <- l.Link(dies).Cut(true)
		}()
	})
	if err != nil {
		return r, err
	}
	return r, <-died
}

// datagram is the payload of a call: what iperf3 sends, or less where the
// tunnel's MTU would make two fragments of it.
func datagram(t *lab.Tunnel) (int, error) {
	mtu := 1476
	for _, p := range []*lab.Portal{t.Local, t.Remote} {
		s, err := p.Status()
		if err != nil {
			return 0, err
		}
		mtu = min(mtu, s.MTU)
	}
	if mtu < 576 {
		return 0, fmt.Errorf("the tunnel's MTU is %d bytes", mtu)
	}
	return mtu - 28, nil
}
