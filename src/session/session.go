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
//	refusal    a REPLY that makes no keys: the two configurations do not fit
//
// The local portal initiates, always. All of the session but its keys lives as
// long as both processes do: sequences go on and the window stays, so a packet
// may be sent again under the next keys and is still recognised.
//
// The initiator's part is in initiator.go, the responder's in responder.go.
package session

import (
	"errors"
	"io"
	"net/netip"
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
	// maxPending is how many of the last answered HELLOs the responder keeps
	// keys for, and to how many of its last HELLOs the initiator takes a REPLY:
	// one that overtook another on its way does not undo it.
	maxPending = 2
)

// Flags of HELLO and REPLY.
const (
	// flagAddresses: the sender's AuthenticateAddresses is set.
	flagAddresses = 1 << 0
	// flagRefused, in a REPLY: no keys come of this handshake.
	flagRefused = 1 << 1
)

// ErrAddresses says that only one portal binds addresses into its messages.
var ErrAddresses = errors.New("session: AuthenticateAddresses is set on one portal only: set it on both, or on neither")

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
	Addresses bool      // AuthenticateAddresses
	Random    io.Reader
}

// Session is the session with the one peer.
type Session struct {
	// Window is the replay window shared by all paths.
	Window *replay.Window
	// Handshakes counts the completed ones.
	Handshakes uint64

	config   Config
	guard    *handshake.Guard
	instance uint64
	peer     uint64

	table    *Table
	replaced [wire.Epochs]mono.Time // when newer keys took over; 0: in use
	sending  *Epoch

	initiator
	responder
}

// New returns a session without keys.
func New(c Config) (*Session, error) {
	s := &Session{Window: replay.New(replay.DefaultBits), config: c, guard: handshake.NewGuard(c.PSK), table: new(Table)}
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
	s.retries = newLimiter()
	return s, err
}

// Table returns the keys for opening messages.
func (s *Session) Table() *Table { return s.table }

// Holds says that e, by which a message was opened, is still one of the
// session's: the peer may have restarted since.
func (s *Session) Holds(e *Epoch) bool { return e != nil && s.table[e.Number] == e }

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

// Handle takes a handshake message from outside any session, which came from
// the address from. That may be forged, and only says how often to answer. It
// returns the answer to send back where the message came from, or nil. An error
// says why it was refused; with some there is an answer all the same.
// auth.ErrNoSuite and ErrAddresses mean that the other portal proved itself,
// and is configured otherwise.
func (s *Session) Handle(now mono.Time, from netip.Addr, m handshake.Message) (answer []byte, events Events, err error) {
	switch {
	case m.Type() == wire.TypeHello && !s.config.Initiator:
		return s.admit(now, from, m)
	case m.Type() == wire.TypeReply && !s.inside:
		events, err = s.finish(now, m)
		return nil, events, err
	case m.Type() == wire.TypeRetry && !s.inside:
		answer, err = s.retry(now, m)
		return answer, 0, err
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
	case t == wire.FrameHello && m.Type() == wire.TypeHello && !s.config.Initiator:
		r, hello, err := handshake.ParseHello(s.guard, s.config.Random, m)
		if err != nil {
			return nil, 0, err
		}
		return s.answer(now, r, hello)
	case t == wire.FrameReply && m.Type() == wire.TypeReply && s.inside:
		events, err = s.finish(now, m)
		return nil, events, err
	}
	return nil, 0, handshake.ErrReplay
}

// install makes e the keys that seal messages.
func (s *Session) install(now mono.Time, e *Epoch) Events {
	s.Handshakes++
	events := EventKeys | EventSend
	t := Table{}
	if e.peer == s.peer {
		// Of the older keys the last ones stay for a while. Were more to
		// stay, handshakes in a row would run out of epoch numbers.
		if old := s.sending; old != nil {
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
	for n, e := range s.table {
		if e == nil {
			continue
		}
		age := now.Sub(e.made)
		replaced := s.replaced[n] != 0 && now.Sub(s.replaced[n]) > keepAfter
		if replaced || age > endAfter+keepAfter || age >= endAfter && s.isPending(e) {
			s.remove(e)
			events = EventKeys
		}
	}
	if s.sending != nil && now.Sub(s.sending.made) >= endAfter {
		s.sending = nil
	}
	return events
}

// remove publishes a table without e.
func (s *Session) remove(e *Epoch) {
	t := *s.table
	t[e.Number] = nil
	s.table = &t
	s.forget(e)
}

// Drop forgets all keys: the peer said that it leaves.
func (s *Session) Drop() Events {
	s.table, s.sending, s.pending, s.unproved = new(Table), nil, nil, 0
	s.end(0)
	return EventKeys
}

// held are the epochs that must keep their number in the next handshake, a bit
// each: all of the table but the pending ones.
func (s *Session) held() (mask uint8) {
	for n, e := range s.table {
		if e != nil && !s.isPending(e) {
			mask |= 1 << n
		}
	}
	return mask
}

// flags are those that every HELLO and REPLY carries.
func (s *Session) flags() uint8 {
	if s.config.Addresses {
		return flagAddresses
	}
	return 0
}

// agrees compares the peer's flags with ours.
func (s *Session) agrees(flags uint8) error {
	if flags&flagAddresses != s.flags()&flagAddresses {
		return ErrAddresses
	}
	return nil
}
