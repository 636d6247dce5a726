// Package handshake makes fresh session keys out of the key that both portals
// share: Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s, with a cookie for freshness.
// It is pure: no sockets, no clock, randomness from an io.Reader.
//
// Words:
//
//	PSK        the shared key of the configuration
//	initiator  who wants a session: the local portal, or for a rekey either one
//	responder  who answers
//	outer MAC  BLAKE2s-128 under a key made from the PSK, at the end of every
//	           message and checked first: noise costs one MAC
//	cookie     16 bytes by which the responder knows that a HELLO is new
//	echo       the first 8 bytes of a HELLO's outer MAC: says which HELLO is answered
//	epoch      the number 0…3 by which packets say which session keys they use
//
// A handshake with a stranger, and one inside a live session (a rekey):
//
//	initiator                   responder        initiator              responder
//	HELLO, no cookie ────────────────→           HELLO, no cookie ───────────→
//	←──────────────────── RETRY, cookie          ←─────────────────────── REPLY
//	HELLO with cookie ───────────────→           keys                      keys
//	←──────────────────────────── REPLY
//	keys                           keys
//
// # Messages
//
// All numbers are big endian, all lengths fixed; what is shorter, longer or
// holds a value not listed is malformed. Byte 0 is version<<5 | type, byte 1
// is zero (package wire). "sealed" is encrypted by Noise and ends with its tag
// of 16 bytes.
//
//	HELLO  prefix 2 | cookie 16 | e 32 | sealed (instance 8 | epochs 1 | flags 1 | suites 8) 18+16 | MAC 16   100 bytes
//	REPLY  prefix 2 | echo 8 | e 32 | sealed (instance 8 | epoch 1 | suite 1 | flags 1) 11+16 | MAC 16         85 bytes
//	RETRY  prefix 2 | echo 8 | cookie 16 | MAC 16                                                              42 bytes
//
// The outer MAC covers all before it. Its key is BLAKE2s-256 keyed with the
// PSK over "netcombiner 1 handshake mac". Noise's prologue is "netcombiner 1"
// followed by the HELLO's first 18 bytes, its psk is the PSK itself. Suites are
// filled from the front, in the initiator's order of preference; the rest is
// zero. No answer is longer than the HELLO it answers.
//
// # What keeps it safe
//
// Freshness needs no clock. A cookie is the responder's hash over the number of
// a 30 s slot under a secret made at its start (CookieJar). A HELLO without a
// valid one may be a recording, and gets a RETRY: less than half as long, and
// once. So no recording from before the responder's start is believed, and none
// older than 60 s; within that time the responder remembers the HELLOs that it
// admitted (Gate). The cookie and the ephemeral stand in clear, in front of what
// is sealed, so that a recording is refused for the price of its outer MAC; a
// listener has seen the cookie in the RETRY already, and can do nothing with it
// without the PSK.
//
// Downgrade: the suites offered are in the HELLO's sealed part, and all of the
// HELLO but its MAC is in the Noise transcript, under which the REPLY with the
// suite chosen is sealed. So neither can be changed, nor a REPLY to one offer
// passed off as the answer to another, by anyone who does not know the PSK; and
// who does can be the other portal, and needs no downgrade. Flags likewise.
//
// A HELLO believed proves only that its sender knew the PSK and a cookie of
// the last minute: it may have been held back on the way. So the responder may
// install new keys for receiving at once, but must send under them, and drop
// older keys or another instance's session, only after a packet came in under
// them.
//
// A HELLO could be thrown back at its sender. A portal must not answer one
// that carries its own instance.
package handshake

import (
	"errors"
	"fmt"
	"io"

	"github.com/flynn/noise"

	"netcombiner/src/auth"
	"netcombiner/src/wire"
)

// Sizes, in bytes.
const (
	KeySize    = auth.KeySize
	CookieSize = 16
	EchoSize   = 8

	HelloLen = clearLen + ephemeralLen + helloPayloadLen + tagLen + macLen
	ReplyLen = prefixLen + EchoSize + ephemeralLen + replyPayloadLen + tagLen + macLen
	RetryLen = prefixLen + EchoSize + CookieSize + macLen

	prefixLen       = wire.PrefixSize
	clearLen        = prefixLen + CookieSize // of a HELLO: what Noise's prologue binds
	ephemeralLen    = 32
	tagLen          = 16
	macLen          = 16
	helloPayloadLen = 8 + 1 + 1 + MaxSuites
	replyPayloadLen = 8 + 1 + 1 + 1
)

