package handshake

import (
	"fmt"
	"io"

	"github.com/flynn/noise"

	"netcombiner/src/wire"
)

// Responder is one HELLO that was believed and is to be answered, once.
type Responder struct {
	guard *Guard
	noise *noise.HandshakeState
	hello Hello
	echo  [EchoSize]byte
	done  bool
}

// ParseHello opens a HELLO, cookie or not: for one that came inside a live
// session, whose freshness the session proves. Strangers' go through a Gate.
func ParseHello(g *Guard, rand io.Reader, m Message) (*Responder, Hello, error) {
	if m.Type() != wire.TypeHello {
		return nil, Hello{}, ErrMalformed
	}
	hs, err := newNoise(&g.psk, rand, false, m.bytes[:clearLen])
	if err != nil {
		return nil, Hello{}, err
	}
	payload, _, _, err := hs.ReadMessage(nil, m.bytes[clearLen:len(m.bytes)-macLen])
	if err != nil {
		return nil, Hello{}, ErrMAC
	}
	h, err := parseHello(payload)
	if err != nil {
		return nil, Hello{}, err
	}
	h.Cookie = m.cookie()
	return &Responder{guard: g, noise: hs, hello: h, echo: echoOf(m.bytes)}, h, nil
}

// Answer returns the REPLY to send, ReplyLen bytes, and the keys. ErrMalformed
// says that r does not fit the HELLO: an epoch in use, a suite not offered.
// It can be called once; a second answer would need a second ephemeral key.
func (r *Responder) Answer(reply Reply) ([]byte, Keys, error) {
	if r.done {
		return nil, Keys{}, ErrReplay
	}
	if err := reply.answers(&r.hello); err != nil {
		return nil, Keys{}, err
	}
	r.done = true
	b := begin(wire.TypeReply)
	b = append(b, r.echo[:]...)
	b, theirs, mine, err := r.noise.WriteMessage(b, reply.payload())
	if err != nil {
		return nil, Keys{}, fmt.Errorf("handshake: no REPLY made: %w", err)
	}
	return r.guard.seal(b), keysOf(theirs, mine, false), nil
}

// Format keeps the ephemeral key out of what is printed.
func (Responder) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }
