// Package tcp carries messages over TCP connections, each with its length
// before it, in 32 bits, big-endian.
//
// A stranger here is a connection that was accepted and of which no message
// has passed its MAC yet. Strangers cost little and do not stay long: see
// Listener.
package tcp

import (
	"context"
	"net/netip"
	"time"

	"netcombiner/src/transport"
	"netcombiner/src/udpsocket"
)

const (
	// deadAfter is when the kernel gives up a connection whose other end is
	// silent. The portal finds out sooner; this is for what it has closed.
	deadAfter = 16 * time.Second

	// maxStrangers and strangerTime bound how many strangers there are and how
	// long they stay.
	maxStrangers = 64
	strangerTime = 5 * time.Second
)

// Transport is the tcp transport. The zero value is ready.
type Transport struct {
	// Congestion is the name of the system's congestion control to use, such
	// as "cubic" or "bbr". Empty leaves its default.
	Congestion string
	// FIB, if not nil, is asked by a dial that is bound to a WAN.
	FIB udpsocket.FIB
}

var _ transport.Transport = Transport{}

// Name returns "tcp".
func (Transport) Name() string { return "tcp" }

// Datagram returns false.
func (Transport) Datagram() bool { return false }

// Overhead returns the bytes of an IP and a TCP header and the length: 44 or
// 64. TCP's options and the merging of segments are not counted.
func (Transport) Overhead(addr netip.Addr) int {
	if addr.Unmap().Is4() {
		return 20 + 20 + prefixSize
	}
	return 40 + 20 + prefixSize
}

// Dial connects to remote; see transport.Transport. It waits until ctx ends, or
// for 16 s. Where bind's interface does not exist, or has no way to remote, it
// fails at once with an error that names both.
func (t Transport) Dial(ctx context.Context, bind transport.Bind, remote netip.AddrPort) (transport.Flow, error) {
	conn, err := udpsocket.DialStream(ctx, bind, remote, t.options())
	if err != nil {
		return nil, err
	}
	f, err := newFlow(conn, nil)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Listen returns a *Listener.
func (t Transport) Listen(ctx context.Context, local netip.AddrPort) (transport.Listener, error) {
	l, err := udpsocket.ListenStream(ctx, local)
	if err != nil {
		return nil, err
	}
	return newListener(l, t.options()), nil
}

func (t Transport) options() udpsocket.StreamOptions {
	return udpsocket.StreamOptions{DeadAfter: deadAfter, Congestion: t.Congestion, FIB: t.FIB}
}
