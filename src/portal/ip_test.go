package portal

import (
	"strings"
	"testing"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/transport"
	"netcombiner/src/transport/ip"
	"netcombiner/src/transport/udp"
	"netcombiner/src/wire"
)

// called is a simulated transport under another name.
type called struct {
	transport.Transport
	name string
}

func (c called) Name() string { return c.name }

// A NAT that passes no raw IP leaves the path connecting, without a word.
func TestBlockedIPIsHintedAt(t *testing.T) {
	overIP := link(mbit(8), 10*time.Millisecond)
	overIP.transport = "ip"
	sim(t, 1, []linkSpec{link(mbit(8), 10*time.Millisecond), overIP}, func(tn *tunnel) {
		for _, e := range []*end{tn.local, tn.remote} {
			e.edit = func(o *Options) { o.Transports = append(o.Transports, called{e.host.UDP(), "ip"}) }
		}
		hints := func() []string { return tn.local.portal.Status().Hints }
		tn.links[1].Cut(true)
		tn.start()
		time.Sleep(4 * time.Second)
		if got := hints(); len(got) > 0 {
			t.Errorf("too early: %q", got)
		}
		time.Sleep(2 * time.Second)
		if got := hints(); len(got) != 1 || !strings.Contains(got[0], "path wan2: a NAT or firewall") {
			t.Errorf("hints %q", got)
		}
		if got := tn.remote.portal.Status().Hints; len(got) > 0 {
			t.Errorf("hints of the remote %q", got)
		}
		tn.links[1].Cut(false)
		time.Sleep(5 * time.Second)
		if got := hints(); len(got) > 0 {
			t.Errorf("though it works: %q", got)
		}
		tn.links[1].Cut(true) // it worked: no NAT
		time.Sleep(20 * time.Second)
		if got := hints(); len(got) > 0 {
			t.Errorf("of a path that worked: %q", got)
		}
	})
}

// What a data packet costs on IPv4 (issue 4): 60 bytes over udp with a MAC, 44
// without, and 8 less over ip.
func TestOverhead(t *testing.T) {
	for _, c := range []struct {
		suite auth.ID
		over  transport.Transport
		most  int
	}{
		{auth.Blake2s, udp.Transport{}, 60}, {auth.None, udp.Transport{}, 44},
		{auth.Blake2s, ip.New(nil), 52}, {auth.None, ip.New(nil), 36},
	} {
		const inner = 1000
		o := path.Outgoing{Header: wire.Header{Type: wire.TypeData, Sequence: 1}, Packet: &packet.Packet{Data: make([]byte, inner)}}
		suite, _ := auth.Lookup(c.suite)
		var s sealer
		message := s.seal(make([]byte, 0, 2048), &o, &session.Epoch{Suite: suite})
		if cost := len(message) - inner + c.over.Overhead(vps); cost != c.most {
			t.Errorf("%s over %s: a data packet costs %d bytes, want %d", suite.Name, c.over.Name(), cost, c.most)
		}
	}
}
