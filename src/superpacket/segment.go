package superpacket

import "encoding/binary"

// Segmenter takes a frame apart, a packet at a time, so that the reader of a
// TUN needs no more buffers than it likes. The zero value has none.
type Segmenter struct {
	packet  []byte // the rest of the frame that is being taken apart; nil: none
	kind    uint8  // without flags
	start   int    // offset of the transport header
	headers int    // length of all headers
	size    int    // of a segment's payload
	next    int    // offset of the next payload
	index   int    // of the next segment
	pseudo  uint64 // sum of the pseudo-header, without the length
}

// Reset begins with a frame that was read from a TUN's file. The frame is the
// Segmenter's until More says that there is no more of it.
func (s *Segmenter) Reset(frame []byte) error {
	s.packet = nil
	if len(frame) <= HeaderSize || len(frame) > MaxFrame {
		return ErrMalformed
	}
	h, p := parseHeader(frame), frame[HeaderSize:]
	var ok bool
	if s.kind = h.kind &^ kindECN; s.kind == kindNone {
		ok = h.kind == kindNone && complete(h, p)
	} else {
		ok = s.measure(h, p)
	}
	if !ok {
		return ErrMalformed
	}
	s.packet = p
	return nil
}

// complete fills in the checksum of a packet, where the kernel left that to us.
func complete(h header, p []byte) bool {
	if h.flags&needsSum == 0 {
		return true
	}
	at := h.sumStart + h.sumAt
	if at+2 > len(p) {
		return false
	}
	// The field holds the pseudo-header's sum already.
	v := ^fold(sum(p[h.sumStart:], 0))
	if v == 0 && h.sumAt == udpSumAt {
		v = 0xffff // for UDP, 0 means that there is none
	}
	putSum(p[at:], v)
	return true
}

// measure finds out how the super-packet p is to be cut. The header's own
// length of headers is only a hint: of a forwarded packet it may be anything.
func (s *Segmenter) measure(h header, p []byte) bool {
	v4 := p[0]>>4 == 4
	proto := protoTCP
	switch {
	case s.kind == kindTCP4 && v4, s.kind == kindTCP6 && p[0]>>4 == 6:
	case s.kind == kindUDP && (v4 || p[0]>>4 == 6):
		proto = protoUDP
	default:
		return false
	}
	ip := ipv6Header
	if v4 {
		ip = max(int(p[0]&15)*4, ipv4Header)
	}
	s.start = ip
	if h.flags&needsSum != 0 {
		s.start = h.sumStart // past IPv6's extension headers
	}
	if s.start < ip || len(p) < s.start+tcpHeader && proto == protoTCP || len(p) < s.start+udpHeader {
		return false
	}
	s.headers = s.start + udpHeader
	if proto == protoTCP {
		length := int(p[s.start+12]>>4) * 4
		if length < tcpHeader {
			return false
		}
		s.headers = s.start + length
	}
	s.size, s.next, s.index = h.size, s.headers, 0
	if s.headers >= len(p) || s.size == 0 {
		return false
	}
	s.pseudo = addresses(p, proto)
	return true
}

// More says whether Next has another packet.
func (s *Segmenter) More() bool { return s.packet != nil }

// Next writes the next packet to dst and returns its length, in bytes. One for
// which dst is too short is lost: then it returns 0.
func (s *Segmenter) Next(dst []byte) int {
	if s.kind == kindNone {
		p := s.packet
		s.packet = nil
		if len(p) > len(dst) {
			return 0
		}
		return copy(dst, p)
	}
	p, from := s.packet, s.next
	s.next = min(from+s.size, len(p))
	last := s.next == len(p)
	if last {
		s.packet = nil
	}
	n := s.headers + s.next - from
	if n > len(dst) {
		s.index++
		return 0
	}
	dst = dst[:n]
	copy(dst, p[:s.headers])
	payload := copySum(dst[s.headers:], p[from:s.next], 0)
	s.address(dst)
	if s.kind == kindUDP {
		s.finishUDP(dst, payload)
	} else {
		s.finishTCP(dst, payload, from-s.headers, last)
	}
	s.index++
	return n
}

// address makes the IP header that of this segment.
func (s *Segmenter) address(p []byte) {
	if p[0]>>4 == 6 {
		binary.BigEndian.PutUint16(p[4:], uint16(len(p)-ipv6Header))
		return
	}
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:], binary.BigEndian.Uint16(p[4:])+uint16(s.index))
	binary.BigEndian.PutUint16(p[ipSumAt:], 0)
	length := min(max(int(p[0]&15)*4, ipv4Header), s.start)
	putSum(p[ipSumAt:], ^fold(sum(p[:length], 0)))
}

// finishTCP numbers a segment whose payload has that sum, and begins at offset.
// FIN and PSH are for the last, CWR for the first.
func (s *Segmenter) finishTCP(p []byte, payload uint64, offset int, last bool) {
	t := p[s.start:]
	binary.BigEndian.PutUint32(t[4:], binary.BigEndian.Uint32(t[4:])+uint32(offset))
	if !last {
		t[13] &^= tcpFIN | tcpPSH
	}
	if s.index > 0 {
		t[13] &^= tcpCWR
	}
	putSum(t[tcpSumAt:], 0)
	putSum(t[tcpSumAt:], ^s.checksum(t, payload))
}

func (s *Segmenter) finishUDP(p []byte, payload uint64) {
	u := p[s.start:]
	binary.BigEndian.PutUint16(u[4:], uint16(len(u)))
	putSum(u[udpSumAt:], 0)
	v := ^s.checksum(u, payload)
	if v == 0 {
		v = 0xffff
	}
	putSum(u[udpSumAt:], v)
}

// checksum sums a segment from its transport header t on, of whose payload the
// sum is known.
func (s *Segmenter) checksum(t []byte, payload uint64) uint16 {
	header := sum(t[:s.headers-s.start], s.pseudo+word(len(t)))
	return fold(uint64(fold(header)) + uint64(fold(payload)))
}
