package simnet

import (
	"fmt"
	"sync"
	"time"

	"netcombiner/src/congestion"
)

// Call sends a packet of size bytes every so often, from now on until the
// given time: the shape of a voice call.
func (f *Flow) Call(every time.Duration, size int, until time.Duration) {
	f.repeat(until, func() time.Duration {
		f.Send(size)
		return every
	})
}

// Poisson sends rate packets a second on average, at random.
func (f *Flow) Poisson(rate float64, size int, until time.Duration) {
	rng := f.checker.net.Rand(fmt.Sprint("flow ", f.id))
	f.repeat(until, func() time.Duration {
		f.Send(size)
		return time.Duration(rng.ExpFloat64() / rate * float64(time.Second))
	})
}

// Bursts sends count packets at once every so often.
func (f *Flow) Bursts(count int, every time.Duration, size int, until time.Duration) {
	f.repeat(until, func() time.Duration {
		for range count {
			f.Send(size)
		}
		return every
	})
}

// repeat calls step now and then again each time after what it returned. It
// begins a random part of a millisecond late: flows that keep step with each
// other, or with a portal's timers, would meet at moments where chance decides
// who comes first.
func (f *Flow) repeat(until time.Duration, step func() time.Duration) {
	n := f.checker.net
	at := n.Now() + time.Duration(n.Rand(fmt.Sprint("start of flow ", f.id)).Int64N(int64(time.Millisecond)))
	var next func()
	next = func() {
		if at >= until {
			return
		}
		at += max(step(), time.Microsecond)
		n.At(at, next)
	}
	n.At(at, next)
}

// Bulk is a sender that always has something to send and a receiver that
// echoes an acknowledgement of each packet: a small stand-in for a TCP flow,
// with CUBIC's window (see sender). What is lost is sent again, as a new inner
// packet.
type Bulk struct {
	data, acks *Flow
	size       int
	until      time.Duration
	onTimer    func()

	mu    sync.Mutex
	snd   sender
	rcv   receiver
	limit uint64
	armed time.Duration
}

// NewBulk starts to send segments in packets of size bytes from host from to
// host to: limit of them (0: without end), and no new one after until.
func (c *Checker) NewBulk(from, to *Host, v6 bool, size int, limit uint64, until time.Duration) *Bulk {
	b := &Bulk{
		data: c.Flow(from, to, v6), acks: c.Flow(to, from, v6), size: size, until: until,
		snd: newSender(200 * time.Millisecond), limit: limit, armed: never,
	}
	if limit == 0 {
		b.limit = 1 << 62
	}
	b.snd.cubic = &congestion.Cubic{}
	b.data.ecn = 0 // what is marked is not dropped, and CUBIC here knows no marks
	b.onTimer = b.timer
	b.data.handler = b.segment
	b.acks.handler = b.acknowledged
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pump()
	return b
}

// Data and Acks are the flows of both directions.
func (b *Bulk) Data() *Flow { return b.data }

// Acks is the flow of the acknowledgements.
func (b *Bulk) Acks() *Flow { return b.acks }

// InOrder is how many segments the receiver has without a gap: what a TCP
// receiver would have handed to its application.
func (b *Bulk) InOrder() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rcv.cum
}

// Retransmits is how many segments were sent again.
func (b *Bulk) Retransmits() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.snd.retransmits
}

// segment is a data packet at the receiver.
func (b *Bulk) segment(h *header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	seq := h.notes[0]
	b.rcv.take(seq)
	b.acks.send(0, [3]uint64{b.rcv.cum, seq, b.rcv.mask(seq)})
}

// acknowledged is an acknowledgement at the sender.
func (b *Bulk) acknowledged(h *header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.snd.ack(b.data.checker.net.Now(), h.notes[0], h.notes[1], h.notes[2])
	b.pump()
}

func (b *Bulk) pump() {
	now := b.data.checker.net.Now()
	if now >= b.until {
		return
	}
	for {
		seq, ok := b.snd.next(now, b.limit)
		if !ok {
			break
		}
		b.data.send(b.size, [3]uint64{seq})
	}
	b.arm()
}

// arm is tcpConn.arm for Bulk.
func (b *Bulk) arm() {
	if at, ok := b.snd.deadline(); ok && at < b.armed {
		b.armed = at
		b.data.checker.net.At(at, b.onTimer)
	}
}

func (b *Bulk) timer() {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.data.checker.net.Now()
	if now < b.armed || now >= b.until {
		return
	}
	b.armed = never
	if at, ok := b.snd.deadline(); ok && at <= now {
		if probe, ok := b.snd.timeout(now); ok {
			b.data.send(b.size, [3]uint64{probe})
		}
	}
	b.pump()
	b.arm()
}
