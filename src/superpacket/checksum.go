package superpacket

import (
	"encoding/binary"
	"math/bits"
)

// The Internet checksum (RFC 1071) is the same in any byte order, as long as
// it is one: sums here are of 64-bit words in the host's, and unfolded.

// sum adds b to s.
func sum(b []byte, s uint64) uint64 {
	var carry uint64
	for len(b) >= 64 {
		// One chain of additions with carry: a word a cycle.
		w := b[:64:64]
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(w), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(w[8:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(w[16:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(w[24:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(w[32:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(w[40:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(w[48:]), carry)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(w[56:]), carry)
		b = b[64:]
	}
	for len(b) >= 8 {
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		s, carry = bits.Add64(s, binary.NativeEndian.Uint64(last[:]), carry)
	}
	s, carry = bits.Add64(s, 0, carry)
	return s + carry
}

// word is a number as the sum takes it that stands in a packet in 16 bits.
func word(v int) uint64 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], uint16(v))
	return uint64(binary.NativeEndian.Uint16(b[:]))
}

// fold makes 16 bits of a sum: not inverted.
func fold(s uint64) uint16 {
	s = s>>32 + s&0xffffffff
	s = s>>32 + s&0xffffffff
	s = s>>16 + s&0xffff
	s = s>>16 + s&0xffff
	return uint16(s)
}

// putSum writes a folded sum, or its inverse, where a header keeps it.
func putSum(b []byte, v uint16) { binary.NativeEndian.PutUint16(b, v) }

// addresses sums what the pseudo-header of a packet has beside the length.
func addresses(p []byte, proto int) uint64 {
	if p[0]>>4 == 4 {
		return sum(p[12:20], word(proto))
	}
	return sum(p[8:40], word(proto))
}
