package handshake

import (
	"crypto/rand"
	"errors"
	"testing"
)

// BenchmarkReject is what a flood costs the responder, a message.
func BenchmarkReject(b *testing.B) {
	g := NewGuard(psk)
	_, hello := begun(b, g, aHello)
	noise := append([]byte(nil), hello...)
	noise[50] ^= 1
	gate, err := NewGate(g, rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("noise", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := g.Open(noise); err == nil {
				b.Fatal("opened")
			}
		}
	})
	reject := func(b *testing.B, hello []byte, want error) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := g.Open(hello)
			if err != nil {
				b.Fatal(err)
			}
			if _, _, err := gate.Admit(someDay, m); !errors.Is(err, want) {
				b.Fatal(err)
			}
		}
	}
	b.Run("old HELLO", func(b *testing.B) { reject(b, hello, ErrCookie) })
	b.Run("replayed HELLO, memory full", func(b *testing.B) {
		var last Message
		for range memorySize {
			last = fresh(b, gate, someDay)
			if _, _, err := gate.Admit(someDay, last); err != nil {
				b.Fatal(err)
			}
		}
		reject(b, last.bytes, ErrReplay)
	})
}

// BenchmarkHandshake is both portals' work for one HELLO and REPLY.
func BenchmarkHandshake(b *testing.B) {
	g := NewGuard(psk)
	b.ReportAllocs()
	for b.Loop() {
		i, hello := begun(b, g, aHello)
		reply, _ := answered(b, g, hello, aReply)
		if _, _, err := i.Finish(opened(b, g, reply)); err != nil {
			b.Fatal(err)
		}
	}
}
