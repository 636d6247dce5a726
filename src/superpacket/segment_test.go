package superpacket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// super makes a super-packet as a kernel does: a packet with the pseudo-header's
// sum where the checksum belongs.
func super(s spec, kind uint8, size int) []byte {
	p := s.make()
	at, field := 20, 16
	if s.v6 {
		at = 40
	}
	h := header{flags: needsSum, kind: kind, headers: len(p), size: size, sumStart: at, sumAt: 16}
	if s.udp {
		field, h.sumAt = 6, 6
	}
	binary.BigEndian.PutUint16(p[at+field:], 0)
	whole := pseudo(p, at)
	binary.BigEndian.PutUint16(p[at+field:], ^plainSum(whole[:len(whole)-(len(p)-at)]))
	f := make([]byte, HeaderSize)
	h.put(f)
	return append(f, p...)
}

// TestSegments compares what comes of a super-packet, field by field.
func TestSegments(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range []struct {
		name string
		spec
		kind uint8
		size int
	}{
		{"TCP", spec{seq: 0xfffffff0, id: 0xffff, df: true, ttl: 64, options: randomBytes(r, 12)}, kindTCP4, 100},
		{"TCP over IPv6", spec{v6: true, tos: 0xb9, ttl: 9}, kindTCP6, 33},
		{"with ECN", spec{tos: 2}, kindTCP4 | kindECN, 101},
		{"UDP", spec{udp: true, id: 7}, kindUDP, 50},
		{"UDP over IPv6", spec{udp: true, v6: true}, kindUDP, 999},
		{"one segment", spec{}, kindTCP4, 2000},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.payload, c.window = randomBytes(r, 1000), 5
			c.flags = tcpACK | tcpPSH | tcpFIN | tcpCWR
			out := segments(t, super(c.spec, c.kind, c.size))
			if want := (1000 + c.size - 1) / c.size; len(out) != want {
				t.Fatalf("%d segments, want %d", len(out), want)
			}
			for i, got := range out {
				want := c.spec
				from := i * c.size
				want.payload = c.payload[from:min(from+c.size, 1000)]
				want.seq += uint32(from)
				want.id += uint16(i)
				if i > 0 {
					want.flags &^= tcpCWR
				}
				if i < len(out)-1 {
					want.flags &^= tcpPSH | tcpFIN
				}
				if w := want.make(); !bytes.Equal(got, w) {
					t.Fatalf("segment %d is\n%x, not\n%x", i, got, w)
				}
				if !right(got) {
					t.Errorf("segment %d: a wrong checksum", i)
				}
			}
		})
	}
}

// A packet of its own comes out as it is, but for a checksum that the kernel
// left to us.
func TestChecksumsAreCompleted(t *testing.T) {
	for _, s := range []spec{{flags: tcpACK}, {udp: true, v6: true, payload: []byte("odd")}, {udp: true, payload: make([]byte, 1400)}} {
		f := super(s, kindNone, 0)
		if out := segments(t, f); len(out) != 1 || !bytes.Equal(out[0], s.make()) {
			t.Errorf("%x, not %x", out, s.make())
		}
		f = append(make([]byte, HeaderSize), 1, 2, 3)
		if out := segments(t, f); len(out) != 1 || !bytes.Equal(out[0], []byte{1, 2, 3}) {
			t.Errorf("%x", out)
		}
	}
	// A UDP checksum of 0 is sent as its twin.
	s := spec{udp: true, payload: make([]byte, 2)}
	p := s.make()
	s.payload = []byte{p[26], p[27]}
	if out := segments(t, super(s, kindNone, 0)); out[0][26] != 0xff || out[0][27] != 0xff || !right(out[0]) {
		t.Errorf("a checksum of %x", out[0][26:28])
	}
	if out := segments(t, super(s, kindUDP, 2)); out[0][26] != 0xff || out[0][27] != 0xff {
		t.Errorf("a segment's checksum of %x", out[0][26:28])
	}
}

// A buffer that is too short costs the packet that it was for, no other.
func TestShortBuffersLoseOnePacket(t *testing.T) {
	var s Segmenter
	if err := s.Reset(super(spec{payload: make([]byte, 300)}, kindTCP4, 100)); err != nil {
		t.Fatal(err)
	}
	dst := make([]byte, 200)
	if a, b, c := s.Next(dst), s.Next(dst[:139]), s.Next(dst[:140]); a != 140 || b != 0 || c != 140 || s.More() {
		t.Errorf("%d, %d, %d, more: %v", a, b, c, s.More())
	}
	if seq := binary.BigEndian.Uint32(dst[24:]); seq != 200 {
		t.Errorf("the third segment begins at %d", seq)
	}
}

