package tundevice

import (
	"encoding/binary"
	"net"
	"net/netip"
)

// What FreeBSD's ioctls take, as its 64-bit kernels lay it out (net/if.h,
// netinet/in_var.h, netinet6/in6_var.h). It stands here, and not beside the
// calls, so that every system's tests see it.

const (
	requestName = 16 // every request begins with the interface's name, and a NUL

	sizeRequest  = 32  // struct ifreq
	sizeRequest6 = 288 // struct in6_ifreq, of which the rest is for statistics
	sizeGroup    = 40  // struct ifgroupreq
	sizeStatus   = 817 // struct ifstat
	sizeAlias4   = 68  // struct in_aliasreq
	sizeAlias6   = 136 // struct in6_aliasreq

	sizeSockaddr4 = 16
	sizeSockaddr6 = 28

	familyInet  = 2
	familyInet6 = 28

	noDuplicates = 0x20       // IN6_IFF_NODAD: nobody else is on the wire
	forever      = 0xffffffff // ND6_INFINITE_LIFETIME
)

// request is size bytes about an interface, whose name CheckName has seen.
func request(name string, size int) []byte {
	b := make([]byte, size)
	copy(b[:requestName-1], name)
	return b
}

// numberRequest is a struct ifreq with a number: MTU or flags.
func numberRequest(name string, n int) []byte {
	b := request(name, sizeRequest)
	binary.NativeEndian.PutUint32(b[requestName:], uint32(n))
	return b
}

// numberIn is the number of a struct ifreq.
func numberIn(b []byte) int { return int(binary.NativeEndian.Uint32(b[requestName:])) }

// aliasRequest asks for an address on an interface.
func aliasRequest(name string, prefix netip.Prefix) []byte {
	if prefix.Addr().Is4() {
		b := request(name, sizeAlias4)
		putSockaddr(b[16:], prefix.Addr())
		putSockaddr(b[48:], mask(prefix)) // between the two the broadcast address, for the kernel to choose
		return b
	}
	b := request(name, sizeAlias6)
	putSockaddr(b[16:], prefix.Addr())
	putSockaddr(b[72:], mask(prefix)) // between the two the other end of a point-to-point interface
	binary.NativeEndian.PutUint32(b[100:], noDuplicates)
	binary.NativeEndian.PutUint32(b[120:], forever) // valid
	binary.NativeEndian.PutUint32(b[124:], forever) // preferred
	return b
}

// addressRequest names an address of an interface.
func addressRequest(name string, addr netip.Addr) []byte {
	size := sizeRequest
	if addr.Is6() {
		size = sizeRequest6
	}
	b := request(name, size)
	putSockaddr(b[requestName:], addr)
	return b
}

func mask(prefix netip.Prefix) netip.Addr {
	m, _ := netip.AddrFromSlice(net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()))
	return m
}

// putSockaddr writes a struct sockaddr_in or sockaddr_in6. The scope of a
// link-local address is the interface that the request names.
func putSockaddr(b []byte, addr netip.Addr) {
	if addr.Is4() {
		b[0], b[1] = sizeSockaddr4, familyInet
		copy(b[4:8], addr.AsSlice())
		return
	}
	b[0], b[1] = sizeSockaddr6, familyInet6
	copy(b[8:24], addr.AsSlice())
}

// groupRequest is a struct ifgroupreq that puts an interface into a group.
func groupRequest(name, group string) []byte {
	b := request(name, sizeGroup)
	copy(b[24:39], group)
	return b
}

// groupNames are those in a list of struct ifg_req.
func groupNames(list []byte) (names []string) {
	for ; len(list) >= requestName; list = list[requestName:] {
		names = append(names, cString(list[:requestName]))
	}
	return names
}

// cString is what stands in b before its first NUL.
func cString(b []byte) string {
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
