//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
)

// dslAndLTE is what many homes have: a DSL of 40/10 Mbit/s and 15 ms, and an
// LTE of 30/15 Mbit/s and 60 ms there and back, with jitter and some loss;
// the modems' queues are deep.
func dslAndLTE() []lab.LinkConfig {
	dsl := link.Shape{Delay: 7500 * time.Microsecond}
	lte := link.Shape{Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.005}
	both := func(name string, s link.Shape, down, up int64) lab.LinkConfig {
		s.Queue.Time = 300 * time.Millisecond
		l := lab.Symmetric(name, s)
		l.Down.Rate, l.Up.Rate = down*1e6, up*1e6
		return l
	}
	return []lab.LinkConfig{both("dsl", dsl, 40, 10), both("lte", lte, 30, 15)}
}

// latencyLoads are how many flows fill the links, and what the cases are called.
var latencyLoads = []struct {
	flows int
	name  string
}{{1, "1_flow"}, {8, "8_flows"}}

func latencyCases() (names []string) {
	for _, l := range latencyLoads {
		names = append(names, l.name)
	}
	return names
}

func latencyLasts(e *evaluation) time.Duration {
	loads := 0
	for _, l := range latencyLoads {
		if e.wanted(l.name) {
			loads += len(e.ownTransports())
		}
	}
	return e.every(2*(e.For+flowExtra) + time.Duration(loads)*(pingIdle+time.Second+grown*e.For+flowExtra))
}

// pingIdle is how long it is asked what a ping takes while nothing else is sent.
const pingIdle = 3 * time.Second

// evaluateLatency fills the links with one flow and with eight, and at the
// same time asks what a ping and a call through the same tunnel notice of it.
func evaluateLatency(ctx context.Context, e *evaluation) error {
	links, err := e.raise(dslAndLTE()...)
	if err != nil {
		return err
	}
	defer links.Close()
	capacity, err := e.capacity(ctx, links, "DSL + LTE")
	if err != nil {
		return err
	}
	if err := links.reshape(asItIs); err != nil {
		return err
	}
	for _, transport := range e.ownTransports() {
		t, err := e.tunnel(ctx, links.Lab, transport)
		if err != nil {
			return err
		}
		for _, load := range latencyLoads {
			for _, d := range e.directions {
				if !e.wanted(load.name) {
					continue
				}
				name := e.inner(fmt.Sprintf("%s %s %s", load.name, transport, d.name))
				if err := e.latency(ctx, links, name, load.flows, d, sum(capacity[d])); err != nil {
					t.Close()
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
		t.Close()
	}
	return e.exactness("DSL + LTE", links.Lab)
}

// latency measures one case, whose sum is given in bit/s.
func (e *evaluation) latency(ctx context.Context, links *pair, name string, flows int, d direction, sum float64) error {
	var rates, later, added, unanswered, lost, jitter []float64
	for run := range e.Runs {
		idle, err := measure.Ping{For: pingIdle}.Run(ctx, links.Client, lab.Server.V4)
		if err != nil {
			return fmt.Errorf("idle: %w", err)
		}
		r, err := loaded(ctx, links, measure.TCPTest{For: e.For, Spans: grown, Down: d.down, Flows: flows, Congestion: e.Inner})
		if err != nil {
			return err
		}
		// Against the middle of the idle: what little it varies is not to be an excuse.
		added = append(added, r.ping.Quantile(0.99)-idle.Quantile(0.5))
		rates, later = append(rates, r.rates[0]), append(later, r.rates[1])
		unanswered = append(unanswered, float64(len(r.ping.Lost)))
		lost = append(lost, float64(r.calls[0].Lost+r.calls[1].Lost))
		jitter = append(jitter, float64(max(r.calls[0].MeanJitter, r.calls[1].MeanJitter))/1e6)
		e.say("%s, run %d of %d: %.1f, then %.1f of %.1f Mbit/s; ping idle %.1f, now median %.1f, 99th %.1f, longest %.1f ms; call down %v, jitter %v; up %v, jitter %v",
			name, run+1, e.Runs, r.rates[0]/1e6, r.rates[1]/1e6, sum/1e6, idle.Quantile(0.5), r.ping.Quantile(0.5), r.ping.Quantile(0.99), r.ping.Quantile(1),
			r.calls[0], r.calls[0].MeanJitter.Round(10*time.Microsecond), r.calls[1], r.calls[1].MeanJitter.Round(10*time.Microsecond))
	}
	e.add(name, "of the sum", "%", AtLeast(88), percent(rates, sum))
	e.add(name, "of the sum, once it has grown", "%", AtLeast(88), percent(later, sum))
	e.add(name, "added to a ping's RTT, 99th percentile", "ms", AtMost(20), added)
	e.add(name, "pings lost", "", nil, unanswered)
	e.add(name, "call: datagrams lost, both ways", "", AlwaysAtMost(0), lost)
	e.add(name, "call: jitter (RFC 3550), the worse way", "ms", AtMost(5), jitter)
	return nil
}

// underLoad is what is noticed while links are filled.
type underLoad struct {
	rates []float64 // bit/s, of the load, in each span
	ping  measure.PingResult
	calls [2]measure.CallResult // down, up
}

// loaded fills the links one way with a test's flows, beside a ping and
// a call both ways (160 bytes of sound every 20 ms). All begin at once: the
// flows' search for their rate is part of what is noticed.
func loaded(ctx context.Context, links *pair, t measure.TCPTest) (r underLoad, err error) {
	var all sync.WaitGroup
	var errs [4]error
	all.Go(func() {
		r.rates, errs[0] = links.flows(ctx, links.Client, t)
	})
	all.Go(func() {
		r.ping, errs[1] = measure.Ping{For: t.Lasts()}.Run(ctx, links.Client, lab.Server.V4)
	})
	for i, way := range directions {
		all.Go(func() {
			call := measure.Call{For: t.Lasts(), Down: way.down, Size: 172, Every: 20 * time.Millisecond, Port: uint16(5210 + i)}
			r.calls[i], errs[2+i] = call.Run(ctx, links.Client, links.Server, lab.Server.V4, nil)
		})
	}
	all.Wait()
	return r, errors.Join(errs[:]...)
}
