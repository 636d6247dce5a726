// Package link is the pure core of the link emulator: one direction of one
// link, told when packets arrive and asked which have come out. It reads no
// clock, so that its rate and delay are proved to the nanosecond.
//
// A packet's way through a Direction:
//
//	arrive ─ cut? ─ drop-tail queue ─ serialised at Rate ─ lost? ─ Delay ± Jitter ─ depart
//
// A packet lost at random has used the link, as on a radio; one dropped by
// the queue has not.
//
// Jitter is drawn for every packet by itself. Where it keeps order, a packet
// waits for the slower ones before it, as behind a radio's repetitions: they come
// in bunches, and on a busy link the mean delay is up to some three standard
// deviations above Delay.
//
// All events are worked off at the moment they were due, not at the moment
// the caller came to ask: a late caller delays a packet, but never slows the link.
package link

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"netcombiner/src/mono"
)

// Shape is how one direction of a link behaves. The zero Shape is a perfect wire.
type Shape struct {
	Rate    int64         // bit/s, of IP packets with their headers; 0: not limited
	Delay   time.Duration // one way, without the queue
	Jitter  time.Duration // standard deviation of a normal distribution about Delay
	Reorder bool          // jitter may let a packet overtake another; otherwise it waits
	Loss    float64       // 0…1, each packet on its own
	Burst   Burst         // loss in bursts, beside Loss
	Queue   Queue         // what waits for the link at most
	Trace   []Step        // the rate as it changes by itself, over and over; replaces Rate
}

// Burst is the Gilbert–Elliott model: in its good state a packet is never
// lost, in the bad one with probability Loss. Enter and Leave are the chances,
// a packet, of going to the bad state and back. The mean loss is
// Loss · Enter / (Enter + Leave), a burst's mean length 1 / Leave packets.
type Burst struct{ Enter, Leave, Loss float64 }

// Queue limits what waits, the packet being sent included. Where both are
// set the smaller holds; where neither is, 100 ms. One packet always fits.
type Queue struct {
	Bytes int
	Time  time.Duration // as bytes at the present rate
}

// DefaultQueue is the limit of a Queue that is not set.
const DefaultQueue = 100 * time.Millisecond

// Step is a stretch of a rate trace.
type Step struct {
	For  time.Duration
	Rate int64 // bit/s, > 0
}

// Validate says what is wrong with s, or returns nil.
func (s Shape) Validate() error {
	var errs []error
	bad := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if s.Rate < 0 {
		bad("rate is %d bit/s; allowed is 0 (not limited) or more", s.Rate)
	}
	if s.Delay < 0 || s.Jitter < 0 {
		bad("delay %v and jitter %v must not be negative", s.Delay, s.Jitter)
	}
	for name, p := range map[string]float64{"loss": s.Loss, "burst enter": s.Burst.Enter, "burst leave": s.Burst.Leave, "burst loss": s.Burst.Loss} {
		if !(p >= 0 && p <= 1) {
			bad("%s is %v; allowed is 0 to 1", name, p)
		}
	}
	if s.Queue.Bytes < 0 || s.Queue.Time < 0 {
		bad("queue %d bytes, %v must not be negative", s.Queue.Bytes, s.Queue.Time)
	}
	for i, step := range s.Trace {
		if step.For <= 0 || step.Rate <= 0 {
			bad("trace step %d lasts %v at %d bit/s; both must be above 0", i, step.For, step.Rate)
		}
	}
	return errors.Join(errs...)
}

// Packet is a packet on its way. Data is the caller's: a Direction keeps it
// from an Arrive that answers Queued until Depart hands it back.
type Packet struct {
	Data []byte
	Size int // bytes that count against Rate and Queue

	due mono.Time // out of the far end
	seq uint64    // in order of serialisation: breaks ties of due
	ev  Fate
}

// Fate is what became of a packet.
type Fate uint8

// The fates. Only Queued is followed by another, from Depart.
const (
	Queued    Fate = iota // taken in
	Delivered             // out of the far end
	Dropped               // no room in the queue
	Lost                  // by chance (Loss, Burst)
	Vanished              // the link was cut
)

