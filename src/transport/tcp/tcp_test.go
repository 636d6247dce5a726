package tcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"go.uber.org/goleak"

	"netcombiner/src/transport"
	"netcombiner/src/transport/transporttest"
	"netcombiner/src/tundevice/tuntest"
)

func TestMain(m *testing.M) {
	var sources []netip.Prefix
	for _, a := range []string{"127.0.0.2/32", "127.0.0.3/32", "127.0.0.4/32", "127.0.0.9/32", "127.0.0.66/32"} {
		sources = append(sources, netip.MustParsePrefix(a))
	}
	if err := tuntest.Loopback(sources...); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func TestContract(t *testing.T) {
	for _, test := range []struct{ name, at, from string }{
		{"IPv4", "127.0.0.1:0", ""},
		{"IPv4From", "127.0.0.1:0", "127.0.0.2"},
		{"IPv4Wildcard", "0.0.0.0:0", "127.0.0.3"},
		{"IPv6", "[::1]:0", ""},
		{"IPv6Wildcard", "[::]:0", "::1"},
		{"IPv4OnIPv6Wildcard", "[::]:0", "127.0.0.4"},
	} {
		t.Run(test.name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Setup {
				s := transporttest.Setup{
					Dialer: Transport{}, Listener: Transport{},
					At:      netip.MustParseAddrPort(test.at),
					Longest: transport.MaxMessage,
				}
				if test.from != "" {
					s.Bind.Addr = netip.MustParseAddr(test.from)
				}
				return s
			})
		})
	}
}

// listen returns a listener on the loopback interface.
func listen(t testing.TB) *Listener {
	t.Helper()
	l, err := Transport{}.Listen(context.Background(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*Listener)
}

// pair returns both ends of a connection.
func pair(t testing.TB, l *Listener) (dialled, accepted *flow) {
	t.Helper()
	return pairFrom(t, l, "127.0.0.1")
}

func pairFrom(t testing.TB, l *Listener, source string) (dialled, accepted *flow) {
	t.Helper()
	d, err := Transport{}.Dial(context.Background(), transport.Bind{Addr: netip.MustParseAddr(source)}, l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return d.(*flow), a.(*flow)
}

func messages(n, size int) []transport.Message {
	ms := make([]transport.Message, n)
	for i := range ms {
		ms[i].Buf = make([]byte, size)
	}
	return ms
}

func TestOverhead(t *testing.T) {
	for addr, want := range map[string]int{"192.0.2.1": 44, "::ffff:192.0.2.1": 44, "2001:db8::1": 64} {
		if got := (Transport{}).Overhead(netip.MustParseAddr(addr)); got != want {
			t.Errorf("Overhead(%s) = %d, want %d", addr, got, want)
		}
	}
}

func TestCongestionIsChosen(t *testing.T) {
	l := listen(t)
	name := "reno"
	if runtime.GOOS == "freebsd" { // which may have but one
		usual, err := Transport{}.Dial(context.Background(), transport.Bind{}, l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		name = usual.(*flow).Congestion()
		usual.Close()
	}
	f, err := Transport{Congestion: name}.Dial(context.Background(), transport.Bind{}, l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := f.(*flow).Congestion(); got != name {
		t.Errorf("the connection uses %q, want %s", got, name)
	}
	if _, err := (Transport{Congestion: "warp"}).Dial(context.Background(), transport.Bind{}, l.Addr()); err == nil {
		t.Error("a congestion control that does not exist was accepted")
	}
}

// The hot path makes no garbage.
func TestNoAllocation(t *testing.T) {
	dialled, accepted := pair(t, listen(t))
	accepted.Authenticated()
	out, in := messages(32, 1400), messages(64, 2000)
	receive := func(f *flow, n int) {
		for n > 0 {
			got, err := f.Receive(in)
			if err != nil {
				t.Fatal(err)
			}
			n -= got
		}
	}
	perRound := testing.AllocsPerRun(200, func() {
		if _, err := dialled.Send(out); err != nil {
			t.Fatal(err)
		}
		receive(accepted, len(out))
		if _, err := accepted.Send(out); err != nil {
			t.Fatal(err)
		}
		receive(dialled, len(out))
	})
	if perRound != 0 {
		t.Errorf("a round trip of 32 messages allocates %v times", perRound)
	}
}

// BenchmarkLoopback moves messages of 1400 bytes; ns/op is for one, both ends'
// work at the same time.
func BenchmarkLoopback(b *testing.B) {
	for _, size := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("Batch=%d", size), func(b *testing.B) {
			dialled, accepted := pair(b, listen(b))
			accepted.Authenticated()
			b.SetBytes(1400)
			b.ReportAllocs()
			sent := make(chan error, 1)
			go func() {
				out := messages(size, 1400)
				for i := 0; i < b.N; i += size {
					if _, err := dialled.Send(out); err != nil {
						sent <- err
						return
					}
				}
				sent <- nil
			}()
			in := messages(64, 2000)
			for got := 0; got < b.N; {
				n, err := accepted.Receive(in)
				if err != nil {
					b.Fatal(err)
				}
				got += n
			}
			if err := <-sent; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// A lost connection ends both calls with an error that names the peer.
func TestPeerCloses(t *testing.T) {
	dialled, accepted := pair(t, listen(t))
	accepted.Authenticated()
	dialled.Close()
	_, err := accepted.Receive(messages(1, 100))
	if err == nil || errors.Is(err, transport.ErrClosed) {
		t.Fatalf("Receive from a closed peer: %v", err)
	}
	if _, err := accepted.Send(messages(1, 100)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Send afterwards: %v, want ErrClosed", err)
	}
}
