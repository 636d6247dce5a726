package handshake

import (
	"fmt"
	"io"

	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

// Gate lets the HELLOs of strangers in: fresh ones, each once. What it
// remembers is bounded, and only of those who know the PSK. It and its Guard
// belong to one goroutine, or to a lock; readers open messages with Guards of
// their own before they take that lock, so a flood of noise never does.
type Gate struct {
	guard           *Guard
	rand            io.Reader
	jar             *CookieJar
	admitted, asked memory // asked: who was sent a RETRY
}

// NewGate makes a Gate with a new secret: one for each start of a portal.
func NewGate(g *Guard, rand io.Reader) (*Gate, error) {
	jar, err := NewCookieJar(rand)
	if err != nil {
		return nil, err
	}
	return &Gate{guard: g, rand: rand, jar: jar}, nil
}

// Admit opens a HELLO and remembers it. ErrCookie: it may be old, and the
// caller may answer with Retry, no more often than it can afford. ErrReplay:
// it was admitted or answered before; no answer. Both are found without any
// public-key or Noise work.
func (g *Gate) Admit(now mono.Time, m Message) (*Responder, Hello, error) {
	if m.Type() != wire.TypeHello {
		return nil, Hello{}, ErrMalformed
	}
	e := m.ephemeral()
	if g.admitted.has(e) || g.asked.has(e) {
		return nil, Hello{}, ErrReplay
	}
	if !g.jar.Valid(now, m.cookie()) {
		return nil, Hello{}, ErrCookie
	}
	r, h, err := ParseHello(g.guard, g.rand, m)
	if err != nil {
		return nil, Hello{}, err
	}
	if slot, forgot := g.admitted.add(e, g.jar.slot); forgot && slot+1 >= g.jar.slot {
		// The HELLO that had to be forgotten could come again, for its cookie
		// may still be valid. So void it, and all others with it.
		g.jar.Renew()
	}
	return r, h, nil
}

// Retry is the RETRY to send for a HELLO that Admit refused with ErrCookie,
// RetryLen bytes. It is made once for each HELLO: from then on, Admit says ErrReplay.
func (g *Gate) Retry(now mono.Time, hello Message) ([]byte, error) {
	retry, err := g.guard.Retry(hello, g.jar.Make(now))
	if err == nil {
		g.asked.add(hello.ephemeral(), g.jar.slot)
	}
	return retry, err
}

// memorySize is how many HELLOs a memory holds: some 20 KiB.
const memorySize = 256

type ephemeral [ephemeralLen]byte

// memory holds the last memorySize ephemeral keys that were added to it, by
// which HELLOs are known. The zero memory is empty.
type memory struct {
	slots map[ephemeral]uint64 // when each was added
	order []ephemeral          // a ring, once it is full
	next  int                  // where in order the oldest is then
}

func (m *memory) has(e ephemeral) bool {
	_, ok := m.slots[e]
	return ok
}

// add remembers e. If that makes it forget another, it returns when that one
// was added.
func (m *memory) add(e ephemeral, slot uint64) (oldest uint64, forgot bool) {
	switch {
	case m.has(e):
		return 0, false
	case m.slots == nil:
		m.slots = make(map[ephemeral]uint64)
	}
	m.slots[e] = slot
	if len(m.order) < memorySize {
		m.order = append(m.order, e)
		return 0, false
	}
	oldest = m.slots[m.order[m.next]]
	delete(m.slots, m.order[m.next])
	m.order[m.next] = e
	m.next = (m.next + 1) % memorySize
	return oldest, true
}

// Format keeps the cookies out of what is printed.
func (Gate) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }
