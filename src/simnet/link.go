package simnet

import (
	"net/netip"
	"time"
)

// Link joins a WAN interface of one host (end A) to another host (end B).
type Link struct {
	net      *Network
	name     string
	a, b     *Host
	addr     netip.Addr // of end A
	nat      *nat       // or nil
	down     bool       // the interface has no carrier
	nextPort uint16     // of A's sockets on it

	Up   *Pipe // from A to B
	Down *Pipe // from B to A
}

// LinkConfig describes a new Link.
type LinkConfig struct {
	Name string     // the interface's name on host A
	Addr netip.Addr // A's address on it
	// NAT is the public address of a NAT between A and B, which B then sees
	// instead; the zero Addr: none.
	NAT      netip.Addr
	Up, Down Conditions
}

// AddLink gives host a a WAN interface whose far end is host b. Names must be
// unique on a, and addresses in the network.
func (n *Network) AddLink(a, b *Host, c LinkConfig) *Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := &Link{net: n, name: c.Name, a: a, b: b, addr: c.Addr}
	if c.NAT.IsValid() {
		l.nat = newNAT(c.NAT)
	}
	l.Up = n.newPipe(l, "up", c.Up)
	l.Up.up = true
	l.Down = n.newPipe(l, "down", c.Down)
	n.wans[l.public()] = l
	n.links = append(n.links, l)
	a.links = append(a.links, l)
	return l
}

func (n *Network) newPipe(l *Link, dir string, c Conditions) *Pipe {
	name := l.a.name + "/" + l.name + "/" + dir
	return &Pipe{net: n, link: l, name: name, src: n.source(), rng: stream(n.seed, name), cond: c}
}

// Name is the interface's name.
func (l *Link) Name() string { return l.name }

// Addr is the present address of the interface.
func (l *Link) Addr() netip.Addr {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	return l.addr
}

// Public is the address that the far end sees now.
func (l *Link) Public() netip.Addr {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	return l.public()
}

func (l *Link) public() netip.Addr {
	if l.nat != nil {
		return l.nat.public
	}
	return l.addr
}

// Change alters both directions.
func (l *Link) Change(f func(*Conditions)) {
	l.Up.Change(f)
	l.Down.Change(f)
}

// Cut makes the link a black hole in both directions, or ends that.
func (l *Link) Cut(cut bool) { l.Change(func(c *Conditions) { c.Cut = cut }) }

// SetCarrier(false) unplugs A's interface: A's system refuses to send, as
// opposed to Cut, and the host's watchers are told.
func (l *Link) SetCarrier(up bool) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	l.down = !up
	l.a.changed()
}

// Carrier reports whether A's interface is plugged in.
func (l *Link) Carrier() bool {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	return !l.down
}

// Rebind makes the NAT forget its mappings: what A's sockets send next leaves
// from new ports, and what is sent to the old ones vanishes. Without a NAT it
// does nothing.
func (l *Link) Rebind() {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.nat != nil {
		l.nat.forget()
	}
}

// RebindTo is Rebind with a new public address (a modem that redialled). A's
// host is not told.
func (l *Link) RebindTo(public netip.Addr) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.nat == nil {
		panic("simnet: RebindTo on a link without a NAT")
	}
	delete(l.net.wans, l.nat.public)
	l.nat.forget()
	l.nat.public = public
	l.net.wans[public] = l
}

// Readdress gives A's interface another address (a new DHCP lease): sockets
// with the old one can neither send nor receive. The host's watchers are told.
func (l *Link) Readdress(addr netip.Addr) {
	l.net.mu.Lock()
	defer l.net.mu.Unlock()
	if l.nat == nil {
		delete(l.net.wans, l.addr)
		l.net.wans[addr] = l
	}
	l.addr = addr
	l.a.changed()
}

// leaveA sends pkt from A towards B; the network is locked, and pkt consumed.
func (l *Link) leaveA(now time.Duration, pkt *packet) {
	if !l.b.owns(pkt.to.Addr()) {
		l.net.unrouted++
		l.net.recycle(pkt)
		return
	}
	if l.nat != nil {
		pkt.from = l.nat.outward(pkt.proto, pkt.from)
	}
	l.Up.enter(now, pkt)
}

// arriveA hands pkt to host A, through the NAT if there is one.
func (l *Link) arriveA(pkt *packet) Cause {
	if l.nat != nil {
		inside, ok := l.nat.inward(pkt.proto, pkt.to)
		if !ok {
			return ByNAT
		}
		pkt.to = inside
	}
	if pkt.to.Addr() != l.addr || l.down {
		return ByNAT
	}
	return l.a.receive(pkt, l)
}

// nat translates A's addresses and ports. It lets in packets from any source
// (endpoint-independent filtering), which is the harder case for a portal.
type nat struct {
	public netip.Addr
	next   uint16
	out    map[natKey]uint16
	in     map[natPort]netip.AddrPort
}

type natKey struct {
	proto  proto
	inside netip.AddrPort
}

type natPort struct {
	proto proto
	port  uint16
}

func newNAT(public netip.Addr) *nat {
	t := &nat{public: public, next: 20000}
	t.forget()
	return t
}

func (t *nat) forget() {
	t.out = make(map[natKey]uint16)
	t.in = make(map[natPort]netip.AddrPort)
}

func (t *nat) outward(pr proto, inside netip.AddrPort) netip.AddrPort {
	port, ok := t.out[natKey{pr, inside}]
	if !ok {
		t.next++
		port = t.next
		t.out[natKey{pr, inside}] = port
		t.in[natPort{pr, port}] = inside
	}
	return netip.AddrPortFrom(t.public, port)
}

func (t *nat) inward(pr proto, to netip.AddrPort) (netip.AddrPort, bool) {
	if to.Addr() != t.public {
		return netip.AddrPort{}, false
	}
	inside, ok := t.in[natPort{pr, to.Port()}]
	return inside, ok
}
