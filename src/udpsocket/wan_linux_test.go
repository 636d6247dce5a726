package udpsocket

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/netns"
	"netcombiner/src/transport"
)

// What needs interfaces of its own: the way out, the answer's source, the MTU,
// a firewall, an interface that vanishes.

func listen(t *testing.T, n *netns.Namespace, at string) *Socket {
	t.Helper()
	var s *Socket
	check(t, n.Do(func() (err error) {
		s, err = Listen(context.Background(), netip.MustParseAddrPort(at), Options{})
		return err
	}))
	t.Cleanup(func() { s.Close() })
	return s
}

func tryDial(n *netns.Namespace, bind transport.Bind, to string) (s *Socket, err error) {
	err = n.Do(func() (err error) {
		s, err = Dial(context.Background(), bind, netip.MustParseAddrPort(to), Options{})
		return err
	})
	return s, err
}

func dial(t *testing.T, n *netns.Namespace, bind transport.Bind, to string) *Socket {
	t.Helper()
	s, err := tryDial(n, bind, to)
	check(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

func message(text string) []transport.Message { return []transport.Message{{Buf: []byte(text)}} }

// receive returns the next message, cut to its length.
func receive(t *testing.T, s *Socket) transport.Message {
	t.Helper()
	ms := []transport.Message{{Buf: make([]byte, 2000)}}
	if _, err := s.Receive(ms); err != nil {
		t.Fatal(err)
	}
	ms[0].Buf = ms[0].Buf[:ms[0].N]
	return ms[0]
}

func mustSend(t *testing.T, s *Socket, ms []transport.Message) {
	t.Helper()
	if _, err := s.Send(ms); err != nil {
		t.Fatal(err)
	}
}

func wantRefused(t *testing.T, n int, err error, ms []transport.Message, why unix.Errno) {
	t.Helper()
	if _, ok := errors.AsType[*transport.RefusedError](err); !ok || !errors.Is(err, why) || n != len(ms) {
		t.Fatalf("Send of %d: %d, %v, want all and a RefusedError for %v", len(ms), n, err, why)
	}
}

func TestLeavesByItsDevice(t *testing.T) {
	router, server := twoWANs(t)
	at := listen(t, server, "[::]:4725")
	for _, test := range []struct{ device, source, to, from string }{
		{"wan0", "", "203.0.113.1:4725", "10.0.0.2"},
		{"wan1", "", "203.0.113.1:4725", "10.0.1.2"},
		{"wan0", "", "[2001:db8:ff::1]:4725", "2001:db8:0::2"},
		{"wan1", "", "[2001:db8:ff::1]:4725", "2001:db8:1::2"},
		{"", "10.0.1.2", "203.0.113.1:4725", "10.0.1.2"},
		{"wan1", "10.0.1.2", "203.0.113.1:4725", "10.0.1.2"},
	} {
		bind := transport.Bind{Device: test.device}
		if test.source != "" {
			bind.Addr = netip.MustParseAddr(test.source)
		}
		s := dial(t, router, bind, test.to)
		mustSend(t, s, message("by "+test.device))
		m := receive(t, at)
		if m.Remote.Addr() != netip.MustParseAddr(test.from) || m.Remote != s.Local() {
			t.Errorf("bound to %v it came from %v, want %v", bind, m.Remote, test.from)
		}
		if m.Local != netip.MustParseAddrPort(test.to) {
			t.Errorf("sent to %v it came to %v", test.to, m.Local)
		}
	}
	// That the device was the way, and not only the address.
	isp0 := func() string { return execute(t, server, "ip -s -o link show isp0") }
	s := dial(t, router, transport.Bind{Device: "wan1"}, "203.0.113.1:4725")
	var before, after string
	for range 5 { // the kernel's own IPv6 chatter may get in between, but not every time
		before = isp0()
		mustSend(t, s, message("not by wan0"))
		receive(t, at)
		if after = isp0(); after == before {
			return
		}
	}
	t.Errorf("bound to wan1, but isp0 saw packets:\n%s%s", before, after)
}

func TestAnswersFromTheAddressAsked(t *testing.T) {
	router, server := twoWANs(t)
	for _, test := range []struct{ at, to string }{
		{"[::]:4725", "203.0.113.1:4725"},
		{"0.0.0.0:4726", "203.0.113.1:4726"},
		{"[::]:4725", "[2001:db8:ff::1]:4725"},
		{"[::]:4725", "10.0.1.1:4725"},
	} {
		at := listen(t, server, test.at)
		asker := dial(t, router, transport.Bind{Device: "wan0"}, test.to)
		mustSend(t, asker, message("question"))
		q := receive(t, at)
		// A connected socket takes nothing from another address, so the
		// answer that the system's choice spoils does not arrive.
		if test.to == "203.0.113.1:4725" || test.to == "[2001:db8:ff::1]:4725" {
			mustSend(t, at, []transport.Message{{Buf: []byte("from anywhere"), Remote: q.Remote}})
		}
		mustSend(t, at, []transport.Message{{Buf: []byte("from there"), Remote: q.Remote, Local: q.Local}})
		if a := receive(t, asker); string(a.Buf) != "from there" {
			t.Errorf("asked at %v, got the answer %q", test.to, a.Buf)
		}
		at.Close()
	}
}

func TestLinkLocal(t *testing.T) {
	router, server := twoWANs(t)
	at := listen(t, server, "[::]:4725")
	for i := range 2 {
		s := dial(t, router, transport.Bind{Device: fmt.Sprintf("wan%d", i)}, fmt.Sprintf("[fe80::1%%wan%d]:4725", i))
		mustSend(t, s, message("question"))
		q := receive(t, at)
		if q.Remote.Addr().Zone() == "" {
			t.Fatalf("a link-local question came from %v, without its zone", q.Remote)
		}
		mustSend(t, at, []transport.Message{{Buf: []byte(q.Remote.Addr().Zone()), Remote: q.Remote, Local: q.Local}})
		if a := receive(t, s); string(a.Buf) != q.Remote.Addr().Zone() {
			t.Errorf("got the answer %q", a.Buf)
		}
	}
}

func TestTooLongIsRefusedAndTheRestGoesOut(t *testing.T) {
	router, server := twoWANs(t)
	at := listen(t, server, "[::]:4725")
	for _, to := range []string{"10.0.0.1:4725", "[2001:db8:0::1]:4725"} {
		s := dial(t, router, transport.Bind{Device: "wan0"}, to)
		ms := []transport.Message{
			{Buf: []byte("a")}, {Buf: make([]byte, 1473)}, {Buf: make([]byte, 1473)}, {Buf: []byte("b")}, {Buf: make([]byte, 9000)}, {Buf: []byte("c")},
		}
		n, err := s.Send(ms)
		wantRefused(t, n, err, ms, unix.EMSGSIZE)
		for _, want := range []string{"a", "b", "c"} {
			if m := receive(t, at); string(m.Buf) != want {
				t.Fatalf("instead of %q came %d bytes", want, m.N)
			}
		}
	}
}

// The kernel's path MTU, which ICMP sets, must not get in the way of probing.
func TestCachedPathMTUIsIgnored(t *testing.T) {
	router, server := twoWANs(t)
	execute(t, router, `ip route add 203.0.113.1/32 via 10.0.0.1 mtu 1300
		ip -6 route add 2001:db8:ff::1/128 via 2001:db8:0::1 mtu 1300`)
	at := listen(t, server, "[::]:4725")
	for to, size := range map[string]int{"203.0.113.1:4725": 1472, "[2001:db8:ff::1]:4725": 1452} {
		s := dial(t, router, transport.Bind{}, to)
		mustSend(t, s, []transport.Message{{Buf: make([]byte, size)}})
		if m := receive(t, at); m.N != size {
			t.Errorf("%d bytes came as %d", size, m.N)
		}
	}
}

// Nor does the ICMP error itself, which a probe that is too long brings: it
// refuses neither the next message nor the next probe.
func TestFragmentationNeededRefusesNothing(t *testing.T) {
	router, server := twoWANs(t)
	check(t, server.Sysctl("net.ipv4.ip_forward", "1"))
	execute(t, server, "ip route add 198.51.100.0/24 dev isp1 mtu 1300")
	s := dial(t, router, transport.Bind{Device: "wan0"}, "198.51.100.1:4725")
	for range 3 {
		mustSend(t, s, []transport.Message{{Buf: make([]byte, 1472)}})
		for deadline := time.Now().Add(10 * time.Second); !strings.Contains(execute(t, router, "ip route get 198.51.100.1 oif wan0"), "mtu 1300"); {
			if time.Now().After(deadline) {
				t.Fatal("no ICMP error came")
			}
		}
	}
}

func TestFirewallRefuses(t *testing.T) {
	router, server := twoWANs(t)
	execute(t, router, `nft add table inet test
		nft add chain inet test out {type filter hook output priority 0;}
		nft add rule inet test out udp dport 9 drop`)
	at := listen(t, server, "[::]:4725")
	s := listen(t, router, "[::]:4725")
	open, shut := netip.MustParseAddrPort("10.0.0.1:4725"), netip.MustParseAddrPort("10.0.0.1:9")
	ms := []transport.Message{{Buf: []byte("no"), Remote: shut}, {Buf: []byte("a"), Remote: open}, {Buf: []byte("no"), Remote: shut}, {Buf: []byte("b"), Remote: open}}
	n, err := s.Send(ms)
	wantRefused(t, n, err, ms, unix.EPERM)
	for _, want := range []string{"a", "b"} {
		if m := receive(t, at); string(m.Buf) != want {
			t.Fatalf("instead of %q came %q", want, m.Buf)
		}
	}
}

func TestRefusedByFamilyOrSource(t *testing.T) {
	router, server := twoWANs(t)
	at := listen(t, server, "[::]:4725")
	s := listen(t, router, "0.0.0.0:4725")
	to := netip.MustParseAddrPort("10.0.0.1:4725")
	ms := []transport.Message{
		{Buf: []byte("family"), Remote: netip.MustParseAddrPort("[2001:db8:0::1]:4725")},
		{Buf: []byte("nobody")},
		{Buf: []byte("source"), Remote: to, Local: netip.MustParseAddrPort("192.0.2.99:4725")}, // an address we had once
		{Buf: []byte("good"), Remote: to},
	}
	n, err := s.Send(ms)
	wantRefused(t, n, err, ms, unix.EAFNOSUPPORT)
	if m := receive(t, at); string(m.Buf) != "good" {
		t.Fatalf("came %q", m.Buf)
	}
}

func TestVanishedDevice(t *testing.T) {
	router, server := twoWANs(t)
	at := listen(t, server, "[::]:4725")
	s := dial(t, router, transport.Bind{Device: "wan0"}, "203.0.113.1:4725")
	mustSend(t, s, message("alive"))
	receive(t, at)
	ended := make(chan error)
	go func() {
		_, err := s.Receive([]transport.Message{{Buf: make([]byte, 100)}})
		ended <- err
	}()
	execute(t, router, "ip link del wan0")
	ms := append(message("lost"), message("too")...)
	n, err := s.Send(ms)
	if _, ok := errors.AsType[*transport.RefusedError](err); !ok || n != len(ms) {
		t.Errorf("Send by a vanished interface: %d, %v, want all and a RefusedError", n, err)
	}
	select {
	case err := <-ended:
		t.Fatalf("Receive ended with the interface: %v", err)
	default:
	}
	s.Close()
	if err := <-ended; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Receive ended with %v, want ErrClosed", err)
	}
	if _, err := tryDial(router, transport.Bind{Device: "wan0"}, "203.0.113.1:4725"); err == nil || !strings.Contains(err.Error(), "wan0") {
		t.Errorf("Dial by a vanished interface: %v, want an error that names it", err)
	}
}

// A device without an address yet, as DHCP leaves it, is an error too.
func TestDeviceWithoutAddress(t *testing.T) {
	router, _ := twoWANs(t)
	execute(t, router, "ip addr flush dev wan1")
	if _, err := tryDial(router, transport.Bind{Device: "wan1"}, "[2001:db8:ff::1]:4725"); err == nil || !strings.Contains(err.Error(), "wan1") {
		t.Errorf("Dial by an interface without an address: %v, want an error that names it", err)
	}
}
