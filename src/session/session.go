// Package session is what a handshake creates: keys, sequence numbers and the
// replay window, common to all paths. It is pure, and called under the
// portal's lock; time and messages come in, answers and events go out.
//
// Glossary
//
//	epoch      one set of keys; its number, 0 … 3, stands in every message
//	instance   a random number of each process: a new one means a restart
//	rekey      a handshake inside the live session: new keys, nothing else changes
//	pending    keys that the responder made and nobody has used yet; the first
//	           message under them proves that their HELLO was no recording
//
// The local portal initiates, always. All of the session but its keys lives as
// long as both processes do: sequences go on and the window stays, so a packet
// may be sent again under the next keys and is still recognised.
package session

import (
	"io"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/replay"
	"netcombiner/src/wire"
)

const (
	// rekeyAfter is when the local portal makes new keys; endAfter is when
	// nothing is sent under the old ones any more. Between them is time to
	// try again.
	rekeyAfter = 100 * time.Second
	endAfter   = 120 * time.Second
	// keepAfter is how long keys that were replaced still open messages that
	// were on their way.
	keepAfter = 10 * time.Second
	// rekeyMessages forces new keys long before a path's 32-bit sequence
	// comes round under one key.
	rekeyMessages = 1 << 31

	helloAgain    = 250 * time.Millisecond
	helloAgainMax = time.Second

	// A stranger's HELLO may be answered this often at most, in a row and a
	// second: each answer costs a MAC and, once proved fresh, two scalar
	// multiplications.
	answersBurst = 20
	answersRate  = 20
)

// Epoch is one set of keys. It does not change, so readers share it.
type Epoch struct {
	Number uint8
	Suite  auth.Suite
	Keys   handshake.Keys

	made mono.Time
	peer uint64 // instance
}

// Table is the keys in use by number; nil: none. It does not change either: a
// new one is published instead.
type Table [wire.Epochs]*Epoch

// Events says what a call brought about.
type Events uint8

const (
	// EventKeys: the Table changed.
	EventKeys Events = 1 << iota
	// EventSend: Sending returns new keys; let the peer see a message under them.
	EventSend
	// EventPeer: the peer is another process than before, or the first.
	EventPeer
)

// Config is what a session needs to know.
type Config struct {
	Initiator bool // the local portal
	PSK       [handshake.KeySize]byte
	Offer     []auth.ID // suites, best first
	Random    io.Reader
}

// Session is the session with the one peer.
type Session struct {
	// Window is the replay window shared by all paths.
	Window *replay.Window
	// Handshakes counts the completed ones.
	Handshakes uint64

	initiator bool
	offer     []auth.ID
	random    io.Reader
	guard     *handshake.Guard
	gate      *handshake.Gate
	instance  uint64
	peer      uint64

	table    *Table
	replaced [wire.Epochs]mono.Time // when newer keys took over; 0: in use
	sending  *Epoch
	pending  *Epoch // the responder's, unproved

	hello  *handshake.Initiator // waits for its answer
	cookie handshake.Cookie
	inside bool // hello went inside the session
	tries  int
	due    mono.Time

	tokens   float64 // for answers to strangers
	tokensAt mono.Time
}

// New returns a session without keys.
func New(c Config) (*Session, error) {
	s := &Session{
		Window: replay.New(replay.DefaultBits), initiator: c.Initiator, offer: c.Offer, random: c.Random,
		guard: handshake.NewGuard(c.PSK), table: new(Table), tokens: answersBurst,
	}
	var id [8]byte
	if _, err := io.ReadFull(c.Random, id[:]); err != nil {
		return nil, err
	}
	for _, b := range id {
		s.instance = s.instance<<8 | uint64(b)
	}
	s.instance |= 1 // never zero
	var err error
	s.gate, err = handshake.NewGate(s.guard, c.Random)
	return s, err
}

// Table returns the keys for opening messages.
func (s *Session) Table() *Table { return s.table }

// Sending returns the keys for sealing messages, or nil: there is no session.
func (s *Session) Sending(now mono.Time) *Epoch {
	if s.sending == nil || now.Sub(s.sending.made) >= endAfter {
		return nil
	}
	return s.sending
}

// Age is how old the keys in use are.
func (s *Session) Age(now mono.Time) time.Duration {
	if e := s.Sending(now); e != nil {
		return now.Sub(e.made)
	}
	return 0
}

// Shaking says that a HELLO waits for its answer.
func (s *Session) Shaking() bool { return s.hello != nil }

// Hello returns a HELLO to send on every path outside any session, when one is
// due, or nil. Only the local portal's session asks for one.
func (s *Session) Hello(now mono.Time) []byte {
	if !s.initiator || s.hello != nil && !s.inside && now < s.due {
		return nil
	}
	if s.hello == nil || s.inside {
		s.tries, s.cookie = 0, handshake.Cookie{}
	}
	return s.newHello(now, s.cookie, false)
}

// Hurry makes the next Hello due now.
func (s *Session) Hurry(now mono.Time) { s.due = min(s.due, now) }

// Rekey returns a HELLO to send inside the session, when new keys are due, or
// nil. sent is the highest number of messages any path sent.
func (s *Session) Rekey(now mono.Time, sent uint64) []byte {
	e := s.Sending(now)
	if !s.initiator || e == nil || now < s.RekeyAt() && sent < rekeyMessages {
		return nil
	}
	if !s.inside {
		s.tries = 0
	}
	return s.newHello(now, handshake.Cookie{}, true)
}

// RekeyAt is when Rekey next has something to send.
func (s *Session) RekeyAt() mono.Time {
	if !s.initiator || s.sending == nil {
		return mono.Never
	}
	at := s.sending.made.Add(rekeyAfter)
	if s.hello != nil && s.inside {
		at = max(at, s.due)
	}
	return at
}

// HelloAt is when Hello is next due, if one waits.
func (s *Session) HelloAt() mono.Time {
	if s.hello == nil || s.inside {
		return 0
	}
	return s.due
}

func (s *Session) newHello(now mono.Time, cookie handshake.Cookie, inside bool) []byte {
	h := handshake.Hello{Instance: s.instance, Cookie: cookie, InUse: s.inUse(), Suites: s.offer}
	initiator, message, err := handshake.NewInitiator(s.guard, s.random, h)
	if err != nil {
		return nil // no randomness: try again when next due
	}
	s.hello, s.inside = initiator, inside
	s.due = now.Add(min(helloAgain<<min(s.tries, 8), helloAgainMax))
	s.tries++
	return message
}

func (s *Session) inUse() (mask uint8) {
	for i, e := range s.table {
		if e != nil && e != s.pending {
			mask |= 1 << i
		}
	}
	return mask
}

// Handle takes a handshake message from outside any session. It returns the
// answer to send back where it came from, or nil. An error says why the
// message was refused: handshake.ErrReplay or ErrCookie (not proved fresh),
// or ErrMalformed; with ErrCookie there may be an answer all the same.
func (s *Session) Handle(now mono.Time, message []byte) (answer []byte, events Events, err error) {
	m, err := s.guard.Open(message)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case m.Type() == wire.TypeHello && !s.initiator:
		responder, hello, err := s.gate.Admit(now, m)
		if err == handshake.ErrCookie && s.afford(now) {
			answer, _ = s.gate.Retry(now, m)
		}
		if err != nil {
			return answer, 0, err
		}
		if !s.afford(now) {
			return nil, 0, handshake.ErrReplay
		}
		return s.answer(now, responder, hello)
	case m.Type() == wire.TypeReply && s.hello != nil && !s.inside:
		return s.finish(now, m)
	case m.Type() == wire.TypeRetry && s.hello != nil && !s.inside:
		cookie, err := s.hello.Retry(m)
		if err != nil {
			return nil, 0, err
		}
		s.cookie, s.tries = cookie, 0
		return s.newHello(now, cookie, false), 0, nil
	}
	return nil, 0, handshake.ErrReplay
}

// HandleInside takes a handshake message that came inside the session.
func (s *Session) HandleInside(now mono.Time, t wire.FrameType, body []byte) (answer []byte, events Events, err error) {
	m, err := s.guard.Open(body)
	if err != nil {
		return nil, 0, err
	}
	switch {
	case t == wire.FrameHello && m.Type() == wire.TypeHello && !s.initiator:
		responder, hello, err := handshake.ParseHello(s.guard, s.random, m)
		if err != nil {
			return nil, 0, err
		}
		return s.answer(now, responder, hello)
	case t == wire.FrameReply && m.Type() == wire.TypeReply && s.hello != nil && s.inside:
		return s.finish(now, m)
	}
	return nil, 0, handshake.ErrReplay
}

