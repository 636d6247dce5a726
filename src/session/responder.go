package session

import (
	"net/netip"
	"slices"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

// responder is the remote portal's part of a session.
type responder struct {
	gate     *handshake.Gate
	retries  limiter
	replies  bucket
	pending  []*Epoch  // oldest first
	unproved mono.Time // since when keys are made, and none is used; 0: none are made
}

// admit takes a stranger's HELLO.
func (s *Session) admit(now mono.Time, from netip.Addr, m handshake.Message) (answer []byte, events Events, err error) {
	r, hello, err := s.gate.Admit(now, m)
	if err == handshake.ErrCookie && s.retries.take(now, from) {
		answer, _ = s.gate.Retry(now, m)
	}
	if err != nil {
		return answer, 0, err
	}
	if !s.replies.take(now, repliesRate) {
		return nil, 0, handshake.ErrReplay
	}
	return s.answer(now, r, hello)
}

// answer makes keys for a HELLO that was believed, or refuses them. They open
// messages at once, but seal none until one came in under them.
func (s *Session) answer(now mono.Time, r *handshake.Responder, h handshake.Hello) ([]byte, Events, error) {
	if h.Instance == s.instance {
		return nil, 0, handshake.ErrReplay // our own, thrown back
	}
	if len(s.pending) == maxPending {
		s.remove(s.pending[0])
	}
	n, ok := s.number(h.InUse)
	if !ok {
		return nil, 0, handshake.ErrReplay // of no portal of ours: it holds two at most
	}
	suite, err := auth.Choose(s.config.Offer, h.Suites)
	if err == nil {
		err = s.agrees(h.Flags)
	}
	if err != nil {
		refusal, _, _ := r.Answer(handshake.Reply{Instance: s.instance, Epoch: n, Suite: h.Suites[0], Flags: s.flags() | flagRefused})
		return refusal, 0, err
	}
	message, keys, err := r.Answer(handshake.Reply{Instance: s.instance, Epoch: n, Suite: suite.ID, Flags: s.flags()})
	if err != nil {
		return nil, 0, err
	}
	t := *s.table
	s.forget(t[n])
	e := &Epoch{Number: n, Suite: suite, Keys: keys, made: now, peer: h.Instance}
	t[n], s.replaced[n] = e, 0
	s.table, s.pending = &t, append(s.pending, e)
	if s.unproved == 0 {
		s.unproved = now
	}
	return message, EventKeys, nil
}

// number chooses an epoch for new keys that the initiator has free. If all are
// taken here, what is worth least gives way: keys that are pending, and then those
// that were replaced.
func (s *Session) number(theirs uint8) (n uint8, ok bool) {
	var all, sending uint8
	for n, e := range s.table {
		if e != nil {
			all |= 1 << n
		}
	}
	if s.sending != nil {
		sending = 1 << s.sending.Number
	}
	for _, taken := range [...]uint8{all, s.held(), sending} {
		for n := range uint8(wire.Epochs) {
			if (theirs|taken)>>n&1 == 0 {
				return n, true
			}
		}
	}
	return 0, false
}

// Opened notes that a message under e was authentic: if e was pending, it is
// proved, and takes over: unless that message was held up until the keys seal
// nothing any more.
func (s *Session) Opened(now mono.Time, e *Epoch) Events {
	if len(s.pending) == 0 || !s.isPending(e) || now.Sub(e.made) >= endAfter {
		return 0
	}
	s.pending, s.unproved = nil, 0
	return s.install(now, e)
}

func (s *Session) isPending(e *Epoch) bool { return slices.Contains(s.pending, e) }

// forget takes e, which may be nil, from the pending ones.
func (s *Session) forget(e *Epoch) {
	s.pending = slices.DeleteFunc(s.pending, func(p *Epoch) bool { return p == e })
	if len(s.pending) == 0 {
		s.unproved = 0
	}
}

// Unproved is how long the responder has been making keys of which the peer used
// none; 0: it has not.
func (s *Session) Unproved(now mono.Time) time.Duration {
	if s.unproved == 0 {
		return 0
	}
	return now.Sub(s.unproved)
}
