package exchange

import (
	"fmt"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// NewScheduler returns the scheduler that the configuration calls name.
func NewScheduler(name string) (Scheduler, error) {
	switch name {
	case "greedy":
		return Greedy{}, nil
	case "redundant":
		return Redundant{}, nil
	}
	return nil, fmt.Errorf("scheduler %q is not one of greedy, redundant", name)
}

// Greedy is the paper's: a packet goes to whichever path has window. Where
// several have, the lowest metric comes first, then the least filled, so that
// all paths keep busy even when the flow alone cannot fill them, and at last
// the lowest RTT, so that a lone packet takes the quickest way.
type Greedy struct{}

// fillSteps is how finely Greedy tells fills apart: while none is a quarter
// full, the RTT decides.
const fillSteps = 4

// Choose implements Scheduler.
func (Greedy) Choose(now mono.Time, p *packet.Packet, consumers, dst []Consumer) []Consumer {
	var best Consumer
	for _, c := range consumers {
		if c.Ready(now, len(p.Data)) && (best == nil || better(c, best)) {
			best = c
		}
	}
	if best == nil {
		return dst
	}
	return append(dst, best)
}

func better(a, b Consumer) bool {
	if a.Cost() != b.Cost() {
		return a.Cost() < b.Cost()
	}
	if fa, fb := int(fillSteps*a.Fill()), int(fillSteps*b.Fill()); fa != fb {
		return fa < fb
	}
	return a.RTT() < b.RTT()
}

// Redundant sends every packet on every path that has room, so that the
// quickest copy counts; the peer's replay window drops the others.
type Redundant struct{}

// Choose implements Scheduler.
func (Redundant) Choose(now mono.Time, p *packet.Packet, consumers, dst []Consumer) []Consumer {
	for _, c := range consumers {
		if c.Ready(now, len(p.Data)) {
			dst = append(dst, c)
		}
	}
	return dst
}
