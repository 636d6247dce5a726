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
	refused(t, gate, someDay.Add(2*SlotLength), hello, ErrCookie, "when its cookie is gone")
	refused(t, newGate(t), someDay, hello, ErrCookie, "after a restart")

	// A recording whose cookie was exchanged for a valid one after a restart,
	// by someone who has the key of the outer MAC.
	gate = newGate(t)
	changed := bytes.Clone(hello.bytes)
	cookie := gate.jar.Make(someDay)
	copy(changed[prefixLen:], cookie[:])
	refused(t, gate, someDay, opened(t, gate.guard, resealed(gate.guard, changed)), ErrMAC, "with a new cookie")
}

// TestMemoryIsBounded: a peer that shakes hands without end costs no memory,
// is not locked out, and none of its HELLOs is ever admitted twice.
func TestMemoryIsBounded(t *testing.T) {
	gate := newGate(t)
	var admitted []Message
	retried := 0
	for range 3 * maxSeen {
		hello := fresh(t, gate, someDay)
		_, _, err := gate.Admit(someDay, hello)
		if errors.Is(err, ErrCookie) { // the memory was full: once more with the new cookie
			retried++
			hello = fresh(t, gate, someDay)
			_, _, err = gate.Admit(someDay, hello)
		}
		if err != nil {
			t.Fatal(err)
		}
		admitted = append(admitted, hello)
		if len(gate.seen) > maxSeen {
			t.Fatalf("%d HELLOs remembered", len(gate.seen))
		}
	}
	if retried == 0 {
		t.Error("the memory was never full: nothing is shown")
	}
	for _, hello := range admitted {
		if _, _, err := gate.Admit(someDay, hello); !errors.Is(err, ErrReplay) && !errors.Is(err, ErrCookie) {
			t.Fatalf("admitted twice: %v", err)
		}
	}
	// Time frees it too.
	fresh := fresh(t, gate, someDay.Add(5*SlotLength))
	if _, _, err := gate.Admit(someDay.Add(5*SlotLength), fresh); err != nil || len(gate.seen) != 1 {
		t.Errorf("%d HELLOs remembered after five slots, %v", len(gate.seen), err)
	}
}

// TestGateNeverAdmitsTwice plays with time, restarts and recordings: no HELLO
// is admitted twice, and a fresh one at most needs one RETRY.
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
				if admit(hello) == nil {
					return
				}
				hello = fresh(t, gate, now)
				recorded = append(recorded, hello)
				if err := admit(hello); err != nil {
					rt.Fatalf("refused after a RETRY: %v", err)
				}
			},
			"held back": func(*rapid.T) { recorded = append(recorded, fresh(t, gate, now)) },
			"recorded": func(rt *rapid.T) {
				if len(recorded) > 0 {
					_ = admit(rapid.SampledFrom(recorded).Draw(rt, "which"))
				}
			},
			"time passes": func(rt *rapid.T) {
				now = now.Add(time.Duration(rapid.Int64Range(0, int64(2*SlotLength)).Draw(rt, "by")))
			},
			"restart": func(*rapid.T) { gate = newGate(t) },
		})
	})
}
