package auth

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

var encrypting = []ID{ChaCha20Poly1305, AES128GCM}

// TestEncryption: the header stays readable, all behind it, the sequence number
// included, does not.
func TestEncryption(t *testing.T) {
	for _, id := range encrypting {
		gs, vs := chain(id, testKey, false)
		sent := Meta{Sequence: 0x1112131415161718, Previous: 2, Path: 3, PathSequence: 9, HeaderLen: 4}
		msg := append([]byte("head"), bytes.Repeat([]byte("body"), 20)...)
		packet := gs.Generate(withRoom(msg, gs.Overhead()), &sent)
		if string(packet[:4]) != "head" || bytes.Contains(packet, []byte("bo")) || bytes.Contains(packet, []byte{0x11, 0x12}) {
			t.Errorf("%v: packet %q: header not kept or body not encrypted", id, packet)
		}
		got := Meta{Path: 3, PathSequence: 9, HeaderLen: 4}
		if opened, err := vs.Verify(packet, &got); !bytes.Equal(opened, msg) || err != nil || got != sent {
			t.Errorf("%v: Verify: %q, %+v, %v", id, opened, got, err)
		}
	}
}

// TestNonce: what differs in path or sequence alone is sealed differently, and
// opens as nothing else. The data's own number has no part in it.
func TestNonce(t *testing.T) {
	for _, id := range encrypting {
		gs, vs := chain(id, testKey, false)
		var packets [][]byte
		metas := []Meta{{Path: 1, PathSequence: 2}, {Path: 2, PathSequence: 1}, {PathSequence: 1}, {PathSequence: 1 << 24}, {Path: 1}, {PathSequence: 1 << 31}}
		for _, m := range metas {
			m.Sequence = 7
			packet := gs.Generate(withRoom([]byte("the same"), gs.Overhead()), &m)
			if slices.ContainsFunc(packets, func(p []byte) bool { return bytes.Equal(p, packet) }) {
				t.Errorf("%v: %+v is sealed like another", id, m)
			}
			packets = append(packets, packet)
		}
		for i, packet := range packets {
			for j, m := range metas {
				_, err := vs.Verify(bytes.Clone(packet), &m)
				if want := i == j; (err == nil) != want || !want && !errors.Is(err, ErrMAC) {
					t.Errorf("%v: packet %d opened as %d: %v", id, i, j, err)
				}
			}
		}
	}
}

// TestRefusedIsUnreadable: nothing of a forgery's plaintext is left behind.
func TestRefusedIsUnreadable(t *testing.T) {
	for _, id := range encrypting {
		gs, vs := chain(id, testKey, false)
		msg := bytes.Repeat([]byte("secret"), 50)
		packet := gs.Generate(withRoom(msg, gs.Overhead()), &Meta{})
		packet[len(packet)-1] ^= 1
		if _, err := vs.Verify(packet, &Meta{}); !errors.Is(err, ErrMAC) || bytes.Contains(packet, []byte("secret")) {
			t.Errorf("%v: %v, left %q", id, err, packet[:20])
		}
	}
}
