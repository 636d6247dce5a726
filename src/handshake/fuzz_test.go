package handshake

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"

	"netcombiner/src/auth"
	"netcombiner/src/wire"
)

// strangers are messages of portals that share another key: seeds that no change
// of a few bytes makes authentic.
func strangers(f *testing.F) map[wire.Type][]byte {
	_, hello, reply, retry := messages(f, NewGuard([KeySize]byte{0xff}))
	return map[wire.Type][]byte{wire.TypeHello: hello, wire.TypeReply: reply, wire.TypeRetry: retry}
}

// FuzzOpen feeds noise to the outermost layer: none of it is ever a Message.
func FuzzOpen(f *testing.F) {
	g := NewGuard(psk)
	f.Add([]byte{})
	for _, msg := range strangers(f) {
		f.Add(msg)
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		if m, err := g.Open(msg); !errors.Is(err, ErrMAC) && !errors.Is(err, ErrMalformed) || m.Type() != 0 {
			t.Fatalf("opened: %v", err)
		}
	})
}

// FuzzAuthentic feeds what has a right outer MAC, and a right cookie or echo,
// and is otherwise noise: as if the outer MAC were broken. Nothing of it makes
// keys, or a panic.
func FuzzAuthentic(f *testing.F) {
	g := NewGuard(psk)
	gate, err := NewGate(g, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	cookie := gate.jar.Make(someDay)
	i, _ := begun(f, g, aHello)
	for t, msg := range strangers(f) {
		f.Add(uint8(t-wire.TypeHello), msg)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		typ := wire.Type(kind%3) + wire.TypeHello
		msg := make([]byte, lengthOf(typ)-macLen)
		copy(msg, body)
		p := prefix(typ)
		copy(msg, p[:])
		if typ == wire.TypeHello {
			copy(msg[prefixLen:], cookie[:])
		} else {
			copy(msg[prefixLen:], i.echo[:])
		}
		m := opened(t, g, g.seal(msg))

		_, _, parsed := ParseHello(g, rand.Reader, m)
		_, _, admitted := gate.Admit(someDay, m)
		_, _, finished := i.Finish(m)
		_, retried := i.Retry(m)
		want := []error{ErrMalformed, ErrMalformed, ErrMalformed, ErrMalformed}
		switch typ {
		case wire.TypeHello:
			want[0], want[1] = ErrMAC, ErrMAC
		case wire.TypeReply:
			want[2] = ErrMAC
		case wire.TypeRetry:
			want[3] = nil // nothing in it but a cookie
		}
		if got := []error{parsed, admitted, finished, retried}; !slices.Equal(got, want) {
			t.Fatalf("type %d: %v, want %v", typ, got, want)
		}
	})
}

func FuzzHelloPayload(f *testing.F) {
	f.Add(aHello.payload())
	f.Add(make([]byte, helloPayloadLen))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHello(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if err := h.check(); err != nil {
			t.Fatalf("parsed %+v, which breaks the rules", h)
		}
		if !bytes.Equal(h.payload(), b) {
			t.Fatalf("%x parsed as %+v, which is %x", b, h, h.payload())
		}
	})
}

func FuzzReplyPayload(f *testing.F) {
	f.Add(aReply.payload(), uint8(0b0101))
	f.Add(make([]byte, replyPayloadLen), uint8(0))
	f.Fuzz(func(t *testing.T, b []byte, inUse uint8) {
		h := Hello{InUse: inUse, Suites: []auth.ID{auth.Blake2s, 9}}
		r, err := parseReply(b, &h)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if r.Epoch >= wire.Epochs || inUse>>r.Epoch&1 == 1 || r.Suite != auth.Blake2s && r.Suite != 9 {
			t.Fatalf("parsed %+v, which breaks the rules", r)
		}
		if !bytes.Equal(r.payload(), b) {
			t.Fatalf("%x parsed as %+v, which is %x", b, r, r.payload())
		}
	})
}
