package session

import (
	"errors"
	"slices"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
)

const (
	// A HELLO is followed by another after helloAgain, doubling up to
	// helloAgainMax; and once an answer told how long one takes, not before it
	// can be there, up to slowestAgain.
	helloAgain    = 250 * time.Millisecond
	helloAgainMax = time.Second
	slowestAgain  = 4 * time.Second
	// refusedAgain is how long to wait after a refusal: only a person helps.
	refusedAgain = 5 * time.Second
	// maxHellos is how many HELLOs are remembered: those of the last seconds.
	maxHellos = 8
)

// initiator is the local portal's part of a session.
type initiator struct {
	hellos []hello // waiting for their answer, oldest first
	inside bool    // they went inside the session
	cookie handshake.Cookie
	tries  int
	due    mono.Time     // of the next HELLO
	rtt    time.Duration // how long the last answer took

	counted *Epoch // the keys for which
	before  uint64 // messages had been sent before them
}

// hello is a HELLO that waits for its answer.
type hello struct {
	*handshake.Initiator
	at mono.Time
}

// Shaking says that a HELLO waits for its answer.
func (s *Session) Shaking() bool { return len(s.hellos) > 0 }

// Hello returns a HELLO to send on every path outside any session, when one is
// due, or nil. Only the local portal's session asks for one.
func (s *Session) Hello(now mono.Time) []byte {
	if !s.config.Initiator || !s.inside && now < s.due {
		return nil
	}
	if s.inside || len(s.hellos) == 0 {
		s.begin(false)
	}
	return s.newHello(now)
}

// HelloAt is when Hello next has something to send.
func (s *Session) HelloAt() mono.Time {
	if s.inside {
		return 0
	}
	return s.due
}

// Hurry makes the next Hello due now.
func (s *Session) Hurry(now mono.Time) { s.due = min(s.due, now) }

// Rekey returns a HELLO to send inside the session, when new keys are due, or
// nil. sent is the highest number of messages that any path ever sent.
func (s *Session) Rekey(now mono.Time, sent uint64) []byte {
	e := s.Sending(now)
	if !s.config.Initiator || e == nil {
		return nil
	}
	if s.counted != e {
		s.counted, s.before = e, sent
	}
	if now.Sub(e.made) < rekeyAfter && sent < s.before+rekeyMessages || s.inside && now < s.due {
		return nil
	}
	if !s.inside {
		s.begin(true)
	}
	return s.newHello(now)
}

// RekeyAt is when Rekey next has something to send, as far as time decides it.
func (s *Session) RekeyAt() mono.Time {
	if !s.config.Initiator || s.sending == nil {
		return mono.Never
	}
	at := s.sending.made.Add(rekeyAfter)
	if s.inside {
		at = max(at, s.due)
	}
	return at
}

// begin starts a handshake.
func (i *initiator) begin(inside bool) {
	i.hellos, i.inside, i.cookie, i.tries, i.rtt = nil, inside, handshake.Cookie{}, 0, 0
}

// end ends it; the next Hello is due at the given time.
func (i *initiator) end(due mono.Time) {
	i.begin(false)
	i.due = due
}

// patience is how long the newest HELLO has for its answer before another
// follows.
func (i *initiator) patience() time.Duration {
	again := min(helloAgain<<min(i.tries, 8), helloAgainMax)
	return max(again, min(i.rtt+i.rtt/2, slowestAgain))
}

func (s *Session) newHello(now mono.Time) []byte {
	h := handshake.Hello{Instance: s.instance, Cookie: s.cookie, InUse: s.held(), Suites: s.config.Offer, Flags: s.flags()}
	made, message, err := handshake.NewInitiator(s.guard, s.config.Random, h)
	s.due = now.Add(s.patience())
	s.tries++
	if err != nil {
		return nil // no randomness: try again when next due
	}
	if len(s.hellos) == maxHellos {
		s.hellos = slices.Delete(s.hellos, 0, 1)
	}
	s.hellos = append(s.hellos, hello{made, now})
	return message
}

// retry takes the cookie out of a RETRY, and returns a HELLO that brings it.
func (s *Session) retry(now mono.Time, m handshake.Message) ([]byte, error) {
	for n, h := range s.hellos {
		cookie, err := h.Retry(m)
		if errors.Is(err, handshake.ErrNotOurs) {
			continue
		}
		if err != nil {
			return nil, err
		}
		s.rtt = now.Sub(h.at)
		s.hellos = slices.Delete(s.hellos, n, n+1)
		if cookie == s.cookie {
			return nil, nil // a HELLO with it is on its way
		}
		s.cookie, s.tries = cookie, 0
		return s.newHello(now), nil
	}
	return nil, handshake.ErrNotOurs
}

// finish takes the responder's REPLY: the keys are proved by it.
func (s *Session) finish(now mono.Time, m handshake.Message) (Events, error) {
	for n, h := range s.hellos {
		reply, keys, err := h.Finish(m)
		if errors.Is(err, handshake.ErrNotOurs) {
			continue
		}
		if err != nil {
			return 0, err
		}
		if later := len(s.hellos) - 1 - n; later >= maxPending {
			// The responder has given these keys up for later ones by the
			// time a message under them could arrive. But its answers take
			// longer than we gave them.
			s.rtt = now.Sub(h.at)
			s.hellos = slices.Delete(s.hellos, n, n+1)
			s.due = max(s.due, s.hellos[len(s.hellos)-1].at.Add(s.patience()))
			return 0, nil
		}
		return s.accept(now, reply, keys)
	}
	return 0, handshake.ErrReplay
}

// accept installs the keys that a REPLY made, unless it refuses.
func (s *Session) accept(now mono.Time, reply handshake.Reply, keys handshake.Keys) (Events, error) {
	suite, known := auth.Lookup(reply.Suite)
	err := s.agrees(reply.Flags)
	switch {
	case err != nil:
	case reply.Flags&flagRefused != 0:
		err = auth.ErrNoSuite
	case !known:
		err = handshake.ErrMalformed
	}
	if err != nil {
		s.end(now.Add(refusedAgain))
		return 0, err
	}
	s.end(0)
	return s.install(now, &Epoch{Number: reply.Epoch, Suite: suite, Keys: keys, made: now, peer: reply.Instance}), nil
}
