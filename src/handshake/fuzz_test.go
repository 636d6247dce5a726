package handshake

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"netcombiner/src/auth"
	"netcombiner/src/wire"
)

// FuzzOpen feeds noise to the outermost layer: none of it is ever a Message.
func FuzzOpen(f *testing.F) {
	g := NewGuard(psk)
	_, hello, reply, retry := messages(f, g)
	hello[60]++
	reply[60]++
	retry[20]++
	f.Add(hello)
	f.Add(reply)
	f.Add(retry)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, msg []byte) {
		if m, err := g.Open(msg); !errors.Is(err, ErrMAC) && !errors.Is(err, ErrMalformed) || m.Type() != 0 {
			t.Fatalf("opened: %v", err)
		}
	})
}

// FuzzAuthentic feeds what has a right outer MAC and is otherwise noise: what a
// portal gone mad could send. Nothing of it makes keys, or a panic.
func FuzzAuthentic(f *testing.F) {
	g := NewGuard(psk)
	gate, err := NewGate(g, rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	i, hello, reply, retry := messages(f, g)
	for t, msg := range map[wire.Type][]byte{wire.TypeHello: hello, wire.TypeReply: reply, wire.TypeRetry: retry} {
		f.Add(uint8(t), msg[prefixLen:len(msg)-macLen-1])
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		typ := wire.Type(kind%3) + wire.TypeHello
		msg := make([]byte, lengthOf(typ)-macLen)
		p := prefix(typ)
		copy(msg[copy(msg, p[:]):], body)
		m := opened(t, g, g.seal(msg))
		if _, _, err := ParseHello(g, rand.Reader, m); err == nil {
			t.Fatal("noise parsed as a HELLO")
		}
		if _, _, err := gate.Admit(someDay, m); err == nil {
			t.Fatal("noise admitted")
		}
		if _, keys, err := i.Finish(m); err == nil || keys != (Keys{}) {
			t.Fatal("noise made keys")
		}
		_, _ = i.Retry(m) // a RETRY with the right echo is one, whatever its cookie
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
