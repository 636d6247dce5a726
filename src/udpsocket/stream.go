package udpsocket

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

// StreamOptions are what package tcp sets on a connection.
type StreamOptions struct {
	// DeadAfter is how long sent bytes may go unacknowledged, or an idle
	// connection's probes unanswered, until the kernel gives it up.
	DeadAfter time.Duration
	// Congestion is the congestion control's name, such as "cubic" or "bbr".
	// Empty leaves the system's default.
	Congestion string
	// FIB, if not nil, is asked by a dial that is bound to a WAN; see FIB.
	FIB FIB
}

// DialStream connects to remote by the way out that bind names, waiting until
// ctx ends.
func DialStream(ctx context.Context, bind transport.Bind, remote netip.AddrPort, o StreamOptions) (*net.TCPConn, error) {
	conn, err := connectBy(ctx, "tcp", bind, remote, o.FIB, func(fd int, _ bool) error { return setStreamOptions(fd, o) })
	if err != nil {
		return nil, err
	}
	return keepAlive(conn.(*net.TCPConn), o), nil
}

// ListenStream listens at local for connections; on [::] for IPv4 ones too.
// AcceptStream takes them.
func ListenStream(ctx context.Context, local netip.AddrPort) (*net.TCPListener, error) {
	local = unmap(local)
	var config net.ListenConfig
	config.SetMultipathTCP(false) // package net's default; we do that job
	l, err := config.Listen(ctx, listenNetwork("tcp", local), local.String())
	if isWithoutIPv6(err, local) {
		return ListenStream(ctx, netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port()))
	}
	if err != nil {
		return nil, listenError("TCP", local, err)
	}
	return l.(*net.TCPListener), nil
}

// AcceptStream waits for the next connection.
func AcceptStream(l *net.TCPListener, o StreamOptions) (*net.TCPConn, error) {
	conn, err := l.AcceptTCP()
	if err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		err = control(raw, func(fd int) error { return setStreamOptions(fd, o) })
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return keepAlive(conn, o), nil
}

func keepAlive(conn *net.TCPConn, o StreamOptions) *net.TCPConn {
	// Half of the time in silence, then four questions. Where it fails, the
	// portal still finds out by itself.
	_ = conn.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: o.DeadAfter / 2, Interval: o.DeadAfter / 8, Count: 4})
	return conn
}

// StreamWriter gathers pieces of memory and writes them to a connection in one
// system call. It is not safe for concurrent use.
type StreamWriter struct {
	raw    syscall.RawConn
	step   func(fd uintptr) bool // writable, bound once
	header unix.Msghdr
	iovecs [2 * Batch]unix.Iovec
	next   int // iovecs[next:end] are still to be written
	end    int
	failed error
	unsent unsent
}

// NewStreamWriter returns a writer to conn.
func NewStreamWriter(conn *net.TCPConn) (*StreamWriter, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	w := &StreamWriter{raw: raw}
	w.step = w.writable
	return w, nil
}

// LimitUnsent bounds how many bytes the kernel takes before it has sent them:
// once there are n, Flush waits. A Flush that finds fewer is taken whole, but for
// FreeBSD, which knows no such bound: see unsent.
func (w *StreamWriter) LimitUnsent(n int) {
	w.unsent.limit = n
	_ = w.raw.Control(func(fd uintptr) { limitUnsent(int(fd), n) })
}

// Add appends piece, which must not change before Flush returned. At most
// 2*Batch pieces, none empty, go into one Flush.
func (w *StreamWriter) Add(piece []byte) {
	w.iovecs[w.end].Base = unsafe.SliceData(piece)
	w.iovecs[w.end].SetLen(len(piece))
	w.end++
}

// Flush writes what was added, waiting while the kernel has enough unsent. An
// error is transport.ErrClosed or means that the connection is broken; the
// pieces are forgotten either way.
func (w *StreamWriter) Flush() error {
	w.failed = nil
	if windowIsBuffered && w.unsent.stale(time.Now()) {
		w.LimitUnsent(w.unsent.limit)
	}
	err := w.raw.Write(w.step)
	w.next, w.end = 0, 0
	if err != nil {
		return closed(err)
	}
	return w.failed
}

func (w *StreamWriter) writable(fd uintptr) bool {
	for w.next < w.end {
		w.header.Iov = &w.iovecs[w.next]
		w.header.SetIovlen(w.end - w.next)
		n, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&w.header)), streamFlags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch errno {
		case 0:
			w.written(int(n))
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		default:
			w.failed = errno
			return true
		}
	}
	return true
}

// written takes the first n bytes off what is still to be written.
func (w *StreamWriter) written(n int) {
	for w.next < w.end {
		v := &w.iovecs[w.next]
		if n < int(v.Len) {
			v.Base = (*byte)(unsafe.Add(unsafe.Pointer(v.Base), n))
			v.SetLen(int(v.Len) - n)
			return
		}
		n -= int(v.Len)
		w.next++
	}
}

func setCongestion(fd int, name string) error {
	if name == "" {
		return nil
	}
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); err != nil {
		return fmt.Errorf("this system has no TCP congestion control %q: %w", name, err)
	}
	return nil
}

// Congestion returns the name of the congestion control that conn uses.
func Congestion(conn *net.TCPConn) string {
	var name string
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			name, _ = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
		})
	}
	return name
}
