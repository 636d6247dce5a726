package auth

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOffer(t *testing.T) {
	for name, want := range map[string][]ID{
		"auto":             auto(fastAES()),
		"blake2s":          {Blake2s},
		"chacha20poly1305": {ChaCha20Poly1305},
		"aes128gcm":        {AES128GCM},
		"none":             {None},
	} {
		if got, err := Offer(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("Offer(%q) = %v, %v", name, got, err)
		}
	}
	for _, name := range []string{"", "Blake2s", "md5"} {
		if got, err := Offer(name); err == nil || !strings.Contains(err.Error(), "auto, blake2s, chacha20poly1305, aes128gcm, none") {
			t.Errorf("Offer(%q) = %v, %v: must name what is allowed", name, got, err)
		}
	}
}

// TestAutoEncrypts: of two portals set to auto each gets, whoever begins, what
// is fast on both CPUs, and it encrypts.
func TestAutoEncrypts(t *testing.T) {
	for _, c := range []struct {
		mine, theirs bool // AES instructions
		want         ID
	}{
		{true, true, AES128GCM},
		{true, false, ChaCha20Poly1305},
		{false, true, ChaCha20Poly1305},
		{false, false, ChaCha20Poly1305},
	} {
		if got, err := Choose(auto(c.mine), auto(c.theirs)); err != nil || got.ID != c.want {
			t.Errorf("AES here %v, there %v: %v, %v; want %v", c.mine, c.theirs, got.ID, err, c.want)
		}
	}
}

// TestAutoOffersAll: but none.
func TestAutoOffersAll(t *testing.T) {
	for _, aes := range []bool{false, true} {
		offer := auto(aes)
		for _, s := range suites {
			if slices.Contains(offer, s.ID) == (s.ID == None) || len(offer) != len(suites)-1 {
				t.Errorf("%v: offered wrongly in %v", s.ID, offer)
			}
		}
	}
}

func TestChoose(t *testing.T) {
	const future = ID(200)
	for _, c := range []struct {
		mine, theirs []ID
		want         ID // 0: none in common
	}{
		{[]ID{Blake2s}, []ID{Blake2s}, Blake2s},
		{[]ID{Blake2s}, []ID{future, Blake2s}, Blake2s},
		{[]ID{Blake2s, AES128GCM}, []ID{AES128GCM, Blake2s}, AES128GCM}, // equals: the initiator's order
		{[]ID{AES128GCM, Blake2s}, []ID{Blake2s, AES128GCM}, Blake2s},
		{[]ID{AES128GCM, ChaCha20Poly1305, Blake2s}, []ID{Blake2s, ChaCha20Poly1305, AES128GCM}, ChaCha20Poly1305}, // second is better than third
		{[]ID{AES128GCM, Blake2s, ChaCha20Poly1305}, []ID{Blake2s, AES128GCM, ChaCha20Poly1305}, Blake2s},
		{auto(true), []ID{Blake2s}, Blake2s},
		{[]ID{AES128GCM}, auto(false), AES128GCM},
		{[]ID{None}, []ID{None}, None},
		{[]ID{Blake2s, None}, []ID{None, Blake2s}, Blake2s},
		{[]ID{None}, []ID{None, Blake2s}, 0},
		{[]ID{None, Blake2s}, []ID{None}, 0},
		{[]ID{Blake2s}, []ID{None}, 0},
		{[]ID{None}, []ID{None, future}, 0},
		{[]ID{Blake2s}, []ID{future}, 0},
		{[]ID{future}, []ID{future}, 0},
		{[]ID{Blake2s}, nil, 0},
		{nil, nil, 0},
	} {
		got, err := Choose(c.mine, c.theirs)
		if got.ID != c.want || (c.want == 0) != errors.Is(err, ErrNoSuite) {
			t.Errorf("Choose(%v, %v) = %v, %v; want %v", c.mine, c.theirs, got.ID, err, c.want)
		}
	}
}

// TestAutoNeverEndsWithoutMAC: whatever the other side offers, on either end.
func TestAutoNeverEndsWithoutMAC(t *testing.T) {
	auto, err := Offer("auto")
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		other := rapid.SliceOf(rapid.Custom(func(t *rapid.T) ID { return ID(rapid.IntRange(0, 6).Draw(t, "id")) })).Draw(t, "offer")
		for _, s := range []func() (Suite, error){
			func() (Suite, error) { return Choose(auto, other) },
			func() (Suite, error) { return Choose(other, auto) },
		} {
			if s, err := s(); err == nil && (s.ID == None || s.Overhead == 0) {
				t.Fatalf("auto against %v ends with %v", other, s.ID)
			}
		}
	})
}

func TestSuitesAreConsistent(t *testing.T) {
	for _, s := range suites {
		if got, ok := Lookup(s.ID); !ok || got.Name != s.Name || s.ID.String() != s.Name {
			t.Errorf("%q is not found by its number %d", s.Name, uint8(s.ID))
		}
		if g, v := s.NewGenerator(testKey, true), s.NewVerifier(testKey, true); g.Overhead() != s.Overhead || v.Overhead() != s.Overhead {
			t.Errorf("%s: overheads differ: %d, %d, %d", s.Name, s.Overhead, g.Overhead(), v.Overhead())
		}
	}
	if _, ok := Lookup(0); ok {
		t.Error("0 is a suite")
	}
	if got := ID(99).String(); got != "suite 99" {
		t.Errorf("unknown suite prints as %q", got)
	}
}
