package udpsocket

import (
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlBuffer holds control messages of packet information and of a segment's
// size, 40 and 24 bytes at most, aligned as the kernel wants it.
type controlBuffer [8]uint64

// zones remembers the last link-local scope, so that a message from or to a
// link-local address costs no look-up.
type zones struct {
	index uint32
	name  string
}

func (z *zones) nameOf(index uint32) string {
	if z.index != index || z.name == "" {
		z.index, z.name = index, strconv.FormatUint(uint64(index), 10)
	}
	return z.name
}

func (z *zones) indexOf(name string) uint32 {
	if z.name == name {
		return z.index
	}
	index, err := strconv.ParseUint(name, 10, 32)
	if err != nil {
		device, err := net.InterfaceByName(name)
		if err != nil {
			return 0 // the kernel refuses it
		}
		index = uint64(device.Index)
	}
	z.index, z.name = uint32(index), name
	return z.index
}

// readName returns the address that the kernel put in name, unmapped.
func readName(name *unix.RawSockaddrInet6, zones *zones) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])
	if name.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && addr.IsLinkLocalUnicast() {
		addr = addr.WithZone(zones.nameOf(name.Scope_id))
	}
	return netip.AddrPortFrom(addr, port)
}

// writeName puts to in name, mapped where the socket is of IPv6, and returns
// the length of what it wrote; false where the socket cannot reach such an
// address.
func writeName(name *unix.RawSockaddrInet6, to netip.AddrPort, mapped bool, zones *zones) (uint32, bool) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], to.Port())
	addr := to.Addr().Unmap()
	if !mapped {
		if !addr.Is4() {
			return 0, false
		}
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		v4.Family = unix.AF_INET
		v4.Addr = addr.As4()
		return unix.SizeofSockaddrInet4, true
	}
	if !addr.IsValid() {
		return 0, false
	}
	name.Family = unix.AF_INET6
	name.Addr = addr.As16()
	name.Scope_id = 0
	if zone := addr.Zone(); zone != "" {
		name.Scope_id = zones.indexOf(zone)
	}
	return unix.SizeofSockaddrInet6, true
}

// note is what control messages say of a datagram.
type note struct {
	at      netip.Addr // to which address it came; invalid: not said
	segment int        // how long the datagrams are that the kernel joined to this one, in bytes; 0: it did not
}

// readControl reads the length bytes of control that the kernel filled.
func readControl(control *controlBuffer, length int, mapped bool) (n note) {
	for at := 0; at+unix.SizeofCmsghdr <= length; {
		head := (*unix.Cmsghdr)(unsafe.Add(unsafe.Pointer(control), at))
		size := int(head.Len) - unix.CmsgLen(0)
		if size < 0 || at+int(head.Len) > length {
			break
		}
		data := unsafe.Add(unsafe.Pointer(head), unix.CmsgLen(0))
		if segment := readSegment(head, data, size); segment > 0 {
			n.segment = segment
		} else if addr := readPacketInfo(head, data, size, mapped); addr.IsValid() {
			n.at = addr
		}
		at += unix.CmsgSpace(size)
	}
	return n
}

// readPacketInfo returns the address to which a datagram came, if this control
// message of size bytes tells it.
func readPacketInfo(head *unix.Cmsghdr, data unsafe.Pointer, size int, mapped bool) netip.Addr {
	switch {
	case !mapped:
		return readPacketInfo4(head, data, size)
	case head.Level != unix.IPPROTO_IPV6 || head.Type != unix.IPV6_PKTINFO || size < unix.SizeofInet6Pktinfo:
		return netip.Addr{}
	}
	return netip.AddrFrom16((*unix.Inet6Pktinfo)(data).Addr)
}

// writePacketInfo makes control choose the source address from, and returns
// its length; false where the socket cannot have such an address.
func writePacketInfo(control *controlBuffer, from netip.Addr, mapped bool) (int, bool) {
	head := (*unix.Cmsghdr)(unsafe.Pointer(control))
	data := unsafe.Add(unsafe.Pointer(control), unix.CmsgLen(0))
	from = from.Unmap()
	if !mapped {
		if !from.Is4() {
			return 0, false
		}
		return writePacketInfo4(head, data, from), true
	}
	head.Level = unix.IPPROTO_IPV6
	head.Type = unix.IPV6_PKTINFO
	head.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	// No interface: an answer leaves where the routing table says.
	*(*unix.Inet6Pktinfo)(data) = unix.Inet6Pktinfo{Addr: from.As16()}
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo), true
}

func unmapTo(addr netip.Addr, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(addr.Unmap(), port)
}
