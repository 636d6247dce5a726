package exchange

import (
	"math"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

const (
	// queueFlows is how many queues the flows are hashed to.
	queueFlows = 1 << 10
	// quantum is how many bytes a queue sends in its turn (RFC 8290 section 4.2).
	quantum = 1514
	// dropBatch is how many packets the longest queue loses at most when all
	// together are too long.
	dropBatch = 64
	// minTarget and minInterval are CoDel's parameters on short paths (RFC 8289).
	minTarget   = 5 * time.Millisecond
	minInterval = 100 * time.Millisecond
)

// fqCoDel is the ingress queue: FQ-CoDel (RFC 8290). Flows take turns, a flow
// that has just begun goes first; each has its own CoDel (RFC 8289), which
// marks packets that allow it (RFC 6040), and drops others. So a call waits
// for nobody's download, and a download learns early that the links are full.
//
// All that waits anywhere waits here: the paths' own queues are kept short.
type fqCoDel struct {
	flows      [queueFlows]flowQueue
	fresh, old turns
	packets    int
	bytes      int
	limit      int // bytes
	// packetLimit bounds packets, as limit does bytes.
	packetLimit int
	backlogged  int // flows that have packets
	demand      flux
	// target is the time that a flow's packets may wait on and on, interval
	// how long they may wait longer than that.
	target, interval time.Duration

	Dropped, Marked uint64
}

// flowQueue is what waits of the flows with one hash.
type flowQueue struct {
	head, tail *packet.Packet
	bytes      int
	deficit    int // bytes left in this turn
	waiting    bool
	next       *flowQueue // in turns
	since      mono.Time  // has had packets without a break
	demand     flux

	// CoDel's state, with the names of RFC 8289 section 5.2.
	dropping         bool
	firstAbove       mono.Time
	dropNext         mono.Time
	count, lastCount int
}

// turns is a list of flows.
type turns struct{ first, last *flowQueue }

func (t *turns) append(f *flowQueue) {
	f.next = nil
	if t.first == nil {
		t.first = f
	} else {
		t.last.next = f
	}
	t.last = f
}

func (t *turns) pop() *flowQueue {
	f := t.first
	t.first, f.next = f.next, nil
	return f
}

func (q *fqCoDel) of(p *packet.Packet) *flowQueue { return &q.flows[p.Flow%queueFlows] }

// push appends p to its flow. It keeps p until pop returns it, or releases it.
func (q *fqCoDel) push(p *packet.Packet) {
	f := q.of(p)
	if f.head == nil {
		f.head, f.since = p, p.Queued
		q.backlogged++
	} else {
		f.tail.Next = p
	}
	f.tail = p
	f.demand.add(p.Queued, len(p.Data))
	q.demand.add(p.Queued, len(p.Data))
	f.bytes += len(p.Data)
	q.bytes += len(p.Data)
	q.packets++
	if !f.waiting {
		f.waiting, f.deficit = true, quantum
		q.fresh.append(f)
	}
	if (q.bytes > q.limit || q.packets > q.packetLimit) && q.packets > 1 {
		q.shorten()
	}
}

// shorten drops from the head of the longest queue, half of it at most.
func (q *fqCoDel) shorten() {
	longest := &q.flows[0]
	for i := range q.flows {
		if q.flows[i].bytes > longest.bytes {
			longest = &q.flows[i]
		}
	}
	for n, half := 0, longest.bytes/2; n < dropBatch && longest.bytes > half && longest.head != longest.tail; n++ {
		q.drop(longest)
	}
}

// turn is the flow whose turn it is, or nil where nothing waits.
func (q *fqCoDel) turn() *flowQueue {
	for {
		list := &q.fresh
		if list.first == nil {
			if list = &q.old; list.first == nil {
				return nil
			}
		}
		f := list.first
		switch {
		case f.deficit <= 0:
			f.deficit += quantum
			q.old.append(list.pop())
		case f.head == nil && list == &q.fresh && q.old.first != nil:
			q.old.append(list.pop()) // or it could be the new one again at once, and starve the old
		case f.head == nil:
			list.pop().waiting = false
		default:
			return f
		}
	}
}

// demandOf is what f, whose turn it is, has to send.
func (q *fqCoDel) demandOf(now mono.Time, f *flowQueue) Demand {
	d := Demand{Packet: f.head, Bytes: float64(f.bytes) * float64(q.backlogged), Flows: q.backlogged, Since: f.since}
	d.Bulk = 4*float64(q.backlogged)*f.demand.rate(now) >= q.demand.rate(now)
	return d
}

// allows is CoDel's decision about the head of f, which is about to go. If it
// says no, the head was dropped.
func (q *fqCoDel) allows(now mono.Time, f *flowQueue) bool {
	late := q.late(now, f)
	switch {
	case !late:
		f.dropping = false
		return true
	case !f.dropping:
		// Begin where the last time ended, if that is not long ago.
		f.dropping = true
		delta := f.count - f.lastCount
		if f.count = 1; delta > 1 && now.Sub(f.dropNext) < 16*q.interval {
			f.count = delta
		}
		f.lastCount, f.dropNext = f.count, now
	case now < f.dropNext:
		return true
	default:
		f.count++
	}
	f.dropNext = f.dropNext.Add(time.Duration(float64(q.interval) / math.Sqrt(float64(f.count))))
	if packet.MarkCE(f.head.Data) {
		q.Marked++
		return true
	}
	q.drop(f)
	return false
}

// late says that f has had packets wait longer than target for an interval.
func (q *fqCoDel) late(now mono.Time, f *flowQueue) bool {
	sojourn := now.Sub(f.head.Queued)
	if sojourn < q.target || f.bytes <= quantum {
		f.firstAbove = 0
		return false
	}
	if f.firstAbove == 0 {
		f.firstAbove = now
		return false
	}
	// A flow in slow start doubles its queue each round trip: it hears of it
	// the sooner, the longer the queue is.
	patience := q.interval
	if sojourn > 2*q.target {
		patience = max(time.Duration(float64(q.interval)*2*float64(q.target)/float64(sojourn)), q.interval/8)
	}
	return now.Sub(f.firstAbove) >= patience
}

// pop takes the head of f.
func (q *fqCoDel) pop(f *flowQueue) *packet.Packet {
	p := f.head
	f.head, p.Next = p.Next, nil
	f.bytes -= len(p.Data)
	f.deficit -= len(p.Data)
	q.bytes -= len(p.Data)
	q.packets--
	if f.head == nil {
		f.tail = nil
		q.backlogged--
	}
	return p
}

// drop drops the head of f, which costs it no turn.
func (q *fqCoDel) drop(f *flowQueue) {
	p := q.pop(f)
	f.deficit += len(p.Data)
	q.Dropped++
	p.Release()
}

// adapt sets CoDel's times for paths of the given round-trip time. A single
// CUBIC flow, which goes down to 0.7 of its window, keeps the links full if
// 0.43 of a round trip may wait; of n flows each needs 1/√n of that.
func (q *fqCoDel) adapt(rtt time.Duration) {
	n := math.Sqrt(float64(max(q.backlogged, 1)))
	q.target = max(minTarget, time.Duration(0.45*float64(rtt)/n))
	q.interval = max(minInterval, 2*rtt)
}

// close gives all packets back.
func (q *fqCoDel) close() {
	for i := range q.flows {
		for q.flows[i].head != nil {
			q.pop(&q.flows[i]).Release()
		}
	}
}

// fluxMemory is how far back a flux looks: some round trips of most paths.
const fluxMemory = 200 * time.Millisecond

// flux measures the rate of what comes: a leaky bucket, whose level is the rate
// times fluxMemory.
type flux struct {
	level float64 // bytes
	at    mono.Time
}

func (f *flux) add(now mono.Time, bytes int) {
	f.level, f.at = f.left(now)+float64(bytes), now
}

// left is the level at a time not before the last packet.
func (f *flux) left(now mono.Time) float64 {
	return f.level * max(1-now.Sub(f.at).Seconds()/fluxMemory.Seconds(), 0)
}

// rate is in byte/s.
func (f *flux) rate(now mono.Time) float64 { return f.left(now) / fluxMemory.Seconds() }
