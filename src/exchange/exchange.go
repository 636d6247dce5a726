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
	// Ready says that it takes a packet of size bytes now.
	Ready(now mono.Time, size int) bool
	// Carries is false if a packet of size bytes will never fit.
	Carries(size int) bool
	// Fill is how much of what keeps it busy is on it: 0 nothing, 0.5 just
	// enough, more where queues grow.
	Fill() float64
	// RTT is its smoothed round-trip time, queues included; 0: not measured.
	RTT() time.Duration
	// Consume takes the packet and one reference to it. Only after Ready.
	Consume(now mono.Time, p *packet.Packet)
}

// Scheduler decides where a packet goes. It is pure and has no state of time.
type Scheduler interface {
	// Choose appends to dst the consumers that are to send p: none to let it
	// wait, several to send it several times. All must be Ready.
	Choose(now mono.Time, p *packet.Packet, consumers, dst []Consumer) []Consumer
}

const (
	// queueFloor and queueCeiling bound the ingress queue, in bytes; between
	// them it holds queueTime at the rate the paths deliver.
	queueFloor   = 96 << 10
	queueCeiling = 4 << 20
	queueTime    = 100 * time.Millisecond
	// staleAfter is how long a packet may wait for a path: what is older has
	// been sent again by who cares, or is worthless.
	staleAfter = time.Second
	// flowBuckets is how many last sequences are remembered, by flow hash.
	// Flows that collide keep a common order.
	flowBuckets = 1 << 13
)

// Counters are totals since the start.
type Counters struct {
	TxPackets, TxBytes uint64 // inner packets given to paths, each once
	Dropped            uint64 // by the full queue, as stale, or as too long for every path
}

// Exchange is the sending side. The receiving side is its Resequencer.
type Exchange struct {
	Counters
	Resequencer Resequencer

	scheduler Scheduler
	sequence  uint64 // last given out
	flows     [flowBuckets]uint64
	queue     packet.Ring[*packet.Packet]
	rescues   packet.Ring[*packet.Packet]
	bytes     int // in queue
	limit     int
	chosen    []Consumer
}

// New returns an exchange that schedules by s.
func New(s Scheduler) *Exchange {
	return &Exchange{scheduler: s, limit: queueFloor, Resequencer: newResequencer()}
}

// SetRate tells how much the paths deliver together, in bit/s: the queue holds
// a fixed time's worth.
func (x *Exchange) SetRate(bps float64) {
	x.limit = min(max(int(bps/8*queueTime.Seconds()), queueFloor), queueCeiling)
}

// Ingress takes packets from the TUN, with their one reference. Flow and
// Queued are set. When the queue is full, the oldest go: what is sent is then
// as fresh as can be, and flows learn of it a queue's length sooner.
func (x *Exchange) Ingress(packets []*packet.Packet) {
	for _, p := range packets {
		x.bytes += len(p.Data)
		x.queue.Push(p)
	}
	for x.bytes > x.limit && x.queue.Len() > 1 {
		x.pop().Release()
		x.Dropped++
	}
}

// Rescue takes packets, with a reference each, that go before all others.
func (x *Exchange) Rescue(packets []*packet.Packet) {
	for _, p := range packets {
		x.rescues.Push(p)
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
		if p.Delivered || worthless(now, p, consumers) {
			x.rescues.Pop().Release()
			continue
		}
		if !x.choose(now, p, consumers) {
			return
		}
		x.rescues.Pop()
		x.give(now, p)
	}
	for x.queue.Len() > 0 {
		p := x.queue.At(0)
		if worthless(now, p, consumers) {
			x.pop().Release()
			x.Dropped++
			continue
		}
		if !x.choose(now, p, consumers) {
			return
		}
		x.pop()
		x.TxPackets++
		x.TxBytes += uint64(len(p.Data))
		x.give(now, p)
	}
}

// worthless says that p waited too long, or is too long for every path.
func worthless(now mono.Time, p *packet.Packet, consumers []Consumer) bool {
	return now.Sub(p.Queued) > staleAfter || !carried(consumers, len(p.Data))
}

func (x *Exchange) pop() *packet.Packet {
	p := x.queue.Pop()
	x.bytes -= len(p.Data)
	return p
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
func (x *Exchange) choose(now mono.Time, p *packet.Packet, consumers []Consumer) bool {
	x.chosen = x.scheduler.Choose(now, p, consumers, x.chosen[:0])
	return len(x.chosen) > 0
}

// give hands p to the chosen consumers, a reference each.
func (x *Exchange) give(now mono.Time, p *packet.Packet) {
	if p.Sequence == 0 {
		x.sequence++
		p.Sequence = x.sequence
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
	if x.queue.Len() > 0 {
		delay = now.Sub(x.queue.At(0).Queued)
	}
	return x.queue.Len() + x.rescues.Len(), x.bytes, delay
}

// Waiting says that packets wait for a consumer.
func (x *Exchange) Waiting() bool { return x.queue.Len()+x.rescues.Len() > 0 }

// Close gives all packets back.
func (x *Exchange) Close() {
	for x.queue.Len() > 0 {
		x.pop().Release()
	}
	x.DropRescues()
	x.Resequencer.Close()
}
