package udpsocket

import (
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
