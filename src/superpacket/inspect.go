package superpacket

import "encoding/binary"

// class is what a packet's headers tell of its flow.
type class uint8

const (
	unclear class = iota // no more than nothing: a fragment, extension headers, junk
	other                // it is neither TCP nor UDP
	member               // of the flow that its addresses and ports name
)

// found is what inspect finds in a packet's headers.
type found struct {
	class          class
	udp            bool
	joins          bool // it may be part of a run, as far as it alone can tell
	ends           bool // and then be the last
	start, headers int  // offset of the transport header; length of all headers
	payload        int  // bytes
}

// inspect reads the headers of any bytes.
func inspect(p []byte) found {
	var proto byte
	f := found{}
	var plain bool // such an IP header as a run's packets have
	switch {
	case len(p) >= ipv4Header && p[0]>>4 == 4:
		if binary.BigEndian.Uint16(p[6:])&0x3fff != 0 {
			return f // a fragment
		}
		proto, f.start = p[9], int(p[0]&15)*4
		plain = p[0] == ipv4Plain && p[6]&0x80 == 0 && int(binary.BigEndian.Uint16(p[2:])) == len(p)
	case len(p) >= ipv6Header && p[0]>>4 == 6:
		proto, f.start = p[6], ipv6Header
		plain = ipv6Header+int(binary.BigEndian.Uint16(p[4:])) == len(p)
	default:
		return f
	}
	switch {
	case proto == protoTCP && len(p) >= f.start+tcpHeader && f.start >= ipv4Header:
		f.class = member
		f.tcp(p, plain)
	case proto == protoUDP && len(p) >= f.start+udpHeader && f.start >= ipv4Header:
		f.class, f.udp = member, true
		f.headers = f.start + udpHeader
		f.payload = len(p) - f.headers
		u := p[f.start:]
		// A datagram without a checksum would come out with one.
		f.joins = plain && f.payload > 0 && int(binary.BigEndian.Uint16(u[4:])) == len(u) && u[6]|u[7] != 0
	case proto != protoTCP && proto != protoUDP && (p[0]>>4 == 4 || proto == protoICMP6 || proto == protoESP):
		f.class = other
	}
	return f
}

func (f *found) tcp(p []byte, plain bool) {
	t := p[f.start:]
	length := int(t[12]>>4) * 4
	if length < tcpHeader || length >= len(t) {
		return // no payload, for one
	}
	f.headers = f.start + length
	f.payload = len(p) - f.headers
	f.joins = plain && t[13]&^(tcpPSH|tcpECE) == tcpACK
	f.ends = t[13]&tcpPSH != 0
}

// sumsRight says whether a packet for which inspect found that it may join has
// the right checksums.
func sumsRight(p []byte, start int) bool {
	proto := int(p[6])
	if p[0]>>4 == 4 {
		if fold(sum(p[:ipv4Header], 0)) != 0xffff {
			return false
		}
		proto = int(p[9])
	}
	return fold(sum(p[start:], addresses(p, proto)+word(len(p)-start))) == 0xffff
}

// hash mixes the addresses and ports of a member of a flow.
func hash(p []byte, start int) uint32 {
	at, end := 12, 20
	if p[0]>>4 == 6 {
		at, end = 8, 40
	}
	h := binary.NativeEndian.Uint32(p[start:])
	for ; at < end; at += 4 {
		h = (h ^ binary.NativeEndian.Uint32(p[at:])) * 0x9e3779b1
	}
	return h >> 26
}
