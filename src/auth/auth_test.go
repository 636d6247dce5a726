package auth

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

var testKey = [KeySize]byte{1, 2, 3}

// authentic are the suites that prove something: all but none.
var authentic = slices.DeleteFunc(slices.Clone(suites), func(s Suite) bool { return s.ID == None })

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
		Header                                                           int
		Path                                                             uint8
		Number                                                           uint32
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
			m := Meta{Previous: v.Previous, HeaderLen: v.Header, Path: v.Path, PathSequence: v.Number}
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
			seen := m
			seen.Sequence, seen.Previous = 0, 0
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
		id := rapid.SampledFrom(suites).Draw(t, "suite").ID
		bind := rapid.Bool().Draw(t, "bind")
		gs, vs := chain(id, testKey, bind)
		for range 3 { // an instance's state must not reach from packet to packet
			msg := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "message")
			sent := Meta{
				Sequence:     rapid.Uint64().Draw(t, "sequence"),
				Previous:     rapid.Uint16().Draw(t, "previous"),
				Path:         rapid.Uint8().Draw(t, "path"),
				PathSequence: rapid.Uint32().Draw(t, "path sequence"),
				HeaderLen:    rapid.IntRange(0, len(msg)).Draw(t, "header"),
			}
			sealed := gs.Generate(withRoom(msg, gs.Overhead()), &sent)
			if len(sealed) != len(msg)+gs.Overhead() || vs.Overhead() != gs.Overhead() {
				t.Fatalf("%d bytes became %d, overhead %d", len(msg), len(sealed), gs.Overhead())
			}
			got := Meta{HeaderLen: sent.HeaderLen, Path: sent.Path, PathSequence: sent.PathSequence}
			opened, err := vs.Verify(sealed, &got)
			if err != nil || !bytes.Equal(opened, msg) || got != sent {
				t.Fatalf("Verify: %x %+v %v, want %x %+v", opened, got, err, msg, sent)
			}
		}
	})
}

// TestForgeries changes a packet in every small way and expects each refused.
func TestForgeries(t *testing.T) {
	for _, s := range authentic {
		t.Run(s.Name, func(t *testing.T) { forgeries(t, s.ID) })
	}
}

func forgeries(t *testing.T, id ID) {
	gs, vs := chain(id, testKey, true)
	genuine := Meta{
		Sequence:     7,
		Path:         3,
		PathSequence: 5,
		HeaderLen:    4,
		Source:       netip.MustParseAddrPort("192.0.2.1:4725"),
		Destination:  netip.MustParseAddrPort("[2001:db8::1]:40000"),
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

	_, vs = chain(id, testKey, false)
	refused("a verifier that binds no addresses", packet, genuine, ErrMAC)
	_, vs = chain(id, [KeySize]byte{9}, true)
	refused("another key", packet, genuine, ErrMAC)
}

// TestBindingUnmaps: a dual-stack socket calls an IPv4 peer ::ffff:192.0.2.1,
// and knows link-local zones that the peer does not.
func TestBindingUnmaps(t *testing.T) {
	for _, s := range authentic {
		gs, vs := chain(s.ID, testKey, true)
		for _, pair := range [][2]string{
			{"192.0.2.1:1", "[::ffff:192.0.2.1]:1"},
			{"[fe80::1%eth0]:1", "[fe80::1]:1"},
		} {
			m := Meta{Source: netip.MustParseAddrPort(pair[0]), Destination: netip.MustParseAddrPort("198.51.100.1:2")}
			packet := gs.Generate(withRoom(nil, gs.Overhead()), &m)
			m.Source = netip.MustParseAddrPort(pair[1])
			if _, err := vs.Verify(packet, &m); err != nil {
				t.Errorf("%s: %s is not taken for %s: %v", s.Name, pair[1], pair[0], err)
			}
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
	for _, s := range authentic {
		gs, _ := chain(s.ID, testKey, false)
		for room := range gs.Overhead() {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%s: %d bytes of room: no panic", s.Name, room)
					}
				}()
				gs.Generate(withRoom([]byte("body"), room), &Meta{})
			}()
		}
	}
}

// TestNoAllocationPerPacket: whether it is sent, received, or refused.
func TestNoAllocationPerPacket(t *testing.T) {
	for _, s := range suites {
		for _, bind := range []bool{false, true} {
			gs, vs := chain(s.ID, testKey, bind)
			m := &Meta{Sequence: 1, HeaderLen: 6, Source: netip.MustParseAddrPort("192.0.2.1:1"), Destination: netip.MustParseAddrPort("[2001:db8::1]:2")}
			buf := make([]byte, 1400, 1400+gs.Overhead())
			n := testing.AllocsPerRun(100, func() {
				m.PathSequence++
				packet := gs.Generate(buf, m)
				if _, err := vs.Verify(packet, m); err != nil {
					t.Fatal(err)
				}
				packet[0]++
				_, _ = vs.Verify(packet, m)
			})
			if n != 0 {
				t.Errorf("%s, bound %v: %v allocations", s.Name, bind, n)
			}
		}
	}
}

// FuzzVerify feeds packets that nobody made to the chains: with a MAC none
// passes, without one the sequence number is read and nothing else happens.
func FuzzVerify(f *testing.F) {
	f.Add([]byte("a packet of some length, longer than all of the overhead"), 4)
	f.Add([]byte{}, 0)
	var macked []Verifiers
	for _, s := range authentic {
		_, vs := chain(s.ID, testKey, false)
		macked = append(macked, vs)
	}
	gs, bare := chain(None, testKey, false)
	f.Fuzz(func(t *testing.T, packet []byte, headerLen int) {
		m := Meta{HeaderLen: max(headerLen, 0)}
		for i, vs := range macked {
			if msg, err := vs.Verify(bytes.Clone(packet), &m); !errors.Is(err, ErrMAC) && !errors.Is(err, ErrMalformed) || msg != nil {
				t.Fatalf("%s: passed: %v", authentic[i].Name, err)
			}
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

// FuzzChain seals any message with each suite, changes any byte of what came of
// it, and expects the message back from the one, and ErrMAC from the other.
func FuzzChain(f *testing.F) {
	f.Add([]byte("header and body"), uint8(6), uint8(1), uint32(2), uint16(9), uint8(1))
	f.Add([]byte{}, uint8(0), uint8(63), uint32(1<<32-1), uint16(0), uint8(0x80))
	f.Fuzz(func(t *testing.T, msg []byte, header, path uint8, number uint32, where uint16, change uint8) {
		m := Meta{Sequence: uint64(number) << 8, Previous: where, Path: path, PathSequence: number, HeaderLen: min(int(header), len(msg))}
		for _, s := range authentic {
			gs, vs := chain(s.ID, testKey, false)
			packet := gs.Generate(withRoom(msg, gs.Overhead()), &m)
			forged := bytes.Clone(packet)
			if got, err := vs.Verify(packet, &m); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%s: %x, %v", s.Name, got, err)
			}
			if change == 0 {
				continue
			}
			forged[int(where)%len(forged)] ^= change
			if _, err := vs.Verify(forged, &m); !errors.Is(err, ErrMAC) {
				t.Fatalf("%s: a forgery passed: %v", s.Name, err)
			}
		}
	})
}
