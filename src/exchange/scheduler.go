package exchange

import (
	"fmt"
	"time"

	"netcombiner/src/mono"
)

// NewScheduler returns the scheduler that the configuration calls name.
func NewScheduler(name string) (Scheduler, error) {
	switch name {
	case "earliest":
		return Earliest{}, nil
	case "greedy":
		return Greedy{}, nil
	case "proportional":
		return &Proportional{}, nil
	case "redundant":
		return Redundant{}, nil
	}
	return nil, fmt.Errorf("scheduler %q is not one of earliest, greedy, proportional, redundant", name)
}

// Earliest gives a packet to the path on which it arrives first: after the wait
// for its turn there, and the path's own delay. So a lone packet takes the
// quickest path; and of a flow that fills that one, each other path gets a
// share as soon as that ends sooner than waiting does (ECF, CoNEXT 2017).
type Earliest struct{}

// spillAfter, and spillTrips of its round trips, is how long a flow waits for a
// path of a lower metric, and unknownAfter while that is still finding out
// how fast it is.
const (
	spillAfter   = 10 * time.Millisecond
	spillTrips   = 3
	unknownAfter = 300 * time.Millisecond
)

// Choose implements Scheduler.
func (Earliest) Choose(now mono.Time, d Demand, consumers, dst []Consumer) []Consumer {
	size := len(d.Data)
	for from := 0; ; {
		best, ready, next := earliest(now, size, from, consumers)
		if ready != nil && ready == best {
			return append(dst, best)
		}
		if ready != nil {
			rate, busy := quicker(now, ready, consumers)
			if affordable(now, d, best, ready, rate) {
				if worthIt(now, d, best, ready, rate, busy) {
					return append(dst, ready)
				}
				return dst
			}
		}
		if best != nil && !spills(now, d, best) {
			return dst
		}
		if next <= from {
			return dst
		}
		from = next
	}
}

// spills says whether d's flow has waited long enough for the consumers of best's
// metric to go to a higher one.
func spills(now mono.Time, d Demand, best Consumer) bool {
	waited := now.Sub(d.Since)
	return waited >= spillAfter+spillTrips*best.RTT() && (best.Bandwidth() != 0 || waited >= unknownAfter)
}

// A detour counts (fullShare − busy) / busySpan times, 0 … maxDetour. Paths that
// are busy for fullShare of the time are full: a flow that follows
// its acknowledgements brings no more than comes through. One that leaves them idle
// waits for its own packets, some of which are held back, and does not gain by
// more of that.
const fullShare, busySpan, maxDetour = 0.95, 0.2, 2

// worthIt says whether a flow gains by the slow consumer, which is ready, while
// those that are faster are not. For a flow that ends it is exact to ask whether
// what waits takes them longer than the slow one is behind (ECF, CoNEXT 2017). But
// one that keeps them full has more to send: then the slow one is to be full too,
// whatever waits. And one that leaves them idle now and then has less. rate and busy are
// those of the faster ones, see quicker.
func worthIt(now mono.Time, d Demand, fast, slow Consumer, rate, busy float64) bool {
	behind := (arrival(now, slow) - arrival(now, fast)).Seconds()
	if fast.Bandwidth() <= 0 {
		return behind <= now.Sub(d.Since).Seconds()
	}
	if d.Bulk {
		behind *= min(max((fullShare-busy)/busySpan, 0), maxDetour)
	}
	return 8*d.Bytes/rate >= behind
}

// maxWindow is how much more a flow may need to have under way, in bytes: about
// what a receiver's defaults let it have.
const maxWindow = 2e6

// affordable says whether a flow can have as much more under way as waits at the
// receiver while the slow consumer's packets are behind, and those that it loses
// are sent again. Where it cannot, it gets less than without the slow consumer.
// Queues, which pass, do not count.
func affordable(now mono.Time, d Demand, fast, slow Consumer, rate float64) bool {
	if !d.Bulk {
		return true
	}
	behind := (slow.MinRTT() - fast.MinRTT()) / 2
	if slow.Doubtful(now) {
		behind += slow.MinRTT() * 3 / 2
	}
	return behind.Seconds()*rate/8 <= maxWindow*float64(d.Flows)
}

// quicker says of the consumers of slow's cost on which a packet arrives earlier
// what they carry together, in bit/s, and how busy they are.
func quicker(now mono.Time, slow Consumer, consumers []Consumer) (rate, busy float64) {
	at := arrival(now, slow)
	for _, c := range consumers {
		if c != slow && c.Usable() && c.Cost() == slow.Cost() && arrival(now, c) <= at {
			rate += c.Bandwidth()
			busy += c.Bandwidth() * c.Busy(now)
		}
	}
	return rate, busy / rate
}

// earliest is, of the usable consumers with the lowest cost from the given on,
// the one where a packet arrives first, and of those that are ready the same;
// next is the next higher cost, or 0.
func earliest(now mono.Time, size, from int, consumers []Consumer) (best, ready Consumer, next int) {
	var bestAt, readyAt time.Duration
	for _, c := range consumers {
		cost := c.Cost()
		if cost < from || !c.Carries(size) {
			continue
		}
		isReady := c.Ready(now, size)
		if !isReady && !c.Usable() {
			continue
		}
		if best != nil && cost != best.Cost() {
			if higher := max(cost, best.Cost()); next == 0 || higher < next {
				next = higher
			}
			if cost > best.Cost() {
				continue
			}
			best, ready = nil, nil
		}
		at := arrival(now, c)
		if best == nil || at < bestAt {
			best, bestAt = c, at
		}
		if isReady && (ready == nil || at < readyAt) {
			ready, readyAt = c, at
		}
	}
	return best, ready, next
}

func arrival(now mono.Time, c Consumer) time.Duration { return c.Wait(now) + c.Delay() }

// Greedy is the paper's: a packet goes to whichever path has window. Where
// several have, the lowest metric comes first, then the least filled, so that
// all paths keep busy even when the flow alone cannot fill them, and at last
// the lowest RTT, so that a lone packet takes the quickest way.
type Greedy struct{}

// fillSteps is how finely Greedy tells fills apart: while none is a quarter
// full, the RTT decides.
const fillSteps = 4

// Choose implements Scheduler.
func (Greedy) Choose(now mono.Time, d Demand, consumers, dst []Consumer) []Consumer {
	var best Consumer
	for _, c := range consumers {
		if c.Ready(now, len(d.Data)) && (best == nil || better(c, best)) {
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
func (Redundant) Choose(now mono.Time, d Demand, consumers, dst []Consumer) []Consumer {
	for _, c := range consumers {
		if c.Ready(now, len(d.Data)) {
			dst = append(dst, c)
		}
	}
	return dst
}
