package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

var testKey = [KeySize]byte{1, 2, 3}

// chain is the data chain of a session: sequence inside, MAC of suite outside.
func chain(id ID, key [KeySize]byte, bind bool) (Generators, Verifiers) {
	s, ok := Lookup(id)
	if !ok {
		panic(id)
	}
	return Generators{DataSequence{}, s.NewGenerator(key, bind)},
		Verifiers{DataSequence{}, s.NewVerifier(key, bind)}
}

// withRoom copies msg to a slice that can grow by n bytes and no more.
func withRoom(msg []byte, n int) []byte {
	b := make([]byte, len(msg), len(msg)+n)
	copy(b, msg)
	return b
}

func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Suite, Key, Message, Sequence, Source, Destination, Packet string
		Previous                                                         uint16
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) == 0 {
		t.Fatal("no vectors")
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			offer, err := Offer(v.Suite)
			if err != nil {
				t.Fatal(err)
			}
			m := Meta{Previous: v.Previous}
			if m.Sequence, err = strconv.ParseUint(v.Sequence, 10, 64); err != nil {
				t.Fatal(err)
			}
			if v.Source != "" {
				m.Source, m.Destination = netip.MustParseAddrPort(v.Source), netip.MustParseAddrPort(v.Destination)
			}
			gs, vs := chain(offer[0], [KeySize]byte(unhex(t, v.Key)), v.Source != "")
			msg, want := unhex(t, v.Message), unhex(t, v.Packet)

			if got := gs.Generate(withRoom(msg, gs.Overhead()), &m); !bytes.Equal(got, want) {
				t.Errorf("Generate: %x\nwant      %x", got, want)
			}
			seen := Meta{Source: m.Source, Destination: m.Destination}
			if got, err := vs.Verify(want, &seen); err != nil || !bytes.Equal(got, msg) || seen != m {
				t.Errorf("Verify: %x, %+v, %v", got, seen, err)
			}
		})
	}
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChainRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.SampledFrom([]ID{None, Blake2s}).Draw(t, "suite")
		gs, vs := chain(id, testKey, false)
		for range 3 { // an instance's state must not reach from packet to packet
			msg := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "message")
			sent := Meta{
				Sequence:  rapid.Uint64().Draw(t, "sequence"),
				Previous:  rapid.Uint16().Draw(t, "previous"),
				HeaderLen: rapid.IntRange(0, len(msg)).Draw(t, "header"),
			}
			sealed := gs.Generate(withRoom(msg, gs.Overhead()), &sent)
			if len(sealed) != len(msg)+gs.Overhead() || vs.Overhead() != gs.Overhead() {
				t.Fatalf("%d bytes became %d, overhead %d", len(msg), len(sealed), gs.Overhead())
			}
			got := Meta{HeaderLen: sent.HeaderLen}
			opened, err := vs.Verify(sealed, &got)
			if err != nil || !bytes.Equal(opened, msg) || got != sent {
				t.Fatalf("Verify: %x %+v %v, want %x %+v", opened, got, err, msg, sent)
			}
		}
	})
}

