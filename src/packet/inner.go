package packet

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// IP protocol numbers (IANA).
const (
	protoTCP = 6
	protoUDP = 17
)

const (
	ipv4Header   = 20
	ipv6Header   = 40
	tcpHeader    = 20
	tcpFlagFIN   = 0x01
	tcpFlagSYN   = 0x02
	tcpFlagRST   = 0x04
	tcpFlagACK   = 0x10
	tcpOptionEnd = 0
	tcpOptionNOP = 1
	tcpOptionMSS = 2
)

// Version returns the IP version of an inner packet, 4 or 6, or 0 where it is
// not a well-formed one: too short, or shorter than its header says.
func Version(p []byte) int {
	if len(p) >= ipv4Header && p[0]>>4 == 4 {
		ihl := int(p[0]&15) * 4
		total := int(binary.BigEndian.Uint16(p[2:]))
		if ihl >= ipv4Header && total >= ihl && total <= len(p) {
			return 4
		}
	}
	if len(p) >= ipv6Header && p[0]>>4 == 6 {
		if ipv6Header+int(binary.BigEndian.Uint16(p[4:])) <= len(p) {
			return 6
		}
	}
	return 0
}

// Source returns the source address of a well-formed packet; the zero Addr of
// another.
func Source(p []byte) netip.Addr {
	switch Version(p) {
	case 4:
		return netip.AddrFrom4([4]byte(p[12:]))
	case 6:
		return netip.AddrFrom16([16]byte(p[8:]))
	}
	return netip.Addr{}
}

// transport returns the upper protocol of a well-formed packet and its
// header's offset. A fragment other than the first has no upper header: -1.
func transport(p []byte) (proto byte, offset int) {
	switch Version(p) {
	case 4:
		if binary.BigEndian.Uint16(p[6:])&0x1fff != 0 {
			return p[9], -1
		}
		return p[9], int(p[0]&15) * 4
	case 6:
		return p[6], ipv6Header // extension headers: hashed by addresses alone
	}
	return 0, -1
}

// DSCP returns the codepoint that a well-formed packet is marked with (RFC 2474),
// 0 … 63; 0 of another.
func DSCP(p []byte) byte {
	switch Version(p) {
	case 4:
		return p[1] >> 2
	case 6:
		return p[0]&15<<2 | p[1]>>6
	}
	return 0
}

// BareAck says that p is a TCP segment that only acknowledges: the next one says
// the same, and more.
func BareAck(p []byte) bool {
	proto, at := transport(p)
	if proto != protoTCP || at < 0 || len(p) < at+tcpHeader {
		return false
	}
	total := int(binary.BigEndian.Uint16(p[2:]))
	if p[0]>>4 == 6 {
		total = ipv6Header + int(binary.BigEndian.Uint16(p[4:]))
	}
	return p[at+13]&(tcpFlagFIN|tcpFlagSYN|tcpFlagRST|tcpFlagACK) == tcpFlagACK && total == at+int(p[at+12]>>4)*4
}

// FlowHash returns a hash of the packet's 5-tuple, or of its addresses and
// protocol where there are no ports or they cannot be relied on (fragments).
// seed keeps strangers from choosing flows that collide.
func FlowHash(p []byte, seed uint64) uint32 {
	h := seed
	var addresses []byte
	switch Version(p) {
	case 4:
		addresses = p[12:20]
	case 6:
		addresses = p[8:40]
	default:
		return 0
	}
	for ; len(addresses) >= 8; addresses = addresses[8:] {
		h = mix(h ^ binary.LittleEndian.Uint64(addresses))
	}
	proto, at := transport(p)
	ports := uint64(0)
	// A first fragment has ports and the others have not: to stay one flow
	// none of them may use them.
	fragment := p[0]>>4 == 4 && binary.BigEndian.Uint16(p[6:])&0x3fff != 0
	if (proto == protoTCP || proto == protoUDP) && at > 0 && len(p) >= at+4 && !fragment {
		ports = uint64(binary.LittleEndian.Uint32(p[at:]))
	}
	h = mix(h ^ uint64(proto)<<32 ^ ports)
	return uint32(h ^ h>>32)
}

func mix(h uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9)
	return hi ^ lo
}

// ClampMSS lowers the MSS option of a TCP SYN in place so that its segments
// fit packets of mtu bytes, and mends the checksum (RFC 1624). It leaves any
// other packet alone, and never raises an MSS. It reports whether it changed p.
func ClampMSS(p []byte, mtu int) bool {
	proto, at := transport(p)
	if proto != protoTCP || at < 0 || len(p) < at+tcpHeader || p[at+13]&tcpFlagSYN == 0 {
		return false
	}
	limit := mtu - ipv4Header - tcpHeader
	if p[0]>>4 == 6 {
		limit = mtu - ipv6Header - tcpHeader
	}
	end := at + int(p[at+12]>>4)*4
	if end > len(p) || limit < 1 {
		return false
	}
	for o := at + tcpHeader; o < end; {
		switch p[o] {
		case tcpOptionEnd:
			return false
		case tcpOptionNOP:
			o++
			continue
		}
		if o+1 >= end || p[o+1] < 2 || o+int(p[o+1]) > end {
			return false
		}
		if p[o] == tcpOptionMSS && p[o+1] == 4 {
			old := binary.BigEndian.Uint16(p[o+2:])
			if int(old) <= limit {
				return false
			}
			binary.BigEndian.PutUint16(p[o+2:], uint16(limit))
			updateChecksum(p[at+16:], old, uint16(limit), (o+2-at)%2 == 1)
			return true
		}
		o += int(p[o+1])
	}
	return false
}

// MarkCE marks an ECN-capable packet in place as having met congestion
// (RFC 3168 section 5), and reports whether it is: one that is not is left alone.
func MarkCE(p []byte) bool {
	const capable, marked = 1<<4 | 2<<4, 3 << 4
	switch Version(p) {
	case 4:
		old := binary.BigEndian.Uint16(p)
		if old&(capable>>4) == 0 {
			return false
		}
		if p[1] |= marked >> 4; old&(marked>>4) != marked>>4 {
			updateChecksum(p[10:], old, binary.BigEndian.Uint16(p), false)
		}
		return true
	case 6:
		if p[1]&capable == 0 {
			return false
		}
		p[1] |= marked
		return true
	}
	return false
}

// updateChecksum mends the checksum at sum for a 16-bit word that changed
// (RFC 1624, equation 3). A word at an odd offset counts byte-swapped.
func updateChecksum(sum []byte, old, new uint16, odd bool) {
	if odd {
		old, new = bits.ReverseBytes16(old), bits.ReverseBytes16(new)
	}
	s := uint32(^binary.BigEndian.Uint16(sum)) + uint32(^old) + uint32(new)
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	binary.BigEndian.PutUint16(sum, ^uint16(s))
}