// answer makes keys for a HELLO that was believed. They open messages at once,
// but seal none until one came in under them.
func (s *Session) answer(now mono.Time, r *handshake.Responder, h handshake.Hello) ([]byte, Events, error) {
	if h.Instance == s.instance {
		return nil, 0, handshake.ErrReplay // our own, thrown back
	}
	suite, err := auth.Choose(s.offer, h.Suites)
	if err != nil {
		return nil, 0, err
	}
	taken := h.InUse | s.inUse()
	for n := uint8(0); n < wire.Epochs; n++ {
		if taken>>n&1 != 0 {
			continue
		}
		message, keys, err := r.Answer(handshake.Reply{Instance: s.instance, Epoch: n, Suite: suite.ID})
		if err != nil {
			return nil, 0, err
		}
		e := &Epoch{Number: n, Suite: suite, Keys: keys, made: now, peer: h.Instance}
		t := *s.table
		if s.pending != nil {
			t[s.pending.Number] = nil
		}
		t[n], s.pending, s.replaced[n] = e, e, 0
		s.table = &t
		return message, EventKeys, nil
	}
	return nil, 0, handshake.ErrReplay // all four epochs live: the peer will ask again
}

// finish takes the initiator's answer: the keys are proved by it.
func (s *Session) finish(now mono.Time, m handshake.Message) ([]byte, Events, error) {
	reply, keys, err := s.hello.Finish(m)
	if err != nil {
		return nil, 0, err
	}
	suite, ok := auth.Lookup(reply.Suite)
	if !ok {
		return nil, 0, handshake.ErrMalformed
	}
	s.hello = nil
	e := &Epoch{Number: reply.Epoch, Suite: suite, Keys: keys, made: now, peer: reply.Instance}
	return nil, s.install(now, e), nil
}

// Opened notes that a message under e was authentic: if e was pending, it is
// proved, and takes over.
func (s *Session) Opened(now mono.Time, e *Epoch) Events {
	if e != s.pending || e == nil {
		return 0
	}
	s.pending = nil
	return s.install(now, e)
}

// install makes e the keys that seal messages.
func (s *Session) install(now mono.Time, e *Epoch) Events {
	s.Handshakes++
	events := EventKeys | EventSend
	t := Table{}
	if e.peer == s.peer {
		// Of the older keys the last ones stay for a while. Were more to
		// stay, handshakes in a row would run out of epoch numbers.
		if old := s.sending; old != nil && old.peer == e.peer {
			t[old.Number], s.replaced[old.Number] = old, now
		}
	} else {
		// Another process: what was sealed for the one before is worthless,
		// and its numbers start anew.
		s.peer = e.peer
		s.Window = replay.New(replay.DefaultBits)
		events |= EventPeer
	}
	t[e.Number], s.replaced[e.Number] = e, 0
	s.table, s.sending = &t, e
	return events
}

// Tick drops keys whose time is over.
func (s *Session) Tick(now mono.Time) (events Events) {
	t := *s.table
	for n, e := range t {
		old := s.replaced[n] != 0 && now.Sub(s.replaced[n]) > keepAfter
		if e != nil && (old || now.Sub(e.made) > endAfter+keepAfter) {
			t[n] = nil
			if e == s.pending {
				s.pending = nil
			}
			events = EventKeys
		}
	}
	if events != 0 {
		s.table = &t
	}
	if s.sending != nil && now.Sub(s.sending.made) >= endAfter {
		s.sending = nil
	}
	return events
}

// Drop forgets all keys: the peer said that it leaves.
func (s *Session) Drop() Events {
	s.table, s.sending, s.pending, s.hello = new(Table), nil, nil, nil
	return EventKeys
}

// afford takes one token for an answer to a stranger.
func (s *Session) afford(now mono.Time) bool {
	s.tokens = min(answersBurst, s.tokens+now.Sub(s.tokensAt).Seconds()*answersRate)
	s.tokensAt = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}
