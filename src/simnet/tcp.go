package simnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"netcombiner/src/transport"
)

// TCP returns the host's stream-like transport, "tcp". It models what matters
// of TCP to what runs over it: a connection takes a round trip to set up;
// messages arrive once and in order, and wait behind a lost one until it has
// been sent again; Send waits while the unsent buffer is full; a reset or a
// closed end is noticed only when a packet tells, so a black hole is silent.
//
// One message is one segment, however long, with a TCP header for each 1,400
// bytes. Every segment is acknowledged at once. An accepted connection is reset
// after ten seconds without Authenticated. Left out: Nagle, delayed
// acknowledgements, TIME_WAIT, SACK reneging, cubic growth.
func (h *Host) TCP() transport.Transport { return tcp{h} }

type tcp struct{ host *Host }

func (tcp) Name() string                 { return "tcp" }
func (tcp) Datagram() bool               { return false }
func (tcp) Overhead(addr netip.Addr) int { return overhead(protoTCP, addr) }

// Errors of a connection, as the system would word them.
var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset by peer")
	errTimeout = errors.New("connection timed out")
)

// connKey names a connection on its host.
type connKey struct{ local, remote netip.AddrPort }

func (t tcp) Dial(ctx context.Context, bind transport.Bind, remote netip.AddrPort) (transport.Flow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := t.host
	remote = unmap(remote)
	h.net.mu.Lock()
	link, addr, err := h.source(bind, remote.Addr())
	if err != nil {
		h.net.mu.Unlock()
		return nil, err
	}
	c := h.newConn(link, netip.AddrPortFrom(addr, h.ephemeral(link)), remote, synSent)
	c.sendControl(kindSYN)
	c.arm()
	h.net.mu.Unlock()

	select {
	case <-c.opened:
	case <-ctx.Done():
	}
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	switch {
	case c.state == open:
		return c, nil
	case c.state == dead:
		return nil, fmt.Errorf("simnet: dial tcp %v: %w", remote, c.err)
	}
	c.die(transport.ErrClosed)
	return nil, fmt.Errorf("simnet: dial tcp %v: %w", remote, ctx.Err())
}

func (t tcp) Listen(ctx context.Context, local netip.AddrPort) (transport.Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	h := t.host
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	local, err := h.listenAddr(local, func(port uint16) bool { return len(h.listen[port]) > 0 })
	if err != nil {
		return nil, err
	}
	l := &tcpListener{host: h, addr: local, ready: sync.NewCond(&h.net.mu)}
	h.listen[local.Port()] = append(h.listen[local.Port()], l)
	return l, nil
}

// backlog is how many connections wait for Accept at most.
const backlog = 128

type tcpListener struct {
	host   *Host
	addr   netip.AddrPort
	conns  ring[*tcpConn]
	ready  *sync.Cond
	closed bool
}

func (l *tcpListener) Accept() (transport.Flow, error) {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	for l.conns.len() == 0 && !l.closed {
		l.ready.Wait()
	}
	if l.closed {
		return nil, transport.ErrClosed
	}
	return l.conns.pop(), nil
}

// strangerLimit is how long an accepted connection may live before
// Authenticated is called.
const strangerLimit = 10 * time.Second

// accept offers c to Accept; the network is locked.
func (l *tcpListener) accept(c *tcpConn) {
	l.conns.push(c)
	l.ready.Signal()
	c.timers++
	l.host.net.schedule(event{at: l.host.net.Now() + strangerLimit, src: c.src, seq: c.timers, call: func() {
		if !c.trusted {
			c.reset()
		}
	}})
}

func (l *tcpListener) Addr() netip.AddrPort { return l.addr }

func (l *tcpListener) Close() error {
	l.host.net.mu.Lock()
	defer l.host.net.mu.Unlock()
	l.close()
	return nil
}

func (l *tcpListener) close() {
	if l.closed {
		return
	}
	l.closed = true
	port := l.addr.Port()
	l.host.listen[port] = slices.DeleteFunc(l.host.listen[port], func(o *tcpListener) bool { return o == l })
	for l.conns.len() > 0 {
		l.conns.pop().reset()
	}
	l.ready.Broadcast()
}

// receiveTCP hands a segment to its connection; the network is locked.
func (h *Host) receiveTCP(pkt *packet, from *Link) Cause {
	key := connKey{local: pkt.to, remote: pkt.from}
	if c := h.tcp[key]; c != nil {
		return c.receive(pkt)
	}
	if pkt.seg.kind == kindSYN {
		for _, l := range h.listen[pkt.to.Port()] {
			a := l.addr.Addr()
			if a != pkt.to.Addr() && (!a.IsUnspecified() || a.Is4() && pkt.to.Addr().Is6()) {
				continue
			}
			if l.conns.len() < backlog {
				link := from
				if link != nil && link.a != h {
					link = nil
				}
				c := h.newConn(link, pkt.to, pkt.from, synReceived)
				c.listener = l
				c.sendControl(kindSYNACK)
				c.arm()
			}
			h.net.recycle(pkt)
			return delivered
		}
	}
	if pkt.seg.kind == kindRST {
		return BySocket
	}
	rst := h.net.packet(protoTCP, pkt.to, pkt.from, nil)
	rst.seg.kind = kindRST
	link := from
	if link != nil && link.a != h {
		link = nil
	}
	_ = h.send(h.net.Now(), link, rst) // an answer to nobody we know: best effort
	return BySocket
}
