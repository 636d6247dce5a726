package linkwatch

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Watch reports what changes from now on, until ctx is done; then it closes
// the channel. Events are coalesced while the reader is slow, so that it never
// holds up the kernel and costs bounded memory: of equal events one remains,
// of too many a Resync.
func Watch(ctx context.Context) (<-chan Event, error) {
	socket, err := subscribe(unix.NETLINK_ROUTE, unix.RTMGRP_LINK|unix.RTMGRP_IPV4_IFADDR|unix.RTMGRP_IPV6_IFADDR|
		unix.RTMGRP_IPV4_ROUTE|unix.RTMGRP_IPV6_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("watching links: %w", err)
	}
	w := &watcher{outbox: newOutbox(), socket: socket}
	// After subscribing, so that nothing falls between.
	if err := w.learn(); err != nil {
		socket.Close()
		return nil, fmt.Errorf("watching links: %w", err)
	}
	events := make(chan Event)
	context.AfterFunc(ctx, func() { socket.Close() })
	go w.receive()
	go w.deliver(ctx, events)
	return events, nil
}

type watcher struct {
	*outbox
	socket *os.File
	decode decoder // receive's own
}

// subscribe opens a netlink socket in the caller's network namespace.
func subscribe(protocol int, groups uint32) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "netlink"), nil
}

// ask requests all links; the answer comes among the events.
func (w *watcher) ask() error {
	w.decode.links = map[int32]link{}
	request := make([]byte, unix.NLMSG_HDRLEN+unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], unix.RTM_GETLINK)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	_, err := w.socket.Write(request)
	return err
}

// learn asks for all links and waits for the answer.
func (w *watcher) learn() error {
	if err := w.ask(); err != nil {
		return err
	}
	buf := make([]byte, bufferSize)
	for done := false; !done; {
		n, err := w.socket.Read(buf)
		if err != nil {
			return err
		}
		w.decode.decode(buf[:n], func(Event) {})
		eachMessage(buf[:n], func(kind uint16, body []byte) {
			switch kind {
			case unix.NLMSG_DONE:
				done = true
			case unix.NLMSG_ERROR:
				err = errors.New("the kernel refused to list the links")
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bufferSize is more than the kernel puts in a datagram, in bytes.
const bufferSize = 64 << 10

// receive reads the socket until it is closed, and never waits for anything
// else.
func (w *watcher) receive() {
	buf := make([]byte, bufferSize)
	for {
		n, err := w.socket.Read(buf)
		switch {
		case errors.Is(err, unix.ENOBUFS):
			// The kernel threw events away, so what we know of the links is
			// old. The answer will come as events of links that are up.
			w.add(Event{Kind: Resync})
			if err := w.ask(); err != nil {
				return
			}
		case err != nil:
			return
		case !w.decode.decode(buf[:n], w.add):
			w.add(Event{Kind: Resync})
		}
	}
}
