package rtsock

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
)

// The order of a message's sockaddrs; a bit says whether each is there.
const (
	destination = iota
	gateway
	netmask
	_ // of cloned routes, which are no more
	device
	source
	_ // who sent a redirect
	broadcast
	kinds
)

const (
	familyIP4  = 2
	familyLink = 18
	familyIP6  = 28
)

// A sockaddr is its length u8, its family u8, and what the family says; nil is
// one that is not there.
//
//	IPv4: port u16, address [4]byte, zero [8]byte
//	IPv6: port u16, flow u32, address [16]byte, scope u32
//	link: index u16, type u8, length of the name u8, of the hardware's address
//	      u8, of a selector u8; the name, and so on
type sockaddr []byte

const (
	sizeIP4  = 16
	sizeIP6  = 28
	sizeLink = 8 // before the name

	addrIP4 = 4
	addrIP6 = 8
)

// addresses finds the sockaddrs that set says are there. Each fills a multiple
// of 8 bytes, and 8 where its length is 0.
func addresses(b []byte, set uint32) (a [kinds]sockaddr, err error) {
	for i := range a {
		if set&(1<<i) == 0 {
			continue
		}
		if len(b) == 0 {
			return a, fmt.Errorf("the address number %d is not there", i)
		}
		length := int(b[0])
		if length > len(b) {
			return a, fmt.Errorf("the address number %d has %d bytes of %d", i, length, len(b))
		}
		a[i] = sockaddr(b[:max(length, 1)])
		b = b[min(align(length), len(b)):]
	}
	return a, nil
}

func align(n int) int { return max(8, (n+7)&^7) }

func (s sockaddr) family() uint8 {
	if len(s) < 2 {
		return 0
	}
	return s[1]
}

// ip is the address of an IPv4 or IPv6 sockaddr, without a zone, and the
// device's number where it is of link scope. The kernel hands that over beside
// the address, but for some messages and where net.inet6.ip6.deembed_scopeid is
// off, in the address's second 16 bits.
func (s sockaddr) ip() (addr netip.Addr, scope int) {
	switch {
	case s.family() == familyIP4 && len(s) >= addrIP4+4:
		return netip.AddrFrom4([4]byte(s[addrIP4:])), 0
	case s.family() == familyIP6 && len(s) >= sizeIP6:
		b := [16]byte(s[addrIP6:])
		addr = netip.AddrFrom16(b)
		if !ofLink(addr) {
			return addr, 0
		}
		scope = int(binary.LittleEndian.Uint32(s[24:]))
		if inside := binary.BigEndian.Uint16(b[2:]); inside != 0 {
			scope, b[2], b[3] = int(inside), 0, 0
		}
		return netip.AddrFrom16(b), scope
	}
	return netip.Addr{}, 0
}

func ofLink(a netip.Addr) bool {
	return a.Is6() && (a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsInterfaceLocalMulticast())
}

// index is the device's number of a link's sockaddr, or 0.
func (s sockaddr) index() int {
	if s.family() != familyLink || len(s) < sizeLink {
		return 0
	}
	return int(binary.LittleEndian.Uint16(s[2:]))
}

// name is the device's name of a link's sockaddr, or "".
func (s sockaddr) name() string {
	if s.family() != familyLink || len(s) < sizeLink {
		return ""
	}
	return cString(s[sizeLink:min(sizeLink+int(s[5]), len(s))])
}

// maskBits is how many bits a netmask for addr has. It is not ok where they do
// not come first, or where addr is not valid. A mask that is not there is a
// host's; one may end early, the rest being zero, and its family may be anything.
func maskBits(s sockaddr, addr netip.Addr) (n int, ok bool) {
	start := addrIP4
	if addr.Is6() {
		start = addrIP6
	}
	if s == nil || !addr.IsValid() {
		return addr.BitLen(), addr.IsValid()
	}
	size := addr.BitLen() / 8
	mask := make([]byte, size)
	copy(mask, s[min(start, len(s)):])
	for n < addr.BitLen() {
		ones := bits.LeadingZeros8(^mask[n/8])
		n += ones
		if ones < 8 {
			break
		}
	}
	for i := n; i < addr.BitLen(); i++ {
		if mask[i/8]&(0x80>>(i%8)) != 0 {
			return 0, false
		}
	}
	return n, true
}

func cString(b []byte) string {
	name, _, _ := bytes.Cut(b, []byte{0})
	return string(name)
}
