package linkwatch

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// maxListeners is how many FIBs are listened to at most, the first ones: far
	// more than a host has ways out.
	maxListeners = 256
	// room is for how many bytes of messages a socket is to have, against bursts.
	// The kernel counts each with its overhead.
	room = 128 << 10
	// longest is more than a message has, in bytes: the kernel makes each in one
	// cluster of 2 KiB.
	longest = 4 << 10

	fionread = 0x4004667f // FIONREAD: how many bytes wait
)

// Watch reports what changes from now on, until ctx is done; then it closes
// the channel. It hears of the default routes of the FIBs that are there now.
// Events are coalesced while the reader is slow, so that it never holds up the
// kernel and costs bounded memory: of equal events one remains, of too many a
// Resync.
func Watch(ctx context.Context) (<-chan Event, error) {
	fibs, err := FIBs()
	if err != nil {
		return nil, fmt.Errorf("watching links: %w", err)
	}
	box := newOutbox()
	f := newFollower(listInterfaces)
	var listeners []*listener
	for fib := range min(fibs, maxListeners) {
		l, err := listen(fib, f)
		if err != nil {
			for _, l := range listeners {
				l.socket.Close()
			}
			return nil, fmt.Errorf("watching links: %w", err)
		}
		listeners = append(listeners, l)
	}
	// After subscribing, so that nothing falls between; and silently.
	f.learn()
	f.emit = box.add
	context.AfterFunc(ctx, func() {
		for _, l := range listeners {
			l.socket.Close()
		}
	})
	for _, l := range listeners {
		go l.receive()
	}
	events := make(chan Event)
	go box.deliver(ctx, events)
	return events, nil
}

// listener reads the messages of one FIB.
type listener struct {
	*follower
	socket *os.File
	fib    int
	size   int // of the receive buffer, in bytes
}

func listen(fib int, f *follower) (*listener, error) {
	fd, err := routingSocket(fib)
	if err != nil {
		return nil, err
	}
	// A kernel that grants less keeps what it had.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room)
	size, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("the buffer of a routing socket: %w", err)
	}
	return &listener{f, os.NewFile(uintptr(fd), "routing socket"), fib, size}, nil
}

// receive reads the socket until it is closed, and never waits for anything
// else.
func (l *listener) receive() {
	buf := make([]byte, longest)
	for {
		n, waiting, err := l.read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		l.heard(buf[:n], l.fib)
		if err != nil || overflowed(waiting, l.size) {
			l.lost()
		}
	}
}

// read reads one message. waiting is how many bytes of messages there were.
func (l *listener) read(buf []byte) (n, waiting int, err error) {
	raw, err := l.socket.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	failed := raw.Read(func(fd uintptr) bool {
		waiting, _ = unix.IoctlGetInt(int(fd), fionread)
		n, err = unix.Read(int(fd), buf)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	if failed != nil {
		err = failed
	}
	return max(n, 0), waiting, err
}
