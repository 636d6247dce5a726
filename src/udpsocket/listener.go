package udpsocket

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"sync/atomic"

	"netcombiner/src/transport"
)

// Listener hands out sockets that take messages of any remote, each once, as its
// flows. They are its own: closing it closes them.
type Listener struct {
	local   netip.AddrPort
	sockets []*Socket
	given   atomic.Int32
	once    sync.Once
	closed  chan struct{}
}

// ListenAll returns a listener of UDP datagrams at local, see Listen: of one socket,
// or of two on [::] where the kernel has DF on one IP version of a socket only.
func ListenAll(ctx context.Context, local netip.AddrPort, o Options) (*Listener, error) {
	if dualStack {
		return listenOne(ctx, local, o)
	}
	return listenEach(ctx, local, o)
}

func listenOne(ctx context.Context, local netip.AddrPort, o Options) (*Listener, error) {
	s, err := Listen(ctx, local, o)
	if err != nil {
		return nil, err
	}
	return NewListener(s.Local(), s), nil
}

func listenEach(ctx context.Context, local netip.AddrPort, o Options) (*Listener, error) {
	if local.Addr() != netip.IPv6Unspecified() {
		return listenOne(ctx, local, o)
	}
	return ListenEach(local, func(at netip.AddrPort) (*Socket, error) {
		if at.Addr().Is4() {
			return Listen(ctx, at, o)
		}
		return listenUDP(ctx, at, o, "udp6")
	})
}

// ListenEach returns a listener at [::], of a socket of IPv6 and one of IPv4 that
// listen makes. On a host without IPv6 it has the latter alone.
func ListenEach(local netip.AddrPort, listen func(netip.AddrPort) (*Socket, error)) (*Listener, error) {
	six, err := listen(local)
	if WithoutIPv6(err) {
		four, err := listen(netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port()))
		if err != nil {
			return nil, err
		}
		return NewListener(four.Local(), four), nil
	}
	if err != nil {
		return nil, err
	}
	four, err := listen(netip.AddrPortFrom(netip.IPv4Unspecified(), six.Local().Port())) // perhaps one that was free
	if err != nil {
		six.Close()
		return nil, err
	}
	return NewListener(six.Local(), six, four), nil
}

// NewListener takes the sockets over, which are at local.
func NewListener(local netip.AddrPort, sockets ...*Socket) *Listener {
	return &Listener{local: local, sockets: sockets, closed: make(chan struct{})}
}

// Accept implements transport.Listener.
func (l *Listener) Accept() (transport.Flow, error) {
	select {
	case <-l.closed:
		return nil, transport.ErrClosed
	default:
	}
	if n := int(l.given.Add(1)); n <= len(l.sockets) {
		return l.sockets[n-1], nil
	}
	<-l.closed
	return nil, transport.ErrClosed
}

// Addr implements transport.Listener.
func (l *Listener) Addr() netip.AddrPort { return l.local }

// Close implements transport.Listener.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	var errs []error
	for _, s := range l.sockets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
