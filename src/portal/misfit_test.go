package portal

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
)

// Two portals whose configurations do not fit, or that the network keeps apart:
// the tunnel does not come up, and both ends that can know why say so, once.

// misfit runs two portals for two minutes and returns what each logged as a
// warning about the tunnel as a whole. works says whether it came up.
func misfit(t *testing.T, nat bool, local, remote func(*config.Interface)) (logged [2][]string, works bool) {
	t.Helper()
	spec := link(mbit(8), 10*time.Millisecond)
	spec.nat = nat
	sim(t, 1, []linkSpec{spec, spec}, func(tn *tunnel) {
		var logs [2]lines
		for i, e := range []*end{tn.local, tn.remote} {
			e.edit = func(o *Options) { o.Log = slog.New(&logs[i]) }
		}
		local(&tn.local.config.Interface)
		remote(&tn.remote.config.Interface)
		tn.start()
		time.Sleep(2 * time.Minute)
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(20*time.Millisecond, 300, tn.net.Now()+time.Second)
		time.Sleep(2 * time.Second)
		s := f.All()
		if s.Delivered > 0 && s.Lost > 0 {
			t.Errorf("the tunnel works by half: %v", &s)
		}
		works = s.Delivered > 0
		for i := range logs {
			all := logs[i].all()
			if len(all) > 150 {
				t.Errorf("%d log lines in two minutes", len(all))
			}
			for _, l := range all {
				if strings.HasPrefix(l, "WARN") && !strings.Contains(l, "path") {
					logged[i] = append(logged[i], l)
				}
			}
		}
	})
	return logged, works
}

func asIs(*config.Interface)           {}
func noMAC(i *config.Interface)        { i.Suite = "none" }
func bound(i *config.Interface)        { i.AuthenticateAddresses = true }
func withOtherKey(i *config.Interface) { i.Key = config.Key{7} }

func TestMisfitsAreSaid(t *testing.T) {
	for _, c := range []struct {
		name          string
		nat           bool
		local, remote func(*config.Interface)
		said          [2]string // a word of the one line that each end logs; "": none
	}{
		{"as is", false, asIs, asIs, [2]string{}},
		{"no MAC on both", false, noMAC, noMAC, [2]string{}},
		{"no MAC on the local", false, noMAC, asIs, [2]string{"set the same Suite", "set the same Suite"}},
		{"no MAC on the remote", false, asIs, noMAC, [2]string{"set the same Suite", "set the same Suite"}},
		{"addresses on both", false, bound, bound, [2]string{}},
		{"addresses on the local", false, bound, asIs, [2]string{"AuthenticateAddresses", "AuthenticateAddresses"}},
		{"addresses on the remote", false, asIs, bound, [2]string{"AuthenticateAddresses", "AuthenticateAddresses"}},
		{"addresses and a NAT", true, bound, bound, [2]string{"NAT", "NAT"}},
		{"another key", false, withOtherKey, asIs, [2]string{"Key", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			logged, works := misfit(t, c.nat, c.local, c.remote)
			if works != (c.said == [2]string{}) {
				t.Errorf("the tunnel works: %v", works)
			}
			for i, word := range c.said {
				switch {
				case word == "" && len(logged[i]) > 0:
					t.Errorf("end %d logged %q", i, logged[i])
				case word != "" && (len(logged[i]) != 1 || !strings.Contains(logged[i][0], word)):
					t.Errorf("end %d logged %q, which is not one line with %q", i, logged[i], word)
				}
			}
		})
	}
}

// TestAnotherKeyIsHintedAt: the remote has nothing to tell a mistyped key from
// noise by, so it says so only in its status, in one line, and not when the
// tunnel works or for noise of another kind.
func TestAnotherKeyIsHintedAt(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			spec := link(mbit(8), 10*time.Millisecond)
			spec.transport = transport
			sim(t, 1, []linkSpec{spec}, func(tn *tunnel) {
				var log lines
				tn.remote.edit = func(o *Options) { o.Log = slog.New(&log) }
				hints := func() []string { return tn.remote.portal.Status().Hints }
				withOtherKey(&tn.local.config.Interface)
				tn.start()
				time.Sleep(time.Minute)
				got := hints()
				if len(got) != 1 || !strings.Contains(got[0], "last from 10.0.0.2: same Key") || strings.HasPrefix(got[0], "0 ") {
					t.Errorf("with another key: %q", got)
				}
				if got := tn.local.portal.Status().Hints; len(got) > 0 {
					t.Errorf("at the local: %q", got)
				}
				if n := len(log.all()); n > 0 {
					t.Errorf("%d lines are logged: %q", n, log.all())
				}
				tn.local.stop()
				tn.local.config.Interface.Key = testKey
				tn.local.start()
				time.Sleep(2 * time.Second)
				if got := hints(); len(got) > 0 {
					t.Errorf("with the right key: %q", got)
				}
				tn.local.stop()
				time.Sleep(5 * time.Second)
				if got := hints(); len(got) > 0 {
					t.Errorf("after the local left: %q", got)
				}
			})
		})
	}
}

