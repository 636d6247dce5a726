package session

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

var psk = [handshake.KeySize]byte{1, 2, 3}

const start = mono.Time(time.Hour)

// home is where the local portal is, and elsewhere where it is not.
var home, elsewhere = netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("198.51.100.7")

// newSession returns one side's session, with randomness of its own.
func newSession(t testing.TB, initiator bool, seed byte, edit func(*Config)) *Session {
	t.Helper()
	c := Config{Initiator: initiator, PSK: psk, Offer: []auth.ID{auth.Blake2s}, Random: rand.NewChaCha8([32]byte{seed})}
	if edit != nil {
		edit(&c)
	}
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// opened is message as a reader hands it to Handle.
func opened(t testing.TB, message []byte) handshake.Message {
	t.Helper()
	m, err := handshake.NewGuard(psk).Open(message)
	if err != nil {
		t.Fatalf("not authentic: %v", err)
	}
	return m
}

// sim is two sessions and a network between them, driven as the portal's core
// drives its session: both send something sealed every so often, and the local
// side shakes hands while nothing of its own is acknowledged.
type sim struct {
	t             testing.TB
	now           mono.Time
	local, remote *Session
	paths         uint8     // HELLOs go on all, all else on the last
	acked         mono.Time // when something of the local side's last was
	queue         queue
	order         int
	sent          int // messages so far
	// carry says after which delays, if any, copies of the n-th message arrive.
	carry func(n int, m *message) []time.Duration
	ticks mono.Time
	rtt   time.Duration // the longest that the local side expects
	agree mono.Time     // last time they did
	worst time.Duration
}

// message is a handshake message, outside or inside a session, or data.
type message struct {
	at    mono.Time
	order int
	once  *bool // in a session: whether a copy arrived; the path drops the others
	up    bool  // to the remote
	path  uint8
	under *Epoch
	frame wire.FrameType // of a rekey message; 0: outside
	body  []byte         // nil: data
	ack   bool           // it acknowledges something
}

const (
	simTick  = 20 * time.Millisecond
	simEvery = 100 * time.Millisecond // data
	simLost  = 500 * time.Millisecond // silence after which the local side shakes hands anew
)

func newSim(t testing.TB, delay time.Duration) *sim {
	return &sim{t: t, now: start, agree: start, rtt: 2 * delay, paths: 1,
		local: newSession(t, true, 1, nil), remote: newSession(t, false, 2, nil),
		carry: func(int, *message) []time.Duration { return []time.Duration{delay} }}
}

func (s *sim) send(m message) {
	s.sent++
	m.once = new(bool)
	for _, d := range s.carry(s.sent, &m) {
		m.at, s.order = s.now.Add(d), s.order+1
		m.order = s.order
		c := m
		heap.Push(&s.queue, &c)
	}
}

// run lets time pass.
func (s *sim) run(d time.Duration) {
	for end := s.now.Add(d); s.now < end; {
		for len(s.queue) > 0 && s.queue[0].at <= s.now {
			s.arrive(heap.Pop(&s.queue).(*message))
		}
		s.tick()
		s.now = s.now.Add(simTick)
	}
}

func (s *sim) tick() {
	s.local.Tick(s.now)
	s.remote.Tick(s.now)
	keyed := s.local.Sending(s.now)
	works := keyed != nil && s.now.Sub(s.acked) < simLost+2*s.rtt
	switch {
	case works:
		if hello := s.local.Rekey(s.now, 0); hello != nil {
			s.send(message{up: true, path: s.paths - 1, under: keyed, frame: wire.FrameHello, body: hello})
		}
	default:
		if s.local.Round(s.now) {
			for path := range s.paths {
				s.send(message{up: true, path: path, body: s.local.Hello(s.now, path)})
			}
		}
	}
	if s.now >= s.ticks {
		s.ticks = s.now.Add(simEvery)
		s.data(true, false)
		s.data(false, false)
	}
	if s.agrees() {
		s.agree = s.now
	}
	s.worst = max(s.worst, s.now.Sub(s.agree))
}

func (s *sim) data(up, ack bool) {
	from := s.remote
	if up {
		from = s.local
	}
	if e := from.Sending(s.now); e != nil {
		s.send(message{up: up, path: s.paths - 1, under: e, ack: ack})
	}
}

// opens returns the keys of s that open what is sealed with those of e.
func opens(s *Session, e *Epoch) *Epoch {
	if mine := s.Table()[e.Number]; mine != nil && mine.Keys.Receive == e.Keys.Send {
		return mine
	}
	return nil
}

// agrees says that what each side seals now, the other would open.
func (s *sim) agrees() bool {
	l, r := s.local.Sending(s.now), s.remote.Sending(s.now)
	return l != nil && r != nil && opens(s.remote, l) != nil && opens(s.local, r) != nil
}

func (s *sim) arrive(m *message) {
	to := s.local
	if m.up {
		to = s.remote
	}
	var answer []byte
	var events Events
	if m.under == nil {
		answer, events, _ = to.Handle(s.now, home, opened(s.t, m.body))
	} else {
		mine := opens(to, m.under)
		if mine == nil || *m.once {
			return
		}
		*m.once = true
		events = to.Opened(s.now, mine)
		switch {
		case m.ack:
			s.acked = s.now
		case m.up:
			s.data(false, true)
		}
		if m.body != nil {
			var more Events
			answer, more, _ = to.HandleInside(s.now, m.frame, m.body)
			events |= more
		}
	}
	if answer != nil {
		reply := message{up: !m.up, path: m.path, body: answer}
		if m.under != nil {
			reply.under, reply.frame = to.Sending(s.now), wire.FrameReply
			if reply.under == nil {
				return
			}
		}
		s.send(reply)
	}
	if events&EventSend != 0 {
		s.data(!m.up, false)
		if !m.up {
			s.acked = s.now // time for a first acknowledgement
		}
	}
}

type queue []*message

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].order < q[j].order
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(*message)) }
func (q *queue) Pop() any {
	last := len(*q) - 1
	m := (*q)[last]
	*q = (*q)[:last]
	return m
}
