package superpacket

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// spec is a packet to be made.
type spec struct {
	v6, udp  bool
	flow     byte // a part of addresses and ports
	seq      uint32
	id       uint16
	df       bool
	flags    byte
	options  []byte // of TCP, a multiple of 4
	payload  []byte
	tos, ttl byte
	window   uint16
}

// make builds it, checksums and all, by means of its own.
func (s spec) make() []byte {
	proto, length := byte(6), 20+len(s.options)+len(s.payload)
	if s.udp {
		proto, length = 17, 8+len(s.payload)
	}
	var p []byte
	if s.v6 {
		p = make([]byte, 40, 40+length)
		p[0], p[1], p[6], p[7] = 0x60|s.tos>>4, s.tos<<4, proto, s.ttl
		binary.BigEndian.PutUint16(p[4:], uint16(length))
		p[8], p[23], p[24], p[39] = 0xfd, s.flow, 0xfd, 9
	} else {
		p = make([]byte, 20, 20+length)
		p[0], p[1], p[8], p[9] = 0x45, s.tos, s.ttl, proto
		binary.BigEndian.PutUint16(p[2:], uint16(20+length))
		binary.BigEndian.PutUint16(p[4:], s.id)
		if s.df {
			p[6] = 0x40
		}
		copy(p[12:], []byte{10, 0, 0, s.flow, 10, 0, 1, 9})
		binary.BigEndian.PutUint16(p[10:], plainSum(p))
	}
	at := len(p)
	p = binary.BigEndian.AppendUint16(p, 1000+uint16(s.flow))
	p = binary.BigEndian.AppendUint16(p, 443)
	if s.udp {
		p = binary.BigEndian.AppendUint16(p, uint16(length))
		p = append(p, 0, 0)
	} else {
		p = binary.BigEndian.AppendUint32(p, s.seq)
		p = binary.BigEndian.AppendUint32(p, 77)
		p = append(p, byte(20+len(s.options))/4<<4, s.flags)
		p = binary.BigEndian.AppendUint16(p, s.window)
		p = append(p, 0, 0, 0, 0)
		p = append(p, s.options...)
	}
	p = append(p, s.payload...)
	mend(p, at, s.udp)
	return p
}

// mend gives a packet the right transport checksum.
func mend(p []byte, at int, udp bool) {
	field := p[at+6:]
	if !udp {
		field = p[at+16:]
	}
	binary.BigEndian.PutUint16(field, 0)
	v := plainSum(pseudo(p, at))
	if v == 0 && udp {
		v = 0xffff
	}
	binary.BigEndian.PutUint16(field, v)
}

// pseudo is a packet's pseudo-header and all behind its IP header.
func pseudo(p []byte, at int) []byte {
	var b []byte
	if p[0]>>4 == 4 {
		b = append(b, p[12:20]...)
		b = append(b, 0, p[9])
	} else {
		b = append(b, p[8:40]...)
		b = append(b, 0, p[6])
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(p)-at))
	return append(b, p[at:]...)
}

// plainSum is the checksum as RFC 1071 has it, 16 bits at a time.
func plainSum(b []byte) uint16 {
	s := uint32(0)
	for i, c := range b {
		s += uint32(c) << (8 * (1 - i%2))
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// right says whether all checksums of a packet are.
func right(p []byte) bool {
	at := 40
	if p[0]>>4 == 4 {
		at = int(p[0]&15) * 4
		if plainSum(p[:at]) != 0 {
			return false
		}
	}
	return plainSum(pseudo(p, at)) == 0
}

// traffic makes n packets of a few flows as they may come out of a tunnel:
// mostly in sequence, and with all that must not be joined.
func traffic(r *rand.Rand, n int) (packets [][]byte) {
	type state struct {
		spec
		mss int
	}
	flows := make([]state, 1+r.IntN(6))
	for i := range flows {
		flows[i] = state{spec{v6: r.IntN(2) == 0, udp: r.IntN(3) == 0, flow: byte(i), seq: r.Uint32(), id: uint16(r.Uint32()),
			df: r.IntN(2) == 0, flags: tcpACK, ttl: 64, window: 500, options: make([]byte, 4*r.IntN(4))}, 1 + r.IntN(1400)}
	}
	for len(packets) < n {
		f := &flows[r.IntN(len(flows))]
		for range 1 + r.IntN(8) {
			s := f.spec
			s.payload = randomBytes(r, f.mss)
			switch r.IntN(40) {
			case 0:
				s.payload = s.payload[:r.IntN(f.mss)]
			case 1:
				s.flags |= []byte{tcpPSH, tcpFIN, 2, 4, 0x20, tcpECE, tcpCWR}[r.IntN(7)]
			case 2:
				s.tos = byte(r.Uint32())
			case 3:
				s.ttl--
			case 4:
				s.seq += r.Uint32N(3)
			case 5:
				s.id += uint16(r.IntN(3))
			case 6:
				s.window++
			case 7:
				f.mss = 1 + r.IntN(1400)
			case 8:
				s.payload = randomBytes(r, f.mss+1)
			}
			p := s.make()
			switch r.IntN(60) {
			case 0:
				p[r.IntN(len(p))] ^= 1 << r.IntN(8) // a wrong checksum, and who knows what else
			case 1:
				p = p[:1+r.IntN(len(p))]
			case 2:
				p = append(p, 0) // padding
			}
			packets = append(packets, p)
			f.seq += uint32(len(s.payload))
			f.id++
		}
	}
	return packets[:n]
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// room puts packets into buffers with space for a header before them.
func room(packets [][]byte) [][]byte {
	bufs := make([][]byte, len(packets))
	for i, p := range packets {
		bufs[i] = append(make([]byte, HeaderSize), p...)
	}
	return bufs
}

// frame is what a run writes.
func frame(c *Coalescer, r *Run, bufs [][]byte) []byte {
	f := bytes.Clone(bufs[r.First])
	if r.Count > 1 {
		f = c.Frame(make([]byte, 0, MaxHeaders), r, bufs, HeaderSize)
		for i := r.First; i >= 0; i = c.Next(i) {
			f = append(f, bufs[i][HeaderSize+r.Headers:]...)
		}
	}
	return f
}

// segments takes a frame apart.
func segments(t testing.TB, f []byte) (all [][]byte) {
	t.Helper()
	var s Segmenter
	if err := s.Reset(f); err != nil {
		t.Fatalf("%v: % x", err, f[:min(len(f), 80)])
	}
	dst := make([]byte, len(f))
	for s.More() {
		all = append(all, bytes.Clone(dst[:s.Next(dst)]))
	}
	return all
}
