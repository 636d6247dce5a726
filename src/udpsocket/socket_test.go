package udpsocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
	"netcombiner/src/tundevice/tuntest"
)

func TestMain(m *testing.M) {
	if err := tuntest.Loopback(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func loopback(t testing.TB, at string, o Options) (dialled, listening *Socket) {
	t.Helper()
	listening, err := Listen(context.Background(), netip.MustParseAddrPort(at), o)
	if err != nil {
		t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), listening.Local().Port())
	dialled, err = Dial(context.Background(), transport.Bind{}, to, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialled.Close(); listening.Close() })
	return dialled, listening
}

// ways are all in which a socket may work; the system decides about Offload.
var ways = map[string]Options{
	"Offload":         {},
	"Batches":         {NoOffload: true},
	"OffloadOneByOne": {OneByOne: true},
	"OneByOne":        {OneByOne: true, NoOffload: true},
}

func modes(t *testing.T, run func(t *testing.T, o Options)) {
	for name, o := range ways {
		t.Run(name, func(t *testing.T) { run(t, o) })
	}
}

// One Receive takes all that is there.
func TestReceiveDrains(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		dialled, listening := loopback(t, "[::]:0", o)
		ms := make([]transport.Message, 40)
		for i := range ms {
			ms[i].Buf = fmt.Appendf(nil, "message %d", i)
		}
		if _, err := dialled.Send(ms); err != nil {
			t.Fatal(err)
		}
		got := make([]transport.Message, Batch+10)
		for i := range got {
			got[i].Buf = make([]byte, 100)
		}
		// On the loopback interface a datagram has arrived when it is sent.
		n, err := listening.Receive(got)
		if n != len(ms) || err != nil {
			t.Fatalf("one Receive took %d, %v, of %d messages", n, err, len(ms))
		}
		for i := range ms {
			if !bytes.Equal(got[i].Buf[:got[i].N], ms[i].Buf) {
				t.Errorf("message %d came as %q", i, got[i].Buf[:got[i].N])
			}
		}
	})
}

// A peer whose port nobody listens at yet: ICMP errors end no Receive, and
// lose no message of a later batch.
func TestPortUnreachable(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		dialled, listening := loopback(t, "127.0.0.1:0", o)
		at := listening.Local()
		listening.Close()
		ended := make(chan error)
		go func() {
			_, err := dialled.Receive([]transport.Message{{Buf: make([]byte, 100)}})
			ended <- err
		}()
		for range 50 {
			n, err := dialled.Send([]transport.Message{{Buf: []byte("nobody")}, {Buf: []byte("home")}})
			if n != 2 || err != nil {
				t.Fatalf("Send: %d, %v", n, err)
			}
		}
		listening, err := Listen(context.Background(), at, o)
		if err != nil {
			t.Fatal(err)
		}
		defer listening.Close()
		// The last datagram's ICMP error is still on the socket.
		if _, err := dialled.Send([]transport.Message{{Buf: []byte("0")}, {Buf: []byte("1")}}); err != nil {
			t.Error(err)
		}
		for i := range 2 {
			if m := receiveOne(t, listening); string(m.Buf) != fmt.Sprint(i) {
				t.Errorf("instead of message %d came %q", i, m.Buf)
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("Receive ended: %v", err)
		default:
		}
		dialled.Close()
		if err := <-ended; !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Receive ended with %v, want ErrClosed", err)
		}
	})
}

func receiveOne(t *testing.T, s *Socket) transport.Message {
	t.Helper()
	ms := []transport.Message{{Buf: make([]byte, 100)}}
	if _, err := s.Receive(ms); err != nil {
		t.Fatal(err)
	}
	ms[0].Buf = ms[0].Buf[:ms[0].N]
	return ms[0]
}

