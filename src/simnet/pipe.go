package simnet

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Conditions are the properties of a Pipe. The zero value is a perfect wire.
//
// A packet occupies its own bytes and those of its headers. It passes, in this
// order: Cut, StopAfter, MTU, QueueBytes; then it occupies the link for
// size/Rate, and may be lost (LossList, Burst, Loss), corrupted, delayed and
// duplicated.
type Conditions struct {
	Rate   int64         // bit/s; 0: infinite
	Delay  time.Duration // propagation, one way
	Jitter time.Duration // standard deviation of a normal distribution around Delay, never below 0 in all
	// KeepOrder makes jitter never reorder, as on most real links: a packet waits
	// for those before it.
	KeepOrder bool

	Loss      float64  // probability
	LossList  []uint64 // numbers of packets to lose; a pipe's first packet is 1
	StopAfter uint64   // packets with a higher number vanish; 0: none
	Burst     Burst

	Duplicate float64 // probability that a packet comes out twice
	// Corrupt is the probability that some bits of a packet flip or that it is
	// cut short. A TCP segment is then lost: its checksum would tell.
	Corrupt float64
	// Reorder is the probability that a packet takes up to ReorderBy longer,
	// KeepOrder or not.
	Reorder   float64
	ReorderBy time.Duration // 0: 10 ms

	QueueBytes int  // drop-tail limit of what waits for Rate, a lone packet always fits; 0: none
	MTU        int  // longer IP packets vanish (no ICMP); 0: none. TCP segments fit by themselves
	Cut        bool // nothing enters and nothing comes out, and nobody is told
}

// Burst is the Gilbert–Elliott model of burst loss: a chain with a good and a
// bad state, that may change with each packet. The zero value is off.
type Burst struct {
	GoodToBad, BadToGood float64 // probabilities of a change, per packet
	LossGood, LossBad    float64 // probabilities of loss in each state
}

// Cause says why a pipe dropped a packet.
type Cause uint8

// The causes, in the order in which a packet meets them.
const (
	delivered Cause = iota
	ByCut           // Cut
	ByStop          // StopAfter
	ByMTU           // MTU
	ByQueue         // QueueBytes
	ByList          // LossList
	ByBurst         // Burst
	ByLoss          // Loss
	ByCorrupt       // Corrupt, TCP only
	ByNAT           // no mapping leads on, or the link's address is another now
	BySocket        // nobody listens there
	ByBuffer        // the receiver's buffer was full
	Causes          // how many
)

func (c Cause) String() string {
	return [...]string{"delivered", "cut", "stop", "mtu", "queue", "list", "burst", "loss", "corrupt", "nat", "socket", "buffer"}[c]
}

// Counters count packets, but where they say bytes. Bytes include headers.
type Counters struct {
	In, InBytes               uint64
	Delivered, DeliveredBytes uint64 // to a socket
	Dropped                   [Causes]uint64
	Duplicated                uint64 // extra copies made
	Corrupted                 uint64 // of those delivered or dropped
	Reordered                 uint64 // given extra delay by Reorder
	InFlight                  uint64 // in the queue or on the way, now
	Queue                     int    // bytes waiting or being sent, now
	QueueMax                  int    // the most that ever waited
}

// Lost is how many packets were dropped for any cause.
func (c Counters) Lost() uint64 {
	var sum uint64
	for _, d := range c.Dropped {
		sum += d
	}
	return sum
}

// Balanced reports whether every packet is accounted for.
func (c Counters) Balanced() bool {
	return c.In+c.Duplicated == c.Delivered+c.Lost()+c.InFlight
}

// Pipe is one direction of a Link.
type Pipe struct {
	net  *Network
	link *Link
	name string
	up   bool
	src  uint32
	seq  uint64
	rng  *rand.Rand

	cond  Conditions
	bad   bool // the Burst chain's state
	count Counters

	// queue holds the packets that have not left the transmitter; it is brought
	// up to date only when somebody looks, so a packet costs one event: its
	// arrival, which is computed when it enters, and again when Rate changes.
	queue ring[queued]
	free  time.Duration // when the transmitter has sent all
	last  time.Duration // latest arrival of those that have left, for KeepOrder
}

// queued is a packet that the transmitter has not finished.
type queued struct {
	done   time.Duration // leaves the transmitter
	extra  time.Duration // then takes so long
	arrive time.Duration
	size   int
	free   bool    // not bound by KeepOrder
	pkt    *packet // nil: it will be lost
}

