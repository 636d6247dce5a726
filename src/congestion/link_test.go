package congestion

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"netcombiner/src/mono"
)

const ms = time.Millisecond

// link is a bottleneck with a drop-tail queue that senders share, in virtual
// time. The way back has the same delay and no queue.
type link struct {
	rate    float64 // bit/s; events may change it
	delay   time.Duration
	jitter  time.Duration // standard deviation
	reorder bool          // jitter changes the order
	loss    float64
	buffer  time.Duration // the longest queue, at the first rate

	now     mono.Time
	agenda  agenda
	random  *rand.Rand
	limit   float64 // of the queue, bits
	free    mono.Time
	latest  mono.Time // arrival, where order is kept
	senders []*sender
	queued  []time.Duration // how long each packet waits
}

type event struct {
	at    mono.Time
	order int
	do    func()
}

type agenda struct {
	events []event
	count  int
}

func (a *agenda) Len() int { return len(a.events) }
func (a *agenda) Less(i, j int) bool {
	x, y := a.events[i], a.events[j]
	return x.at < y.at || x.at == y.at && x.order < y.order
}
func (a *agenda) Swap(i, j int) { a.events[i], a.events[j] = a.events[j], a.events[i] }
func (a *agenda) Push(x any)    { a.events = append(a.events, x.(event)) }
func (a *agenda) Pop() any {
	x := a.events[len(a.events)-1]
	a.events = a.events[:len(a.events)-1]
	return x
}

func (l *link) at(t mono.Time, do func()) {
	l.agenda.count++
	heap.Push(&l.agenda, event{max(t, l.now), l.agenda.count, do})
}

func (l *link) after(d time.Duration, do func()) { l.at(l.now.Add(d), do) }

// seed makes what happens by chance happen so again.
func (l *link) seed(n uint64) { l.random = rand.New(rand.NewPCG(1, 2+n)) }

// run lets d pass.
func (l *link) run(d time.Duration) {
	end := l.now.Add(d)
	for l.agenda.Len() > 0 && l.agenda.events[0].at <= end {
		e := heap.Pop(&l.agenda).(event)
		l.now = e.at
		e.do()
	}
	l.now = end
}

func (l *link) chance() *rand.Rand {
	if l.random == nil {
		l.seed(0)
	}
	return l.random
}

// transmit carries a packet, or loses it.
func (l *link) transmit(bytes int, arrive func()) {
	if l.limit == 0 {
		l.limit = l.rate * l.buffer.Seconds()
	}
	bits := float64(8 * bytes)
	l.free = max(l.free, l.now)
	wait := l.free.Sub(l.now)
	if wait.Seconds()*l.rate > l.limit {
		return
	}
	l.queued = append(l.queued, wait)
	l.free = l.free.Add(time.Duration(bits / l.rate * 1e9))
	if l.chance().Float64() < l.loss {
		return
	}
	late := time.Duration(l.chance().NormFloat64() * float64(l.jitter))
	at := l.free.Add(max(l.delay+late, 0))
	if !l.reorder {
		at = max(at, l.latest)
		l.latest = at
	}
	l.at(at, arrive)
}

// sender drives a controller over a link; it always has something to send,
// but for demand.
type sender struct {
	*link
	c      Controller
	demand float64 // bit/s; 0: endless

	sent           map[uint64]*flying
	next           uint64
	packets, bytes int // in flight
	pace           mono.Time
	woken          mono.Time
	credit         mono.Time // of demand
	idle           bool
	held           bool
	unused         time.Duration
	delivered      uint64
	rx             receiver
	lost           int
	watched        bool // see watch

	every int           // packets that one acknowledgement is for
	host  time.Duration // longest time that the sender's system holds up a packet
	left  mono.Time     // the system, the packet before
}

type flying struct {
	at        mono.Time
	delivered uint64
	idle      bool
	unused    time.Duration
}

type receiver struct {
	largest  uint64
	at       mono.Time
	arrived  uint32
	pending  []uint64
	ackTimer bool
	opened   map[uint64]mono.Time
	late     time.Duration
}

const size = 1450

func (l *link) add(c Controller) *sender {
	s := &sender{link: l, c: c, sent: map[uint64]*flying{}, next: 1, idle: true, every: 4}
	s.rx.opened = map[uint64]mono.Time{}
	l.senders = append(l.senders, s)
	l.after(0, s.send)
	return s
}