// Messages that are left out leave no hole, and fit or go.
func TestHandUpClosesGaps(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		dialled, listening := loopback(t, "[::]:0", o)
		var ms []transport.Message
		for _, size := range []int{10, 200, 20, 60, 30} {
			ms = append(ms, transport.Message{Buf: bytes.Repeat([]byte{byte(size)}, size)})
		}
		if _, err := dialled.Send(ms); err != nil {
			t.Fatal(err)
		}
		got := make([]transport.Message, len(ms))
		for i, room := range []int{100, 50, 25, 100, 100} {
			got[i].Buf = make([]byte, room)
		}
		n, err := listening.Receive(got)
		if err != nil {
			t.Fatal(err)
		}
		// 200 was cut off; 20 moves into the Buf of 50; 60 does not fit into
		// that of 25; 30 neither.
		var sizes []int
		for _, m := range got[:n] {
			sizes = append(sizes, m.N)
			for _, b := range m.Buf[:m.N] {
				if int(b) != m.N {
					t.Fatalf("a message of %d bytes holds byte %d", m.N, b)
				}
			}
		}
		if fmt.Sprint(sizes) != "[10 20]" {
			t.Errorf("messages of %v bytes were handed up, want [10 20]", sizes)
		}
	})
}

func TestBuffersAreRaised(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("without privilege the system's limit holds")
	}
	want := receiveBuffer
	if runtime.GOOS == "freebsd" {
		want = 1 << 20 // 8/9 of kern.ipc.maxsockbuf, 2 MiB where nobody has raised it, and a step down from that
	}
	dialled, listening := loopback(t, "[::]:0", Options{})
	for _, s := range []*Socket{dialled, listening} {
		_ = s.raw.Control(func(fd uintptr) {
			got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
			if err != nil || got < want {
				t.Errorf("the receive buffer holds %d bytes, %v, want %d", got, err, want)
			}
		})
	}
}

// The hot path makes no garbage.
func TestNoAllocation(t *testing.T) {
	modes(t, func(t *testing.T, o Options) {
		dialled, listening := loopback(t, "[::]:0", o)
		out, in := messages(32, 1400), messages(Batch, 2000)
		var answers []transport.Message
		perRound := testing.AllocsPerRun(200, func() {
			if _, err := dialled.Send(out); err != nil {
				t.Fatal(err)
			}
			n, err := listening.Receive(in)
			if err != nil {
				t.Fatal(err)
			}
			// And back, by the unconnected socket's way.
			answers = append(answers[:0], in[:n]...)
			for i := range answers {
				answers[i].Buf = answers[i].Buf[:answers[i].N]
			}
			if _, err := listening.Send(answers); err != nil {
				t.Fatal(err)
			}
			if _, err := dialled.Receive(in); err != nil {
				t.Fatal(err)
			}
		})
		if perRound != 0 {
			t.Errorf("a round trip of 32 messages allocates %v times", perRound)
		}
	})
}

func messages(n, size int) []transport.Message {
	ms := make([]transport.Message, n)
	for i := range ms {
		ms[i].Buf = make([]byte, size)
	}
	return ms
}

// BenchmarkSend and BenchmarkReceive move batches of datagrams of 1400 bytes over
// the loopback interface; the figures are for one of them. To send there is
// also to deliver.
func BenchmarkSend(b *testing.B) { benchmark(b, func(sending, _ float64) float64 { return sending }) }
func BenchmarkReceive(b *testing.B) {
	benchmark(b, func(_, receiving float64) float64 { return receiving })
}

func benchmark(b *testing.B, figure func(sending, receiving float64) float64) {
	for _, way := range []string{"Offload", "Batches", "OneByOne"} {
		for _, size := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("%s/%d", way, size), func(b *testing.B) {
				dialled, listening := loopback(b, "[::]:0", ways[way])
				move(b, dialled, listening, size, figure)
			})
		}
	}
}

// move sends b.N messages in batches of size, and receives them.
func move(b *testing.B, dialled, listening *Socket, size int, figure func(sending, receiving float64) float64) {
	out, in := messages(size, 1400), messages(Batch, 2000)
	b.SetBytes(1400)
	b.ReportAllocs()
	var sending, receiving stopwatch
	for i := 0; i < b.N; i += size {
		sending.start()
		if _, err := dialled.Send(out); err != nil {
			b.Fatal(err)
		}
		sending.stop()
		receiving.start()
		for got := 0; got < size; {
			n, err := listening.Receive(in)
			if err != nil {
				b.Fatal(err)
			}
			got += n
		}
		receiving.stop()
	}
	n := float64((b.N + size - 1) / size * size)
	b.ReportMetric(figure(sending.nanoseconds()/n, receiving.nanoseconds()/n), "ns/op")
}
