package session

import (
	"hash/maphash"
	"net/netip"
	"testing"
	"time"

	"netcombiner/src/mono"
)

func TestABucketHoldsASecond(t *testing.T) {
	var b bucket
	take := func(now mono.Time) (n int) {
		for b.take(now, 20) {
			n++
		}
		return n
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 20}, {0, 0}, {49 * time.Millisecond, 0}, {50 * time.Millisecond, 1}, {time.Second, 19}, {2 * time.Second, 20}, {time.Hour, 20}} {
		if got := take(start.Add(c.after)); got != c.want {
			t.Errorf("%v later: %d tokens, want %d", c.after, got, c.want)
		}
	}
}

// flood takes all that there is for a source.
func flood(l *limiter, now mono.Time, from netip.Addr) (n int) {
	for l.take(now, from) {
		n++
	}
	return n
}

// apart is a secret under which a and b have buckets of their own.
func apart(t testing.TB, a, b netip.Addr) maphash.Seed {
	t.Helper()
	for range 100 {
		if l := newLimiter(); l.source(a) != l.source(b) {
			return l.seed
		}
	}
	t.Fatalf("%s and %s share a bucket under every secret", a, b)
	return maphash.Seed{}
}

func TestOneSourceKeepsNoOtherOut(t *testing.T) {
	for _, attacker := range []string{"192.0.2.7", "2001:db8:1:2::7", "::ffff:192.0.2.7", "fe80::1%eth0"} {
		l, from := newLimiter(), netip.MustParseAddr(attacker)
		l.seed = apart(t, from, elsewhere)
		for now := start; now < start.Add(10*time.Second); now = now.Add(100 * time.Millisecond) {
			flood(&l, now, from)
			if !l.take(now, elsewhere) {
				t.Fatalf("%s kept %s out after %v", attacker, elsewhere, now.Sub(start))
			}
		}
	}
}

// TestNeighboursAreOneSource: who has a whole prefix has no more for it.
func TestNeighboursAreOneSource(t *testing.T) {
	for _, c := range []struct {
		a, b string
		one  bool
	}{
		{"192.0.2.1", "192.0.2.254", true},
		{"192.0.2.1", "::ffff:192.0.2.254", true},
		{"2001:db8:0:1200::1", "2001:db8:0:12ff:ffff::1", true},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"192.0.2.1", "192.0.3.1", false},
		{"2001:db8:0:1200::1", "2001:db8:0:1300::1", false},
	} {
		shared := 0
		for range 8 { // eight secrets: others share a bucket now and then
			l := newLimiter()
			if l.source(netip.MustParseAddr(c.a)) == l.source(netip.MustParseAddr(c.b)) {
				shared++
			}
		}
		if one := shared == 8; one != c.one {
			t.Errorf("%s and %s share a bucket under %d of 8 secrets", c.a, c.b, shared)
		}
	}
}

// TestAllSourcesTogetherAreBounded: in however many names the recordings come.
func TestAllSourcesTogetherAreBounded(t *testing.T) {
	l, taken := newLimiter(), 0
	for i := range 1 << 16 {
		taken += flood(&l, start, netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}))
	}
	if taken != retriesAll {
		t.Errorf("%d answers at once, want %d", taken, retriesAll)
	}
}

func TestTheLimiterAllocatesNothing(t *testing.T) {
	l, now := newLimiter(), start
	for _, from := range []netip.Addr{{}, netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")} {
		if n := testing.AllocsPerRun(100, func() {
			now = now.Add(time.Second)
			if !l.take(now, from) {
				t.Fatal("no token")
			}
		}); n != 0 {
			t.Errorf("%v: %v allocations", from, n)
		}
	}
}
