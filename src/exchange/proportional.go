package exchange

import "netcombiner/src/mono"

// Proportional is the paper's future work (5.2): the paths of the lowest metric
// share the packets in proportion to the capacity that their deliveries and
// losses show, whether there are few packets or plenty. A path that has no room
// is passed over, and those that have share its part.
//
// It is a smooth weighted round robin, in bytes: for every packet each path that
// could take it earns its part of the packet's bytes, and the one with the most
// takes the packet and pays for it whole. So over any while each gets its part,
// give or take a packet, and no path gets bursts.
type Proportional struct {
	accounts []account // of the consumers, in their order
}

type account struct {
	consumer Consumer
	rate     float64 // bit/s, for the packet at hand; 0: not known, absent: takes no part
	credit   float64 // bytes
}

const absent = -1

// Choose implements Scheduler. A packet that the queue then drops is paid for
// all the same: which path that hits is chance.
func (s *Proportional) Choose(now mono.Time, d Demand, consumers, dst []Consumer) []Consumer {
	s.follow(consumers)
	for from := 0; ; {
		quickest, next := lowestCosts(now, len(d.Data), from, consumers)
		if quickest == nil {
			return dst
		}
		if best := s.pay(now, len(d.Data), quickest.Cost()); best != nil {
			return append(dst, best)
		}
		if next < 0 || !spills(now, d, quickest) {
			return dst
		}
		from = next
	}
}

// follow keeps an account for each consumer: mostly they are the same as before.
func (s *Proportional) follow(consumers []Consumer) {
	for i, c := range consumers {
		switch {
		case i == len(s.accounts):
			s.accounts = append(s.accounts, account{consumer: c})
		case s.accounts[i].consumer != c:
			s.accounts[i] = account{consumer: c}
		}
	}
	clear(s.accounts[len(consumers):]) // or one that is gone would be remembered
	s.accounts = s.accounts[:len(consumers)]
}

// pay lets the consumers of a cost that are ready earn for size bytes, and
// returns the one that takes them; nil where none is ready.
func (s *Proportional) pay(now mono.Time, size, cost int) Consumer {
	var rates float64
	var known, unknown int
	for i := range s.accounts {
		a := &s.accounts[i]
		a.rate = absent
		if a.consumer.Cost() != cost || !a.consumer.Ready(now, size) {
			continue
		}
		if a.rate = a.consumer.Bandwidth(); a.rate > 0 {
			rates += a.rate
			known++
		} else {
			unknown++
		}
	}
	fair := 1.0 // for one whose capacity is not known: what the others have on average
	if known > 0 {
		fair = rates / float64(known)
	}
	rates += float64(unknown) * fair
	var best *account
	for i := range s.accounts {
		a := &s.accounts[i]
		switch a.rate {
		case absent:
			continue
		case 0:
			a.rate = fair
		}
		a.credit += float64(size) * a.rate / rates
		if best == nil || a.credit > best.credit {
			best = a
		}
	}
	if best == nil {
		return nil
	}
	best.credit -= float64(size)
	return best.consumer
}

// lowestCosts is the consumer with the lowest round-trip time of those at the
// lowest cost, from the given on, that work and may carry size bytes; and the next
// higher cost, -1 where there is none.
func lowestCosts(now mono.Time, size, from int, consumers []Consumer) (quickest Consumer, next int) {
	next = -1
	for _, c := range consumers {
		cost := c.Cost()
		if cost < from || !c.Carries(size) || !c.Usable() && !c.Ready(now, size) {
			continue
		}
		switch {
		case quickest == nil:
			quickest = c
		case cost < quickest.Cost():
			quickest, next = c, quickest.Cost()
		case cost == quickest.Cost():
			if c.RTT() < quickest.RTT() {
				quickest = c
			}
		case next < 0 || cost < next:
			next = cost
		}
	}
	return quickest, next
}
