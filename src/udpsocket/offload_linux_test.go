package udpsocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

// offloading returns a pair of sockets of which the one cuts and the other
// joins, on a system that can.
func offloading(t *testing.T, at string, o Options) (dialled, listening *Socket) {
	t.Helper()
	dialled, listening = loopback(t, at, o)
	if !dialled.out.cuts || listening.in.slab == nil {
		t.Skip("the kernel offers no UDP_SEGMENT or UDP_GRO, or spoils it")
	}
	return dialled, listening
}

// sized returns messages of these sizes, each of which says its number.
func sized(sizes ...int) []transport.Message {
	ms := make([]transport.Message, len(sizes))
	for i, size := range sizes {
		ms[i].Buf = bytes.Repeat([]byte{byte(i)}, size)
	}
	return ms
}

func repeat(size, n int) []int { return slices.Repeat([]int{size}, n) }

// What leaves the same way, in one length, leaves in one run.
func TestRuns(t *testing.T) {
	dialled, listening := offloading(t, "[::]:0", Options{})
	for _, test := range []struct {
		name  string
		sizes []int
		runs  []int // of how many messages
	}{
		{name: "one", sizes: []int{1400}, runs: []int{1}},
		{name: "equal", sizes: repeat(1000, 40), runs: []int{40}},
		{name: "a shorter one ends it", sizes: []int{900, 900, 70, 70, 70}, runs: []int{3, 2}},
		{name: "a longer one begins another", sizes: []int{900, 1000, 1000}, runs: []int{1, 2}},
		{name: "as long as a datagram can be", sizes: repeat(1400, 60), runs: []int{46, 14}},
		{name: "as many as the kernel takes", sizes: repeat(1, 64), runs: []int{64}},
		{name: "more than a batch", sizes: repeat(500, 70), runs: []int{6}}, // those of the last one
		{name: "an empty one divides", sizes: []int{500, 500, 0, 500, 500}, runs: []int{2, 2}},
	} {
		ms := sized(test.sizes...)
		n, err := dialled.Send(ms)
		if empty := slices.Contains(test.sizes, 0); n != len(ms) || (err != nil) != empty {
			t.Fatalf("%s: %d, %v", test.name, n, err)
		}
		var runs []int
		for _, r := range dialled.out.runs[:dialled.out.end] {
			runs = append(runs, r.count)
		}
		if !slices.Equal(runs, test.runs) {
			t.Errorf("%s: runs of %v messages, want %v", test.name, runs, test.runs)
		}
		receiveAll(t, listening, ms, 64)
	}
	if !dialled.out.cuts {
		t.Error("the kernel stopped cutting")
	}
}

// receiveAll expects ms but for its empty ones, in order, at most n at a time.
func receiveAll(t *testing.T, s *Socket, ms []transport.Message, n int) (came []transport.Message) {
	t.Helper()
	for i := 0; i < len(ms); {
		got := messages(n, 2000)
		count, err := s.Receive(got)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range got[:count] {
			for len(ms[i].Buf) == 0 {
				i++
			}
			if !bytes.Equal(m.Buf[:m.N], ms[i].Buf) {
				t.Fatalf("instead of message %d, of %d bytes, came one of %d", i, len(ms[i].Buf), m.N)
			}
			i++
		}
		came = append(came, got[:count]...)
	}
	return came
}

// A run never mixes what goes to different remotes, or from different addresses.
func TestRunsGoOneWay(t *testing.T) {
	first, listening := offloading(t, "[::]:0", Options{})
	second, err := Dial(context.Background(), transport.Bind{Addr: netip.MustParseAddr("127.0.0.2")},
		netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), listening.Local().Port()), Options{})
	check(t, err)
	defer second.Close()
	ms := sized(repeat(100, 12)...)
	for i := range ms {
		to := []*Socket{first, first, second, second, first}[i%5]
		ms[i].Remote, ms[i].Local = to.Local(), to.Remote()
	}
	// Somebody bound to another address takes nothing from this one.
	ms[11].Local = netip.MustParseAddrPort("127.0.0.3:0")
	mustSend(t, listening, ms)
	var runs []int
	for _, r := range listening.out.runs[:listening.out.end] {
		runs = append(runs, r.count)
	}
	if want := []int{2, 2, 3, 2, 2, 1}; !slices.Equal(runs, want) {
		t.Errorf("runs of %v messages, want %v", runs, want)
	}
	for s, numbers := range map[*Socket][]int{first: {0, 1, 4, 5, 6, 9, 10}, second: {2, 3, 7, 8}} {
		var want []transport.Message
		for _, i := range numbers {
			want = append(want, ms[i])
		}
		for _, m := range receiveAll(t, s, want, 64) {
			if m.Remote != s.Remote() || m.Local != s.Local() {
				t.Errorf("from %v to %v, want %v to %v", m.Remote, m.Local, s.Remote(), s.Local())
			}
		}
	}
}

