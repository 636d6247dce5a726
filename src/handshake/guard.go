package handshake

import (
	"crypto/subtle"
	"fmt"
	"hash"
	"io"

	"golang.org/x/crypto/blake2s"

	"netcombiner/src/wire"
)

// lengthOf is how long messages of type t are, 0 if they are none of ours.
func lengthOf(t wire.Type) int {
	switch t {
	case wire.TypeHello:
		return HelloLen
	case wire.TypeReply:
		return ReplyLen
	case wire.TypeRetry:
		return RetryLen
	}
	return 0
}

// prefix is the first two bytes of every message of type t.
func prefix(t wire.Type) [prefixLen]byte { return [prefixLen]byte{wire.Version<<5 | byte(t), 0} }

// begin returns the prefix of a message of type t, with room for all of it.
func begin(t wire.Type) []byte {
	p := prefix(t)
	return append(make([]byte, 0, lengthOf(t)), p[:]...)
}

// Message is a message whose outer MAC is proved: only Guard.Open makes one,
// so nothing in this package can be handed noise. It refers to the bytes that
// were opened, and is good for as long as they are.
type Message struct {
	kind  wire.Type
	bytes []byte
}

// Type is wire.TypeHello, TypeReply or TypeRetry, and 0 for the zero Message.
func (m Message) Type() wire.Type { return m.kind }

// cookie is the Cookie of a HELLO.
func (m Message) cookie() Cookie { return Cookie(m.bytes[prefixLen:]) }

// echoOf is the part of a HELLO's outer MAC that its answers repeat.
func echoOf(hello []byte) [EchoSize]byte { return [EchoSize]byte(hello[HelloLen-macLen:]) }

// ephemeral is the initiator's public key in a HELLO.
func (m Message) ephemeral() ephemeral { return ephemeral(m.bytes[clearLen:]) }

// Guard makes and checks outer MACs. It holds what is made from the PSK, and
// is all that this package needs of it. A Guard belongs to one goroutine;
// making one costs one hash, so each reader has its own.
type Guard struct {
	psk Key
	mac hash.Hash
	sum [macLen]byte
}

// NewGuard derives the key of the outer MAC from psk.
func NewGuard(psk [KeySize]byte) *Guard {
	derive := mustKeyed(blake2s.New256(psk[:]))
	derive.Write([]byte(protocol + " handshake mac"))
	return &Guard{psk: psk, mac: mustKeyed(blake2s.New128(derive.Sum(nil)))}
}

// mustKeyed takes the error off the constructors of package blake2s: they fail
// only for keys of a wrong length, which no caller here has.
func mustKeyed(h hash.Hash, err error) hash.Hash {
	if err != nil {
		panic(err)
	}
	return h
}

// Open checks length, prefix and outer MAC of msg: ErrMalformed or ErrMAC. It
// allocates nothing and costs at most one MAC over 84 bytes. The Message
// refers to msg; the Guard does not.
func (g *Guard) Open(msg []byte) (Message, error) {
	t, _, _, ok := wire.Prefix(msg)
	if !ok || len(msg) != lengthOf(t) || [prefixLen]byte(msg) != prefix(t) {
		return Message{}, ErrMalformed
	}
	cut := len(msg) - macLen
	g.mac.Reset()
	g.mac.Write(msg[:cut])
	if subtle.ConstantTimeCompare(g.mac.Sum(g.sum[:0]), msg[cut:]) != 1 {
		return Message{}, ErrMAC
	}
	return Message{t, msg}, nil
}

// seal appends the outer MAC.
func (g *Guard) seal(b []byte) []byte {
	g.mac.Reset()
	g.mac.Write(b)
	return g.mac.Sum(b)
}

// Retry is the answer to a HELLO that brought no valid cookie.
func (g *Guard) Retry(hello Message, c Cookie) ([]byte, error) {
	if hello.Type() != wire.TypeHello {
		return nil, ErrMalformed
	}
	b := begin(wire.TypeRetry)
	echo := echoOf(hello.bytes)
	b = append(b, echo[:]...)
	b = append(b, c[:]...)
	return g.seal(b), nil
}

// Format keeps the keys out of what is printed.
func (Guard) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }
