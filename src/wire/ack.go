package wire

import (
	"encoding/binary"
	"math/bits"
)

// MaxAckWords bounds the bitmap of an Ack: 8 × 64 = 512 sequences.
const MaxAckWords = 8

// AckMinSize is the length of an Ack without a bitmap, in bytes.
const AckMinSize = 23

// AckMaxSize is the length of the longest Ack, in bytes.
const AckMaxSize = AckMinSize + 8*MaxAckWords

// Ack tells a path's sender what arrived. It is the paper's ACK and NACK
// (section 3.1.3), with what a controller of rate and delay needs besides.
//
// All sequences above Nack and up to Ack were received. Those up to Nack were
// received or given up: Received tells which, as far back as it reaches.
type Ack struct {
	Ack     uint32 // highest such that all up to it were received or given up
	Nack    uint32 // highest given up
	Largest uint32 // highest received
	// ReceivedAt is when Largest arrived, in µs of the receiver's own clock,
	// modulo 2^32: differences tell the trend of the one-way delay.
	ReceivedAt uint32
	// Delay is how long Largest has waited for this acknowledgement, in units
	// of 16 µs; the longest value means "that or more".
	Delay uint16
	// Delivered is how many bytes of messages arrived on the path, modulo 2^32.
	Delivered uint32
	// Words is how many words of Received count. Bit i of word w is set if
	// sequence Largest - 1 - 64w - i was received.
	Words    int
	Received [MaxAckWords]uint64
}

// Size is the encoded length, in bytes.
func (a *Ack) Size() int { return AckMinSize + 8*a.Words }

// Append appends a to b.
func (a *Ack) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, a.Ack)
	b = binary.BigEndian.AppendUint32(b, a.Nack)
	b = binary.BigEndian.AppendUint32(b, a.Largest)
	b = binary.BigEndian.AppendUint32(b, a.ReceivedAt)
	b = binary.BigEndian.AppendUint16(b, a.Delay)
	b = binary.BigEndian.AppendUint32(b, a.Delivered)
	b = append(b, byte(a.Words))
	for _, w := range a.Received[:a.Words] {
		b = binary.BigEndian.AppendUint64(b, bits.Reverse64(w)) // first bit first
	}
	return b
}

// ParseAck reads an Ack from the start of m into a and returns what follows.
func ParseAck(m []byte, a *Ack) (rest []byte, err error) {
	if len(m) < AckMinSize {
		return nil, ErrMalformed
	}
	a.Ack = binary.BigEndian.Uint32(m)
	a.Nack = binary.BigEndian.Uint32(m[4:])
	a.Largest = binary.BigEndian.Uint32(m[8:])
	a.ReceivedAt = binary.BigEndian.Uint32(m[12:])
	a.Delay = binary.BigEndian.Uint16(m[16:])
	a.Delivered = binary.BigEndian.Uint32(m[18:])
	a.Words = int(m[22])
	m = m[AckMinSize:]
	if a.Words > MaxAckWords || len(m) < 8*a.Words {
		return nil, ErrMalformed
	}
	for i := range a.Words {
		a.Received[i] = bits.Reverse64(binary.BigEndian.Uint64(m[8*i:]))
	}
	return m[8*a.Words:], nil
}
