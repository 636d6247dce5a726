package session

import (
	"bytes"
	"slices"
	"testing"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/wire"
)

// Offers of portals on CPUs with instructions for AES and without, and of one
// that knows no encryption.
var (
	withAES    = []auth.ID{auth.AES128GCM, auth.ChaCha20Poly1305, auth.Blake2s}
	withoutAES = []auth.ID{auth.ChaCha20Poly1305, auth.Blake2s, auth.AES128GCM}
	old        = []auth.ID{auth.Blake2s}
)

func offering(ids []auth.ID) func(*Config) { return func(c *Config) { c.Offer = ids } }

// TestSuiteIsBestForBoth: and both ends know which, after a rekey too.
func TestSuiteIsBestForBoth(t *testing.T) {
	for _, c := range []struct {
		local, remote []auth.ID
		want          auth.ID
	}{
		{withAES, withAES, auth.AES128GCM},
		{withoutAES, withAES, auth.ChaCha20Poly1305},
		{withAES, withoutAES, auth.ChaCha20Poly1305},
		{withoutAES, withoutAES, auth.ChaCha20Poly1305},
		{withAES, old, auth.Blake2s},
		{old, withoutAES, auth.Blake2s},
		{withoutAES, []auth.ID{auth.AES128GCM}, auth.AES128GCM},
	} {
		local, remote := newSession(t, true, 1, offering(c.local)), newSession(t, false, 2, offering(c.remote))
		shake(t, start, local, remote)
		prove(t, start, local, remote)
		now := start.Add(rekeyAfter)
		for range 2 {
			if l, r := local.Sending(start).Suite.ID, remote.Sending(start).Suite.ID; l != c.want || r != c.want {
				t.Errorf("%v and %v agree on %v and %v", c.local, c.remote, l, r)
			}
			if local.Handshakes == 1 {
				rekey(t, now, local, remote)
				prove(t, now, local, remote)
			}
		}
	}
}

// TestNobodyBetweenChangesTheSuite: a HELLO or REPLY of which any bit is other
// than it was sent makes no keys at all; and what was refused leaves the way
// free for the right one. Package handshake tests the same of what is behind the
// outer MAC.
func TestNobodyBetweenChangesTheSuite(t *testing.T) {
	local, remote := newSession(t, true, 1, offering(withAES)), newSession(t, false, 2, offering(withAES))
	guard := handshake.NewGuard(psk)
	retry, _ := ask(t, start, local, remote, firstHello(local, start))
	hello, _, err := local.Handle(start, home, opened(t, retry))
	if err != nil {
		t.Fatal(err)
	}
	tamper := func(s *Session, message []byte) {
		t.Helper()
		for bit := range 8 * len(message) {
			changed := bytes.Clone(message)
			changed[bit/8] ^= 1 << (bit % 8)
			if m, err := guard.Open(changed); err == nil {
				t.Errorf("bit %d of a %v changed: opened", bit, m.Type())
				_, _, _ = s.Handle(start, home, m)
			}
		}
		if count(s.Table()) != 0 {
			t.Fatal("a forgery made keys")
		}
	}
	tamper(remote, hello)
	reply, err := ask(t, start, local, remote, hello)
	if err != nil {
		t.Fatal(err)
	}
	tamper(local, reply)
	if _, _, err := local.Handle(start, home, opened(t, reply)); err != nil || local.Sending(start).Suite.ID != auth.AES128GCM {
		t.Errorf("the right REPLY: %v", err)
	}
}

// TestARefusalMakesNoPoorerOffer: a local portal whose offer is refused makes the
// same again.
func TestARefusalMakesNoPoorerOffer(t *testing.T) {
	local := newSession(t, true, 1, offering(withAES))
	remote := newSession(t, false, 2, offering([]auth.ID{auth.None}))
	now := start
	for range 3 {
		retry, _ := ask(t, now, local, remote, firstHello(local, now))
		hello, _, err := local.Handle(now, home, opened(t, retry))
		if err != nil {
			t.Fatal(err)
		}
		_, said, err := handshake.ParseHello(handshake.NewGuard(psk), bytes.NewReader(make([]byte, 64)), opened(t, hello))
		if err != nil || !slices.Equal(said.Suites, withAES) {
			t.Errorf("offers %v, %v", said.Suites, err)
		}
		refusal, _ := ask(t, now, local, remote, hello)
		if kind, _, _, _ := wire.Prefix(refusal); kind != wire.TypeReply {
			t.Fatalf("%x is no REPLY", refusal)
		}
		_, _, _ = local.Handle(now, home, opened(t, refusal))
		if count(local.Table())+count(remote.Table()) != 0 {
			t.Fatal("keys after a refusal")
		}
		now = now.Add(refusedAgain)
	}
}
