// Package rtsock reads and writes the messages of FreeBSD's routing socket,
// which a sysctl that dumps interfaces or routes answers in, too. It is pure:
// it makes no calls, and so is the same on every system. It knows version 5 of
// the messages on little-endian machines of 64 bits, which FreeBSD 12 to 15 on
// amd64 and arm64 speak; fields and values are those of FreeBSD's net/route.h,
// net/if.h and net/if_dl.h.
//
// Glossary:
//
//	device    an interface by its name (em0) or its number, the index
//	FIB       a routing table by its number; a socket sees and changes one,
//	          which no message names
//	dump      many messages in a row, the answer of a sysctl
//	sockaddr  an address with its length and family before it; a message has up
//	          to eight behind its header, and a bit set for each
package rtsock

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// Kind is what a message tells.
type Kind uint8

const (
	Arrived     Kind = iota + 1 // a device came, or got this name
	Departed                    // a device went, or lost this name
	LinkInfo                    // what a device is like: now and then, or in a dump
	AddrAdd                     // a device got an address, or, in a dump, has it
	AddrDelete                  // a device lost an address
	RouteAdd                    // a route came
	RouteDelete                 // a route went
	RouteChange                 // a route has another gateway or device
	RouteGet                    // a route that is there, in a dump
)

func (k Kind) String() string {
	switch k {
	case Arrived:
		return "device arrived"
	case Departed:
		return "device departed"
	case LinkInfo:
		return "link"
	case AddrAdd:
		return "address added"
	case AddrDelete:
		return "address deleted"
	case RouteAdd:
		return "route added"
	case RouteDelete:
		return "route deleted"
	case RouteChange:
		return "route changed"
	case RouteGet:
		return "route"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Message is what Each found.
type Message struct {
	Kind  Kind
	Index int // of the device, 0 where the message names none
	// Device is its name, where the message has it: Arrived, Departed, a dump's
	// LinkInfo, an AddrAdd of a socket.
	Device string
	// Up, of a LinkInfo, says that the device is administratively up, that its
	// driver runs and that it does not say that its carrier is lost.
	Up bool
	// Loopback and PointToPoint are of a LinkInfo.
	Loopback, PointToPoint bool
	// Addr, of AddrAdd and AddrDelete, is the address with its prefix length,
	// not masked. One of link scope has no zone: Index says whose it is.
	Addr netip.Prefix
	// Peer is the other end's address where the device of Addr is
	// point-to-point; elsewhere it is the broadcast address, or nothing.
	Peer netip.Addr
	// Route is of RouteAdd, RouteDelete, RouteChange and RouteGet.
	Route Route
}

// Route is an entry of a FIB. As a Message's it owns no memory of the bytes it
// was read from.
type Route struct {
	// Prefix is the destination, masked; a default route's has no bits.
	Prefix netip.Prefix
	// Gateway is the next hop; not valid where the destination is on the device
	// itself. One of link scope has no zone: Index says whose it is.
	Gateway netip.Addr
	// Index is the device's number. AppendRoute needs it for routes without a
	// gateway and for gateways of link scope; 0 lets the kernel find it.
	Index int
	// Device is its name where that is known: AppendRoute does not read it.
	Device string
	// Source is the device's own address that the route is for, where the
	// message has it: AppendRoute does not read it, the kernel chooses.
	Source netip.Addr
	Flags  Flags
}

// Default says whether r is a default route.
func (r Route) Default() bool { return r.Prefix.IsValid() && r.Prefix.Bits() == 0 }

// String is "192.0.2.0/24 via 198.51.100.1 on em0".
func (r Route) String() string {
	s := r.Prefix.String()
	if r.Gateway.IsValid() {
		s += " via " + r.Gateway.String()
	}
	switch {
	case r.Device != "":
		s += " on " + r.Device
	case r.Index != 0:
		s += fmt.Sprintf(" on device %d", r.Index)
	}
	return s
}

// Flags are the kernel's RTF_.
type Flags uint32

const (
	Up        Flags = 0x1
	Gateway   Flags = 0x2
	Host      Flags = 0x4
	Reject    Flags = 0x8 // an error goes to the sender
	Dynamic   Flags = 0x10
	Static    Flags = 0x800  // by hand
	Blackhole Flags = 0x1000 // dropped in silence
	Proto2    Flags = 0x4000 // free for routing daemons, as is the next
	Proto1    Flags = 0x8000
	Pinned    Flags = 0x100000 // by the kernel, of an address
	Local     Flags = 0x200000

	done       Flags = 0x40
	neighbour  Flags = 0x400 // an ARP or NDP entry in a route's clothes
	fromPeople       = Reject | Static | Blackhole | Proto1 | Proto2
)

// What a message begins with: length u16, version u8, type u8.
const (
	version = 5

	typeAdd, typeDelete, typeChange, typeGet = 0x1, 0x2, 0x3, 0x4
	typeNewAddr, typeDelAddr, typeIfInfo     = 0xc, 0xd, 0xe
	typeIfAnnounce                           = 0x11
)

// Each calls f for each message of a read from a routing socket, or of the
// answer to the sysctls NET_RT_DUMP and NET_RT_IFLIST. Messages of no concern
// are passed over: failed look-ups, neighbours, multicast, wireless, changes
// that the kernel refused, and routes of neither IP. The error says where b is
// not well-formed; what came before counts.
func Each(b []byte, f func(Message)) error {
	for at := 0; at < len(b); {
		rest := b[at:]
		if len(rest) < 4 {
			return fmt.Errorf("routing message at byte %d: %d bytes are too few", at, len(rest))
		}
		length := int(binary.LittleEndian.Uint16(rest))
		if length < 4 || length > len(rest) {
			return fmt.Errorf("routing message at byte %d: says that it has %d bytes of %d", at, length, len(rest))
		}
		if rest[2] != version {
			return fmt.Errorf("routing message at byte %d: version %d, want %d", at, rest[2], version)
		}
		m, concerns, err := parse(rest[3], rest[:length])
		if err != nil {
			return fmt.Errorf("routing message at byte %d, type %d: %w", at, rest[3], err)
		}
		if concerns {
			f(m)
		}
		at += length
	}
	return nil
}

// layouts are the types of messages that concern us: how long the header is,
// in bytes, and what reads it.
var layouts = [...]struct {
	header int
	read   func(Kind, []byte) (m Message, concerns bool, err error)
	kind   Kind
}{
	typeAdd:        {routeHeader, parseRoute, RouteAdd},
	typeDelete:     {routeHeader, parseRoute, RouteDelete},
	typeChange:     {routeHeader, parseRoute, RouteChange},
	typeGet:        {routeHeader, parseRoute, RouteGet},
	typeNewAddr:    {addrHeader, parseAddr, AddrAdd},
	typeDelAddr:    {addrHeader, parseAddr, AddrDelete},
	typeIfInfo:     {linkHeader, parseLink, LinkInfo},
	typeIfAnnounce: {announceHeader, parseAnnounce, Arrived},
}

// parse reads one message of the given type.
func parse(kind uint8, b []byte) (m Message, concerns bool, err error) {
	if int(kind) >= len(layouts) || layouts[kind].read == nil {
		return m, false, nil
	}
	l := layouts[kind]
	if len(b) < l.header {
		return m, false, fmt.Errorf("%d bytes, want %d or more", len(b), l.header)
	}
	return l.read(l.kind, b)
}

// announceHeader is struct if_announcemsghdr: what all begin with, index u16,
// name [16]byte, what u16.
const announceHeader = 24

func parseAnnounce(arrived Kind, b []byte) (m Message, concerns bool, err error) {
	const departure = 1
	m = Message{Kind: arrived, Index: int(binary.LittleEndian.Uint16(b[4:])), Device: cString(b[6:22])}
	what := binary.LittleEndian.Uint16(b[22:])
	if what == departure {
		m.Kind = Departed
	}
	return m, m.Device != "" && what <= departure, nil
}

// linkHeader is struct if_msghdr: what all begin with, addresses i32, flags
// i32, index u16, spare u16, struct if_data. Of the last, 152 bytes, only
// link_state concerns us, a byte at 4; it may grow at its end, and says how
// long it is at 6.
const (
	linkHeader = linkData + 152
	linkData   = 16
)

func parseLink(kind Kind, b []byte) (m Message, concerns bool, err error) {
	const up, loopback, pointToPoint, running = 0x1, 0x8, 0x10, 0x40
	const carrierLost = 1 // 0 is unknown, 2 is up
	header := linkData + int(binary.LittleEndian.Uint16(b[linkData+6:]))
	if header < linkHeader || header > len(b) {
		return m, false, fmt.Errorf("its header has %d bytes of %d", header, len(b))
	}
	flags := binary.LittleEndian.Uint32(b[8:])
	m = Message{
		Kind:         kind,
		Index:        int(binary.LittleEndian.Uint16(b[12:])),
		Up:           flags&up != 0 && flags&running != 0 && b[linkData+4] != carrierLost,
		Loopback:     flags&loopback != 0,
		PointToPoint: flags&pointToPoint != 0,
	}
	a, err := addresses(b[header:], binary.LittleEndian.Uint32(b[4:]))
	m.Device = a[device].name()
	return m, true, err
}

// addrHeader is struct ifa_msghdr: what all begin with, addresses i32, flags
// i32, index u16, spare u16, metric i32.
const addrHeader = 20

func parseAddr(kind Kind, b []byte) (m Message, concerns bool, err error) {
	m = Message{Kind: kind, Index: int(binary.LittleEndian.Uint16(b[12:]))}
	a, err := addresses(b[addrHeader:], binary.LittleEndian.Uint32(b[4:]))
	if err != nil {
		return m, false, err
	}
	m.Device = a[device].name()
	m.Peer, _ = a[broadcast].ip()
	addr, _ := a[source].ip()
	bits, ok := maskBits(a[netmask], addr)
	if !ok {
		return m, false, nil
	}
	m.Addr = netip.PrefixFrom(addr, bits)
	return m, true, nil
}

// routeHeader is struct rt_msghdr: what all begin with, index u16, spare u16,
// flags i32, addresses i32, process i32, sequence i32, errno i32, fmask i32,
// inits u64, and the metrics, 14 × u64.
const routeHeader = 152

func parseRoute(kind Kind, b []byte) (m Message, concerns bool, err error) {
	r := Route{
		Index: int(binary.LittleEndian.Uint16(b[4:])),
		Flags: Flags(binary.LittleEndian.Uint32(b[8:])),
	}
	refused := binary.LittleEndian.Uint32(b[24:]) != 0
	a, err := addresses(b[routeHeader:], binary.LittleEndian.Uint32(b[12:]))
	if err != nil || refused || r.Flags&neighbour != 0 {
		return m, false, err
	}
	to, scope := a[destination].ip()
	bits, ok := routeBits(r.Flags, a[netmask], to)
	if !ok {
		return m, false, nil
	}
	r.Prefix, _ = to.Prefix(bits)
	if r.Flags&Gateway != 0 {
		r.Gateway, scope = a[gateway].ip()
	}
	// The kernel leaves the number out where it only repeats a request.
	for _, index := range []int{a[gateway].index(), a[device].index(), scope} {
		if r.Index == 0 {
			r.Index = index
		}
	}
	r.Device = a[device].name()
	r.Source, _ = a[source].ip()
	return Message{Kind: kind, Index: r.Index, Device: r.Device, Route: r}, true, nil
}

// routeBits is how long the prefix of a route to an address is. One without a
// netmask is a host's, but for a request that left out the default route's.
func routeBits(flags Flags, mask sockaddr, to netip.Addr) (bits int, ok bool) {
	switch {
	case !to.IsValid():
		return 0, false
	case flags&Host != 0:
		return to.BitLen(), true
	case mask == nil && to.IsUnspecified():
		return 0, true
	}
	return maskBits(mask, to)
}