// Name is the link's name and "up" or "down".
func (p *Pipe) Name() string { return p.name }

// Link is the link of which p is one direction.
func (p *Pipe) Link() *Link { return p.link }

// Conditions returns the present ones.
func (p *Pipe) Conditions() Conditions {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	c := p.cond
	c.LossList = slices.Clone(c.LossList)
	return c
}

// Change alters the conditions from now on. A new Rate serves what is already
// queued too, and Cut also takes what is on its way at the time it would
// arrive; all else concerns packets that enter later. f must not call the
// network.
func (p *Pipe) Change(f func(*Conditions)) {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	old := p.cond.Rate
	f(&p.cond)
	if p.cond.Rate != old {
		p.retime(old)
	}
}

// Counters returns the present ones.
func (p *Pipe) Counters() Counters {
	p.net.mu.Lock()
	defer p.net.mu.Unlock()
	p.drain(p.net.Now())
	return p.count
}

// enter takes pkt, which the pipe then owns. The network is locked.
func (p *Pipe) enter(now time.Duration, pkt *packet) {
	c := &p.cond
	p.count.In++
	p.count.InBytes += uint64(pkt.size)
	p.count.InFlight++
	pkt.number = p.count.In
	for _, tap := range p.net.taps {
		(*tap)(p.datagram(now, pkt))
	}
	p.drain(now)
	switch {
	case c.Cut:
		p.drop(ByCut, pkt)
		return
	case c.StopAfter > 0 && p.count.In > c.StopAfter:
		p.drop(ByStop, pkt)
		return
	case c.MTU > 0 && pkt.size > c.MTU && pkt.proto == protoUDP:
		p.drop(ByMTU, pkt)
		return
	case c.QueueBytes > 0 && p.count.Queue > 0 && p.count.Queue+pkt.size > c.QueueBytes:
		p.drop(ByQueue, pkt)
		return
	}

	q := queued{done: max(now, p.free) + sendTime(pkt.size, c.Rate), size: pkt.size, pkt: pkt}
	p.free = q.done
	if cause := p.lose(pkt); cause != delivered {
		p.drop(cause, pkt)
		q.pkt = nil
	} else {
		q.extra = c.Delay
		if c.Jitter > 0 {
			q.extra = max(0, q.extra+time.Duration(p.rng.NormFloat64()*float64(c.Jitter)))
		}
		if p.chance(c.Reorder) {
			by := c.ReorderBy
			if by == 0 {
				by = 10 * time.Millisecond
			}
			q.extra += 1 + time.Duration(p.rng.Int64N(int64(by)))
			q.free = true
			p.count.Reordered++
		}
		pkt.twin = p.chance(c.Duplicate)
		pkt.pipe = p
		q.arrive = q.done + q.extra
		if c.KeepOrder && !q.free {
			q.arrive = max(q.arrive, p.lastArrival())
		}
		p.seq++
		p.net.schedule(event{at: q.arrive, src: p.src, seq: p.seq, pkt: pkt})
	}
	if q.done > now {
		p.queue.push(q)
		p.count.Queue += q.size
		p.count.QueueMax = max(p.count.QueueMax, p.count.Queue)
	} else {
		p.left(&q)
	}
}

// lose decides whether pkt is lost, and corrupts it where that is its lot.
func (p *Pipe) lose(pkt *packet) Cause {
	c := &p.cond
	if len(c.LossList) > 0 && slices.Contains(c.LossList, p.count.In) {
		return ByList
	}
	if b := &c.Burst; *b != (Burst{}) {
		change, loss := b.GoodToBad, b.LossGood
		if p.bad {
			change, loss = b.BadToGood, b.LossBad
		}
		lost := p.chance(loss)
		if p.chance(change) {
			p.bad = !p.bad
		}
		if lost {
			return ByBurst
		}
	}
	if p.chance(c.Loss) {
		return ByLoss
	}
	if p.chance(c.Corrupt) {
		p.count.Corrupted++
		if pkt.proto == protoTCP {
			return ByCorrupt
		}
		pkt.data = corrupt(p.rng, pkt.data)
	}
	return delivered
}

