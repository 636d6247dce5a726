package superpacket

import "encoding/binary"

// Probe is a frame that only tells whether a kernel takes super-packets: two
// segments, the last the shorter, from the loopback address to itself, with no
// hop left.
func Probe(udp bool) []byte {
	const size, payload = 8, 9
	h := header{flags: needsSum, kind: kindTCP4, headers: ipv4Header + tcpHeader, size: size, sumStart: ipv4Header, sumAt: tcpSumAt}
	proto := protoTCP
	if udp {
		h.kind, h.headers, h.sumAt, proto = kindUDP, ipv4Header+udpHeader, udpSumAt, protoUDP
	}
	frame := make([]byte, HeaderSize+h.headers+payload)
	h.put(frame)
	p := frame[HeaderSize:]
	p[0], p[9] = ipv4Plain, byte(proto)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	copy(p[12:], []byte{127, 0, 0, 1, 127, 0, 0, 1})
	putSum(p[ipSumAt:], ^fold(sum(p[:ipv4Header], 0)))
	t := p[ipv4Header:]
	if udp {
		binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
	} else {
		t[12], t[13] = tcpHeader/4<<4, tcpACK
	}
	putSum(t[h.sumAt:], fold(addresses(p, proto)+word(len(t))))
	return frame
}
