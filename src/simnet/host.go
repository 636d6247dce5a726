package simnet

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"netcombiner/src/transport"
)

// Host is a machine on the network. One that has links of its own (end A)
// sends by them; one without (end B) sends to whatever link an address lies on.
type Host struct {
	net      *Network
	name     string
	addrs    []netip.Addr
	links    []*Link
	udp      map[uint16][]*udpFlow
	tcp      map[connKey]*tcpConn
	listen   map[uint16][]*tcpListener
	nextPort uint16
	watchers map[chan struct{}]bool

	tunMu sync.Mutex
	tun   *Tun // open, or nil
	inner func(pkt []byte)
}

// AddHost adds a host. addrs are the addresses of its own, by which links
// reach it; a host that only has links needs none.
func (n *Network) AddHost(name string, addrs ...netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Host{
		net: n, name: name, addrs: addrs,
		udp:      make(map[uint16][]*udpFlow),
		tcp:      make(map[connKey]*tcpConn),
		listen:   make(map[uint16][]*tcpListener),
		watchers: make(map[chan struct{}]bool),
	}
	n.hosts = append(n.hosts, h)
	return h
}

// Name is the name given to AddHost.
func (h *Host) Name() string { return h.name }

// Network is the network that the host is on.
func (h *Host) Network() *Network { return h.net }

// Addrs are the host's own addresses, without those of its links.
func (h *Host) Addrs() []netip.Addr { return slices.Clone(h.addrs) }

// Links are the links whose end A the host is, in the order of AddLink.
func (h *Host) Links() []*Link {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return slices.Clone(h.links)
}

// Watch returns a channel that receives after one or more changes of the
// host's addresses or carriers, as package linkwatch would tell, and a
// function that ends it.
func (h *Host) Watch() (changes <-chan struct{}, stop func()) {
	ch := make(chan struct{}, 1)
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.watchers[ch] = true
	return ch, func() {
		h.net.mu.Lock()
		defer h.net.mu.Unlock()
		delete(h.watchers, ch)
	}
}

func (h *Host) changed() {
	for ch := range h.watchers {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// Crash closes all that is open on the host without a word to anybody, as a
// power cut would: sockets, connections, listeners and the TUN device. A
// process that dies has its sockets closed by its system, which is what their
// Close does.
func (h *Host) Crash() {
	h.net.mu.Lock()
	for _, flows := range h.udp {
		for _, f := range slices.Clone(flows) {
			f.close()
		}
	}
	for _, ls := range h.listen {
		for _, l := range slices.Clone(ls) {
			l.close()
		}
	}
	for _, c := range h.tcp {
		c.die(transport.ErrClosed)
	}
	h.net.mu.Unlock()
	if t := h.Tun(); t != nil {
		t.Close()
	}
}

// owns reports whether addr is one of the host's; the network is locked.
func (h *Host) owns(addr netip.Addr) bool {
	return slices.Contains(h.addrs, addr) ||
		slices.ContainsFunc(h.links, func(l *Link) bool { return l.addr == addr })
}

// receive hands pkt to the socket it is for, which then owns it.
func (h *Host) receive(pkt *packet, from *Link) Cause {
	if pkt.proto == protoTCP {
		return h.receiveTCP(pkt, from)
	}
	var best *udpFlow
	for _, f := range h.udp[pkt.to.Port()] {
		switch {
		case f.remote.IsValid():
			if f.remote == pkt.from && f.local == pkt.to {
				return f.deliver(pkt)
			}
		case f.local.Addr() == pkt.to.Addr():
			best = f
		case f.local.Addr().IsUnspecified() && best == nil &&
			(f.local.Addr().Is6() || pkt.to.Addr().Is4()):
			best = f
		}
	}
	if best == nil {
		return BySocket
	}
	return best.deliver(pkt)
}

// send puts pkt on link, or, where that is nil, on whichever leads to its
// destination. The error is what the host's own system would say.
func (h *Host) send(now time.Duration, link *Link, pkt *packet) error {
	if link == nil && len(h.links) > 0 {
		link = h.links[0]
		for _, l := range h.links {
			if l.addr == pkt.from.Addr() {
				link = l
			}
		}
	}
	if link != nil {
		switch {
		case link.down:
			h.net.recycle(pkt)
			return errNoCarrier
		case link.addr != pkt.from.Addr():
			h.net.recycle(pkt)
			return errAddrGone
		}
		link.leaveA(now, pkt)
		return nil
	}
	if link = h.net.wans[pkt.to.Addr()]; link == nil || link.b != h {
		h.net.unrouted++
		h.net.recycle(pkt)
		return nil
	}
	link.Down.enter(now, pkt)
	return nil
}

var (
	errNoCarrier = errors.New("network is down")
	errAddrGone  = errors.New("cannot assign requested address")
)

// source says by which link, and from which address, a connection to remote
// leaves. The network is locked.
func (h *Host) source(bind transport.Bind, remote netip.Addr) (*Link, netip.Addr, error) {
	for _, l := range h.links {
		if bind.Device != "" && l.name != bind.Device ||
			bind.Addr.IsValid() && l.addr != bind.Addr ||
			l.addr.Is4() != remote.Is4() {
			continue
		}
		if l.down {
			if bind == (transport.Bind{}) {
				continue
			}
			return nil, netip.Addr{}, fmt.Errorf("simnet: %s: %w", l.name, errNoCarrier)
		}
		return l, l.addr, nil
	}
	if len(h.links) == 0 && bind.Device == "" {
		for _, a := range h.addrs {
			if a.Is4() == remote.Is4() && (!bind.Addr.IsValid() || bind.Addr == a) {
				return nil, a, nil
			}
		}
	}
	return nil, netip.Addr{}, fmt.Errorf("simnet: host %s has no way out by %+v to %v", h.name, bind, remote)
}

// listenAddr checks that a socket may listen at local and chooses the port
// where that is 0.
func (h *Host) listenAddr(local netip.AddrPort, taken func(port uint16) bool) (netip.AddrPort, error) {
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	if !local.Addr().IsUnspecified() && !h.owns(local.Addr()) {
		return local, fmt.Errorf("simnet: listen %v: %w", local, errAddrGone)
	}
	if local.Port() == 0 {
		return netip.AddrPortFrom(local.Addr(), h.ephemeral(nil)), nil
	}
	if taken(local.Port()) {
		return local, fmt.Errorf("simnet: listen %v: address already in use", local)
	}
	return local, nil
}

// ephemeral returns a port for a connection by link, which may be nil. Each
// link counts for itself, so that the port does not depend on which of two
// paths happened to dial first.
func (h *Host) ephemeral(link *Link) uint16 {
	next := &h.nextPort
	if link != nil {
		next = &link.nextPort
	}
	*next = max(*next+1, 40000)
	return *next
}
