package ip

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"netcombiner/src/testbed/netns"
	"netcombiner/src/transport"
	"netcombiner/src/transport/transporttest"
	"netcombiner/src/udpsocket"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// machine is a host with the transport on it.
type machine struct {
	transport.Transport
	ns *netns.Namespace
}

func (m machine) Dial(ctx context.Context, bind transport.Bind, remote netip.AddrPort) (f transport.Flow, err error) {
	err = m.ns.Do(func() error { f, err = m.Transport.Dial(ctx, bind, remote); return err })
	return f, err
}

func (m machine) Listen(ctx context.Context, local netip.AddrPort) (l transport.Listener, err error) {
	err = m.ns.Do(func() error { l, err = m.Transport.Listen(ctx, local); return err })
	return l, err
}

// twoMachines are joined by a cable of the longest MTU there is. Of the
// router's addresses the first is its usual one.
func twoMachines(t *testing.T, tr transport.Transport) (router, server machine) {
	t.Helper()
	if err := netns.Privileged(); err != nil {
		t.Skip("skipped: ", err)
	}
	for name, m := range map[string]*machine{"router": &router, "server": &server} {
		n, err := netns.New(name)
		check(t, err)
		t.Cleanup(n.Close)
		*m = machine{tr, n}
		check(t, n.Sysctl("net.ipv6.conf.default.accept_dad", "0"))
	}
	check(t, netns.Veth(router.ns, "eth0", server.ns, "eth0"))
	for _, m := range []machine{router, server} {
		command, err := m.ns.Start(nil, "ip", "link", "set", "eth0", "mtu", "65535")
		check(t, err)
		check(t, command.Wait())
	}
	check(t, server.ns.Address("eth0", netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("fd00::1/64")))
	for _, p := range []string{"10.0.0.2/24", "10.0.0.3/24", "10.0.0.4/24", "fd00::2/64", "fd00::3/64", "fd00::4/64"} {
		check(t, router.ns.Address("eth0", netip.MustParsePrefix(p)))
	}
	return router, server
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func portless(addr string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), 0) }

func TestContract(t *testing.T) {
	for _, test := range []struct {
		name, at, network string
		options           udpsocket.Options
	}{
		{"IPv4", "10.0.0.1", "10.0.0.", udpsocket.Options{}},
		{"IPv4Wildcard", "0.0.0.0", "10.0.0.", udpsocket.Options{}},
		{"IPv4OneByOne", "0.0.0.0", "10.0.0.", udpsocket.Options{OneByOne: true}},
		{"IPv6", "fd00::1", "fd00::", udpsocket.Options{}},
		{"IPv6Wildcard", "::", "fd00::", udpsocket.Options{}},
		{"IPv6OneByOne", "::", "fd00::", udpsocket.Options{OneByOne: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Setup {
				tr := New(nil)
				tr.options = test.options
				router, server := twoMachines(t, tr)
				from := func(host string) transport.Bind {
					return transport.Bind{Device: "eth0", Addr: netip.MustParseAddr(test.network + host)}
				}
				return transporttest.Setup{
					Dialer: router, Listener: server, Portless: true,
					At: portless(test.at), Target: netip.MustParseAddr(test.network + "1"),
					Bind: from("2"), More: [2]transport.Bind{from("3"), from("4")},
					Longest: 65535 - tr.Overhead(netip.MustParseAddr(test.network+"1")),
				}
			})
		})
	}
}

// On :: there is a flow for each IP version, and either answers where it was
// asked.
func TestBothVersions(t *testing.T) {
	router, server := twoMachines(t, New(nil))
	l, err := server.Listen(t.Context(), portless("::"))
	check(t, err)
	defer l.Close()
	for _, to := range []string{"fd00::1", "10.0.0.1"} {
		f, err := router.Dial(t.Context(), transport.Bind{}, portless(to))
		check(t, err)
		defer f.Close()
		_, err = f.Send([]transport.Message{{Buf: []byte("question")}})
		check(t, err)
		at, err := l.Accept()
		check(t, err)
		ms := []transport.Message{{Buf: make([]byte, 100)}}
		_, err = at.Receive(ms)
		check(t, err)
		if ms[0].Remote != f.Local() || ms[0].Local != portless(to) {
			t.Errorf("from %v to %v it came from %v to %v", f.Local(), to, ms[0].Remote, ms[0].Local)
		}
		ms[0].Buf = []byte("answer")
		_, err = at.Send(ms)
		check(t, err)
		ms[0].Buf = make([]byte, 100)
		_, err = f.Receive(ms)
		check(t, err)
		if string(ms[0].Buf[:ms[0].N]) != "answer" {
			t.Errorf("from %v came %q", to, ms[0].Buf[:ms[0].N])
		}
	}
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("a third flow: %v", err)
	}
}

// Two flows that the kernel could not tell apart are one too many.
func TestOneFlowOnAWay(t *testing.T) {
	tr := New(nil)
	router, _ := twoMachines(t, tr)
	other := machine{tr.Number(200), router.ns}
	eth0 := transport.Bind{Device: "eth0"}
	dial := func(m machine, bind transport.Bind, to string) (transport.Flow, error) {
		f, err := m.Dial(t.Context(), bind, portless(to))
		if err == nil {
			t.Cleanup(func() { f.Close() })
		}
		return f, err
	}
	first, err := dial(router, eth0, "10.0.0.1")
	check(t, err)
	for _, bind := range []transport.Bind{eth0, {}, {Addr: netip.MustParseAddr("10.0.0.2")}} {
		if _, err := dial(router, bind, "10.0.0.1"); err == nil || !strings.Contains(err.Error(), "10.0.0.2 to 10.0.0.1 by IP protocol 253") {
			t.Errorf("a second flow by %+v: %v", bind, err)
		}
	}
	_, err = dial(router, transport.Bind{Addr: netip.MustParseAddr("10.0.0.3")}, "10.0.0.1")
	check(t, err)
	_, err = dial(router, eth0, "fd00::1")
	check(t, err)
	_, err = dial(other, eth0, "10.0.0.1")
	check(t, err)
	first.Close()
	first.Close()
	_, err = dial(router, eth0, "10.0.0.1")
	check(t, err)
}

func TestOverhead(t *testing.T) {
	for addr, want := range map[string]int{"192.0.2.1": 20, "::ffff:192.0.2.1": 20, "2001:db8::1": 40} {
		if got := New(nil).Overhead(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Overhead(%s) = %d, want %d", addr, got, want)
		}
	}
}
