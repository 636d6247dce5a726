//go:build linux

package testbed

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
	"netcombiner/src/wire"
)

// metricCold is how long the tunnel has known a load until it counts as known.
const metricCold = 3 * time.Second

// evaluateMetric loads the DSL to 60 % while the LTE has a higher metric: no
// data is to go there, which its owner may pay for by the byte. Which
// messages are data can be seen in those over UDP only, so the transport is that.
func evaluateMetric(ctx context.Context, e *evaluation) error {
	configs := dslAndLTE()
	configs[1].Metric = 10
	links, err := e.raise(configs...)
	if err != nil {
		return err
	}
	defer links.Close()
	t, err := e.tunnel(ctx, links.Lab, "udp")
	if err != nil {
		return err
	}
	defer t.Close()
	for _, d := range e.directions {
		if err := e.metric(ctx, links, t, d); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return e.exactness("DSL + LTE", links.Lab)
}

func (e *evaluation) metric(ctx context.Context, links *pair, t *lab.Tunnel, d direction) error {
	first, second := links.Links[0], links.Links[1]
	load := 0.6 * float64(d.shape(first.Config).Rate)
	var all, cold, packets, lost []float64
	name := "DSL 0, LTE 10, udp " + d.name
	for run := range e.Runs {
		before, err := second.Stats(d.way())
		if err != nil {
			return err
		}
		counts, call, err := dataBeside(ctx, links, t, second, d, load, e.For)
		if err != nil {
			return err
		}
		after, err := second.Stats(d.way())
		if err != nil {
			return err
		}
		all = append(all, float64(counts[0]+counts[1]))
		cold = append(cold, float64(counts[0]))
		packets = append(packets, float64(after.Arrived-before.Arrived))
		lost = append(lost, 100*float64(call.Lost)/float64(call.Sent))
		e.say("%s, run %d of %d, %.1f Mbit/s for %v: on the second path %d data packets in the first %v, %d after, and %d packets in all; %v",
			name, run+1, e.Runs, load/1e6, e.For, counts[0], metricCold, counts[1], after.Arrived-before.Arrived, call)
	}
	e.add(name, "data packets on the second path", "", AlwaysAtMost(0), all)
	e.add(name, fmt.Sprintf("of them in the first %v", metricCold), "", nil, cold)
	e.add(name, "packets of all kinds on the second path", "", nil, packets)
	e.add(name, "datagrams lost", "%", nil, lost)
	return nil
}

// dataBeside sends a load, bit/s of IP packets, and counts the data messages
// that enter a link: while the load is new, and then.
func dataBeside(ctx context.Context, links *pair, t *lab.Tunnel, on *lab.Link, d direction, load float64, long time.Duration) (counts [2]int, call measure.CallResult, err error) {
	size, err := datagram(t)
	if err != nil {
		return counts, call, err
	}
	// Where there are more, how many makes no difference.
	const most = 4096
	counted := make(chan error, 1)
	count := func(at time.Time) error {
		for i, until := range []time.Duration{metricCold, long} {
			if err := on.Record(d.way(), most); err != nil {
				return err
			}
			if err := pause(ctx, time.Until(at.Add(until))); err != nil {
				return err
			}
			frames, err := on.Recorded(d.way())
			if err != nil {
				return err
			}
			for _, f := range frames {
				if isData(f) {
					counts[i]++
				}
			}
		}
		return nil
	}
	call, err = measure.Call{
		For: long, Down: d.down, Size: size, Every: time.Duration(float64(size+28) * 8 * 1e9 / load),
	}.Run(ctx, links.Client, links.Server, lab.Server.V4, func() {
		at := time.Now()
		go func() { counted <- count(at) }()
	})
	if err != nil {
		return counts, call, err
	}
	return counts, call, <-counted
}

// isData says whether an Ethernet frame of a link holds a message with an
// inner packet, and not a control message: keepalives, probes, acknowledgements.
func isData(frame []byte) bool {
	const ethernet, udp = 14, 8
	if len(frame) < ethernet+20 || frame[ethernet]>>4 != 4 || frame[ethernet+9] != unix.IPPROTO_UDP {
		return false
	}
	start := ethernet + 4*int(frame[ethernet]&0xf) + udp
	if len(frame) < start+wire.PrefixSize {
		return false
	}
	t, _, _, ok := wire.Prefix(frame[start:])
	return ok && t == wire.TypeData
}
