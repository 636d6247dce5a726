//go:build linux

package measure

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/netns"
)

// Blast is datagrams at an even rate, as many as a system bears: what Call
// cannot send, which keeps each datagram's fate.
type Blast struct {
	client, server *netns.Namespace
	addr           netip.Addr
	Size           int           // payload bytes, at least 4
	Down           bool          // from the server to the client
	For            time.Duration // of each rate that is tried
	Warm           time.Duration // before it, at the same rate and not counted
	Rest           time.Duration // after it, until what is late is lost
}

// NewBlast is a blast between two machines, of which addr is the server's address.
func NewBlast(client, server *netns.Namespace, addr netip.Addr) Blast {
	return Blast{client: client, server: server, addr: addr, Size: 64, For: 500 * time.Millisecond, Warm: 200 * time.Millisecond, Rest: 100 * time.Millisecond}
}

// BlastResult is what came of one rate.
type BlastResult struct{ Sent, Received int }

// Loss is the part of the datagrams that was lost, 0…1.
func (r BlastResult) Loss() float64 {
	return 1 - float64(r.Received)/float64(max(r.Sent, 1))
}

// blastPort is where the receiver waits, blastBatch how many datagrams a
// system call sends or receives at most.
const (
	blastPort  = 5230
	blastBatch = 64
)

// Search finds the highest rate, in datagrams a second, of which less than
// limit (0…1) is lost, to within a fifteenth. It begins at the rate given. 0: every rate loses more.
func (b Blast) Search(ctx context.Context, limit, begin float64) (best float64, err error) {
	low, high := 0.0, 0.0 // the highest rate that was borne, the lowest that was not
	for rate := begin; rate > 1000; {
		borne, err := b.bears(ctx, rate, limit)
		if err != nil {
			return 0, err
		}
		if borne > 0 {
			low = borne
			if borne < rate*0.95 {
				return low, nil // the sender gave all it could
			}
		} else {
			high = rate
		}
		switch {
		case high == 0:
			rate = low * 1.5
		case low == 0:
			rate = high / 1.5
		case high/low < 1+1/15.:
			return low, nil
		default:
			rate = (low + high) / 2
		}
	}
	return low, nil
}

// bears returns the rate that was sent, if less than limit of it was lost, or 0. A near miss
// is tried again: the host may have had other work for a moment.
func (b Blast) bears(ctx context.Context, rate, limit float64) (float64, error) {
	for range 2 {
		r, err := b.Run(ctx, rate)
		if err != nil {
			return 0, err
		}
		if r.Loss() < limit {
			return float64(r.Sent) / b.For.Seconds(), nil
		}
		if r.Loss() > 20*limit {
			break
		}
	}
	return 0, nil
}

// Run sends at a rate, in datagrams a second, and counts what comes.
func (b Blast) Run(ctx context.Context, rate float64) (r BlastResult, err error) {
	server, client := -1, -1
	defer func() {
		for _, fd := range []int{server, client} {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	}()
	if server, err = datagramSocket(b.server); err != nil {
		return r, err
	}
	if err = unix.Bind(server, &unix.SockaddrInet4{Port: blastPort, Addr: b.addr.As4()}); err != nil {
		return r, fmt.Errorf("blast: %w", err)
	}
	if client, err = datagramSocket(b.client); err != nil {
		return r, err
	}
	if err = unix.Connect(client, &unix.SockaddrInet4{Port: blastPort, Addr: b.addr.As4()}); err != nil {
		return r, fmt.Errorf("blast: %w", err)
	}
	from, to := client, server
	if b.Down {
		// The server answers whoever is connected, by way of no NAT.
		name, err := unix.Getsockname(client)
		if err == nil {
			err = unix.Connect(server, name)
		}
		if err != nil {
			return r, fmt.Errorf("blast: %w", err)
		}
		from, to = server, client
	}
	timeout := unix.NsecToTimeval(int64(b.Rest))
	if err = unix.SetsockoptTimeval(to, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout); err != nil {
		return r, fmt.Errorf("blast: %w", err)
	}
	done := make(chan struct{})
	var receiving sync.WaitGroup
	receiving.Go(func() { r.Received = b.receive(to, done) })
	r.Sent, err = b.send(ctx, from, rate)
	close(done)
	receiving.Wait()
	return r, err
}

// datagramSocket makes a UDP socket in a namespace, with room for what comes while
// its reader waits for a processor.
func datagramSocket(on *netns.Namespace) (fd int, err error) {
	err = on.Do(func() (err error) {
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		return errors.Join(
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20))
	})
	if err != nil {
		return -1, fmt.Errorf("blast: %w", err)
	}
	return fd, nil
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

// messages are the arguments of sendmmsg or recvmmsg; all share one buffer.
func messages(buf []byte) []message {
	iov := &unix.Iovec{Base: &buf[0]}
	iov.SetLen(len(buf))
	m := make([]message, blastBatch)
	for i := range m {
		m[i].header.Iov = iov
		m[i].header.SetIovlen(1)
	}
	return m
}

// transfer is sendmmsg or recvmmsg, interrupted or not.
func transfer(call uintptr, fd int, m []message, flags uintptr) (int, error) {
	for {
		n, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), flags, 0, 0)
		if errno == 0 {
			return int(n), nil
		}
		if errno != unix.EINTR {
			return 0, errno
		}
	}
}

// Each datagram begins with what it is: to be counted or not.
const (
	warming  = 0x77617201
	counting = 0x636e7401
)

// send sends until the time is over, in bursts of what 200 µs owe, and returns how many it
// counted. A datagram that its own host refuses counts as sent, and is lost.
func (b Blast) send(ctx context.Context, fd int, rate float64) (sent int, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, b.Size)
	m := messages(buf)
	for _, phase := range []struct {
		mark uint32
		long time.Duration
	}{{warming, b.Warm}, {counting, b.For}} {
		binary.BigEndian.PutUint32(buf, phase.mark)
		sent = 0
		for start := time.Now(); ; {
			at := time.Since(start)
			if at >= phase.long {
				break
			}
			if ctx.Err() != nil {
				return sent, context.Cause(ctx)
			}
			owed := int(rate*at.Seconds()) - sent
			if owed <= 0 {
				pause := unix.NsecToTimespec(int64(200 * time.Microsecond))
				_ = unix.Nanosleep(&pause, nil)
				continue
			}
			n, err := transfer(unix.SYS_SENDMMSG, fd, m[:min(owed, len(m))], 0)
			switch err {
			case nil:
				sent += n
			case unix.ENOBUFS, unix.EAGAIN:
				sent++
			default:
				return sent, fmt.Errorf("blast: sending: %w", err)
			}
		}
	}
	return sent, nil
}

// receive counts until the sender is done and nothing comes any more.
func (b Blast) receive(fd int, done <-chan struct{}) (received int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	m := messages(make([]byte, b.Size))
	// A buffer for each: the mark is in it.
	bufs := make([][4]byte, len(m))
	iovs := make([]unix.Iovec, len(m))
	for i := range m {
		iovs[i].Base = &bufs[i][0]
		iovs[i].SetLen(4)
		m[i].header.Iov = &iovs[i]
	}
	for {
		n, err := transfer(unix.SYS_RECVMMSG, fd, m, unix.MSG_WAITFORONE)
		for i := range n {
			if binary.BigEndian.Uint32(bufs[i][:]) == counting {
				received++
			}
		}
		if err != nil {
			select {
			case <-done:
				return received
			default:
			}
		}
	}
}
