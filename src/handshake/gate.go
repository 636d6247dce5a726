package handshake

import (
	"fmt"
	"io"
	"maps"

	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

// maxSeen bounds how many accepted HELLOs a Gate remembers.
const maxSeen = 64

// Gate lets the HELLOs of strangers in: fresh ones, each once. What it
// remembers is bounded and only grows for those who know the PSK. It and its
// Guard belong to one goroutine, or to a lock; readers open messages with
// Guards of their own before they ask for that lock, so a flood of noise never takes it.
type Gate struct {
	guard *Guard
	rand  io.Reader
	jar   *CookieJar
	seen  map[[ephemeralLen]byte]uint64 // ephemeral key of a HELLO admitted: slot in which it came
}

// NewGate makes a Gate with a new secret: one for each start of a portal.
func NewGate(g *Guard, rand io.Reader) (*Gate, error) {
	jar, err := NewCookieJar(rand)
	if err != nil {
		return nil, err
	}
	return &Gate{guard: g, rand: rand, jar: jar, seen: make(map[[ephemeralLen]byte]uint64, maxSeen)}, nil
}

// Admit opens a HELLO and remembers it. ErrCookie: it may be old, and the
// caller may answer with Retry, no more often than it can afford. ErrReplay:
// it was admitted before; no answer. Both are found without any public-key or
// Noise work.
func (g *Gate) Admit(now mono.Time, m Message) (*Responder, Hello, error) {
	if m.Type() != wire.TypeHello {
		return nil, Hello{}, ErrMalformed
	}
	if !g.jar.Valid(now, m.cookie()) {
		return nil, Hello{}, ErrCookie
	}
	if _, again := g.seen[m.ephemeral()]; again {
		return nil, Hello{}, ErrReplay
	}
	r, h, err := ParseHello(g.guard, g.rand, m)
	if err != nil {
		return nil, Hello{}, err
	}
	// What came two slots ago or earlier brought a cookie that is void by now.
	maps.DeleteFunc(g.seen, func(_ [ephemeralLen]byte, slot uint64) bool { return slot+1 < g.jar.slot })
	if len(g.seen) == maxSeen {
		// Forgetting one would let it in again, and refusing all would lock the
		// peer out. New cookies make the whole memory superfluous; the peer
		// gets one with the RETRY.
		clear(g.seen)
		g.jar.Renew()
		return nil, Hello{}, ErrCookie
	}
	g.seen[m.ephemeral()] = g.jar.slot
	return r, h, nil
}

// Retry is the RETRY to send for a HELLO that Admit refused with ErrCookie,
// RetryLen bytes.
func (g *Gate) Retry(now mono.Time, hello Message) ([]byte, error) {
	return g.guard.Retry(hello, g.jar.Make(now))
}

// Format keeps the cookies out of what is printed.
func (Gate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }
