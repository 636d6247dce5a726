package portal

// How the core gets keys, and what follows when they change.

import (
	"log/slog"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/wire"
)

// handshake takes a message from outside any session. It was opened by the
// reader; the session looks closer.
func (k *core) handshake(now mono.Time, r *received) {
	answer, events, err := k.session.Handle(now, r.from.Remote.Addr(), r.shake)
	switch {
	case err == nil:
		k.silence.since = 0
	case !k.misfit(now, err):
		k.rejected.Replay++ // nothing proved it fresh; an honest first HELLO is challenged
	}
	k.keys(now, events)
	if answer == nil {
		return
	}
	if !k.local {
		k.answers = append(k.answers, toStranger(r.from, answer))
		return
	}
	if p := k.pathOf(r.from); p != nil { // a HELLO with the cookie, where that came from
		p.TellRaw(answer)
	}
}

func toStranger(to path.Endpoint, message []byte) answer { return answer{to, message} }

// pathOf is the path that uses or tries an endpoint.
func (k *core) pathOf(e path.Endpoint) *path.Path {
	for _, p := range k.order {
		if s, _ := p.State(); s != path.Down && p.Endpoint() == e {
			return p
		}
	}
	return nil
}

// hello sends HELLOs when they are due: one of its own on every path that has
// a flow. It returns whether they were.
func (k *core) hello(now mono.Time) bool {
	if !k.session.Round(now) {
		return false
	}
	for _, p := range k.order {
		if s, _ := p.State(); s != path.Down {
			p.TellRaw(k.session.Hello(now, p.ID))
		}
	}
	return true
}

// keys acts on what happened to the session.
func (k *core) keys(now mono.Time, events session.Events) {
	if events&session.EventKeys != 0 {
		k.strangers = strangers{} // somebody knows the key
	}
	if events&session.EventPeer != 0 {
		k.sameAddress = false
		k.clock = path.PeerClock{}
		k.deliver = k.exchange.Resequencer.Reset(k.deliver)
		k.why = whyPeer
		for i := len(k.order) - 1; i >= 0; i-- {
			if p := k.order[i]; k.local {
				k.act(now, p, p.Reset(now))
			} else {
				k.dropPath(now, p)
			}
		}
		k.why = ""
		for i := range k.numbers {
			k.numbers[i].past.NewPeer()
		}
		k.parting = nil // it knows of none
		// The peer before this one may have forwarded what it did not live to
		// acknowledge, and this one cannot know.
		k.exchange.DropRescues()
	}
	if events&session.EventSend != 0 {
		k.countAnew()
		k.setTrailers(now)
		k.lastUsable = now // its paths get time to join
		k.silence.vain++
		e := k.session.Sending(now)
		if e == nil {
			return // their time was over at once
		}
		k.exposed(now, e.Suite)
		level := slog.LevelDebug
		if events&session.EventPeer != 0 {
			level = slog.LevelInfo
		}
		k.note(level, "session keys made", "suite", e.Suite.Name, "new_peer", level == slog.LevelInfo)
		for _, p := range k.order {
			p.Ping()
		}
	}
}

// shake starts handshakes: the local portal's part.
func (k *core) shake(now mono.Time) {
	var sent uint64
	k.works, k.attached = false, false
	for _, p := range k.order {
		s, _ := p.State()
		k.attached = k.attached || s != path.Down
		k.works = k.works || s == path.Up && !p.Suspect()
		sent = max(sent, k.sealed(p))
	}
	switch keyed := k.session.Sending(now) != nil; {
	case keyed && k.works:
		k.lastUsable = now
		k.rekey(now, sent)
	case k.attached && (!keyed || now.Sub(k.lastUsable) >= k.lostAfter()):
		if k.hello(now) {
			k.asked(now)
		}
	}
}

func (k *core) rekey(now mono.Time, sent uint64) {
	hello := k.session.Rekey(now, sent)
	if hello == nil {
		return
	}
	if age := k.session.Age(now); age >= rekeyFails {
		k.complain(now, noNewKeys, "the remote portal does not answer when asked for new keys; it is asked again, and at 2 minutes all paths begin anew", "keys_age", rounded(age))
	}
	for _, p := range k.order {
		if s, _ := p.State(); s == path.Up && !p.Suspect() {
			p.Tell(wire.AppendFrame(nil, wire.FrameHello, hello))
			return
		}
	}
}

// lostAfter is how long the local portal goes without any path that works
// before it suspects that the remote restarted, and shakes hands anew.
func (k *core) lostAfter() time.Duration {
	for _, p := range k.order {
		if p.MinRTT() != 0 {
			return lostAfter
		}
	}
	return lostAfterUnknown
}
