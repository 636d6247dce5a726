package portal

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
)

// What is wrong with the tunnel as a whole is said to the person, who alone can
// help: once, and then again rarely while it lasts.

const (
	// complainAfter is how long nothing works before it is said why.
	complainAfter = 5 * time.Second
	complainAgain = 10 * time.Minute
	// rekeyFails is how old keys are that should long have been renewed: there
	// were several tries.
	rekeyFails = 110 * time.Second
)

// The complaints, each with a clock of its own.
const (
	noCommonSuite = iota
	addressesDiffer
	noAnswer
	addressesChanged
	mtuTooLong
	notHidden
	noNewKeys
	complaints // how many
)

// complain logs a complaint, unless it did lately.
func (k *core) complain(now mono.Time, which int, message string, args ...any) {
	if k.said[which] == 0 || now.Sub(k.said[which]) >= complainAgain {
		k.said[which] = now
		k.note(slog.LevelWarn, message, args...)
	}
}

// exposed says, once, that auto came to a suite that does not encrypt: the other
// portal wants it so, and who chose auto may not know.
func (k *core) exposed(now mono.Time, s auth.Suite) {
	if k.auto && !s.Encrypts && k.said[notHidden] == 0 {
		k.complain(now, notHidden, "Suite = auto hides nothing: the other portal's Suite does not encrypt", "suite", s.Name)
	}
}

// misfit says that err means that the other portal is one of ours, but
// configured otherwise.
func (k *core) misfit(now mono.Time, err error) bool {
	switch {
	case errors.Is(err, auth.ErrNoSuite):
		k.complain(now, noCommonSuite, "the portals have no suite in common: set the same Suite on both, or auto on both")
	case errors.Is(err, session.ErrAddresses):
		k.complain(now, addressesDiffer, "AuthenticateAddresses is set on one portal only: set it to the same on both",
			"here", k.bind)
	default:
		return false
	}
	k.silence = silence{}
	return true
}

// silence is what the local portal gets for an answer.
type silence struct {
	since, asked mono.Time // first and last HELLO without an answer
	vain         int       // keys made since a path last worked
}

// vainKeys is how many keys are made in vain before it is said why.
const vainKeys = 3

// asked notes that a HELLO was sent on every path.
func (k *core) asked(now mono.Time) {
	s := &k.silence
	if s.since == 0 || now.Sub(s.asked) > complainAfter {
		s.since = now
	}
	s.asked = now
	if now.Sub(s.since) >= complainAfter && k.session.Sending(now) == nil {
		k.complain(now, noAnswer, "the remote portal does not answer: is it running, are its address and port right and open, and is its Key the same as here?")
	}
}

// diagnose looks for what keeps the tunnel from working though the portals
// shake hands.
func (k *core) diagnose(now mono.Time) {
	if k.works {
		k.silence = silence{}
	}
	vain := k.silence.vain >= vainKeys
	if !k.local {
		vain = k.session.Unproved(now) >= complainAfter && !k.anyUsable()
	}
	if vain && k.bind {
		k.complain(now, addressesChanged, "the portals made keys, but no message under them is authentic: with AuthenticateAddresses no NAT may stand between them; set it to no on both")
	}
}

// strangers are handshake messages made with another key, since somebody last
// had ours. Noise can be made to look like them, so however many come, they are
// told to who asks, and never logged.
type strangers struct {
	handshakes uint64
	last       netip.Addr // where the last came from, so it said
}

// hints are what the status tells a person to look at: no more than there are
// kinds of them. age is the portal's.
func (k *core) hints(now mono.Time, age time.Duration) (all []string) {
	// The local portal says so itself, when nobody answers its own.
	if s := &k.strangers; !k.local && s.handshakes > 0 && k.session.Sending(now) == nil {
		all = append(all, fmt.Sprintf("%d handshakes failed, last from %s: same Key on both ends?", s.handshakes, s.last.Unmap()))
	}
	if k.sameAddress {
		all = append(all, "both ends have the same Address: give each its own")
	}
	if name := k.deafIP(); name != "" && age >= complainAfter {
		all = append(all, fmt.Sprintf("nothing ever came on path %s: a NAT or firewall on the way may pass no raw IP; if so take Transport = udp", name))
	}
	return all
}

// deafIP names the first ip path of ours on which nothing ever came.
func (k *core) deafIP() string {
	for _, p := range k.order {
		if s, _ := p.State(); k.local && p.Transport == "ip" && s == path.Connecting && p.RxPackets == 0 {
			return p.Name
		}
	}
	return ""
}

// compareAddresses looks at an inner packet from the other portal whether that
// has our own address. It is told of the first packet after a silence: who set
// up a tunnel tries it with a ping, and later packets shall not pay for that.
func (k *core) compareAddresses(inner []byte) {
	source := packet.Source(inner)
	for _, own := range k.addresses {
		k.sameAddress = k.sameAddress || own.Addr() == source
	}
}