// TestTheSameAddressIsHintedAt: once the other end sends from it, until that is
// another process.
func TestTheSameAddressIsHintedAt(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 10*time.Millisecond)}, func(tn *tunnel) {
		// The inner packets of a Flow come from 10.0.0.1.
		own := []netip.Prefix{netip.MustParsePrefix("fd00::1/64"), netip.MustParsePrefix("10.0.0.1/24")}
		tn.local.config.Interface.Address, tn.remote.config.Interface.Address = own, own
		tn.start()
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		hints := func() []string {
			f.Send(100)
			time.Sleep(2 * time.Second)
			if got := tn.local.portal.Status().Hints; len(got) > 0 {
				t.Errorf("at the local, which was sent nothing: %q", got)
			}
			return tn.remote.portal.Status().Hints
		}
		time.Sleep(2 * time.Second)
		for range 3 {
			if got := hints(); len(got) != 1 || !strings.Contains(got[0], "same Address") {
				t.Errorf("hints %q", got)
			}
		}
		tn.local.stop()
		tn.local.start()
		time.Sleep(2 * time.Second)
		if got := tn.remote.portal.Status().Hints; len(got) > 0 {
			t.Errorf("of another process, which sent nothing yet: %q", got)
		}
		tn.remote.stop()
		tn.remote.config.Interface.Address = []netip.Prefix{netip.MustParsePrefix("10.0.0.2/24")}
		tn.remote.start()
		time.Sleep(2 * time.Second)
		if got := hints(); len(got) > 0 {
			t.Errorf("with addresses of their own: %q", got)
		}
	})
}

// TestTheRemoteMayBeAway: a local portal alone says so after a few seconds,
// and the tunnel comes up once the other end is there.
func TestTheRemoteMayBeAway(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 10*time.Millisecond)}, func(tn *tunnel) {
		var log lines
		tn.local.edit = func(o *Options) { o.Log = slog.New(&log) }
		tn.local.start()
		said := func() (n int) {
			for _, l := range log.all() {
				if strings.Contains(l, "does not answer") {
					n++
				}
			}
			return n
		}
		time.Sleep(4 * time.Second)
		if said() != 0 {
			t.Error("said at once")
		}
		time.Sleep(5 * time.Second)
		if said() != 1 {
			t.Errorf("said %d times after 9 s: %q", said(), log.all())
		}
		time.Sleep(30 * time.Minute)
		if n := said(); n < 2 || n > 5 {
			t.Errorf("said %d times in half an hour", n)
		}
		tn.remote.start()
		time.Sleep(2 * time.Second)
		if s := tn.local.portal.Status().Session.State; s != "established" {
			t.Errorf("session %s two seconds after the remote came", s)
		}
	})
}

// TestNothingSpinsWhileAllLinksAreDead: with keys that should be made anew and
// no path to do it by, nobody wakes but to try again.
func TestNothingSpinsWhileAllLinksAreDead(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 10*time.Millisecond), link(mbit(8), 10*time.Millisecond)}, func(tn *tunnel) {
		tn.start()
		time.Sleep(95 * time.Second)
		for _, l := range tn.links {
			l.Cut(true)
		}
		p := tn.local.portal
		for range 10 {
			time.Sleep(2 * time.Second) // from before the keys are due until after they ended
			p.mu.Lock()
			now := p.clock.Now()
			if wait := p.core.deadline(now).Sub(now); wait < time.Microsecond {
				t.Fatalf("the next thing is due in %v", wait)
			}
			p.mu.Unlock()
		}
		for _, l := range tn.links {
			l.Cut(false)
		}
		back := tn.net.Now()
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(20*time.Millisecond, 300, back+3*time.Second)
		time.Sleep(4 * time.Second)
		if d, ok := f.AliveAfter(back); !ok || d > 2*time.Second {
			t.Errorf("alive %v after the links came back (%v)", d, ok)
		}
	})
}