// corrupt flips up to eight bits of b in place, or cuts it short.
func corrupt(rng *rand.Rand, b []byte) []byte {
	switch {
	case len(b) == 0:
	case rng.IntN(4) == 0:
		b = b[:rng.IntN(len(b))]
	default:
		for range 1 + rng.IntN(8) {
			bit := rng.IntN(8 * len(b))
			b[bit/8] ^= 1 << (bit % 8)
		}
	}
	return b
}

// exit is the arrival of pkt. The network is locked.
func (p *Pipe) exit(now time.Duration, pkt *packet) {
	if p.cond.Cut {
		p.drop(ByCut, pkt)
		return
	}
	if pkt.twin {
		pkt.twin = false
		twin := p.net.packet(pkt.proto, pkt.from, pkt.to, pkt.data)
		twin.pipe, twin.number, twin.seg, twin.size = p, pkt.number, pkt.seg, pkt.size
		p.count.Duplicated++
		p.count.InFlight++
		p.seq++
		p.net.schedule(event{at: now + time.Duration(p.rng.Int64N(int64(5*time.Millisecond))), src: p.src, seq: p.seq, pkt: twin})
	}
	size := uint64(pkt.size) // whoever takes pkt owns it
	var cause Cause
	if p.up {
		cause = p.link.b.receive(pkt, p.link)
	} else {
		cause = p.link.arriveA(pkt)
	}
	if cause != delivered {
		p.drop(cause, pkt)
		return
	}
	p.count.InFlight--
	p.count.Delivered++
	p.count.DeliveredBytes += size
}

func (p *Pipe) drop(cause Cause, pkt *packet) {
	for _, tap := range p.net.drops {
		tap(p.datagram(p.net.Now(), pkt), cause)
	}
	p.count.InFlight--
	p.count.Dropped[cause]++
	p.net.recycle(pkt)
}

func (p *Pipe) datagram(now time.Duration, pkt *packet) Datagram {
	return Datagram{now, p, pkt.from, pkt.to, pkt.proto == protoTCP, pkt.number, pkt.data}
}

// drain forgets the packets that have left the transmitter.
func (p *Pipe) drain(now time.Duration) {
	for p.queue.len() > 0 && p.queue.at(0).done <= now {
		q := p.queue.pop()
		p.count.Queue -= q.size
		p.left(&q)
	}
}

func (p *Pipe) left(q *queued) {
	if q.pkt != nil && !q.free {
		p.last = max(p.last, q.arrive)
	}
}

// lastArrival is the latest arrival so far, for KeepOrder.
func (p *Pipe) lastArrival() time.Duration {
	for i := p.queue.len() - 1; i >= 0; i-- {
		if q := p.queue.at(i); q.pkt != nil && !q.free {
			return max(p.last, q.arrive)
		}
	}
	return p.last
}

// retime computes anew when what is queued arrives, after Rate was old.
func (p *Pipe) retime(old int64) {
	now := p.net.Now()
	p.drain(now)
	if p.queue.len() == 0 {
		p.free = now
		return
	}
	// What remains of the packet that is being sent goes at the new rate.
	bits := float64(p.queue.at(0).done-now) * float64(old)
	done := now
	arrive := make(map[*packet]time.Duration, p.queue.len())
	last := p.last
	for i := range p.queue.len() {
		q := p.queue.at(i)
		switch {
		case i > 0:
			done += sendTime(q.size, p.cond.Rate)
		case p.cond.Rate > 0:
			done += time.Duration(bits / float64(p.cond.Rate))
		}
		q.done = done
		if q.pkt == nil {
			continue
		}
		q.arrive = done + q.extra
		if !q.free {
			if p.cond.KeepOrder {
				q.arrive = max(q.arrive, last)
			}
			last = max(last, q.arrive)
		}
		arrive[q.pkt] = q.arrive
	}
	p.free = done
	for i := range p.net.events {
		e := &p.net.events[i]
		if at, ok := arrive[e.pkt]; ok && e.pkt != nil {
			e.at = at
		}
	}
	p.net.events.fix()
	if !p.net.running && p.net.events[0].at != p.net.armed {
		p.net.arm(now, p.net.events[0].at)
	}
}

// chance draws with probability x; an impossible event draws nothing.
func (p *Pipe) chance(x float64) bool { return x > 0 && p.rng.Float64() < x }

// sendTime is how long size bytes occupy a link of rate bit/s.
func sendTime(size int, rate int64) time.Duration {
	if rate <= 0 {
		return 0
	}
	return time.Duration(int64(size) * 8 * int64(time.Second) / rate)
}