func (s *sender) send() {
	for {
		if s.demand > 0 && s.credit > s.now {
			s.wake(s.credit)
			return
		}
		packets, bytes := s.c.Window()
		if s.packets >= packets || s.bytes+size > bytes {
			s.held = true
			return
		}
		if s.pace > s.now {
			s.wake(s.pace)
			return
		}
		idle := s.now.Sub(s.pace) > 3*ms && !s.held
		if !s.held {
			s.unused += max(s.now.Sub(s.pace)-ms, 0)
		}
		s.held = false
		if s.demand > 0 {
			s.credit = max(s.credit, s.now.Add(-20*ms)).Add(time.Duration(size * 8 / s.demand * 1e9))
		}
		if rate := s.c.PacingRate(); rate > 0 {
			s.pace = max(s.pace, s.now.Add(-ms)).Add(time.Duration(size * 8 / float64(rate) * 1e9))
		} else {
			s.pace = s.now
		}
		seq := s.next
		s.next++
		s.sent[seq] = &flying{s.now, s.delivered, idle, s.unused}
		s.packets++
		s.bytes += size
		s.c.Sent(s.now, size)
		s.depart(func() { s.receive(seq) })
		if !s.watched {
			s.watch()
		}
	}
}

// depart sends a packet on, some time within host. Without it the senders' clocks
// are in step with the link's, and who loses is no matter of chance (phase effects,
// Floyd and Jacobson 1992).
func (s *sender) depart(arrive func()) {
	if s.host == 0 {
		s.transmit(size, arrive)
		return
	}
	s.left = max(s.left, s.now.Add(time.Duration(s.chance().Float64()*float64(s.host))))
	s.at(s.left, func() { s.transmit(size, arrive) })
}

// watch is the retransmission timeout: a window that is lost as a whole leaves no
// gap for the receiver to see.
func (s *sender) watch() {
	before, next := s.delivered, s.next
	s.watched = true
	s.after(4*s.delay+s.buffer+200*ms, func() {
		s.watched = false
		if s.delivered == before {
			for seq := range next {
				s.lose(seq)
			}
		}
		if s.packets > 0 && !s.watched {
			s.watch()
		}
	})
}

func (s *sender) wake(t mono.Time) {
	if s.woken > s.now && s.woken <= t {
		return
	}
	s.woken = t
	s.at(t, s.send)
}

func (s *sender) receive(seq uint64) {
	r := &s.rx
	r.arrived += size
	if seq > r.largest {
		for q := r.largest + 1; q < seq; q++ {
			opened := s.now
			r.opened[q] = opened
			wait := max(r.late+r.late/4, s.delay/2, 2*ms)
			s.after(wait, func() {
				if _, missing := r.opened[q]; missing {
					s.after(s.delay, func() { s.lose(q) })
				}
			})
		}
		r.largest, r.at = seq, s.now
	} else if opened, ok := r.opened[seq]; ok {
		r.late = max(r.late, s.now.Sub(opened))
		delete(r.opened, seq)
	}
	r.pending = append(r.pending, seq)
	if len(r.pending) >= s.every {
		s.acknowledge()
	} else if !r.ackTimer {
		r.ackTimer = true
		s.after(5*ms, func() { r.ackTimer = false; s.acknowledge() })
	}
}

func (s *sender) acknowledge() {
	r := s.rx
	s.rx.pending = nil
	if len(r.pending) == 0 {
		return
	}
	ackDelay := s.now.Sub(r.at)
	s.after(s.delay, func() {
		a := Acknowledgement{InFlight: s.packets, Limited: true, Arrived: r.arrived, ArrivedAt: uint32(r.at / 1000)}
		if f := s.sent[r.largest]; f != nil {
			a.RTT = s.now.Sub(f.at) - ackDelay
			a.OneWay = r.at.Sub(f.at) + 1234567*ms
			a.Prior, a.SentAt, a.Unused = f.delivered, f.at, f.unused
		}
		for _, seq := range r.pending {
			if f := s.sent[seq]; f != nil {
				a.Packets++
				a.Bytes += size
				a.Age += s.now.Sub(f.at)
				a.AppLimited = a.AppLimited || f.idle
				s.settle(seq)
			}
		}
		a.Age /= time.Duration(max(a.Packets, 1))
		s.delivered += uint64(a.Bytes)
		a.Delivered = s.delivered
		a.Largest = r.largest
		if a.Packets > 0 {
			s.c.Acknowledged(s.now, a)
		}
		s.send()
	})
}

func (s *sender) settle(seq uint64) {
	delete(s.sent, seq)
	s.packets--
	s.bytes -= size
}

func (s *sender) lose(seq uint64) {
	if s.sent[seq] == nil {
		return
	}
	s.settle(seq)
	s.lost++
	s.c.Lost(s.now, Loss{Packets: 1, Bytes: size, Largest: seq, Next: s.next})
	s.send()
}