// Stats counts one direction. Bytes are Packet.Size.
type Stats struct {
	Arrived, Delivered, Dropped, Lost, Vanished uint64 // packets
	DeliveredBytes                              uint64
	QueuePackets, QueueBytes                    int // waiting now
}

// Direction is one direction of a link. It is not safe for concurrent use,
// and times passed to it must not go back.
type Direction struct {
	shape Shape
	cut   bool
	bad   bool // Gilbert–Elliott state
	rng   *rand.Rand
	stats Stats

	queue  ring      // waiting; its head is being serialised
	finish mono.Time // when the head is out, if there is one
	carry  int64     // rest of the last division, so that no nanosecond is lost

	rate     int64     // now: Shape.Rate or the trace's
	step     int       // of the trace
	stepEnds mono.Time // Never without a trace

	flight  heap
	seq     uint64
	lastDue mono.Time // no later packet may leave before this, unless Reorder
}

// NewDirection returns a direction shaped by s, which must be valid. The same
// seed and the same arrivals give the same departures.
func NewDirection(s Shape, seed uint64, now mono.Time) *Direction {
	d := &Direction{rng: rand.New(rand.NewPCG(seed, 0x6c696e6b)), stepEnds: mono.Never}
	d.SetShape(now, s)
	return d
}

// Shape returns the present shape.
func (d *Direction) Shape() Shape { return d.shape }

// Stats returns the counters.
func (d *Direction) Stats() Stats {
	s := d.stats
	s.QueuePackets, s.QueueBytes = d.queue.len(), d.queue.bytes
	return s
}

// SetShape changes how the direction behaves from now on. What waits stays
// and is sent at the new rate; a trace begins anew.
func (d *Direction) SetShape(now mono.Time, s Shape) {
	d.advance(now)
	d.shape = s
	d.step, d.stepEnds = 0, mono.Never
	if len(s.Trace) > 0 {
		d.stepEnds = now.Add(s.Trace[0].For)
		d.setRate(now, s.Trace[0].Rate)
		return
	}
	d.setRate(now, s.Rate)
}

// SetCut makes the link a black hole, or ends that. All that is in the link
// when it is cut vanishes.
func (d *Direction) SetCut(now mono.Time, cut bool) {
	d.advance(now)
	d.cut = cut
	if !cut {
		return
	}
	for p := range d.flight {
		d.flight[p].due, d.flight[p].ev = 0, Vanished
	}
	d.flight.init()
	for d.queue.len() > 0 {
		p := d.queue.pop()
		p.due, p.ev = 0, Vanished
		d.flight.push(p)
	}
}

// Arrive offers a packet. Queued means that p.Data is held until Depart
// returns it; after any other answer it is still the caller's.
func (d *Direction) Arrive(now mono.Time, p Packet) Fate {
	d.advance(now)
	d.stats.Arrived++
	if d.cut {
		d.stats.Vanished++
		return Vanished
	}
	if d.queue.len() > 0 && d.queue.bytes+p.Size > d.limit() {
		d.stats.Dropped++
		return Dropped
	}
	d.queue.push(p)
	if d.queue.len() == 1 {
		d.carry = 0
		d.finish = now.Add(d.serialise(p.Size))
		d.advance(now) // an unlimited link sends at once
	}
	return Queued
}

// Depart returns a packet that has come to its end by now, in the order due,
// and what became of it: Delivered, Lost or Vanished. ok is false when there
// is none; call it until then.
func (d *Direction) Depart(now mono.Time) (p Packet, fate Fate, ok bool) {
	d.advance(now)
	if len(d.flight) == 0 || d.flight[0].due > now {
		return Packet{}, 0, false
	}
	p = d.flight.pop()
	switch p.ev {
	case Delivered:
		d.stats.Delivered++
		d.stats.DeliveredBytes += uint64(p.Size)
	case Lost:
		d.stats.Lost++
	case Vanished:
		d.stats.Vanished++
	}
	return p, p.ev, true
}