// TestForgeries changes a packet in every small way and expects each refused.
func TestForgeries(t *testing.T) {
	gs, vs := chain(Blake2s, testKey, true)
	genuine := Meta{
		Sequence:    7,
		HeaderLen:   4,
		Source:      netip.MustParseAddrPort("192.0.2.1:4725"),
		Destination: netip.MustParseAddrPort("[2001:db8::1]:40000"),
	}
	packet := gs.Generate(withRoom([]byte("head and a body"), gs.Overhead()), &genuine)

	refused := func(what string, packet []byte, m Meta, want error) {
		t.Helper()
		if got, err := vs.Verify(bytes.Clone(packet), &m); !errors.Is(err, want) || got != nil {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
	}
	for i := range len(packet) * 8 {
		flipped := bytes.Clone(packet)
		flipped[i/8] ^= 1 << (i % 8)
		refused("bit "+strconv.Itoa(i)+" flipped", flipped, genuine, ErrMAC)
	}
	for n := range len(packet) {
		want := ErrMAC
		if n < genuine.HeaderLen+16 {
			want = ErrMalformed
		}
		refused("cut to "+strconv.Itoa(n)+" bytes", packet[:n], genuine, want)
	}
	refused("a byte longer", append(bytes.Clone(packet), 0), genuine, ErrMAC)

	m := genuine
	m.Source = netip.MustParseAddrPort("192.0.2.2:4725")
	refused("another source address", packet, m, ErrMAC)
	m = genuine
	m.Source = netip.MustParseAddrPort("192.0.2.1:4726")
	refused("another source port", packet, m, ErrMAC)
	m = genuine
	m.Destination = netip.MustParseAddrPort("[2001:db8::2]:40000")
	refused("another destination address", packet, m, ErrMAC)
	m = genuine
	m.Destination = netip.MustParseAddrPort("[2001:db8::1]:40001")
	refused("another destination port", packet, m, ErrMAC)
	m = genuine
	m.Source, m.Destination = m.Destination, m.Source
	refused("sent back where it came from", packet, m, ErrMAC)

	_, vs = chain(Blake2s, testKey, false)
	refused("a verifier that binds no addresses", packet, genuine, ErrMAC)
	_, vs = chain(Blake2s, [KeySize]byte{9}, true)
	refused("another key", packet, genuine, ErrMAC)
}

// TestBindingUnmaps: a dual-stack socket calls an IPv4 peer ::ffff:192.0.2.1,
// and knows link-local zones that the peer does not.
func TestBindingUnmaps(t *testing.T) {
	gs, vs := chain(Blake2s, testKey, true)
	for _, pair := range [][2]string{
		{"192.0.2.1:1", "[::ffff:192.0.2.1]:1"},
		{"[fe80::1%eth0]:1", "[fe80::1]:1"},
	} {
		m := Meta{Source: netip.MustParseAddrPort(pair[0]), Destination: netip.MustParseAddrPort("198.51.100.1:2")}
		packet := gs.Generate(withRoom(nil, gs.Overhead()), &m)
		m.Source = netip.MustParseAddrPort(pair[1])
		if _, err := vs.Verify(packet, &m); err != nil {
			t.Errorf("%s is not taken for %s: %v", pair[1], pair[0], err)
		}
	}
}

func TestShortPackets(t *testing.T) {
	_, vs := chain(None, testKey, false)
	for n := range 4 + SequenceLen {
		if _, err := vs.Verify(make([]byte, n), &Meta{HeaderLen: 4}); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if _, err := (none{}).Verify(make([]byte, 3), &Meta{HeaderLen: 4}); !errors.Is(err, ErrMalformed) {
		t.Errorf("none lets a packet shorter than its header pass: %v", err)
	}
}

// TestGenerateNeverReallocates: without room it must panic, not move the packet.
func TestGenerateNeverReallocates(t *testing.T) {
	gs, _ := chain(Blake2s, testKey, false)
	for room := range gs.Overhead() {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d bytes of room: no panic", room)
				}
			}()
			gs.Generate(withRoom([]byte("body"), room), &Meta{})
		}()
	}
}

// scrambler stands for a suite that encrypts: it changes all behind the header
// in place, the sequence number included, and appends a tag.
type scrambler struct{}

func (scrambler) Overhead() int { return 1 }

func (s scrambler) Generate(msg []byte, m *Meta) []byte {
	s.scramble(msg[m.HeaderLen:], m)
	return append(msg, byte(m.PathSequence))
}

func (s scrambler) Verify(msg []byte, m *Meta) ([]byte, error) {
	msg, tag, err := strip(msg, 1, m)
	if err != nil {
		return nil, err
	}
	if tag[0] != byte(m.PathSequence) {
		return nil, ErrMAC
	}
	s.scramble(msg[m.HeaderLen:], m)
	return msg, nil
}

func (scrambler) scramble(b []byte, m *Meta) {
	for i := range b {
		b[i] ^= byte(m.PathSequence) ^ m.Path ^ 0xa5
	}
}

func TestChainHasRoomForEncryption(t *testing.T) {
	gs, vs := Generators{DataSequence{}, scrambler{}}, Verifiers{DataSequence{}, scrambler{}}
	sent := Meta{Sequence: 5, Previous: 2, Path: 3, PathSequence: 9, HeaderLen: 4}
	packet := gs.Generate(withRoom([]byte("headbody"), gs.Overhead()), &sent)
	if string(packet[:4]) != "head" || bytes.Contains(packet, []byte("body")) {
		t.Errorf("packet %q: header not kept or body not encrypted", packet)
	}
	got := Meta{Path: 3, PathSequence: 9, HeaderLen: 4}
	if msg, err := vs.Verify(packet, &got); string(msg) != "headbody" || err != nil || got != sent {
		t.Errorf("Verify: %q, %+v, %v", msg, got, err)
	}
}

func TestNoAllocationPerPacket(t *testing.T) {
	for _, id := range []ID{None, Blake2s} {
		gs, vs := chain(id, testKey, true)
		m := &Meta{Sequence: 1, Source: netip.MustParseAddrPort("192.0.2.1:1"), Destination: netip.MustParseAddrPort("[2001:db8::1]:2")}
		buf := make([]byte, 1400, 1400+gs.Overhead())
		n := testing.AllocsPerRun(100, func() {
			packet := gs.Generate(buf, m)
			if _, err := vs.Verify(packet, m); err != nil {
				t.Fatal(err)
			}
			packet[0]++
			_, _ = vs.Verify(packet, m)
		})
		if n != 0 {
			t.Errorf("%v: %v allocations", id, n)
		}
	}
}

// FuzzVerify feeds packets that nobody made to the chains: with a MAC none
// passes, without one the sequence number is read and nothing else happens.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("a packet of some length, longer than all of the overhead"), 4)
	f.Add([]byte{}, 0)
	_, macked := chain(Blake2s, testKey, false)
	gs, bare := chain(None, testKey, false)
	f.Fuzz(func(t *testing.T, packet []byte, headerLen int) {
		m := Meta{HeaderLen: max(headerLen, 0)}
		if _, err := macked.Verify(packet, &m); !errors.Is(err, ErrMAC) && !errors.Is(err, ErrMalformed) {
			t.Fatalf("passed: %v", err)
		}
		msg, err := bare.Verify(packet, &m)
		if err != nil {
			return
		}
		if again := gs.Generate(withRoom(msg, SequenceLen), &m); !bytes.Equal(again, packet) {
			t.Fatalf("%x became %x", packet, again)
		}
	})
}

func BenchmarkBlake2s(b *testing.B) {
	for _, size := range []int{64, 1400} {
		for _, bind := range []bool{false, true} {
			name := strconv.Itoa(size)
			if bind {
				name += " bound"
			}
			gs, vs := chain(Blake2s, testKey, bind)
			m := &Meta{Sequence: 1}
			buf := make([]byte, size, size+gs.Overhead())
			good := bytes.Clone(gs.Generate(buf, m))
			bad := bytes.Clone(good)
			bad[size/2] ^= 1
			b.Run("generate/"+name, func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					gs.Generate(buf, m)
				}
			})
			b.Run("verify/"+name, func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := vs.Verify(good, m); err != nil {
						b.Fatal(err)
					}
				}
			})
			// What a flood of forgeries costs: one MAC a packet, no more.
			b.Run("reject/"+name, func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := vs.Verify(bad, m); err == nil {
						b.Fatal("accepted")
					}
				}
			})
		}
	}
}
