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
	// A round of HELLOs is followed by another after helloAgain, doubling up to
	// helloAgainMax; and once an answer told how long one takes, not before it
	// can be there, up to slowestAgain.
	helloAgain    = 250 * time.Millisecond
	helloAgainMax = time.Second
	slowestAgain  = 4 * time.Second
	// refusedAgain is how long to wait after a refusal: only a person helps.
	refusedAgain = 5 * time.Second
	// maxHellos is how many HELLOs are remembered: those of the last rounds,
	// one for each path in each.
	maxHellos = 4 * wire.MaxPaths
)

// initiator is the local portal's part of a session.
//
// A stranger's HELLO is answered once, where it came from. So each path has a
// HELLO of its own: were all the same, the first to arrive would get the
// answer, and a path that is quick one way and dead the other would keep it.
// The first path on which a RETRY comes back works both ways; it gets the
// HELLO with the cookie, and again in the next round, while the others try anew.
type initiator struct {
	hellos []hello // waiting for their answer, oldest first
	inside bool    // they went inside the session
	rounds int     // since an answer; 0: no handshake is under way
	due    mono.Time
	rtt    time.Duration // how long the last answer took

	cookie handshake.Cookie
	via    uint8 // the path on which it came
	chosen bool  // in this round
	making int   // HELLOs sent that make keys
}

// hello is a HELLO that waits for its answer.
type hello struct {
	*handshake.Initiator
	at     mono.Time
	path   uint8
	making int // the value of initiator.making after it
}

// Shaking says that a handshake is under way.
func (s *Session) Shaking() bool { return s.rounds > 0 }

// Round begins a handshake, or its next round, if one is due: the caller then
// sends a Hello on every path. Only the local portal's session begins any.
func (s *Session) Round(now mono.Time) bool {
	if !s.config.Initiator || !s.inside && now < s.due {
		return false
	}
	if s.inside || s.rounds == 0 {
		s.begin(false)
	}
	s.next(now)
	return true
}

// RoundAt is when Round next has something to begin.
func (s *Session) RoundAt() mono.Time {
	if s.inside {
		return 0
	}
	return s.due
}

// Hello returns the HELLO to send on a path outside any session, if a
// handshake is under way, or else nil.
func (s *Session) Hello(now mono.Time, path uint8) []byte {
	switch {
	case s.inside || s.rounds == 0:
		return nil
	case path == s.via:
		return s.newHello(now, path, s.cookie)
	}
	return s.newHello(now, path, handshake.Cookie{})
}

// Rekey returns a HELLO to send inside the session, when new keys are due, or
// nil. sent is the highest number of messages that any path sent under the keys
// in use.
func (s *Session) Rekey(now mono.Time, sent uint64) []byte {
	e := s.Sending(now)
	if !s.config.Initiator || e == nil {
		return nil
	}
	if now.Sub(e.made) < rekeyAfter && sent < rekeyMessages || s.inside && now < s.due {
		return nil
	}
	if !s.inside {
		s.begin(true)
	}
	s.next(now)
	return s.newHello(now, 0, handshake.Cookie{})
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
	*i = initiator{inside: inside, due: i.due}
}

// end ends it; the next may begin at the given time.
func (i *initiator) end(due mono.Time) {
	i.begin(false)
	i.due = due
}

// next begins a round.
func (i *initiator) next(now mono.Time) {
	i.due = now.Add(i.patience())
	i.rounds++
	i.chosen = false
}

// patience is how long a round has for its answer.
func (i *initiator) patience() time.Duration {
	again := min(helloAgain<<min(i.rounds, 8), helloAgainMax)
	return max(again, min(i.rtt+i.rtt/2, slowestAgain))
}

// newHello returns a HELLO. Where it brings a cookie, or goes inside the
// session, it makes keys.
func (s *Session) newHello(now mono.Time, path uint8, cookie handshake.Cookie) []byte {
	h := handshake.Hello{Instance: s.instance, Cookie: cookie, InUse: s.held(), Suites: s.config.Offer, Flags: s.flags()}
	made, message, err := handshake.NewInitiator(s.guard, s.config.Random, h)
	if err != nil {
		return nil // no randomness: there is another round
	}
	if s.inside || cookie != (handshake.Cookie{}) {
		s.making++
	}
	if len(s.hellos) == maxHellos {
		s.hellos = slices.Delete(s.hellos, 0, 1)
	}
	s.hellos = append(s.hellos, hello{made, now, path, s.making})
	return message
}

// retry takes the cookie out of a RETRY, and returns a HELLO that brings it, to
// be sent where the RETRY came from.
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
		if s.chosen && cookie == s.cookie {
			return nil, nil // another path was quicker
		}
		s.rounds = 0
		s.next(now)
		s.cookie, s.via, s.chosen = cookie, h.path, true
		return s.newHello(now, h.path, cookie), nil
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
		if s.making-h.making >= maxPending {
			// The responder has given these keys up for later ones by the
			// time a message under them could arrive. But its answers take
			// longer than a round.
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
