package udpsocket

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

func TestTableOfAWAN(t *testing.T) {
	var asked []string
	fib := func(_ context.Context, device string, source netip.Addr) (int, bool) {
		asked = append(asked, device+" "+source.String())
		return 2, device != "em9"
	}
	source := netip.MustParseAddr("192.0.2.7")
	for _, tc := range []struct {
		bind   transport.Bind
		source netip.Addr
		table  int
		chosen bool
		asks   string
	}{
		{transport.Bind{Device: "em1"}, source, 2, true, "em1 192.0.2.7"},
		{transport.Bind{Addr: source}, source, 2, true, " 192.0.2.7"},
		{transport.Bind{Device: "em9"}, source, 2, false, "em9 192.0.2.7"},
		{transport.Bind{}, netip.Addr{}, 0, false, ""},
	} {
		asked = nil
		c := connector{bind: tc.bind, fib: fib}
		table, chosen, err := c.askTable(t.Context(), tc.source)
		if err != nil || table != tc.table || chosen != tc.chosen || strings.Join(asked, ",") != tc.asks {
			t.Errorf("%+v: %d, %v, %v; asked %q", tc.bind, table, chosen, err, asked)
		}
	}
}

// Nobody dials by the wrong WAN because the routing took too long.
func TestTableNotKnownInTime(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := connector{bind: transport.Bind{Device: "em1"}, fib: func(context.Context, string, netip.Addr) (int, bool) {
		cancel()
		return 0, false
	}}
	if _, _, err := c.askTable(ctx, netip.Addr{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestSuitableSource(t *testing.T) {
	addrs := func(text string) (all []netip.Addr) {
		for w := range strings.FieldsSeq(text) {
			all = append(all, netip.MustParseAddr(w))
		}
		return all
	}
	for _, tc := range []struct{ own, remote, want string }{
		{"192.168.1.2 198.51.100.7", "203.0.113.1", "198.51.100.7 192.168.1.2"},
		{"198.51.100.7 192.168.1.2", "192.168.1.1", "192.168.1.2 198.51.100.7"},
		{"fd00::2 2001:db8::2 2001:db8::3", "2001:db8:1::1", "2001:db8::2 2001:db8::3 fd00::2"},
		{"10.0.0.2 10.0.0.3", "203.0.113.1", "10.0.0.2 10.0.0.3"},
	} {
		if got := suitable(addrs(tc.own), netip.MustParseAddr(tc.remote)); !slices.Equal(got, addrs(tc.want)) {
			t.Errorf("%s to %s: %v", tc.own, tc.remote, got)
		}
	}
}

// FreeBSD refuses a buffer that is too large instead of giving what it can.
func TestBufferStepsDown(t *testing.T) {
	for most, want := range map[int]int{8 << 20: 4 << 20, 1_864_135: 1_769_472, 256 << 10: 236_196, 64 << 10: 0, 0: 0} {
		tries := 0
		got := stepDown(4<<20, func(size int) error {
			if tries++; size > most {
				return unix.ENOBUFS
			}
			return nil
		})
		if got > most || got < want*9/10 || tries > 20 {
			t.Errorf("at most %d: got %d in %d tries", most, got, tries)
		}
	}
}

// Two sockets at [::] are one port, and each takes and answers what is its own.
func TestListenEach(t *testing.T) {
	l, err := listenEach(t.Context(), netip.MustParseAddrPort("[::]:0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var flows [2]transport.Flow
	for i := range flows {
		if flows[i], err = l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	port := l.Addr().Port()
	if port == 0 || flows[1].Local().Port() != port {
		t.Fatalf("ports %d and %d", port, flows[1].Local().Port())
	}
	for i, host := range []string{"::1", "127.0.0.1"} {
		at := netip.AddrPortFrom(netip.MustParseAddr(host), port)
		s, err := Dial(t.Context(), transport.Bind{}, at, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if _, err := s.Send([]transport.Message{{Buf: []byte("question")}}); err != nil {
			t.Fatal(err)
		}
		m := receiveOne(t, flows[i].(*Socket))
		if m.Local != at {
			t.Errorf("to %v: it says %v", at, m.Local)
		}
		m.Buf = []byte("answer")
		if _, err := flows[i].Send([]transport.Message{m}); err != nil {
			t.Fatal(err)
		}
		if m := receiveOne(t, s); string(m.Buf[:m.N]) != "answer" {
			t.Errorf("from %v: %q", at, m.Buf[:m.N])
		}
	}
}

// An IPv4 address in IPv6's clothes is an IPv4 one: none of IPv6 is listened to.
func TestListenMapped(t *testing.T) {
	s, err := Listen(t.Context(), netip.MustParseAddrPort("[::ffff:0.0.0.0]:0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if at := s.Local().Addr(); at != netip.IPv4Unspecified() {
		t.Errorf("it listens at %v", at)
	}
}

// Where one of the two is taken, both are given up.
func TestListenEachOrNone(t *testing.T) {
	four, err := Listen(t.Context(), netip.MustParseAddrPort("0.0.0.0:0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer four.Close()
	at := netip.AddrPortFrom(netip.IPv6Unspecified(), four.Local().Port())
	if _, err := listenEach(t.Context(), at, Options{}); !errors.Is(err, unix.EADDRINUSE) {
		t.Fatalf("%v", err)
	}
	six, err := listenUDP(t.Context(), at, Options{}, "udp6")
	if err != nil {
		t.Fatalf("the first one stayed: %v", err)
	}
	six.Close()
}

func TestListenEachWithoutIPv6(t *testing.T) {
	l, err := ListenEach(netip.MustParseAddrPort("[::]:0"), func(at netip.AddrPort) (*Socket, error) {
		if at.Addr().Is6() {
			return nil, unix.EAFNOSUPPORT
		}
		return Listen(t.Context(), at, Options{})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !l.Addr().Addr().Is4() || l.Addr().Port() == 0 {
		t.Errorf("at %v", l.Addr())
	}
}

// A WAN that leads nowhere is not left by the process's own table, which is another's.
func TestTableOfNoGateway(t *testing.T) {
	c := connector{bind: transport.Bind{Device: "em1"}, fib: func(context.Context, string, netip.Addr) (int, bool) { return -1, true }}
	if _, _, err := c.askTable(t.Context(), netip.Addr{}); err == nil || !strings.Contains(err.Error(), "give Gateway =") {
		t.Errorf("%v", err)
	}
}
