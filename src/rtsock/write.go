package rtsock

import (
	"encoding/binary"
	"net/netip"
)

// AppendRoute appends the message that adds a route, deletes it or gives it
// another gateway to b: kind is RouteAdd, RouteDelete or RouteChange. Each is to
// be one write to a routing socket, whose FIB it changes, and whose error is the
// kernel's answer. r.Prefix is to be valid and masked. Of r.Flags the kernel is
// told Reject, Blackhole, Static, Proto1 and Proto2; the others follow from what
// the route is. seq comes back in the kernel's message about it.
func AppendRoute(b []byte, kind Kind, r Route, seq int) []byte {
	start := len(b)
	flags := Up | r.Flags&fromPeople
	set := uint32(1 << destination)
	b = append(b, make([]byte, routeHeader)...)
	b = appendIP(b, r.Prefix.Addr(), r.Index)
	hop := r.Gateway
	if !hop.IsValid() && flags&(Reject|Blackhole) != 0 {
		hop = loopback(r.Prefix.Addr()) // it wants one, whatever it is
	}
	switch {
	case hop.IsValid():
		flags, set = flags|Gateway, set|1<<gateway
		b = appendIP(b, hop, r.Index)
	case r.Index != 0:
		set |= 1 << gateway
		b = appendLink(b, r.Index)
	}
	if r.Prefix.IsSingleIP() {
		flags |= Host
	} else {
		set |= 1 << netmask
		b = appendIP(b, mask(r.Prefix), 0)
	}
	if r.Index != 0 {
		set |= 1 << device
		b = appendLink(b, r.Index)
	}
	h := b[start:]
	binary.LittleEndian.PutUint16(h, uint16(len(h)))
	h[2], h[3] = version, map[Kind]uint8{RouteAdd: typeAdd, RouteDelete: typeDelete, RouteChange: typeChange}[kind]
	binary.LittleEndian.PutUint32(h[8:], uint32(flags))
	binary.LittleEndian.PutUint32(h[12:], set)
	binary.LittleEndian.PutUint32(h[20:], uint32(seq))
	return b
}

// appendIP appends the sockaddr of an address; one of link scope is index's.
func appendIP(b []byte, addr netip.Addr, index int) []byte {
	if addr.Is4() {
		s := make([]byte, sizeIP4)
		s[0], s[1] = sizeIP4, familyIP4
		copy(s[addrIP4:], addr.AsSlice())
		return append(b, s...)
	}
	s := make([]byte, align(sizeIP6))
	s[0], s[1] = sizeIP6, familyIP6
	copy(s[addrIP6:], addr.AsSlice())
	if ofLink(addr) {
		binary.LittleEndian.PutUint32(s[24:], uint32(index))
	}
	return append(b, s...)
}

// appendLink appends the sockaddr of a device, with room for the name that the
// kernel looks for, which the number makes needless.
func appendLink(b []byte, index int) []byte {
	const size = 56
	s := make([]byte, size)
	s[0], s[1] = size-2, familyLink
	binary.LittleEndian.PutUint16(s[2:], uint16(index))
	return append(b, s...)
}

// mask is a prefix's netmask as an address.
func mask(p netip.Prefix) netip.Addr {
	b := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

func loopback(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}
