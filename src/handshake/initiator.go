package handshake

import (
	"bytes"
	"fmt"
	"io"
	"slices"

	"github.com/flynn/noise"

	"netcombiner/src/wire"
)

// Initiator is one HELLO waiting for its answer. It belongs to one goroutine.
//
// A HELLO that got no answer in time is not sent again, for the responder
// would take it for a replay and stay silent: make a new Initiator. Several may
// wait at once, one for each path say; an answer fits only its own.
type Initiator struct {
	noise *noise.HandshakeState
	hello Hello
	echo  [EchoSize]byte
	done  bool
}

// NewInitiator begins a handshake and returns the HELLO to send, HelloLen
// bytes. ErrMalformed says that h breaks the rules of its fields.
func NewInitiator(g *Guard, rand io.Reader, h Hello) (*Initiator, []byte, error) {
	if err := h.check(); err != nil {
		return nil, nil, err
	}
	b := begin(wire.TypeHello)
	b = append(b, h.Cookie[:]...)
	hs, err := newNoise(&g.psk, rand, true, b)
	if err != nil {
		return nil, nil, err
	}
	if b, _, _, err = hs.WriteMessage(b, h.payload()); err != nil {
		return nil, nil, fmt.Errorf("handshake: no HELLO made: %w", err)
	}
	b = g.seal(b)
	h.Suites = slices.Clone(h.Suites)
	return &Initiator{noise: hs, hello: h, echo: echoOf(b)}, b, nil
}

// Retry reads the cookie out of a RETRY: put it into the Hello of a new
// Initiator. ErrNotOurs if it answers another HELLO.
func (i *Initiator) Retry(m Message) (Cookie, error) {
	if err := i.expect(m, wire.TypeRetry); err != nil {
		return Cookie{}, err
	}
	return Cookie(m.bytes[prefixLen+EchoSize:]), nil
}

// Finish reads the REPLY and returns the keys. ErrMAC and ErrNotOurs leave the
// Initiator waiting for the right one. Once a REPLY opened it is over: one that
// breaks the rules is ErrMalformed, and any that comes later ErrReplay.
func (i *Initiator) Finish(m Message) (Reply, Keys, error) {
	if err := i.expect(m, wire.TypeReply); err != nil {
		return Reply{}, Keys{}, err
	}
	if i.done {
		return Reply{}, Keys{}, ErrReplay
	}
	sealed := m.bytes[prefixLen+EchoSize : len(m.bytes)-macLen]
	payload, mine, theirs, err := i.noise.ReadMessage(nil, sealed)
	if err != nil {
		return Reply{}, Keys{}, ErrMAC
	}
	i.done = true
	r, err := parseReply(payload, &i.hello)
	if err != nil {
		return Reply{}, Keys{}, err
	}
	return r, keysOf(mine, theirs, true), nil
}

// expect says whether m is of type t and answers this HELLO.
func (i *Initiator) expect(m Message, t wire.Type) error {
	if m.Type() != t {
		return ErrMalformed
	}
	if !bytes.Equal(m.bytes[prefixLen:prefixLen+EchoSize], i.echo[:]) {
		return ErrNotOurs
	}
	return nil
}

// Format keeps the ephemeral key out of what is printed.
func (Initiator) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }
