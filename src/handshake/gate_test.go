package handshake

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"netcombiner/src/mono"
)

func newJar(t testing.TB) *CookieJar {
	t.Helper()
	j, err := NewCookieJar(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestCookieLife(t *testing.T) {
	start := mono.Time(100 * SlotLength)
	for _, c := range []struct {
		made, shown time.Duration // after start
		want        bool
	}{
		{0, 0, true},
		{0, SlotLength - 1, true},
		{0, 2*SlotLength - 1, true},
		{0, 2 * SlotLength, false},
		{SlotLength - 1, SlotLength, true},
		{SlotLength - 1, 2*SlotLength - 1, true},
		{SlotLength - 1, 2 * SlotLength, false},
		{0, 1000 * SlotLength, false},
	} {
		j := newJar(t)
		cookie := j.Make(start.Add(c.made))
		if got := j.Valid(start.Add(c.shown), cookie); got != c.want {
			t.Errorf("made at %v, shown at %v: %v, want %v", c.made, c.shown, got, c.want)
		}
	}
}

func TestCookieOfAnotherJar(t *testing.T) {
	a, b := newJar(t), newJar(t)
	if b.Valid(someDay, a.Make(someDay)) {
		t.Error("a cookie from before the restart is valid")
	}
	if a.Valid(someDay, Cookie{}) {
		t.Error("no cookie is a valid cookie")
	}
	// The time may be anything, also the clock's first reading.
	if !a.Valid(0, newJarLike(a).Make(0)) {
		t.Error("a cookie made at the zero time is not valid")
	}
}

// newJarLike is a jar with the same secret, at its start.
func newJarLike(j *CookieJar) *CookieJar {
	k := &CookieJar{hash: j.hash}
	k.fill()
	return k
}

func TestRenewVoidsCookies(t *testing.T) {
	j := newJar(t)
	old := j.Make(someDay)
	j.Renew()
	if j.Valid(someDay, old) || j.Valid(someDay.Add(SlotLength), old) {
		t.Error("a cookie from before Renew is valid")
	}
	if !j.Valid(someDay, j.Make(someDay)) {
		t.Error("a cookie from after Renew is not valid")
	}
}

// fresh is a HELLO with the gate's present cookie.
func fresh(t testing.TB, gate *Gate, now mono.Time) Message {
	t.Helper()
	h := aHello
	h.Cookie = gate.jar.Make(now)
	_, hello := begun(t, gate.guard, h)
	return opened(t, gate.guard, hello)
}

func newGate(t testing.TB) *Gate {
	t.Helper()
	gate, err := NewGate(NewGuard(psk), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

// refused expects Admit to fail with want.
func refused(t testing.TB, gate *Gate, now mono.Time, m Message, want error, why string) {
	t.Helper()
	if r, _, err := gate.Admit(now, m); !errors.Is(err, want) || r != nil {
		t.Errorf("%s: %v, want %v", why, err, want)
	}
}

func TestReplayedHello(t *testing.T) {
	gate := newGate(t)
	hello := fresh(t, gate, someDay)
	if _, _, err := gate.Admit(someDay, hello); err != nil {
		t.Fatal(err)
	}
	refused(t, gate, someDay, hello, ErrReplay, "at once")
	refused(t, gate, someDay.Add(SlotLength), hello, ErrReplay, "a slot later")
	refused(t, gate, someDay.Add(100*SlotLength), hello, ErrReplay, "when its cookie is gone")

	gate = newGate(t)
	refused(t, gate, someDay, hello, ErrCookie, "after a restart")
	if _, err := gate.Retry(someDay, hello); err != nil {
		t.Fatal(err)
	}
	refused(t, gate, someDay, hello, ErrReplay, "after a RETRY")

	// A recording whose cookie was exchanged for a valid one after a restart,
	// by someone who has the key of the outer MAC.
	gate = newGate(t)
	changed := bytes.Clone(hello.bytes)
	cookie := gate.jar.Make(someDay)
	copy(changed[prefixLen:], cookie[:])
	refused(t, gate, someDay, opened(t, gate.guard, resealed(gate.guard, changed)), ErrMAC, "with a new cookie")
}

// TestMemoryIsBounded: a peer that shakes hands without end costs no memory, is
// not locked out, and none of its HELLOs is admitted twice, though forgotten.
func TestMemoryIsBounded(t *testing.T) {
	for name, later := range map[string]time.Duration{"in one slot": 0, "over two slots": SlotLength} {
		gate, now := newGate(t), someDay
		var admitted []Message
		for n := range 2 * memorySize {
			if n == memorySize { // full: from now on each new one displaces one
				now = now.Add(later)
			}
			hello := fresh(t, gate, now)
			if _, _, err := gate.Admit(now, hello); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			admitted = append(admitted, hello)
			checkBound(t, &gate.admitted)
		}
		for n, hello := range admitted {
			if _, _, err := gate.Admit(now, hello); !errors.Is(err, ErrReplay) && !errors.Is(err, ErrCookie) {
				t.Fatalf("%s: HELLO %d admitted twice: %v", name, n, err)
			}
		}
	}
}

// TestForgettingTheOldIsFree: what could not come again anyway is forgotten
// without making the cookies that are out invalid.
func TestForgettingTheOldIsFree(t *testing.T) {
	gate := newGate(t)
	for range memorySize {
		if _, _, err := gate.Admit(someDay, fresh(t, gate, someDay)); err != nil {
			t.Fatal(err)
		}
	}
	now := someDay.Add(2 * SlotLength)
	cookie := gate.jar.Make(now)
	if _, _, err := gate.Admit(now, fresh(t, gate, now)); err != nil {
		t.Fatal(err)
	}
	if !gate.jar.Valid(now, cookie) {
		t.Error("a cookie was made invalid without need")
	}
}

// TestRetriesAreBounded: recordings without end cost no memory, and do not
// keep a fresh HELLO out.
func TestRetriesAreBounded(t *testing.T) {
	gate := newGate(t)
	var asked []Message
	for range 2 * memorySize {
		_, hello := begun(t, gate.guard, aHello)
		m := opened(t, gate.guard, hello)
		refused(t, gate, someDay, m, ErrCookie, "no cookie")
		for range 2 {
			if _, err := gate.Retry(someDay, m); err != nil {
				t.Fatal(err)
			}
		}
		refused(t, gate, someDay, m, ErrReplay, "no cookie, again")
		checkBound(t, &gate.asked)
		asked = append(asked, m)
	}
	for n, m := range asked {
		want := ErrReplay
		if n < memorySize {
			want = ErrCookie // forgotten, the oldest first
		}
		refused(t, gate, someDay, m, want, "when the memory is full")
	}
	if _, _, err := gate.Admit(someDay, fresh(t, gate, someDay)); err != nil {
		t.Error(err)
	}
}

func checkBound(t *testing.T, m *memory) {
	t.Helper()
	if len(m.slots) > memorySize || len(m.slots) != len(m.order) {
		t.Fatalf("%d HELLOs remembered, %d in order", len(m.slots), len(m.order))
	}
}

// TestGateNeverAdmitsTwice plays with time, restarts and recordings: no HELLO
// is admitted twice, a fresh one always at once, and none is asked twice.
func TestGateNeverAdmitsTwice(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		gate := newGate(t)
		now := someDay
		var recorded []Message
		admitted := map[[ephemeralLen]byte]bool{}
		admit := func(m Message) error {
			_, _, err := gate.Admit(now, m)
			if err == nil {
				if admitted[m.ephemeral()] {
					rt.Fatal("admitted twice")
				}
				admitted[m.ephemeral()] = true
			}
			return err
		}
		rt.Repeat(map[string]func(*rapid.T){
			"new": func(rt *rapid.T) {
				hello := fresh(t, gate, now)
				recorded = append(recorded, hello)
				if err := admit(hello); err != nil {
					rt.Fatalf("fresh and refused: %v", err)
				}
			},
			"held back": func(*rapid.T) { recorded = append(recorded, fresh(t, gate, now)) },
			"recorded": func(rt *rapid.T) {
				if len(recorded) == 0 {
					return
				}
				hello := rapid.SampledFrom(recorded).Draw(rt, "which")
				if !errors.Is(admit(hello), ErrCookie) {
					return
				}
				if _, err := gate.Retry(now, hello); err != nil {
					rt.Fatal(err)
				}
				if err := admit(hello); !errors.Is(err, ErrReplay) {
					rt.Fatalf("asked, and then: %v", err)
				}
			},
			"time passes": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*SlotLength)).Draw(rt, "by")))
			},
			"restart": func(*rapid.T) { gate = newGate(t) },
		})
	})
}
