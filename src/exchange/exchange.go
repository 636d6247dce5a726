// Package exchange stands between the TUN and the paths: what comes from the
// TUN waits in the ingress queue until the scheduler gives it to a path; what
// comes from the paths passes the resequencer on its way to the TUN. It is
// pure, and called under the portal's lock.
//
// Glossary
//
//	consumer   the sending half of a path, as seen from the TUN
//	producer   the receiving half of a path: what it brings goes to Receive
//	sequence   given to a packet when it first goes on a path, so that what
//	           the queue dropped leaves no gap
//	chain      each packet says how far back its predecessor in the flow is:
//	           a receiver need not know flows to keep each in order
//	rescue     a packet that a path may have lost, to be sent again on another
//	recovery   the same for one that a link did lose: on two paths, and only
//	           while the receiver still waits for it
//	detour     the way over a path where a packet arrives later: see worthIt
//	spill      what goes to a path of a higher metric, since the lower ones are full
//	doubtful   of a path: it loses some, or was suspect lately
//	twin       the copy of a packet of a sparse flow that goes on a second path
//	           at once, where the first is doubtful; see double
package exchange

import (
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// Consumer is the sending half of a path, as a scheduler sees it.
type Consumer interface {
	// Cost is the path's metric: a higher one serves only when no lower has room.
	Cost() int
	// Usable says that the path works, whether or not it has room now.
	Usable() bool
	// Room says that its window and its own queue have room: only its rate may
	// hold a packet back.
	Room() bool
	// Ready says that it takes a packet of size bytes now.
	Ready(now mono.Time, size int) bool
	// Carries is false if a packet of size bytes will never fit.
	Carries(size int) bool
	// Fill is how much of what keeps it busy is on it: 0 nothing, 0.5 just
	// enough, more where queues grow.
	Fill() float64
	// RTT is its smoothed round-trip time, queues included; 0: not measured.
	RTT() time.Duration
	// MinRTT is the lowest of the last minutes.
	MinRTT() time.Duration
	// Delay is its one-way delay, queues included, plus a constant that all
	// consumers share.
	Delay() time.Duration
	// Wait is how long it does not take a packet because it takes no more than
	// its rate: 0 when it is Ready.
	Wait(now mono.Time) time.Duration
	// Bandwidth is what it carries, in bit/s; 0: not known yet.
	Bandwidth() float64
	// Busy is the share of the time lately in which it could not have taken more
	// than it got, for its window or its pace: 0 … 1.
	Busy(now mono.Time) float64
	// Doubtful says that it may well lose what it takes, or deliver it late.
	Doubtful(now mono.Time) bool
	// Consume takes the packet and one reference to it. Only after Ready, or for
	// the few packets that go twice or again after Usable, Carries and Room.
	Consume(now mono.Time, p *packet.Packet)
}

// Scheduler decides where a packet goes. It is pure and has no state of time;
// one serves one Exchange.
type Scheduler interface {
	// Choose appends to dst the consumers that are to send d's packet: none to
	// let it wait, several to send it several times. All must be Ready.
	Choose(now mono.Time, d Demand, consumers, dst []Consumer) []Consumer
}

// Demand is a packet to be sent, and what waits behind it.
type Demand struct {
	*packet.Packet
	Bytes float64   // of its flow that wait, its own included, times the flows that take turns
	Flows int       // that take turns
	Since mono.Time // since when its flow has had packets waiting
	// Bulk says that its flow takes a fair part of all that comes, so that its
	// packets may make a detour where paths are full.
	Bulk bool
}

const (
	// queueLimit bounds the ingress queue unless LimitQueue does, in bytes. CoDel
	// keeps it far below that, but for a flow that is about to learn how much is
	// too much.
	queueLimit = 4 << 20
	// queuePackets bounds it in packets: short ones take a whole buffer each, and
	// what comes from the paths needs some too.
	queuePackets = queueLimit / bytesAPacket
	bytesAPacket = 1 << 10
	// staleAfter is how long a packet may wait for a path: what is older has
	// been sent again by who cares, or is worthless.
	staleAfter = time.Second
	// flowBuckets is how many last sequences are remembered, by flow hash.
	// Flows that collide keep a common order.
	flowBuckets = 1 << 13
)

// Counters are totals since the start.
type Counters struct {
	TxPackets, TxBytes    uint64 // inner packets given to paths, each once
	Doubled, DoubledBytes uint64 // those of them that went with a twin
}

// Exchange is the sending side. The receiving side is its Resequencer.
type Exchange struct {
	Counters
	Resequencer Resequencer

	scheduler Scheduler
	redundant bool   // it doubles all it can
	budget    budget // of twins
	sequence  uint64 // last given out
	flows     [flowBuckets]uint64
	queue     fqCoDel
	rescues   packet.Ring[rescue]
	chosen    []Consumer
}

// rescue is a packet to be sent again, and until when that is of use.
type rescue struct {
	*packet.Packet
	until mono.Time
	twice bool // send it on two paths: it was lost once already
}

// New returns an exchange that schedules by s.
func New(s Scheduler) *Exchange {
	x := &Exchange{Resequencer: newResequencer()}
	x.SetScheduler(s)
	x.LimitQueue(queueLimit)
	x.queue.adapt(0)
	return x
}

// SetScheduler changes the scheduler. What waits is scheduled by the new one.
func (x *Exchange) SetScheduler(s Scheduler) {
	x.scheduler = s
	_, x.redundant = s.(Redundant)
}

// LimitQueue bounds the ingress queue to so many bytes, and to as many packets
// as that is KiB.
func (x *Exchange) LimitQueue(bytes int) {
	x.queue.limit, x.queue.packetLimit = bytes, bytes/bytesAPacket
}

// Adapt tells the longest round-trip time of the paths: the queue's CoDel is as
// patient as flows need it to be that are to fill them.
func (x *Exchange) Adapt(rtt time.Duration) {
	x.queue.adapt(rtt)
}

// Ingress takes packets from the TUN, with their one reference. Flow and
// Queued are set. When the queue is full, the oldest of the longest flow go.
func (x *Exchange) Ingress(packets []*packet.Packet) {
	for _, p := range packets {
		x.queue.push(p)
	}
}

// Rescue takes packets, with a reference each, that go before all others.
func (x *Exchange) Rescue(packets []*packet.Packet) {
	for _, p := range packets {
		x.rescues.Push(rescue{p, p.Queued.Add(staleAfter), false})
	}
}

// Recover takes packets that a link lost, with a reference each, to be sent
// again as long as the receiver may wait for them.
func (x *Exchange) Recover(packets []*packet.Packet) {
	for _, p := range packets {
		x.rescues.Push(rescue{p, p.Sent.Add(maxRecovery), true})
	}
}

// DropRescues forgets the packets that were to be sent again.
func (x *Exchange) DropRescues() {
	for x.rescues.Len() > 0 {
		x.rescues.Pop().Release()
	}
}

// Pump gives packets to consumers until none has room or nothing waits.
func (x *Exchange) Pump(now mono.Time, consumers []Consumer) {
	for x.rescues.Len() > 0 {
		p := x.rescues.At(0)
		if p.Delivered || now > p.until || !carried(consumers, len(p.Data)) {
			x.rescues.Pop().Release()
			continue
		}
		x.chosen = x.chosen[:0]
		if p.twice {
			x.chooseTwo(now, len(p.Data), consumers)
		}
		if len(x.chosen) == 0 && !x.choose(now, Demand{Packet: p.Packet, Bytes: float64(len(p.Data) * x.rescues.Len()), Flows: 1, Since: p.Queued}, consumers) {
			break // fresh packets may go on paths that it would not take
		}
		x.rescues.Pop()
		x.give(now, p.Packet)
	}
	for {
		f := x.queue.turn()
		if f == nil {
			return
		}
		p := f.head
		if worthless(now, p, consumers) {
			x.queue.drop(f)
			continue
		}
		if !x.choose(now, x.queue.demandOf(now, f), consumers) {
			return
		}
		if !x.queue.allows(now, f) {
			continue
		}
		x.double(now, f, consumers)
		x.queue.pop(f)
		x.TxPackets++
		x.TxBytes += uint64(len(p.Data))
		x.give(now, p)
	}
}

// worthless says that p waited too long, or is too long for every path.
func worthless(now mono.Time, p *packet.Packet, consumers []Consumer) bool {
	return now.Sub(p.Queued) > staleAfter || !carried(consumers, len(p.Data))
}

// carried says that some usable consumer could carry size bytes, or that none
// is usable, and so it is not known.
func carried(consumers []Consumer, size int) bool {
	usable := false
	for _, c := range consumers {
		if c.Usable() {
			if c.Carries(size) {
				return true
			}
			usable = true
		}
	}
	return !usable
}

// choose asks the scheduler who is to send p, and returns whether anybody is.
func (x *Exchange) choose(now mono.Time, d Demand, consumers []Consumer) bool {
	x.chosen = x.scheduler.Choose(now, d, consumers, x.chosen[:0])
	return len(x.chosen) > 0
}

// chooseTwo chooses the earliest two of the consumers.
func (x *Exchange) chooseTwo(now mono.Time, size int, consumers []Consumer) {
	best, second := earliestTwo(now, size, consumers)
	if best != nil {
		x.chosen = append(x.chosen, best)
	}
	if second != nil {
		x.chosen = append(x.chosen, second)
	}
}

// earliestTwo are, of the consumers with the lowest cost, the two that deliver
// first, whether or not their pace lets them: it is asked for few packets, that
// are late already or must not be.
func earliestTwo(now mono.Time, size int, consumers []Consumer) (best, second Consumer) {
	var first, next time.Duration // when they deliver
	for _, c := range consumers {
		if !c.Usable() || !c.Carries(size) || !c.Room() || best != nil && c.Cost() > best.Cost() {
			continue
		}
		at := arrival(now, c)
		switch {
		case best == nil || c.Cost() < best.Cost():
			best, first, second = c, at, nil
		case at < first:
			best, first, second, next = c, at, best, first
		case second == nil || at < next:
			second, next = c, at
		}
	}
	return best, second
}

// give hands p to the chosen consumers, a reference each.
func (x *Exchange) give(now mono.Time, p *packet.Packet) {
	if p.Sequence == 0 {
		x.sequence++
		p.Sequence, p.Sent = x.sequence, now
		last := &x.flows[p.Flow%flowBuckets]
		if back := p.Sequence - *last; *last != 0 && back < 1<<16 {
			p.Previous = uint16(back)
		}
		*last = p.Sequence
	}
	for range x.chosen[1:] {
		p.Retain()
	}
	for _, c := range x.chosen {
		c.Consume(now, p)
	}
}

// Queued is what waits in the ingress queue, and since when its head has.
func (x *Exchange) Queued(now mono.Time) (packets, bytes int, delay time.Duration) {
	if f := x.queue.turn(); f != nil {
		delay = now.Sub(f.head.Queued)
	}
	return x.queue.packets + x.rescues.Len(), x.queue.bytes, delay
}

// Dropped is how many packets the ingress queue dropped, and Marked how many
// of those that went it marked (ECN).
func (x *Exchange) Dropped() uint64 { return x.queue.Dropped }

// Marked is how many packets the ingress queue marked.
func (x *Exchange) Marked() uint64 { return x.queue.Marked }

// Waiting says that packets wait for a consumer.
func (x *Exchange) Waiting() bool { return x.queue.packets+x.rescues.Len() > 0 }

// Close gives all packets back.
func (x *Exchange) Close() {
	x.queue.close()
	x.DropRescues()
	x.Resequencer.Close()
}
