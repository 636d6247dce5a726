package tcp

import (
	"bytes"
	"encoding/binary"
	"testing"

	"netcombiner/src/transport"
)

// FuzzDeframer cuts an arbitrary stream at arbitrary places and compares with
// the plainest reading of it.
func FuzzDeframer(f *testing.F) {
	f.Add(append(prefixed(3, 3), prefixed(200, 200)...), uint8(5), uint16(64))
	f.Add(append(prefixed(1, 1), prefixed(0, 9)...), uint8(1), uint16(10))
	f.Add(prefixed(1<<31, 20), uint8(255), uint16(0))
	f.Add(bytes.Repeat(prefixed(60, 60), 100), uint8(33), uint16(60))
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, room uint16) {
		const longest = strangerBuffer - prefixSize
		var want [][]byte
		broken := false
		for rest := stream; len(rest) >= prefixSize; {
			size := binary.BigEndian.Uint32(rest)
			if size == 0 || size > longest {
				broken = true
				break
			}
			if uint32(len(rest)-prefixSize) < size {
				break
			}
			body := rest[prefixSize : prefixSize+size]
			if len(body) <= int(room) {
				want = append(want, body)
			}
			rest = rest[prefixSize+size:]
		}

		var d deframer
		var got [][]byte
		ms := messages(3, int(room))
		take := func() bool {
			for {
				n, err := d.take(ms, longest)
				for _, m := range ms[:n] {
					got = append(got, bytes.Clone(m.Buf[:m.N]))
				}
				if err != nil && n > 0 {
					t.Fatalf("%d messages and an error", n)
				}
				if err != nil {
					return false
				}
				if n == 0 {
					return true
				}
			}
		}
		sound := true
		for rest := stream; len(rest) > 0 && sound; {
			space := d.room(strangerBuffer)
			if len(space) == 0 {
				t.Fatal("no message is whole, and no room is left")
			}
			n := copy(space, rest[:min(len(rest), int(piece)+1)])
			d.read(n)
			rest = rest[n:]
			sound = take()
		}
		if sound == broken {
			t.Fatalf("the stream is broken: %v, taken as sound: %v", broken, sound)
		}
		if len(got) != len(want) {
			t.Fatalf("%d messages, want %d", len(got), len(want))
		}
		for i := range want {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("message %d is %x, want %x", i, got[i], want[i])
			}
		}
	})
}

// The buffer grows in the middle of a message and loses nothing.
func TestBufferGrows(t *testing.T) {
	var d deframer
	body := bytes.Repeat([]byte("x"), 60000)
	stream := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	ms := messages(1, transport.MaxMessage)
	for size := strangerBuffer; len(stream) > 0; size = fullBuffer {
		n := copy(d.room(size), stream)
		d.read(n)
		stream = stream[n:]
		got, err := d.take(ms, fullBuffer-prefixSize)
		if err != nil {
			t.Fatal(err)
		}
		if whole := len(stream) == 0; whole != (got == 1) {
			t.Fatalf("%d messages with %d bytes to come", got, len(stream))
		}
	}
	if !bytes.Equal(ms[0].Buf[:ms[0].N], body) {
		t.Error("the message changed")
	}
}
