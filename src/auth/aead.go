package auth

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	// tagLen is what both suites that encrypt append, in bytes, and nonceLen
	// the length of their nonces (RFC 8439 section 2.8, RFC 5116 section 5.1).
	tagLen   = 16
	nonceLen = 12
	// aesKeySize is how much of its key aes128gcm takes: the first half.
	aesKeySize = 16
)

// encryption is an AEAD (RFC 5116) as generator and verifier in one: the header is
// authenticated, what follows it is encrypted in place, and the tag is the MAC.
// All scratch space lives in it, so that a packet costs no allocation; hence
// one goroutine each.
//
// A nonce that comes twice under one key gives the plaintext away, and lets
// anyone forge. It is Meta.Path and Meta.PathSequence, which never do.
type encryption struct {
	aead  cipher.AEAD
	bind  bool
	nonce [nonceLen]byte
	bound []byte // addresses and header of the packet at hand
}

func newChaCha20Poly1305(key [KeySize]byte, bind bool) *encryption {
	aead, err := chacha20poly1305.New(key[:])
	return newEncryption(aead, err, bind)
}

func newAES128GCM(key [KeySize]byte, bind bool) *encryption {
	block, err := aes.NewCipher(key[:aesKeySize])
	if err != nil {
		panic(err) // only for a key of a wrong length, which the type rules out
	}
	aead, err := cipher.NewGCM(block)
	return newEncryption(aead, err, bind)
}

func newEncryption(aead cipher.AEAD, err error, bind bool) *encryption {
	if err != nil {
		panic(err) // as above
	}
	return &encryption{aead: aead, bind: bind}
}

func (*encryption) Overhead() int { return tagLen }

func (e *encryption) Generate(msg []byte, m *Meta) []byte {
	h := m.HeaderLen
	sealed := msg[:len(msg)+tagLen] // panics here, not when half is encrypted
	e.aead.Seal(sealed[h:h], e.number(m), msg[h:], e.extra(msg[:h], m))
	return sealed
}

func (e *encryption) Verify(msg []byte, m *Meta) ([]byte, error) {
	body, _, err := strip(msg, tagLen, m)
	if err != nil {
		return nil, err
	}
	h := m.HeaderLen
	if _, err := e.aead.Open(msg[h:h], e.number(m), msg[h:], e.extra(msg[:h], m)); err != nil {
		return nil, ErrMAC
	}
	return body, nil
}

// number is the packet's nonce: the path, zeros, and its sequence.
func (e *encryption) number(m *Meta) []byte {
	e.nonce[0] = m.Path
	binary.BigEndian.PutUint32(e.nonce[nonceLen-4:], m.PathSequence)
	return e.nonce[:]
}

// extra is what is authenticated and not encrypted.
func (e *encryption) extra(header []byte, m *Meta) []byte {
	if !e.bind {
		return header
	}
	if e.bound == nil {
		e.bound = make([]byte, 2*endpointLen, 2*endpointLen+16)
	}
	putEndpoint(e.bound[:endpointLen], m.Source)
	putEndpoint(e.bound[endpointLen:], m.Destination)
	e.bound = append(e.bound[:2*endpointLen], header...)
	return e.bound
}
