package udpsocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/netns"
	"netcombiner/src/transport"
)

// What raw sockets do otherwise than UDP's, and what they must do likewise,
// between machines of their own.

const protocol = 253

func listenRaw(t testing.TB, n *netns.Namespace, at string) *Socket {
	t.Helper()
	var s *Socket
	check(t, n.Do(func() (err error) {
		s, err = ListenRaw(context.Background(), protocol, netip.MustParseAddr(at), Options{})
		return err
	}))
	t.Cleanup(func() { s.Close() })
	return s
}

func dialRaw(t testing.TB, n *netns.Namespace, bind transport.Bind, to string) *Socket {
	t.Helper()
	var s *Socket
	check(t, n.Do(func() (err error) {
		s, err = DialRaw(context.Background(), protocol, bind, netip.MustParseAddr(to), Options{})
		return err
	}))
	t.Cleanup(func() { s.Close() })
	return s
}

// A socket has its own path's messages and no other's, though the kernel has a
// copy for each that might want it.
func TestRawTellsPathsApart(t *testing.T) {
	router, server := twoWANs(t)
	for _, test := range []struct{ at, to, from string }{
		{"0.0.0.0", "203.0.113.1", "10.0.%d.2"},
		{"::", "2001:db8:ff::1", "2001:db8:%d::2"},
	} {
		at := listenRaw(t, server, test.at)
		var paths [2]*Socket
		for i := range paths {
			paths[i] = dialRaw(t, router, transport.Bind{Device: fmt.Sprintf("wan%d", i)}, test.to)
		}
		for i, s := range paths {
			mustSend(t, s, message("question"))
			q := receive(t, at)
			if from := netip.MustParseAddr(fmt.Sprintf(test.from, i)); q.Remote != netip.AddrPortFrom(from, 0) || q.Remote != s.Local() {
				t.Errorf("by wan%d it came from %v, the socket is at %v; want %v without a port", i, q.Remote, s.Local(), from)
			}
			if q.Local != netip.AddrPortFrom(netip.MustParseAddr(test.to), 0) || string(q.Buf) != "question" {
				t.Errorf("sent to %v, %q came to %v", test.to, q.Buf, q.Local)
			}
			mustSend(t, at, []transport.Message{
				{Buf: []byte("from anywhere"), Remote: q.Remote},
				{Buf: fmt.Appendf(nil, "to wan%d", i), Remote: q.Remote, Local: q.Local}})
		}
		for i, s := range paths {
			if a := receive(t, s); string(a.Buf) != fmt.Sprintf("to wan%d", i) || a.Remote != s.Remote() {
				t.Errorf("at wan%d, connected to %v, %q came from %v", i, s.Remote(), a.Buf, a.Remote)
			}
		}
	}
}

// With options the IP header is longer than what is set aside for it.
func TestRawStripsOptions(t *testing.T) {
	router, server := twoWANs(t)
	at := listenRaw(t, server, "10.0.0.1")
	s := dialRaw(t, router, transport.Bind{Device: "wan0"}, "10.0.0.1")
	const routerAlert = "\x94\x04\x00\x00"
	for _, options := range []string{routerAlert, strings.Repeat("\x01", 40), ""} {
		check(t, control(s.raw, func(fd int) error {
			return unix.SetsockoptString(fd, unix.IPPROTO_IP, unix.IP_OPTIONS, options)
		}))
		mustSend(t, s, []transport.Message{{Buf: []byte("a")}, {Buf: []byte(strings.Repeat("longer", 50))}})
		for _, want := range []string{"a", strings.Repeat("longer", 50)} {
			if m := receive(t, at); string(m.Buf) != want {
				t.Errorf("with %d bytes of options %q came as %q", len(options), want, m.Buf)
			}
		}
	}
}

// DF is set, the path MTU that the kernel learned is not asked, and what the
// interface does not carry is refused without harm to the rest.
func TestRawProbesTheMTU(t *testing.T) {
	router, server := twoWANs(t)
	execute(t, router, `ip route add 203.0.113.1/32 via 10.0.0.1 mtu 1300
		ip -6 route add 2001:db8:ff::1/128 via 2001:db8:0::1 mtu 1300`)
	for _, test := range []struct {
		at, to  string
		longest int
	}{{"0.0.0.0", "203.0.113.1", 1480}, {"::", "2001:db8:ff::1", 1460}} {
		at := listenRaw(t, server, test.at)
		s := dialRaw(t, router, transport.Bind{Device: "wan0"}, test.to)
		ms := []transport.Message{{Buf: make([]byte, test.longest)}, {Buf: make([]byte, test.longest+1)}, {Buf: []byte("b")}}
		n, err := s.Send(ms)
		wantRefused(t, n, err, ms, unix.EMSGSIZE)
		for _, want := range []int{test.longest, 1} {
			if m := receive(t, at); m.N != want {
				t.Errorf("instead of %d came %d bytes", want, m.N)
			}
		}
	}
}

