package tcp

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"netcombiner/src/transport"
	"netcombiner/src/udpsocket"
)

// Listener accepts connections. Each is a stranger until its Authenticated is
// called, and is closed if that does not happen within 5 s. At most 64 strangers
// exist; one more costs the oldest of those from the address that has the most
// its place. So a flood costs little memory, and locks out only its own.
type Listener struct {
	l        *net.TCPListener
	options  udpsocket.StreamOptions
	patience time.Duration // strangerTime, but in tests
	once     sync.Once
	closed   chan struct{}

	mu        sync.Mutex
	strangers []*flow // the oldest first
}

func newListener(l *net.TCPListener, o udpsocket.StreamOptions) *Listener {
	return &Listener{l: l, options: o, patience: strangerTime, closed: make(chan struct{})}
}

// Accept waits for the next connection. The Flow that it returns is a
// transport.Authenticator.
func (l *Listener) Accept() (transport.Flow, error) {
	for {
		conn, err := udpsocket.AcceptStream(l.l, l.options)
		if errors.Is(err, net.ErrClosed) {
			return nil, transport.ErrClosed
		}
		if err != nil {
			// No descriptor or no memory is left, or the connection died while
			// it was taken: nothing that ends the listener.
			select {
			case <-l.closed:
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		f, err := newFlow(conn, l)
		if err != nil {
			continue
		}
		l.admit(f)
		return f, nil
	}
}

// Addr returns the address listened at.
func (l *Listener) Addr() netip.AddrPort {
	a := l.l.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Close ends Accept. The flows that were accepted stay as they are.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	if err := l.l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// admit makes f a stranger.
func (l *Listener) admit(f *flow) {
	l.mu.Lock()
	var victim *flow
	if len(l.strangers) == maxStrangers {
		i := l.dearest()
		victim = l.strangers[i]
		l.strangers = slices.Delete(l.strangers, i, i+1)
	}
	l.strangers = append(l.strangers, f)
	f.expiry = time.AfterFunc(l.patience, func() { l.expire(f) })
	l.mu.Unlock()
	if victim != nil {
		victim.reject()
	}
}

// dearest returns the oldest stranger from the address that has the most.
func (l *Listener) dearest() int {
	count := make(map[netip.Addr]int, len(l.strangers))
	for _, f := range l.strangers {
		count[household(f.remote.Addr())]++
	}
	best := 0
	for i, f := range l.strangers {
		if count[household(f.remote.Addr())] > count[household(l.strangers[best].remote.Addr())] {
			best = i
		}
	}
	return best
}

// household is what one person can be taken to hold: an IPv4 address or an
// IPv6 /64.
func household(a netip.Addr) netip.Addr {
	if a.Is4() {
		return a
	}
	return netip.PrefixFrom(a.WithZone(""), 64).Masked().Addr()
}

// forget takes f from the strangers and says whether it was one.
func (l *Listener) forget(f *flow) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.strangers, f)
	if i < 0 {
		return false
	}
	l.strangers = slices.Delete(l.strangers, i, i+1)
	f.expiry.Stop()
	return true
}

func (l *Listener) expire(f *flow) {
	if l.forget(f) {
		f.reject()
	}
}
