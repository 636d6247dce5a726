package tcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"netcombiner/src/transport"
	"netcombiner/src/udpsocket"
)

var (
	errEmpty   = errors.New("an empty message")
	errTooLong = fmt.Errorf("a message longer than %d bytes", transport.MaxMessage)
)

// flow is one connection.
type flow struct {
	conn          *net.TCPConn
	local, remote netip.AddrPort

	listener *Listener   // that accepted it, or nil
	expiry   *time.Timer // ends a stranger; set by Listener.admit
	trusted  atomic.Bool // dialled or authenticated
	once     sync.Once
	closeErr error

	in deframer

	mu      sync.Mutex // Send's, taken once a batch
	writer  *udpsocket.StreamWriter
	prefix  [udpsocket.Batch][prefixSize]byte
	backlog backlog
}

var _ transport.Authenticator = (*flow)(nil)

// newFlow takes over conn, which was accepted by l, or dialled if l is nil.
func newFlow(conn *net.TCPConn, l *Listener) (*flow, error) {
	w, err := udpsocket.NewStreamWriter(conn)
	if err != nil {
		conn.Close()
		return nil, err
	}
	f := &flow{conn: conn, local: address(conn.LocalAddr()), remote: address(conn.RemoteAddr()), listener: l, writer: w, backlog: newBacklog(time.Now())}
	w.LimitUnsent(f.backlog.bytes)
	f.trusted.Store(l == nil)
	return f, nil
}

func address(a net.Addr) netip.AddrPort {
	ap := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

func (f *flow) Local() netip.AddrPort  { return f.local }
func (f *flow) Remote() netip.AddrPort { return f.remote }

// Receive copies whole messages from the connection's buffer to the Bufs of ms,
// after one read from the system where the buffer holds none. A length of 0, or
// over MaxMessage, closes the connection; of a stranger's first message one
// that is over 4 KiB does.
func (f *flow) Receive(ms []transport.Message) (int, error) {
	if len(ms) == 0 {
		return 0, nil
	}
	for {
		size := strangerBuffer
		if f.trusted.Load() {
			size = fullBuffer
		}
		n, err := f.in.take(ms, size-prefixSize)
		if err != nil {
			return 0, f.fail("breaks the protocol", err)
		}
		if n > 0 {
			for i := range ms[:n] {
				ms[i].Remote, ms[i].Local = f.remote, f.local
			}
			return n, nil
		}
		got, err := f.conn.Read(f.in.room(size))
		f.in.read(got)
		if got == 0 && err != nil {
			if err == io.EOF {
				return 0, f.fail("closed the connection", err)
			}
			return 0, f.fail("is lost", err)
		}
	}
}

// Send writes ms straight from their Bufs, in few system calls. It waits while
// the system holds more unsent than leaves within about 5 ms; see backlog.
func (f *flow) Send(ms []transport.Message) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var refused error
	total := 0
	for done := 0; done < len(ms); {
		begun, bytes := done, 0
		for n := 0; n < udpsocket.Batch && done < len(ms); done++ {
			buf := ms[done].Buf
			if len(buf) == 0 {
				refused = errEmpty
				continue
			}
			if len(buf) > transport.MaxMessage {
				refused = errTooLong
				continue
			}
			if n > 0 && bytes+prefixSize+len(buf) > f.backlog.bytes {
				break
			}
			binary.BigEndian.PutUint32(f.prefix[n][:], uint32(len(buf)))
			f.writer.Add(f.prefix[n][:])
			f.writer.Add(buf)
			bytes += prefixSize + len(buf)
			n++
		}
		if err := f.writer.Flush(); err != nil {
			return begun, f.fail("is lost", err)
		}
		total += bytes
	}
	if f.backlog.add(total, time.Now()) {
		f.writer.LimitUnsent(f.backlog.bytes)
	}
	if refused != nil {
		return len(ms), &transport.RefusedError{Err: refused}
	}
	return len(ms), nil
}

// fail closes the flow and says why its call ended.
func (f *flow) fail(what string, err error) error {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, transport.ErrClosed) {
		return transport.ErrClosed
	}
	f.Close()
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // our own words name the addresses
	}
	return fmt.Errorf("tcp peer %v %s: %w", f.remote, what, err)
}

// Authenticated says that a message of the flow passed its MAC: it may stay,
// and its messages may be of any length from the next Receive on.
func (f *flow) Authenticated() {
	if f.listener != nil && f.listener.forget(f) {
		f.trusted.Store(true)
	}
}

// Congestion returns the name of the system's congestion control in use.
func (f *flow) Congestion() string { return udpsocket.Congestion(f.conn) }

// Close ends both directions. What the system has not sent yet it sends still,
// as long as the other end acknowledges.
func (f *flow) Close() error {
	f.once.Do(func() {
		if f.listener != nil {
			f.listener.forget(f)
		}
		f.closeErr = f.conn.Close()
	})
	return f.closeErr
}

// reject closes a stranger at once and for good: the system remembers nothing.
func (f *flow) reject() {
	_ = f.conn.SetLinger(0)
	f.Close()
}
