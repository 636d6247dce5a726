package auth

import "encoding/binary"

// SequenceLen is what DataSequence appends, in bytes.
const SequenceLen = 10

// DataSequence carries Meta.Previous (2 bytes) and Meta.Sequence (8 bytes),
// both big endian, behind a packet's body. It is its own MacGenerator and
// MacVerifier, and has no state.
//
// As verifier it only extracts. Whether the number is fresh is for the
// session's replay window to say, once the whole chain has agreed: the window
// is shared by all producers, so asking it takes the session's lock, and that
// lock is taken once for a batch that is already verified instead of once for
// every packet in the middle of its chain. It also keeps a packet with a wrong
// MAC from ever reaching the window.
type DataSequence struct{}

// Overhead is SequenceLen.
func (DataSequence) Overhead() int { return SequenceLen }

// Generate appends m.Previous and m.Sequence.
func (DataSequence) Generate(msg []byte, m *Meta) []byte {
	n := len(msg)
	msg = msg[:n+SequenceLen]
	binary.BigEndian.PutUint16(msg[n:], m.Previous)
	binary.BigEndian.PutUint64(msg[n+2:], m.Sequence)
	return msg
}

// Verify strips and stores m.Previous and m.Sequence.
func (DataSequence) Verify(msg []byte, m *Meta) ([]byte, error) {
	msg, tail, err := strip(msg, SequenceLen, m)
	if err != nil {
		return nil, err
	}
	m.Previous = binary.BigEndian.Uint16(tail)
	m.Sequence = binary.BigEndian.Uint64(tail[2:])
	return msg, nil
}
