package session

import (
	"errors"
	"slices"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
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
	// maxHellos is how many HELLOs are remembered: at least one for each path.
	maxHellos = 2 * wire.MaxPaths
	// cookieTries is how often a cookie is tried before it is asked for anew:
	// perhaps the path that brought it is dead, or the remote another one.
	cookieTries = 4
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
	at     mono.Time
	cookie bool // it brings one, so a REPLY may answer it
}

// Shaking says that a HELLO waits for its answer.
func (s *Session) Shaking() bool { return len(s.hellos) > 0 }

// Hello returns a HELLO to send outside any session, when one is due, or nil.
// It goes on one path; Another makes those for others. Only the local portal's
// session asks for one.
//
// Each path has its own, because the remote answers each but once, on the path
// that brought it: were it the same on all, one link that is dead in one
// direction, but quick in the other, would swallow every answer.
func (s *Session) Hello(now mono.Time) []byte {
	if !s.config.Initiator || !s.inside && now < s.due {
		return nil
	}
	if s.inside || len(s.hellos) == 0 || s.HasCookie() && s.tries >= cookieTries {
		s.begin(false)
	}
	s.due = now.Add(s.patience())
	s.tries++
	return s.newHello(now)
}

// Another returns a HELLO for a further path, at the moment of Hello. Of those
// with a cookie there should be no more than maxPending at a time, for the
// remote keeps no more keys than that.
func (s *Session) Another(now mono.Time) []byte { return s.newHello(now) }

// HasCookie says that the next HELLO brings a cookie: it is best sent where
// the cookie came from.
func (s *Session) HasCookie() bool { return s.cookie != handshake.Cookie{} }

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
	s.due = now.Add(s.patience())
	s.tries++
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
	if err != nil {
		return nil // no randomness: try again when next due
	}
	if len(s.hellos) == maxHellos {
		s.hellos = slices.Delete(s.hellos, 0, 1)
	}
	s.hellos = append(s.hellos, hello{made, now, s.HasCookie() || s.inside})
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
		s.due = now.Add(s.patience())
		s.tries++
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
		if later := withCookie(s.hellos[n+1:]); later >= maxPending {
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

func withCookie(hellos []hello) (n int) {
	for _, h := range hellos {
		if h.cookie {
			n++
		}
	}
	return n
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
