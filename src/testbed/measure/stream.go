//go:build linux

package measure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/netns"
)

// Stream is one TCP flow that sends as fast as it can until it is closed,
// and whose receiver remembers how much came when.
type Stream struct {
	sender, receiver *net.TCPConn
	start            time.Time
	done             sync.WaitGroup

	mu     sync.Mutex
	bins   []int64 // bytes received in each Bin since start
	broken error   // the connection ended by itself
	closed bool
}

// Bin is the resolution of a Stream's memory.
const Bin = 20 * time.Millisecond

// StartStream connects client to the server at addr and starts the flow, with the
// test's direction, device and congestion control.
func StartStream(ctx context.Context, client, server *netns.Namespace, addr netip.Addr, port uint16, t TCPTest) (*Stream, error) {
	s, err := connect(ctx, client, server, netip.AddrPortFrom(addr, port), t)
	if err == nil {
		s.begin()
	}
	return s, err
}

// connect makes a stream that does not flow yet, with the test's direction, device
// and congestion control.
func connect(ctx context.Context, client, server *netns.Namespace, to netip.AddrPort, t TCPTest) (*Stream, error) {
	congestion := cmp.Or(t.Congestion, Cubic)
	prepare := func(device string) func(_, _ string, raw syscall.RawConn) error {
		return func(_, _ string, raw syscall.RawConn) (err error) {
			e := raw.Control(func(fd uintptr) {
				if err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, congestion); err != nil {
					err = fmt.Errorf("congestion control %q: %w: modprobe tcp_%s?", congestion, err, congestion)
				}
				if device != "" {
					err = errors.Join(err, unix.BindToDevice(int(fd), device))
				}
			})
			return errors.Join(e, err)
		}
	}
	var listener net.Listener
	err := server.Do(func() (err error) {
		lc := net.ListenConfig{Control: prepare("")}
		listener, err = lc.Listen(ctx, "tcp", netip.AddrPortFrom(unspecified(to.Addr()), to.Port()).String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	defer listener.Close()
	var here net.Conn
	err = client.Do(func() (err error) {
		d := net.Dialer{Control: prepare(t.Device), Timeout: 10 * time.Second, KeepAlive: -1}
		here, err = d.DialContext(ctx, "tcp", to.String())
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	listener.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	there, err := listener.Accept()
	if err != nil {
		here.Close()
		return nil, fmt.Errorf("stream: %w", err)
	}
	s := &Stream{sender: here.(*net.TCPConn), receiver: there.(*net.TCPConn)}
	if t.Down {
		s.sender, s.receiver = s.receiver, s.sender
	}
	if err := uses(s.sender, congestion); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// begin lets it flow.
func (s *Stream) begin() {
	s.start = time.Now()
	s.done.Add(2)
	go s.send()
	go s.receive()
}

// Now is the stream's time.
func (s *Stream) Now() time.Duration { return time.Since(s.start) }

// Broken says why the connection ended by itself, if it did.
func (s *Stream) Broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// Rate is the payload received from one moment of the stream to another, bit/s.
func (s *Stream) Rate(from, to time.Duration) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	first, last := int(from/Bin), int(to/Bin)
	var bytes int64
	for i := first; i < last && i < len(s.bins); i++ {
		bytes += s.bins[i]
	}
	return float64(bytes) * 8 / (time.Duration(last-first) * Bin).Seconds()
}

// Series is the rate in every step from the start to end, bit/s. The step is
// a multiple of Bin.
func (s *Stream) Series(end, step time.Duration) (rates []float64) {
	for at := time.Duration(0); at+step <= end; at += step {
		rates = append(rates, s.Rate(at, at+step))
	}
	return rates
}

// Below is the longest time between two moments during which the rate, each
// time over a window that follows, stays below limit (bit/s).
func (s *Stream) Below(from, to, window time.Duration, limit float64) (longest time.Duration) {
	run := time.Duration(0)
	for at := from; at+window <= to; at += Bin {
		if s.Rate(at, at+window) >= limit {
			run = 0
			continue
		}
		run += Bin
		longest = max(longest, run)
	}
	return longest
}

// Silence is the longest silence of the receiver between two moments, and when it began.
func (s *Stream) Silence(from, to time.Duration) (longest, began time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := time.Duration(0)
	for i := int(from / Bin); i < int(to/Bin); i++ {
		if i < len(s.bins) && s.bins[i] > 0 {
			run = 0
			continue
		}
		if run += Bin; run > longest {
			longest, began = run, time.Duration(i+1)*Bin-run
		}
	}
	return longest, began
}

// Close ends the flow.
func (s *Stream) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	// Reset it: what is on its way must not linger into the next test.
	s.sender.SetLinger(0)
	s.sender.Close()
	s.receiver.SetLinger(0)
	s.receiver.Close()
	s.done.Wait()
}

func (s *Stream) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed && s.broken == nil {
		s.broken = err
	}
}

func (s *Stream) send() {
	defer s.done.Done()
	buf := make([]byte, 32<<10)
	for {
		if _, err := s.sender.Write(buf); err != nil {
			s.end(fmt.Errorf("sender: %w", err))
			return
		}
	}
}

func (s *Stream) receive() {
	defer s.done.Done()
	buf := make([]byte, 64<<10)
	for {
		n, err := s.receiver.Read(buf)
		if err != nil {
			s.end(fmt.Errorf("receiver: %w", err))
			return
		}
		bin := int(s.Now() / Bin)
		s.mu.Lock()
		for len(s.bins) <= bin {
			s.bins = append(s.bins, 0)
		}
		s.bins[bin] += int64(n)
		s.mu.Unlock()
	}
}

// uses is an error unless a connection has a congestion control.
func uses(conn *net.TCPConn, congestion string) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var name string
	if e := raw.Control(func(fd uintptr) {
		name, err = unix.GetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION)
	}); e != nil || err != nil {
		return errors.Join(e, err)
	}
	if name != congestion {
		return fmt.Errorf("stream: the sender uses %q, not %q", name, congestion)
	}
	return nil
}
