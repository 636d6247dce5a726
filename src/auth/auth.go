// Package auth makes and checks what proves a packet authentic: the paper's
// MacGenerator and MacVerifier (sections 2.2.1, 2.2.2 and 3.2.2).
//
// Words:
//
//	generator  appends bytes to a packet at the sending half of a path (consumer)
//	verifier   checks and strips what its generator appended, at the receiving half (producer)
//	chain      generators in order, verifiers in reverse: data sequence number inside, MAC outside
//	suite      a kind of MAC, with encryption or without, known by a number on the wire and
//	           a word in the configuration
//
// A packet grows on its way through a chain:
//
//	| header (HeaderLen) | body |                           from the caller
//	| header | body | previous 2 | sequence 8 |             after DataSequence
//	| header | body | previous 2 | sequence 8 | MAC 16 |    after any suite but none
//
// so that the sequence number is under the MAC. A suite that encrypts does so
// in place with all that follows the header, and its tag is the MAC.
package auth

import (
	"errors"
	"net/netip"
)

// KeySize is the length of every suite's key, in bytes.
const KeySize = 32

var (
	// ErrMAC says that a packet was not made by who holds the key, or was
	// changed on its way.
	ErrMAC = errors.New("auth: wrong MAC")
	// ErrMalformed says that a packet is too short for what it should carry.
	ErrMalformed = errors.New("auth: packet too short")
)

// Meta is what a chain needs to know of a packet beside its bytes, and what it
// learns. The caller owns it and uses one for packet after packet: a Meta made
// anew for each would be an allocation for each.
type Meta struct {
	// Sequence is the packet's number in the session, counted from 1 over all
	// paths. DataSequence writes it to the packet and reads it back.
	Sequence uint64
	// Previous is how far back in Sequence the packet before this one of the
	// same inner flow is; 0: none, or further than 65,535. Carried like Sequence.
	Previous uint16

	// Path and PathSequence name this packet among all that were ever sent
	// under one key, also when the same data goes again on another path: they
	// are the nonce of a suite that encrypts. The receiver fills them in from
	// the header, and the MAC then proves them. PathSequence must not come
	// round under one key.
	Path         uint8
	PathSequence uint32

	// Source and Destination are the packet's outer addresses as they stand on
	// the wire. Only suites told to bind addresses look at them.
	Source, Destination netip.AddrPort

	// HeaderLen is how many leading bytes of the packet are header:
	// authenticated, never encrypted. 0 ≤ HeaderLen ≤ length of the packet.
	HeaderLen int
}

// MacGenerator appends what its MacVerifier will check. It belongs to one
// goroutine.
type MacGenerator interface {
	// Overhead is how many bytes Generate appends: the same for every packet.
	Overhead() int
	// Generate appends exactly Overhead bytes to msg and returns the longer
	// slice, which shares msg's storage. It never reallocates: cap(msg) must
	// suffice, and it panics if it does not. It may change
	// msg[m.HeaderLen:] in place, so the caller's plaintext is gone
	// afterwards. It keeps neither msg nor m.
	Generate(msg []byte, m *Meta) []byte
}

// MacVerifier checks and strips what its MacGenerator appended. It belongs to
// one goroutine.
type MacVerifier interface {
	Overhead() int
	// Verify returns msg without the last Overhead bytes, or ErrMalformed or
	// ErrMAC, upon which nothing of msg or m may be believed. It may change
	// msg[m.HeaderLen:] in place, also when it fails. It keeps neither msg nor m.
	Verify(msg []byte, m *Meta) ([]byte, error)
}

// Generators is a chain of generators, innermost first. It is itself one.
type Generators []MacGenerator

// Overhead is what the whole chain appends, in bytes.
func (gs Generators) Overhead() int {
	n := 0
	for _, g := range gs {
		n += g.Overhead()
	}
	return n
}

// Generate runs each generator in order over the result of the one before.
func (gs Generators) Generate(msg []byte, m *Meta) []byte {
	for _, g := range gs {
		msg = g.Generate(msg, m)
	}
	return msg
}

// Verifiers is a chain of verifiers in the same order as the Generators that
// it undoes: innermost first, run from the last. It is itself one.
type Verifiers []MacVerifier

// Overhead is what the whole chain strips, in bytes.
func (vs Verifiers) Overhead() int {
	n := 0
	for _, v := range vs {
		n += v.Overhead()
	}
	return n
}

// Verify runs each verifier in reverse order and stops at the first that fails.
func (vs Verifiers) Verify(msg []byte, m *Meta) ([]byte, error) {
	var err error
	for i := len(vs) - 1; i >= 0; i-- {
		if msg, err = vs[i].Verify(msg, m); err != nil {
			return nil, err
		}
	}
	return msg, nil
}

// strip cuts the last n bytes off msg, unless that would cut into the header.
func strip(msg []byte, n int, m *Meta) (body, tail []byte, err error) {
	cut := len(msg) - n
	if cut < m.HeaderLen {
		return nil, nil, ErrMalformed
	}
	return msg[:cut], msg[cut:], nil
}