// What does not fit in a Receive's messages is the next one's, without the
// kernel: here the socket is closed meanwhile.
func TestLeftOverIsHandedUp(t *testing.T) {
	dialled, listening := offloading(t, "[::]:0", Options{})
	ms := sized(append(repeat(1000, 30), 10, 9, 8)...)
	mustSend(t, dialled, ms)
	receiveAll(t, listening, ms[:5], 5)
	if listening.in.got != 2 {
		t.Errorf("two runs came in %d pieces", listening.in.got)
	}
	listening.Close()
	for i, m := range receiveAll(t, listening, ms[5:], 5) {
		if m.Remote != dialled.Local() || m.Local != dialled.Remote() {
			t.Errorf("message %d came from %v to %v", i, m.Remote, m.Local)
		}
	}
	if _, err := listening.Receive(ms); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("then %v, want ErrClosed", err)
	}
}

// Messages too long for their Bufs are dropped out of the middle.
func TestJoinedTooLong(t *testing.T) {
	dialled, listening := offloading(t, "127.0.0.1:0", Options{})
	mustSend(t, dialled, sized(append(repeat(900, 10), 100)...))
	mustSend(t, dialled, sized(50))
	ms := messages(20, 500)
	n, err := listening.Receive(ms)
	if err != nil || n != 2 || ms[0].N != 100 || ms[1].N != 50 {
		t.Errorf("%d messages, of %d and %d bytes, %v; want 100 and 50", n, ms[0].N, ms[1].N, err)
	}
}

// A kernel that refuses every run is found out, once, and no message is lost:
// this one does, where a socket has no checksums.
func TestKernelThatCannotCut(t *testing.T) {
	var told []string
	dialled, listening := offloading(t, "0.0.0.0:0", Options{Report: func(why string) { told = append(told, why) }})
	check(t, control(dialled.raw, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1) }))
	ms := sized(append(repeat(1000, 10), 900, 900, 900, 20)...)
	for range 3 {
		mustSend(t, dialled, ms)
		receiveAll(t, listening, ms, 64)
	}
	if len(told) != 1 || dialled.out.cuts {
		t.Errorf("told %q, want one reason", told)
	}
}

// A probe too long for the interface is refused by itself: what follows it in
// its run arrives, and the kernel still cuts.
func TestRefusedProbeSpoilsNoRun(t *testing.T) {
	router, server := twoWANs(t)
	at, listening := listen(t, router, "[::]:4725"), listen(t, server, "[::]:4725")
	for _, test := range []struct{ from, to string }{ // not what the server's kernel would choose
		{"203.0.113.1", "10.0.0.2:4725"},
		{"2001:db8:ff::1", "[2001:db8:0::2]:4725"},
	} {
		from := netip.MustParseAddr(test.from)
		for _, s := range []*Socket{dial(t, server, transport.Bind{Addr: from}, test.to), listening} {
			if !s.out.cuts {
				t.Skip("the kernel does not cut")
			}
			ms := sized(1473, 1000, 1000, 1000, 1473, 1473, 1000)
			for i := range ms {
				ms[i].Remote, ms[i].Local = netip.MustParseAddrPort(test.to), netip.AddrPortFrom(from, 4725)
			}
			n, err := s.Send(ms)
			wantRefused(t, n, err, ms, unix.EMSGSIZE)
			for _, m := range receiveAll(t, at, []transport.Message{ms[1], ms[2], ms[3], ms[6]}, 64) {
				if m.Remote.Addr() != from {
					t.Errorf("came from %v, not %v", m.Remote, from)
				}
			}
			if !s.out.cuts {
				t.Error("the kernel is no longer asked to cut")
			}
		}
	}
}

// Over a cable between two hosts, whoever cuts and whoever joins.
func TestOffloadOverAVeth(t *testing.T) {
	router, server := twoWANs(t)
	for _, joins := range []bool{true, false} {
		for _, cuts := range []bool{true, false} {
			for _, to := range []string{"10.0.0.1:4725", "[2001:db8:0::1]:4725"} {
				t.Run(fmt.Sprintf("cuts=%v/joins=%v/%s", cuts, joins, to), func(t *testing.T) {
					var at, s *Socket
					check(t, server.Do(func() (err error) {
						at, err = Listen(context.Background(), netip.MustParseAddrPort("[::]:4725"), Options{NoOffload: !joins})
						return err
					}))
					defer at.Close()
					check(t, router.Do(func() (err error) {
						s, err = Dial(context.Background(), transport.Bind{Device: "wan0"}, netip.MustParseAddrPort(to), Options{NoOffload: !cuts})
						return err
					}))
					defer s.Close()
					ms := sized(slices.Concat(repeat(1400, 64), repeat(1452, 100), []int{1300, 40}, repeat(41, 20))...)
					mustSend(t, s, ms)
					for _, m := range receiveAll(t, at, ms, 7) {
						if m.Remote != s.Local() || m.Local != s.Remote() {
							t.Fatalf("came from %v to %v, sent from %v to %v", m.Remote, m.Local, s.Local(), s.Remote())
						}
					}
				})
			}
		}
	}
}