// An answer bigger than its question would make the responder an amplifier.
var (
	_ [HelloLen - ReplyLen]struct{}
	_ [HelloLen - RetryLen]struct{}
)

// MaxSuites is how many suites a HELLO has room for.
const MaxSuites = 8

// protocol is the version that both ends must speak.
const protocol = "netcombiner 1"

// What can be wrong with a message. None says anything of a secret.
var (
	// ErrMalformed: not a message of this protocol and version, or an
	// authentic one that breaks its rules.
	ErrMalformed = errors.New("handshake: malformed message")
	// ErrMAC: not made by who holds the key, or changed on its way.
	ErrMAC = errors.New("handshake: wrong MAC: the portals' keys differ, or the message was changed")
	// ErrCookie: a HELLO that may be a recording. Answer with a RETRY.
	ErrCookie = errors.New("handshake: no valid cookie")
	// ErrReplay: a HELLO or REPLY that came before. No answer.
	ErrReplay = errors.New("handshake: replayed message")
	// ErrNotOurs: a REPLY or RETRY that answers another HELLO.
	ErrNotOurs = errors.New("handshake: answer to another message")
)

// Cookie is what a responder hands out to have brought back. The zero Cookie
// is none.
type Cookie [CookieSize]byte

// Hello is what the initiator says.
type Hello struct {
	// Instance is the initiator's: random, made when its process starts. By
	// a new one the responder knows that the old session is gone.
	Instance uint64
	// Cookie is the responder's from its last RETRY, zero if there is none,
	// and in a rekey. It travels in clear.
	Cookie Cookie
	// InUse are the key epochs that the initiator still holds: bit e for epoch
	// e. At least one is free.
	InUse uint8
	// Suites are what the initiator offers, best first: 1 to MaxSuites, none
	// twice, none zero. One that the responder does not know is no error.
	Suites []auth.ID
	// Flags are the caller's; this package carries them and rejects none.
	Flags uint8
}

// Reply is what the responder says.
type Reply struct {
	Instance uint64  // the responder's
	Epoch    uint8   // of the new keys: one that is in use on neither side
	Suite    auth.ID // one of those offered
	Flags    uint8   // the caller's
}

// Key is a session key. It prints as "(secret)" whatever the verb.
type Key [KeySize]byte

// Keys are what a handshake makes: one key for each direction, as seen from
// the portal that holds them. They print as "(secret)".
type Keys struct{ Send, Receive Key }

const secret = "(secret)"

// Format keeps the key out of what is printed.
func (Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }

// MarshalText keeps the key out of JSON and structured logs.
func (Key) MarshalText() ([]byte, error) { return []byte(secret), nil }

// Format keeps the keys out of what is printed.
func (Keys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }

// MarshalText keeps the keys out of JSON and structured logs.
func (Keys) MarshalText() ([]byte, error) { return []byte(secret), nil }

var cipherSuite = noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashBLAKE2s)

// newNoise starts one side's Noise state for the HELLO that begins with clear.
func newNoise(psk *Key, rand io.Reader, initiator bool, clear []byte) (*noise.HandshakeState, error) {
	hs, err := noise.NewHandshakeState(noise.Config{
		CipherSuite:           cipherSuite,
		Random:                rand,
		Pattern:               noise.HandshakeNN,
		Initiator:             initiator,
		Prologue:              append([]byte(protocol), clear...),
		PresharedKey:          psk[:],
		PresharedKeyPlacement: 0,
	})
	if err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return hs, nil
}

// keysOf makes Keys of Noise's two: the first is for what the initiator sends.
func keysOf(fromInitiator, fromResponder *noise.CipherState, initiator bool) Keys {
	k := Keys{Send: fromInitiator.UnsafeKey(), Receive: fromResponder.UnsafeKey()}
	if !initiator {
		k.Send, k.Receive = k.Receive, k.Send
	}
	return k
}
