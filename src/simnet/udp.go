package simnet

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"

	"netcombiner/src/transport"
)

// UDP returns the host's datagram transport, "udp".
func (h *Host) UDP() transport.Transport { return udp{h} }

type udp struct{ host *Host }

func (udp) Name() string                 { return "udp" }
func (udp) Datagram() bool               { return true }
func (udp) Overhead(addr netip.Addr) int { return overhead(protoUDP, addr) }

func (t udp) Dial(ctx context.Context, bind transport.Bind, remote netip.AddrPort) (transport.Flow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := t.host
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	remote = unmap(remote)
	link, addr, err := h.source(bind, remote.Addr())
	if err != nil {
		return nil, err
	}
	return h.openUDP(link, netip.AddrPortFrom(addr, h.ephemeral(link)), remote), nil
}

func (t udp) Listen(ctx context.Context, local netip.AddrPort) (transport.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := t.host
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	local, err := h.listenAddr(local, func(port uint16) bool { return len(h.udp[port]) > 0 })
	if err != nil {
		return nil, err
	}
	f := h.openUDP(nil, local, netip.AddrPort{})
	f.ended = make(chan struct{})
	return &udpListener{flow: f, one: make(chan struct{}, 1), closed: make(chan struct{})}, nil
}

// udpListener hands out its one flow.
type udpListener struct {
	flow   *udpFlow
	one    chan struct{}
	once   sync.Once
	closed chan struct{}
}

func (l *udpListener) Accept() (transport.Flow, error) {
	select {
	case <-l.closed:
		return nil, transport.ErrClosed
	default:
	}
	select {
	case l.one <- struct{}{}:
		return l.flow, nil
	case <-l.closed:
	case <-l.flow.ended:
	}
	return nil, transport.ErrClosed
}

func (l *udpListener) Addr() netip.AddrPort { return l.flow.local }

func (l *udpListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.flow.Close()
}

// socketBuffer is how many bytes wait for a Receive before more are dropped.
const socketBuffer = 4 << 20

// udpFlow is a socket, connected or not.
type udpFlow struct {
	net           *Network
	host          *Host
	link          *Link // or nil: routed
	local, remote netip.AddrPort
	in            ring[*packet]
	bytes         int
	readable      *sync.Cond
	busy          time.Duration // until when the interface sends what Send took
	closed        bool
	ended         chan struct{} // of a listening flow: closed with it
}

// A datagram passes the host's own interface without delay, but who sends
// faster than nicRate waits, so that virtual time passes for a sender that
// never stops.
const (
	nicRate   = 10e9 // bit/s
	nicBuffer = time.Millisecond
)

func (h *Host) openUDP(link *Link, local, remote netip.AddrPort) *udpFlow {
	f := &udpFlow{net: h.net, host: h, link: link, local: local, remote: remote, readable: sync.NewCond(&h.net.mu)}
	h.udp[local.Port()] = append(h.udp[local.Port()], f)
	return f
}

func (f *udpFlow) Local() netip.AddrPort  { return f.local }
func (f *udpFlow) Remote() netip.AddrPort { return f.remote }

func (f *udpFlow) deliver(pkt *packet) Cause {
	if f.bytes+pkt.size > socketBuffer {
		return ByBuffer
	}
	f.bytes += pkt.size
	f.in.push(pkt)
	f.readable.Signal()
	return delivered
}

func (f *udpFlow) Receive(ms []transport.Message) (n int, err error) {
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	for {
		for f.in.len() == 0 && !f.closed {
			f.readable.Wait()
		}
		if f.closed {
			return 0, transport.ErrClosed
		}
		for n < len(ms) && f.in.len() > 0 {
			pkt := f.in.pop()
			f.bytes -= pkt.size
			if len(pkt.data) <= len(ms[n].Buf) {
				m := &ms[n]
				m.N = copy(m.Buf, pkt.data)
				m.Remote, m.Local = pkt.from, pkt.to
				n++
			}
			f.net.recycle(pkt)
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (f *udpFlow) Send(ms []transport.Message) (n int, err error) {
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	now := f.net.Now()
	for !f.closed && f.busy > now+nicBuffer {
		wait := f.busy - now - nicBuffer/2
		f.net.mu.Unlock()
		time.Sleep(wait)
		f.net.mu.Lock()
		now = f.net.Now()
	}
	if f.closed {
		return 0, transport.ErrClosed
	}
	f.busy = max(f.busy, now)
	for i := range ms {
		f.busy += sendTime(len(ms[i].Buf)+100, nicRate)
		if e := f.sendOne(now, &ms[i]); e != nil && err == nil {
			err = &transport.RefusedError{Err: e}
		}
	}
	return len(ms), err
}

func (f *udpFlow) sendOne(now time.Duration, m *transport.Message) error {
	from, to := f.local, f.remote
	if !to.IsValid() {
		to = unmap(m.Remote)
		if addr := m.Local.Addr().Unmap(); addr.IsValid() && !addr.IsUnspecified() {
			from = netip.AddrPortFrom(addr, from.Port())
		} else if from.Addr().IsUnspecified() {
			_, addr, err := f.host.source(transport.Bind{}, to.Addr())
			if err != nil {
				return err
			}
			from = netip.AddrPortFrom(addr, from.Port())
		}
		if !to.IsValid() || from.Addr().Is4() != to.Addr().Is4() {
			return errNoFamily
		}
		if !f.host.owns(from.Addr()) {
			return errAddrGone
		}
	}
	if len(m.Buf) == 0 || len(m.Buf) > maxDatagram {
		return errTooLong
	}
	return f.host.send(now, f.link, f.net.packet(protoUDP, from, to, m.Buf))
}

const maxDatagram = 65507 // RFC 768 in IPv4

var (
	errTooLong  = errors.New("message empty or too long")
	errNoFamily = errors.New("address family not supported")
)

func (f *udpFlow) Close() error {
	f.net.mu.Lock()
	defer f.net.mu.Unlock()
	f.close()
	return nil
}

func (f *udpFlow) close() {
	if f.closed {
		return
	}
	f.closed = true
	port := f.local.Port()
	f.host.udp[port] = slices.DeleteFunc(f.host.udp[port], func(g *udpFlow) bool { return g == f })
	for f.in.len() > 0 {
		f.net.recycle(f.in.pop())
	}
	f.readable.Broadcast()
	if f.ended != nil {
		close(f.ended)
	}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
