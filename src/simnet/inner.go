package simnet

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// An inner test packet is IP, UDP, innerHeader, body. All of it follows from
// the flow, the header's fields and the size, so that the receiver can build it
// again and compare bit for bit.
//
//	0  magic      4 bytes
//	4  flow       4  id
//	8  seq        8  number in the flow, from 0
//	16 at         8  when it was sent, ns since the network's start
//	24 notes      24 three numbers of the application
//	48 tag        8  hash of all above: a changed note is found too
//	56 body          a piece of pattern
const (
	innerMagic  = 0x6e63_7369 // "ncsi"
	innerHeader = 56
	// MinInner4 and MinInner6 are the sizes of the smallest test packets, in
	// bytes, IP header included.
	MinInner4 = 20 + 8 + innerHeader
	MinInner6 = 40 + 8 + innerHeader
)

// header is what an inner packet says of itself.
type header struct {
	flow  uint32
	seq   uint64
	at    uint64
	notes [3]uint64
}

func (h *header) tag() uint64 {
	t := mix(uint64(h.flow)<<32 ^ h.seq)
	t = mix(t ^ h.at)
	for _, n := range h.notes {
		t = mix(t ^ n)
	}
	return t
}

// mix is a bijection that changes about half of the bits (the finalizer of
// SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// pattern is what bodies are cut from: which piece follows from flow and seq,
// so that a body under another packet's header is found.
var pattern = func() []byte {
	b := make([]byte, 1<<17)
	rng := rand.NewPCG(1, 2)
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], rng.Uint64())
	}
	return b
}()

// ECN code points (RFC 3168 section 5).
const (
	ecnECT0 = 0b10
	ecnCE   = 0b11
)

// appendInner appends a packet of size bytes with these addresses.
func appendInner(b []byte, src, dst netip.AddrPort, ecn byte, h *header, size int) []byte {
	start := len(b)
	var sum uint64 // of the pseudo header
	if src.Addr().Is4() {
		b = append(b, 0x45, ecn, byte(size>>8), byte(size), 0, 0, 0x40, 0, 64, 17, 0, 0)
		s, d := src.Addr().As4(), dst.Addr().As4()
		b = append(append(b, s[:]...), d[:]...)
		ip := b[start:]
		binary.BigEndian.PutUint16(ip[10:], ^fold(sum16(0, ip)))
		sum = sum16(0, ip[12:20])
	} else {
		payload := size - 40
		b = append(b, 0x60|ecn>>4, ecn<<4, 0, 0, byte(payload>>8), byte(payload), 17, 64)
		s, d := src.Addr().As16(), dst.Addr().As16()
		b = append(append(b, s[:]...), d[:]...)
		sum = sum16(0, b[start+8:])
	}
	at := len(b)
	length := size - (at - start)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	b = binary.BigEndian.AppendUint16(b, dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint32(b, innerMagic)
	b = binary.BigEndian.AppendUint32(b, h.flow)
	b = binary.BigEndian.AppendUint64(b, h.seq)
	b = binary.BigEndian.AppendUint64(b, h.at)
	for _, n := range h.notes {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	tag := h.tag()
	b = binary.BigEndian.AppendUint64(b, tag)
	body := length - 8 - innerHeader
	offset := int(tag & (1<<16 - 1))
	b = append(b, pattern[offset:offset+body]...)
	check := ^fold(sum16(sum+17+uint64(length), b[at:]))
	if check == 0 {
		check = 0xffff // RFC 768
	}
	binary.BigEndian.PutUint16(b[at+6:], check)
	return b
}

// parseInner returns the header of a test packet, its ECN bits and whether it
// is one at all. It believes nothing else.
func parseInner(b []byte) (h header, ecn byte, ok bool) {
	var udp int
	switch {
	case len(b) >= MinInner4 && b[0] == 0x45:
		udp, ecn = 20, b[1]&3
	case len(b) >= MinInner6 && b[0]>>4 == 6:
		udp, ecn = 40, b[1]>>4&3
	default:
		return h, 0, false
	}
	p := b[udp+8:]
	if binary.BigEndian.Uint32(p) != innerMagic {
		return h, 0, false
	}
	h.flow = binary.BigEndian.Uint32(p[4:])
	h.seq = binary.BigEndian.Uint64(p[8:])
	h.at = binary.BigEndian.Uint64(p[16:])
	for i := range h.notes {
		h.notes[i] = binary.BigEndian.Uint64(p[24+8*i:])
	}
	return h, ecn, true
}

// sum16 adds the big-endian 16-bit words of b to sum (RFC 1071), eight bytes at
// a time: the carries come home in fold.
func sum16(sum uint64, b []byte) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		v := binary.BigEndian.Uint64(b)
		sum += v>>32 + v&0xffffffff
	}
	for ; len(b) >= 2; b = b[2:] {
		sum += uint64(b[0])<<8 | uint64(b[1])
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	return sum
}

func fold(sum uint64) uint16 {
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return uint16(sum)
}