// Nor does an ICMP error refuse anything: fragmentation needed, or that the
// other end has nobody for the protocol.
func TestRawIgnoresErrors(t *testing.T) {
	router, server := twoWANs(t)
	check(t, server.Sysctl("net.ipv4.ip_forward", "1"))
	execute(t, server, "ip route add 198.51.100.0/24 dev isp1 mtu 1300")
	s := dialRaw(t, router, transport.Bind{Device: "wan0"}, "198.51.100.1")
	mustSend(t, s, []transport.Message{{Buf: make([]byte, 1480)}})
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(execute(t, router, "ip route get 198.51.100.1 oif wan0"), "mtu 1300"); {
		if time.Now().After(deadline) {
			t.Fatal("no ICMP error came")
		}
	}
	mustSend(t, s, []transport.Message{{Buf: make([]byte, 1480)}})

	s = dialRaw(t, router, transport.Bind{Device: "wan0"}, "10.0.0.1")
	mustSend(t, s, message("is anybody there?"))
	for deadline := time.Now().Add(10 * time.Second); ; {
		pending := 0
		check(t, control(s.raw, func(fd int) (err error) {
			pending, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
			return err
		}))
		if pending != 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("no ICMP error came")
		}
		mustSend(t, s, message("is anybody there?"))
	}
	for range 100 {
		mustSend(t, s, message("is anybody there?"))
	}
	at := listenRaw(t, server, "10.0.0.1")
	mustSend(t, s, message("somebody"))
	for string(receive(t, at).Buf) != "somebody" { // the last of the others may still have been under way
	}
}

// What came before the socket knew its remote is another's.
func TestRawStartsEmpty(t *testing.T) {
	router, server := twoWANs(t)
	at := listenRaw(t, server, "0.0.0.0")
	first := dialRaw(t, router, transport.Bind{Device: "wan0"}, "203.0.113.1")
	mustSend(t, first, message("question"))
	q := receive(t, at)
	answerFirst := func(fd int, _ bool) error {
		mustSend(t, at, []transport.Message{{Buf: []byte("answer"), Remote: q.Remote, Local: q.Local}})
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		return err
	}
	var second *Socket
	check(t, router.Do(func() error {
		to := netip.MustParseAddrPort("10.0.1.1:0")
		conn, err := connectBy(t.Context(), rawNetwork(protocol, to.Addr()), transport.Bind{}, to, nil, answerFirst)
		if err == nil {
			second, err = newRaw(conn.(*net.IPConn), to, false, Options{})
		}
		return err
	}))
	defer second.Close()
	if a := receive(t, first); string(a.Buf) != "answer" {
		t.Errorf("the first socket got %q", a.Buf)
	}
	check(t, control(second.raw, func(fd int) error {
		if n, _, err := unix.Recvfrom(fd, make([]byte, 100), unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
			t.Errorf("in the second wait %d bytes, %v", n, err)
		}
		return nil
	}))
}

func TestRawWithoutPrivilege(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root has rights to lose")
	}
	type made struct{ dialled, listened error }
	result := make(chan made)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with its rights
		var m made
		defer func() { result <- m }()
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var have [2]unix.CapUserData
		if err := unix.Capget(&header, &have[0]); err != nil {
			m.dialled = err
			return
		}
		have[0].Effective &^= 1 << unix.CAP_NET_RAW
		if err := unix.Capset(&header, &have[0]); err != nil {
			m.dialled = err
			return
		}
		_, m.dialled = DialRaw(context.Background(), protocol, transport.Bind{}, netip.MustParseAddr("127.0.0.1"), Options{})
		_, m.listened = ListenRaw(context.Background(), protocol, netip.MustParseAddr("::"), Options{})
	}()
	m := <-result
	for _, err := range []error{m.dialled, m.listened} {
		if !errors.Is(err, ErrNotAllowed) || !strings.Contains(err.Error(), "CAP_NET_RAW") {
			t.Errorf("without the right to: %v", err)
		}
	}
}

func TestRawAllocatesNothing(t *testing.T) {
	router, server := twoWANs(t)
	for _, test := range []struct{ at, to string }{{"0.0.0.0", "10.0.0.1"}, {"::", "2001:db8:0::1"}} {
		at := listenRaw(t, server, test.at)
		s := dialRaw(t, router, transport.Bind{Device: "wan0"}, test.to)
		out, in := make([]transport.Message, 10), make([]transport.Message, 64)
		for i := range in {
			in[i].Buf = make([]byte, 1500)
		}
		for i := range out {
			out[i].Buf = make([]byte, 1000)
		}
		perRound := testing.AllocsPerRun(200, func() {
			mustSend(t, s, out)
			for got := 0; got < len(out); {
				n, err := at.Receive(in)
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
			for i := range out {
				in[i].Remote, in[i].Local = in[0].Remote, in[0].Local
			}
		})
		if perRound != 0 {
			t.Errorf("to %s: %v allocations for %d messages", test.to, perRound, len(out))
		}
	}
}

// Beside BenchmarkSend and BenchmarkReceive, whose Batches are the like of it.
func BenchmarkRawSend(b *testing.B) {
	benchmarkRaw(b, func(sending, _ float64) float64 { return sending })
}
func BenchmarkRawReceive(b *testing.B) {
	benchmarkRaw(b, func(_, receiving float64) float64 { return receiving })
}

func benchmarkRaw(b *testing.B, figure func(sending, receiving float64) float64) {
	if os.Geteuid() != 0 {
		b.Skip("network namespaces need root")
	}
	n := newNamespace(b, "raw")
	listening := listenRaw(b, n, "127.0.0.1")
	dialled := dialRaw(b, n, transport.Bind{Addr: netip.MustParseAddr("127.0.0.2")}, "127.0.0.1")
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(size), func(b *testing.B) { move(b, dialled, listening, size, figure) })
	}
}
