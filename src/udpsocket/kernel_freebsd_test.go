package udpsocket

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

// loMTU is what lo0 carries, in bytes.
const loMTU = 16384

// DF is on all that leaves, also on IPv4 answers of what listens at [::]: what the
// interface does not carry is refused, and harms nothing else.
func TestTooLongIsRefused(t *testing.T) {
	l, err := ListenAll(t.Context(), netip.MustParseAddrPort("[::]:0"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for host, headers := range map[string]int{"::1": 48, "127.0.0.1": 28} {
		i := slices.Index([]string{"::1", "127.0.0.1"}, host)
		at := l.sockets[i]
		s, err := Dial(t.Context(), transport.Bind{}, netip.AddrPortFrom(netip.MustParseAddr(host), l.Addr().Port()), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for who, from := range map[string]*Socket{"dialled": s, "listening": at} {
			ms := []transport.Message{{Buf: make([]byte, loMTU-headers+1)}, {Buf: make([]byte, loMTU-headers)}}
			for j := range ms {
				ms[j].Remote = s.Local()
			}
			n, err := from.Send(ms)
			if _, refused := errors.AsType[*transport.RefusedError](err); n != 2 || !refused || !errors.Is(err, unix.EMSGSIZE) {
				t.Errorf("%s at %s: %d, %v", who, host, n, err)
			}
			to := at
			if from == at {
				to = s
			}
			got := []transport.Message{{Buf: make([]byte, loMTU)}}
			if _, err := to.Receive(got); err != nil || got[0].N != loMTU-headers {
				t.Errorf("%s at %s: %d bytes came, %v", who, host, got[0].N, err)
			}
		}
	}
}

func fixed(table int) FIB {
	return func(context.Context, string, netip.Addr) (int, bool) { return table, true }
}

// A path that is bound to a WAN is told of the FIB that is not there.
func TestFIBThatIsNotThere(t *testing.T) {
	if n, err := unix.SysctlUint32("net.fibs"); err != nil || n > 200 {
		t.Skipf("net.fibs = %d, %v", n, err)
	}
	o := Options{FIB: fixed(200)}
	bind := transport.Bind{Device: "lo0"}
	to := netip.MustParseAddrPort("127.0.0.1:9")
	_, udp := Dial(t.Context(), bind, to, o)
	_, tcp := DialStream(t.Context(), bind, to, StreamOptions{FIB: o.FIB})
	_, raw := DialRaw(t.Context(), 253, bind, to.Addr(), o)
	_, any := Connect(t.Context(), "udp", bind, to, o.FIB)
	for what, err := range map[string]error{"udp": udp, "tcp": tcp, "raw": raw, "a question": any} {
		if err == nil || !strings.Contains(err.Error(), "cannot leave by FIB 200 (sysctl net.fibs says how many there are)") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s, err := Dial(t.Context(), transport.Bind{}, to, o); err != nil {
		t.Errorf("bound to no WAN: %v", err)
	} else {
		s.Close()
	}
}

// A connection's buffer grows with its window, and holds little more than that.
func TestStreamBufferFollowsTheWindow(t *testing.T) {
	l, err := ListenStream(t.Context(), netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := AcceptStream(l, StreamOptions{})
		if err == nil {
			_, _ = io.Copy(io.Discard, conn)
			conn.Close()
		}
	}()
	conn, err := DialStream(t.Context(), transport.Bind{}, netip.MustParseAddrPort(l.Addr().String()), StreamOptions{DeadAfter: 16 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	w, err := NewStreamWriter(conn)
	if err != nil {
		t.Fatal(err)
	}
	const limit = 64 << 10
	w.LimitUnsent(limit)
	raw, _ := conn.SyscallConn()
	look := func() (buffer, want int) {
		_ = raw.Control(func(fd uintptr) {
			buffer, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
			var b [tcpInfoSize]byte
			size := uint32(len(b))
			_, _, _ = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&b)), uintptr(unsafe.Pointer(&size)), 0)
			want = bufferFor(b[:], limit)
		})
		return buffer, want
	}
	first, _ := look()
	piece := make([]byte, 32<<10)
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); {
		w.Add(piece)
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * unsentEvery)
	w.Add(piece[:1])
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	last, want := look()
	t.Logf("a buffer of %d bytes, then %d; %d would be as the window is now", first, last, want)
	if first > 128<<10 || last <= first || last < want/2 || last > want*2 {
		t.Errorf("a buffer of %d bytes, then %d; want it to grow to about %d", first, last, want)
	}
}