func TestMalformedFramesAreRefused(t *testing.T) {
	good := super(spec{payload: make([]byte, 300)}, kindTCP4, 100)
	for name, change := range map[string]func(f []byte) []byte{
		"empty":               func(f []byte) []byte { return nil },
		"no packet":           func(f []byte) []byte { return f[:HeaderSize] },
		"half a header":       func(f []byte) []byte { return f[:HeaderSize+30] },
		"no payload":          func(f []byte) []byte { return f[:HeaderSize+40] },
		"IPv6 in an IPv4":     func(f []byte) []byte { f[HeaderSize] = 0x60; return f },
		"version 9":           func(f []byte) []byte { f[HeaderSize] = 0x95; return f },
		"an unknown kind":     func(f []byte) []byte { f[1] = 3; return f },
		"segments of nothing": func(f []byte) []byte { f[4], f[5] = 0, 0; return f },
		"a tiny TCP header":   func(f []byte) []byte { f[HeaderSize+32] = 0x40; return f },
		"sums far outside":    func(f []byte) []byte { f[6], f[7] = 0xff, 0xff; return f },
		"sums in IP's header": func(f []byte) []byte { f[6], f[7] = 0, 0; return f },
		"too long":            func(f []byte) []byte { return append(f, make([]byte, MaxFrame)...) },
		"a lone packet's sum": func(f []byte) []byte { f[1] = 0; f[8], f[9] = 0xff, 0xff; return f },
		"ECN of nothing":      func(f []byte) []byte { f[1] = kindECN; return f },
	} {
		var s Segmenter
		if err := s.Reset(change(bytes.Clone(good))); err == nil || s.More() {
			t.Errorf("%s: %v, more: %v", name, err, s.More())
		}
	}
}

// The kernel is a friend, what it passes on is not.
func FuzzSegmenter(f *testing.F) {
	f.Add(super(spec{payload: make([]byte, 300)}, kindTCP4, 100), uint16(1500))
	f.Add(super(spec{udp: true, v6: true, payload: make([]byte, 300)}, kindUDP, 7), uint16(60))
	f.Add(super(spec{udp: true}, kindNone, 0), uint16(60))
	f.Fuzz(func(t *testing.T, frame []byte, room uint16) {
		var s Segmenter
		if s.Reset(bytes.Clone(frame)) != nil {
			return
		}
		dst := make([]byte, room)
		for bytes := 0; s.More(); {
			if bytes++; bytes > len(frame) {
				t.Fatal("more packets than bytes")
			}
			if n := s.Next(dst); n > len(dst) {
				t.Fatalf("%d bytes in %d", n, len(dst))
			}
		}
	})
}

func TestProbeIsWhole(t *testing.T) {
	for _, udp := range []bool{false, true} {
		out := segments(t, Probe(udp))
		if len(out) != 2 || !right(out[0]) || !right(out[1]) || len(out[1]) >= len(out[0]) {
			t.Errorf("UDP %v: %x", udp, out)
		}
	}
}

func TestSum(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for n := range 300 {
		b := randomBytes(r, n)
		if n%3 == 0 {
			for i := range b {
				b[i] = 0xff // all carries there are
			}
		}
		var want [2]byte
		binary.BigEndian.PutUint16(want[:], ^plainSum(b))
		var got, copied [2]byte
		putSum(got[:], fold(sum(b, 0)))
		dst := make([]byte, n)
		putSum(copied[:], fold(copySum(dst, b, 0)))
		if got != want || copied != want || !bytes.Equal(b, dst) {
			t.Fatalf("%d bytes: %x, of a copy %x, want %x", n, got, copied, want)
		}
	}
}

// Addresses that somebody chose to make sums overflow.
func TestSumsDoNotOverflow(t *testing.T) {
	f := super(spec{v6: true, payload: bytes.Repeat([]byte{0xff}, 300)}, kindTCP6, 100)
	p := f[HeaderSize:]
	clear(p[8:40])
	binary.NativeEndian.PutUint64(p[8:], ^word(protoTCP)) // with the protocol, all ones
	for _, got := range segments(t, f) {
		if !right(got) || !sumsRight(got, ipv6Header) {
			t.Errorf("a wrong checksum: %x", got[56:58])
		}
	}
}

func TestSegmentsAllocateNothing(t *testing.T) {
	f, dst := super(spec{payload: make([]byte, 40000)}, kindTCP4, 1400), make([]byte, 1500)
	var s Segmenter
	if n := testing.AllocsPerRun(20, func() {
		for _ = s.Reset(f); s.More(); {
			s.Next(dst)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkSegment is a packet's cost.
func BenchmarkSegment(b *testing.B) {
	for _, udp := range []bool{false, true} {
		b.Run(fmt.Sprint("UDP ", udp), func(b *testing.B) {
			kind := uint8(kindTCP4)
			if udp {
				kind = kindUDP
			}
			f := super(spec{udp: udp, payload: make([]byte, 60000)}, kind, 1360)
			dst := make([][2048]byte, 64)
			var s Segmenter
			b.ReportAllocs()
			for i := 0; i < b.N; {
				for _ = s.Reset(f); s.More(); i++ {
					s.Next(dst[i%len(dst)][:])
				}
			}
		})
	}
}
