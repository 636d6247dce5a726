// Package wire is the layout of netcombiner's messages, byte for byte: the
// code of PROTOCOL.md. It knows nothing of keys, and parses only what a MAC
// has vouched for (but for the two-byte prefix, which says which key).
//
// Glossary
//
//	message    what one transport datagram, or one length-prefixed TCP record, holds
//	epoch      number, modulo 4, of the keys that seal a message
//	path       number of a path, chosen by the local portal
//	sequence   number of a message on its path; every message has one
//	trailer    data sequence number and MAC, added by package auth
package wire

import (
	"encoding/binary"
	"errors"
)

// Version is the protocol's version: the upper three bits of every message.
const Version = 1

// Type says what a message is.
type Type uint8

// The first three set up a session and are sealed by package handshake; the
// others belong to a session.
const (
	TypeHello   Type = 1
	TypeReply   Type = 2
	TypeRetry   Type = 3
	TypeData    Type = 4 // an inner packet
	TypeControl Type = 5 // frames; empty, a ping
	TypeAck     Type = 6 // nothing but an acknowledgement; is not acknowledged
)

const (
	// PrefixSize is what Prefix reads.
	PrefixSize = 2
	// HeaderSize is the length of a session message's header, in bytes.
	HeaderSize = 6
	// MaxPaths is how many paths a tunnel can have.
	MaxPaths = 64
	// Epochs is how many epoch numbers there are.
	Epochs = 4
)

const (
	versionShift = 5
	flagAck      = 1 << 4
	typeMask     = 0x0f
	epochShift   = 6
	pathMask     = 0x3f
)

// ErrMalformed says that a message is not of this protocol and version.
var ErrMalformed = errors.New("wire: malformed message")

// Header is the header of a session message.
type Header struct {
	Type     Type
	HasAck   bool // an Ack follows the header
	Epoch    uint8
	Path     uint8
	Sequence uint32 // lower half of the path's sequence
}

// Prefix reads the only bytes that may be looked at before a MAC is checked:
// they say which key to check it with. ok is false for what is not ours.
func Prefix(m []byte) (t Type, epoch, path uint8, ok bool) {
	if len(m) < PrefixSize || m[0]>>versionShift != Version {
		return 0, 0, 0, false
	}
	t = Type(m[0] & typeMask)
	return t, m[1] >> epochShift, m[1] & pathMask, t >= TypeHello && t <= TypeAck
}

// Append appends h to b.
func (h *Header) Append(b []byte) []byte {
	first := byte(Version<<versionShift) | byte(h.Type)
	if h.HasAck {
		first |= flagAck
	}
	b = append(b, first, h.Epoch<<epochShift|h.Path)
	return binary.BigEndian.AppendUint32(b, h.Sequence)
}

// ParseHeader reads a session message's header and returns what follows it.
func ParseHeader(m []byte) (h Header, rest []byte, err error) {
	t, epoch, path, ok := Prefix(m)
	if !ok || t < TypeData || len(m) < HeaderSize {
		return h, nil, ErrMalformed
	}
	h = Header{Type: t, HasAck: m[0]&flagAck != 0, Epoch: epoch, Path: path,
		Sequence: binary.BigEndian.Uint32(m[2:])}
	if h.Type == TypeAck && !h.HasAck {
		return h, nil, ErrMalformed
	}
	return h, m[HeaderSize:], nil
}

// Expand returns the 64-bit sequence whose lower half is low and which is
// nearest to near (as QUIC does, RFC 9000 appendix A.3).
func Expand(low uint32, near uint64) uint64 {
	seq := near&^0xffffffff | uint64(low)
	switch {
	case seq > near && seq-near > 1<<31 && seq >= 1<<32:
		return seq - 1<<32
	case seq < near && near-seq > 1<<31:
		return seq + 1<<32
	}
	return seq
}
