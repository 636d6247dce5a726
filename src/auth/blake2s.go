package auth

import (
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"net/netip"

	"golang.org/x/crypto/blake2s"
)

// blake2sMAC is BLAKE2s-128 keyed (RFC 7693) over the whole packet, generator
// and verifier in one. All scratch space lives in it, so that a packet costs
// no allocation; hence one goroutine each.
type blake2sMAC struct {
	hash      hash.Hash
	bind      bool
	addresses [2 * endpointLen]byte
	sum       [blake2s.Size128]byte
}

func newBlake2s(key [KeySize]byte, bind bool) *blake2sMAC {
	h, err := blake2s.New128(key[:])
	if err != nil {
		panic(err) // only for a key of a wrong length, which the type rules out
	}
	return &blake2sMAC{hash: h, bind: bind}
}

func (b *blake2sMAC) Overhead() int { return blake2s.Size128 }

func (b *blake2sMAC) Generate(msg []byte, m *Meta) []byte {
	n := len(msg)
	b.mac(msg[n:n:n+blake2s.Size128], msg, m)
	return msg[:n+blake2s.Size128]
}

func (b *blake2sMAC) Verify(msg []byte, m *Meta) ([]byte, error) {
	msg, tag, err := strip(msg, blake2s.Size128, m)
	if err != nil {
		return nil, err
	}
	b.mac(b.sum[:0], msg, m)
	if subtle.ConstantTimeCompare(b.sum[:], tag) != 1 {
		return nil, ErrMAC
	}
	return msg, nil
}

// mac appends to out, within its capacity, the MAC of msg.
func (b *blake2sMAC) mac(out, msg []byte, m *Meta) {
	b.hash.Reset()
	if b.bind {
		putEndpoint(b.addresses[:endpointLen], m.Source)
		putEndpoint(b.addresses[endpointLen:], m.Destination)
		b.hash.Write(b.addresses[:])
	}
	b.hash.Write(msg)
	b.hash.Sum(out)
}

// endpointLen is an address of 16 bytes and a port of 2.
const endpointLen = 18

// putEndpoint writes an address and port as both ends see them. IPv4 takes its
// mapped form ::ffff:a.b.c.d, so a 4-in-6 address, which a dual-stack socket
// reports for the same peer, is the same; a zone means nothing to the other
// end and is left out.
func putEndpoint(b []byte, a netip.AddrPort) {
	ip := a.Addr().As16()
	copy(b, ip[:])
	binary.BigEndian.PutUint16(b[16:], a.Port())
}
