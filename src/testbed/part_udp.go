//go:build linux

package testbed

import (
	"context"
	"fmt"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// udpWarm is how long the tunnel may take to find that the links bear the
// flow, which comes all at once. What is lost until then is told by itself.
const udpWarm = 3 * time.Second

// evaluateUDP sends datagrams at 90 % of what TCP gets out of the two links
// of the baseline profile, payload compared with payload.
func evaluateUDP(ctx context.Context, e *evaluation) error {
	p := profiles[0]
	links, err := e.raise(lab.Symmetric("a", p.a), lab.Symmetric("b", p.b))
	if err != nil {
		return err
	}
	defer links.Close()
	capacity, err := e.capacity(ctx, links, p.name)
	if err != nil {
		return err
	}
	for _, transport := range e.ownTransports() {
		t, err := e.tunnel(ctx, links.Lab, transport)
		if err != nil {
			return err
		}
		for _, d := range e.directions {
			if err = e.udp(ctx, links, t, fmt.Sprintf("%s %s %s", p.name, transport, d.name), d, 0.9*sum(capacity[d])); err != nil {
				break
			}
		}
		t.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", transport, err)
		}
	}
	return e.exactness(p.name, links.Lab)
}

func udpLasts(e *evaluation) time.Duration {
	return e.every(2*(e.For+flowExtra) + time.Duration(len(e.ownTransports()))*(udpWarm+e.For+2*time.Second))
}

// udp measures a flow of a rate, bit/s of payload.
func (e *evaluation) udp(ctx context.Context, links *pair, t *lab.Tunnel, name string, d direction, rate float64) error {
	size, err := datagram(t)
	if err != nil {
		return err
	}
	every := time.Duration(float64(size) * 8 * 1e9 / rate)
	var warm, cold, late []float64
	for run := range e.Runs {
		r, err := measure.Call{For: udpWarm + e.For, Down: d.down, Size: size, Every: every}.Run(ctx, links.Client, links.Server, lab.Server.V4, nil)
		if err != nil {
			return err
		}
		first := 0
		for _, at := range r.LostAt {
			if at < udpWarm {
				first++
			}
		}
		sent := r.Sent - int(udpWarm/every)
		warm = append(warm, 100*float64(r.Lost-first)/float64(sent))
		cold = append(cold, float64(first))
		late = append(late, float64(r.Late))
		e.say("%s, run %d of %d, %.1f Mbit/s: lost %d of %d, %d of them in the first %v; %d out of order; longest way %.1f ms",
			name, run+1, e.Runs, rate/1e6, r.Lost, r.Sent, first, udpWarm, r.Late, float64(r.MaxDelay())/1e6)
	}
	e.add(name, fmt.Sprintf("datagrams lost, at 90 %% of the sum, after %v", udpWarm), "%", AtMost(0.1), warm)
	e.add(name, fmt.Sprintf("datagrams lost in the first %v", udpWarm), "", nil, cold)
	e.add(name, "datagrams out of order", "", AlwaysAtMost(0), late)
	return nil
}
