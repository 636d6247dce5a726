package tcp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"netcombiner/src/transport"
)

// alive says whether the accepted end still takes a message from the dialled.
func alive(dialled, accepted *flow) bool {
	if _, err := dialled.Send([]transport.Message{{Buf: []byte("alive?")}}); err != nil {
		return false
	}
	n, err := accepted.Receive(messages(1, 100))
	return n == 1 && err == nil
}

func strangers(l *Listener) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.strangers)
}

func TestStrangerExpires(t *testing.T) {
	l := listen(t)
	l.patience = 300 * time.Millisecond
	_, stranger := pair(t, l)
	friendDialled, friend := pair(t, l)
	friend.Authenticated()
	if _, err := stranger.Receive(messages(1, 100)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("a silent stranger's Receive ended with %v, want ErrClosed", err)
	}
	if !alive(friendDialled, friend) {
		t.Error("the friend was closed too")
	}
	if n := strangers(l); n != 0 {
		t.Errorf("%d strangers are left", n)
	}
	stranger.Authenticated() // too late, and harmless
	if _, err := stranger.Receive(messages(1, 100)); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Receive afterwards: %v, want ErrClosed", err)
	}
}

func TestClosedStrangerIsForgotten(t *testing.T) {
	l := listen(t)
	_, stranger := pair(t, l)
	if n := strangers(l); n != 1 {
		t.Fatalf("%d strangers after one came", n)
	}
	stranger.Close()
	if n := strangers(l); n != 0 {
		t.Errorf("%d strangers after it left", n)
	}
}

// A flood drives out its own, the oldest first, and nobody else.
func TestFloodOfStrangers(t *testing.T) {
	l := listen(t)
	friendDialled, friend := pair(t, l)
	friend.Authenticated()
	// The peer that has not said anything yet, on a slow link.
	peerDialled, peer := pairFrom(t, l, "127.0.0.9")
	var dialled, accepted [maxStrangers + 10]*flow
	for i := range accepted {
		dialled[i], accepted[i] = pairFrom(t, l, "127.0.0.66")
		if n := strangers(l); n > maxStrangers {
			t.Fatalf("%d strangers are kept", n)
		}
	}
	if !alive(peerDialled, peer) || !alive(friendDialled, friend) {
		t.Error("the flood drove out somebody else")
	}
	for i := range accepted {
		driven := i < len(accepted)-(maxStrangers-1)
		if alive(dialled[i], accepted[i]) == driven {
			t.Errorf("stranger %d of %d: driven out is %v", i, len(accepted), !driven)
		}
	}
}

func TestHousehold(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3::4": "2001:db8:1:2::", "fe80::1%eth0": "fe80::",
	} {
		if got := household(netip.MustParseAddr(addr)); got != netip.MustParseAddr(want) {
			t.Errorf("household(%s) = %v, want %s", addr, got, want)
		}
	}
}

// prefixed returns what a length and so many bytes are on the wire.
func prefixed(length uint32, body int) []byte {
	return append(binary.BigEndian.AppendUint32(nil, length), make([]byte, body)...)
}

func TestBrokenFramingCloses(t *testing.T) {
	for _, test := range []struct {
		name          string
		wire          []byte
		authenticated bool
		messages      int // that come before the end
	}{
		{"zero", prefixed(0, 0), true, 0},
		{"too long", prefixed(transport.MaxMessage+1, 0), true, 0},
		{"negative", prefixed(1<<31, 0), true, 0},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), true, 0},
		{"after a message", append(prefixed(9, 9), prefixed(0, 5)...), true, 1},
		{"a stranger's is long", prefixed(strangerBuffer, 0), false, 0},
		{"a stranger's fits", append(prefixed(strangerBuffer-prefixSize, strangerBuffer-prefixSize), prefixed(0, 0)...), false, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			dialled, accepted := pair(t, listen(t))
			if test.authenticated {
				accepted.Authenticated()
			}
			if _, err := dialled.conn.Write(test.wire); err != nil {
				t.Fatal(err)
			}
			in := messages(4, transport.MaxMessage)
			for range test.messages {
				if n, err := accepted.Receive(in); n != 1 || err != nil {
					t.Fatalf("Receive: %d, %v, want a message first", n, err)
				}
			}
			if n, err := accepted.Receive(in); n != 0 || err == nil || errors.Is(err, transport.ErrClosed) {
				t.Fatalf("Receive: %d, %v, want an error that says what is wrong", n, err)
			}
			if _, err := dialled.Receive(in); err == nil {
				t.Error("the connection is still open")
			}
		})
	}
}

// However the stream is cut, the messages are the same.
func TestMessageInPieces(t *testing.T) {
	dialled, accepted := pair(t, listen(t))
	in := messages(4, 100)
	for round := range 20 {
		want := fmt.Sprintf("message %d", round)
		for _, b := range append(binary.BigEndian.AppendUint32(nil, uint32(len(want))), want...) {
			if _, err := dialled.conn.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		if n, err := accepted.Receive(in); n != 1 || err != nil || string(in[0].Buf[:in[0].N]) != want {
			t.Fatalf("Receive: %d, %v, %q, want %q", n, err, in[0].Buf[:in[0].N], want)
		}
	}
}