// Due is when a packet that Depart returned should have left.
func (p Packet) Due() mono.Time { return p.due }

// Next is when Depart will have something, at the latest; Never if nothing is
// on its way. It may be early by one packet's serialisation.
func (d *Direction) Next() mono.Time {
	next := mono.Never
	if len(d.flight) > 0 {
		next = d.flight[0].due
	}
	if d.queue.len() > 0 {
		// Nothing of what waits can be out before this, the jitter aside.
		out := d.finish
		if d.shape.Jitter == 0 {
			out = out.Add(d.shape.Delay)
		}
		if !d.shape.Reorder {
			out = max(out, d.lastDue)
		}
		next = min(next, out)
		// The head's finish may move when the trace's rate changes.
		next = min(next, d.stepEnds)
	}
	return next
}

// advance works off everything due by now, each at its own time.
func (d *Direction) advance(now mono.Time) {
	for {
		serialised := d.queue.len() > 0 && d.finish <= now
		stepped := d.stepEnds <= now
		switch {
		case stepped && (!serialised || d.stepEnds < d.finish):
			at := d.stepEnds
			d.step = (d.step + 1) % len(d.shape.Trace)
			next := d.shape.Trace[d.step]
			d.stepEnds = at.Add(next.For)
			d.setRate(at, next.Rate)
		case serialised:
			at := d.finish
			d.propagate(at, d.queue.pop())
			if d.queue.len() > 0 {
				d.finish = at.Add(d.serialise(d.queue.head().Size))
			}
		default:
			return
		}
	}
}

// serialise is how long size bytes take, with what the last division left over.
func (d *Direction) serialise(size int) time.Duration {
	if d.rate == 0 {
		return 0
	}
	n := int64(size)*8*int64(time.Second) + d.carry
	d.carry = n % d.rate
	return time.Duration(n / d.rate)
}

// setRate changes the rate at once, for the rest of the packet being sent too.
func (d *Direction) setRate(at mono.Time, rate int64) {
	if rate == d.rate {
		return
	}
	if d.queue.len() > 0 && d.finish > at {
		left := float64(d.finish.Sub(at)) * float64(d.rate) // bits · 1e9
		if rate == 0 {
			d.finish = at
		} else {
			d.finish = at.Add(time.Duration(left / float64(rate)))
		}
	}
	d.rate, d.carry = rate, 0
}

// limit is how many bytes may wait.
func (d *Direction) limit() int {
	q := d.shape.Queue
	if q.Bytes == 0 && q.Time == 0 {
		q.Time = DefaultQueue
	}
	limit := int(^uint(0) >> 1)
	if q.Bytes > 0 {
		limit = q.Bytes
	}
	if q.Time > 0 && d.rate > 0 {
		limit = min(limit, int(float64(d.rate)/8*q.Time.Seconds()))
	}
	return limit
}

// propagate sends a serialised packet on its way, or loses it.
func (d *Direction) propagate(at mono.Time, p Packet) {
	p.ev = Delivered
	if d.lose() {
		p.ev = Lost
	}
	delay := d.shape.Delay
	if d.shape.Jitter > 0 {
		delay = max(0, delay+time.Duration(d.rng.NormFloat64()*float64(d.shape.Jitter)))
	}
	p.due = at.Add(delay)
	if !d.shape.Reorder {
		p.due = max(p.due, d.lastDue)
		d.lastDue = p.due
	}
	d.seq++
	p.seq = d.seq
	d.flight.push(p)
}

func (d *Direction) lose() bool {
	lost := d.shape.Loss > 0 && d.rng.Float64() < d.shape.Loss
	if b := d.shape.Burst; b.Enter > 0 {
		change := b.Enter
		if d.bad {
			change = b.Leave
		}
		if d.rng.Float64() < change {
			d.bad = !d.bad
		}
		lost = lost || d.bad && d.rng.Float64() < b.Loss
	}
	return lost
}
