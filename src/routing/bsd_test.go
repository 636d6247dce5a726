package routing

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/config"
)

// everyBSD calls f with each way in which a host can be had to change.
func everyBSD(t *testing.T, f func(t *testing.T, c bsdCase)) {
	for _, name := range []string{"none-fib", "none-pf", "nat-local-fib", "nat-local-one", "portal-local-fib", "portal-remote"} {
		t.Run(name, func(t *testing.T) { t.Parallel(); f(t, bsdCases()[name]) })
	}
}

// As TestKilledAnywhere and TestInherit: whatever change a process dies at, of
// Apply, Undo, or the Cleanup that follows, all is put right; and a start after it
// finds its anchor as it was.
func TestBSDKilledAnywhere(t *testing.T) {
	everyBSD(t, func(t *testing.T, c bsdCase) {
		for at := 1; ; at++ {
			finished := 0
			for _, late := range []bool{false, true} {
				for _, goesOn := range []bool{false, true} {
					f := newFakeBSD(c.host)
					before := f.state()
					dir := t.TempDir()
					f.dieAt, f.dieLate = at, late
					if alive(func() {
						r, err := apply(newBSD(f), dir, c.spec)
						if err == nil {
							err = r.Undo()
						}
						if err != nil {
							t.Fatal(err)
						}
					}) {
						finished++
					} else {
						f.changes, f.dieAt = 0, 3
						alive(func() { _, _ = cleanup(newBSD(f), dir, "nc0") })
						f.dieAt = 0
						comeBack(t, f, dir, c, goesOn)
					}
					if diff := cmp.Diff(before, f.state()); diff != "" {
						t.Fatalf("killed at change %d (after it: %v, started again: %v), not as it was:\n%s", at, late, goesOn, diff)
					}
					if left, _ := os.ReadDir(dir); len(left) > 0 {
						t.Fatalf("left: %v", left)
					}
				}
			}
			if finished == 4 {
				return
			}
		}
	})
}

// comeBack is the next start, or, where it does not go on, `netcombiner down`.
func comeBack(t *testing.T, f *fakeBSD, dir string, c bsdCase, goesOn bool) {
	t.Helper()
	if !goesOn {
		if _, err := cleanup(newBSD(f), dir, "nc0"); err != nil {
			t.Fatal(err)
		}
		return
	}
	left := maps.Clone(f.anchors)
	if _, err := inherit(newBSD(f), dir, "nc0"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(left, f.anchors); diff != "" {
		t.Fatalf("Inherit touched what pf does until Apply:\n%s", diff)
	}
	r, err := apply(newBSD(f), dir, c.spec)
	if err == nil {
		err = r.Undo()
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestBSDRefusedAnywhere(t *testing.T) {
	everyBSD(t, func(t *testing.T, c bsdCase) {
		probe := newFakeBSD(c.host)
		if _, err := apply(newBSD(probe), t.TempDir(), c.spec); err != nil {
			t.Fatal(err)
		}
		if probe.changes == 0 {
			t.Fatal("nothing was changed: the test shows nothing")
		}
		for at := 1; at <= probe.changes; at++ {
			f := newFakeBSD(c.host)
			f.failAt = at
			before := f.state()
			if _, err := apply(newBSD(f), t.TempDir(), c.spec); err == nil {
				continue // an optional one
			} else if !strings.Contains(err.Error(), "the kernel says no") {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, f.state()); diff != "" {
				t.Fatalf("refused at change %d, not as it was:\n%s", at, diff)
			}
		}
	})
}

// Two tunnels have FIBs and anchors of their own, and share switches.
func TestBSDTwoTunnels(t *testing.T) {
	for _, firstEndsFirst := range []bool{true, false} {
		f := newFakeBSD(bsdRouter(4))
		dir := t.TempDir()
		first, second := bsdLocal(config.RoutingPortal, config.EgressFIB), bsdLocal(config.RoutingNone, config.EgressFIB)
		second.Interface = "nc1"
		f.host.Links = append(f.host.Links, Link{Name: "nc1", Up: true})
		f.host.Links = append(f.host.Links, Link{Name: "em3", Up: true, Addrs: prefixes("192.168.1.2/24")})
		f.host.Routes = append(f.host.Routes, route(0, "192.168.1.0/24", "", "em3"))
		f.host.Gateways["em3"] = []netip.Addr{addr("192.168.1.1")}
		second.WANs = append(second.WANs, WAN{Device: "em3"})
		before := f.state()
		a, err := apply(newBSD(f), dir, first)
		if err != nil {
			t.Fatal(err)
		}
		b, err := apply(newBSD(f), dir, second)
		if err != nil {
			t.Fatal(err)
		}
		fibA, _ := a.FIB("em1", netip.Addr{})
		fibB, _ := b.FIB("em1", netip.Addr{})
		fib3, ok := b.FIB("em3", netip.Addr{})
		if fibA != fibB || !ok || fib3 == fibA || fib3 == 0 {
			t.Errorf("em1 is in FIB %d for one tunnel and %d for the other, em3 in %d", fibA, fibB, fib3)
		}
		for r, s := range map[*Routing]Spec{a: first, b: second} {
			was := text(r.Steps())
			changes := f.changes
			if err := r.Refresh(s); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(was, text(r.Steps())); diff != "" || f.changes != changes {
				t.Errorf("Refresh made %d changes where nothing had changed:\n%s", f.changes-changes, diff)
			}
		}
		order := []*Routing{a, b}
		if !firstEndsFirst {
			slices.Reverse(order)
		}
		for _, r := range order {
			if err := r.Undo(); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(before, f.state()); diff != "" {
			t.Errorf("not as it was:\n%s", diff)
		}
	}
}

// A WAN gets another gateway: its rules change, and the states that held the old
// one go. Somebody flushes the anchor, takes its call out of the main ruleset, or
// switches pf off: that is found, said, and mended once it can be.
func TestBSDFollows(t *testing.T) {
	f := newFakeBSD(bsdRouter(1))
	dir := t.TempDir()
	spec := bsdLocal(config.RoutingNone, config.EgressPF)
	r, err := apply(newBSD(f), dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	f.killed = nil
	f.host.Gateways["em1"] = []netip.Addr{addr("198.51.100.77")}
	if err := r.Refresh(spec); err != nil {
		t.Fatal(err)
	}
	if rules := f.anchors["netcombiner/nc0"]; !strings.Contains(rules, "(em1 198.51.100.77)") || strings.Contains(rules, "198.51.100.1)") {
		t.Errorf("the rules do not follow the gateway:\n%s", rules)
	}
	if !slices.Equal(f.killed, []string{"netcombiner-nc0"}) {
		t.Errorf("states of the old gateway stay: %q", f.killed)
	}
	if !r.Intact() {
		t.Error("not intact, though nobody did anything")
	}
	for what, c := range map[string]struct {
		breakIt, mend func()
		says          string
	}{
		"flushed":    {func() { delete(f.anchors, "netcombiner/nc0") }, func() {}, ""},
		"not called": {func() { f.main["rules"] = "pass all\n" }, func() { f.main["rules"] = mainRules }, `anchor "netcombiner/*"`},
		"off":        {func() { f.pf = "Status: Disabled\n" }, func() { f.pf = "Status: Enabled\n" }, "switched off"},
		"gone":       {func() { f.pf = ""; clear(f.anchors) }, func() { f.pf = "Status: Enabled\n" }, "/dev/pf"},
	} {
		c.breakIt()
		if r.Intact() {
			t.Errorf("%s, and nobody sees it", what)
		}
		if err := r.Refresh(spec); c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v, want %q in it", what, err, c.says)
		}
		c.mend()
		if err := r.Refresh(spec); err != nil {
			t.Errorf("%s, mended: %v", what, err)
		}
		if !r.Intact() || f.anchors["netcombiner/nc0"] == "" {
			t.Errorf("%s, mended, and not as it should be", what)
		}
	}
}

// The same with a FIB: its default route is another one then.
func TestBSDFollowsInAFIB(t *testing.T) {
	f := newFakeBSD(bsdRouter(2))
	before := f.state()
	spec := bsdLocal(config.RoutingNone, config.EgressFIB)
	r, err := apply(newBSD(f), t.TempDir(), spec)
	if err != nil {
		t.Fatal(err)
	}
	f.host.Gateways["em1"] = []netip.Addr{addr("198.51.100.77")}
	if err := r.Refresh(spec); err != nil {
		t.Fatal(err)
	}
	routes, _ := f.routes(1)
	if !slices.Contains(routes, route(1, "0.0.0.0/0", "198.51.100.77", "em1")) || slices.Contains(routes, route(1, "0.0.0.0/0", "198.51.100.1", "em1")) {
		t.Errorf("FIB 1 does not follow the gateway: %v", routes)
	}
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.state()); diff != "" {
		t.Errorf("not as it was:\n%s", diff)
	}
}

// A second WAN that comes to a Routing = none makes work, and takes it along.
func TestBSDSecondWANComesAndGoes(t *testing.T) {
	f := newFakeBSD(bsdRouter(2))
	before := f.state()
	dir := t.TempDir()
	two := bsdLocal(config.RoutingNone, config.EgressAuto)
	one := with(bsdLocal(config.RoutingNone, config.EgressAuto), func(s *Spec) { s.WANs = s.WANs[:1] })
	r, err := apply(newBSD(f), dir, one)
	if err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); f.changes > 0 || len(files) > 0 {
		t.Errorf("one WAN: %d changes, %v", f.changes, files)
	}
	if _, ok := r.FIB("em0", netip.Addr{}); ok {
		t.Error("one WAN has a FIB")
	}
	if err := r.Refresh(two); err != nil {
		t.Fatal(err)
	}
	if fib, ok := r.FIB("", addr("198.51.100.2")); !ok || fib != 1 {
		t.Errorf("the second WAN: FIB %d, %v", fib, ok)
	}
	if err := r.Refresh(one); err != nil {
		t.Fatal(err)
	}
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, f.state()); diff != "" {
		t.Errorf("not as it was:\n%s", diff)
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("left: %v", files)
	}
}

// Each thing that can be missing is one line, which says what to do.
func TestBSDWhatIsMissing(t *testing.T) {
	nat, remote := bsdLocal(config.RoutingNAT, config.EgressAuto), remoteSpec(config.RoutingNAT)
	fib := bsdLocal(config.RoutingNone, config.EgressFIB)
	for name, c := range map[string]struct {
		spec   Spec
		host   Host
		change func(*fakeBSD)
		want   []string
	}{
		"no pf":         {nat, bsdRouter(3), func(f *fakeBSD) { f.pf = "" }, []string{"Routing = nat needs pf", "/dev/pf: No such file", "sysrc pf_enable=YES"}},
		"pf off":        {remote, bsdVPS(), func(f *fakeBSD) { f.pf = "Status: Disabled for 0 days\n" }, []string{"switched off", "service pf start"}},
		"no nat-anchor": {remote, bsdVPS(), func(f *fakeBSD) { f.main["nat"] = "" }, []string{"/etc/pf.conf", callNAT, "service pf reload"}},
		"no anchor":     {nat, bsdRouter(3), func(f *fakeBSD) { f.main["rules"] = "pass all flags S/SA keep state\n" }, []string{"put into /etc/pf.conf anchor", "before the first"}},
		"neither":       {nat, bsdRouter(3), func(f *fakeBSD) { f.main = map[string]string{} }, []string{callNAT + " with", "and " + callFilter}},
		"too few FIBs":  {fib, bsdRouter(1), nil, []string{"Egress = fib", "em0, em1", "net.fibs = 1", "1 too few", "net.fibs=2", "loader.conf", "Egress = pf"}},
		"another VPN": {nat, bsdRouter(3), func(f *fakeBSD) {
			f.host.Links = append(f.host.Links, Link{Name: "tun1", Up: true})
			f.host.Routes = append(f.host.Routes, route(0, "0.0.0.0/1", "10.8.0.1", "tun1"))
		}, []string{"0.0.0.0/1 by tun1", "another VPN", "route -n delete"}},
		"bypass":         {with(nat, func(s *Spec) { s.Bypasses = []config.Bypass{{}} }), bsdRouter(3), nil, []string{"[Bypass]", "Linux"}},
		"fallback":       {with(nat, func(s *Spec) { s.Fallback = true }), bsdRouter(3), nil, []string{"Fallback = direct", "Linux"}},
		"no client":      {with(bsdLocal(config.RoutingPortal, config.EgressPF), func(s *Spec) { s.ClientInterface = "" }), bsdRouter(1), nil, []string{"ClientInterface"}},
		"absent client":  {with(bsdLocal(config.RoutingPortal, config.EgressPF), func(s *Spec) { s.ClientInterface = "em9" }), bsdRouter(1), nil, []string{"ClientInterface = em9", "no such"}},
		"pfctl says no":  {remote, bsdVPS(), func(f *fakeBSD) { f.failAt = 1 }, []string{"pfctl -a netcombiner/nc0 -f -", "the kernel says no"}},
		"odd transport":  {with(bsdLocal(config.RoutingNone, config.EgressPF), func(s *Spec) { s.Remotes[0].Transport = "pigeon" }), bsdRouter(1), nil, []string{"pigeon"}},
		"odd transport2": {with(remoteSpec(config.RoutingPortal), func(s *Spec) { s.Listens[0].Transport = "pigeon" }), bsdVPS(), nil, []string{"pigeon"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFakeBSD(c.host)
			if c.change != nil {
				c.change(f)
			}
			before := f.state()
			dir := t.TempDir()
			_, err := apply(newBSD(f), dir, c.spec)
			if err == nil {
				t.Fatal("no error")
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than a line: %v", err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v, want %q in it", err, want)
				}
			}
			if diff := cmp.Diff(before, f.state()); diff != "" {
				t.Errorf("not as it was:\n%s", diff)
			}
		})
	}
}

// Nobody tells of pf: the watch ticks, until it is to end.
func TestBSDWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		look, err := newBSD(newFakeBSD(bsdVPS())).watch(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		<-look
		<-look
		if waited := time.Since(began); waited != 2*lookAgain {
			t.Errorf("two looks took %v", waited)
		}
		cancel()
		if _, open := <-look; open {
			t.Error("it goes on")
		}
	})
}

func TestBSDNeeds(t *testing.T) {
	b := newBSD(newFakeBSD(bsdVPS()))
	for _, c := range []struct {
		spec Spec
		want bool
	}{
		{remoteSpec(config.RoutingNone), false},
		{remoteSpec(config.RoutingNAT), true},
		{bsdLocal(config.RoutingNone, config.EgressAuto), true},
		{bsdLocal(config.RoutingPortal, config.EgressAuto), true},
	} {
		if got := b.needs(c.spec); got != c.want {
			t.Errorf("%s, Routing = %s: %v", c.spec.Role, c.spec.Mode, got)
		}
	}
}

// What somebody else has set is not put back.
func TestBSDForeignChangesStay(t *testing.T) {
	f := newFakeBSD(bsdVPS())
	f.sysctls[bsdForward4] = "1" // a router already
	delete(f.sysctls, bsdRouters6)
	r, err := apply(newBSD(f), t.TempDir(), remoteSpec(config.RoutingNAT))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	if f.sysctls[bsdForward4] != "1" || f.sysctls[bsdForward6] != "0" {
		t.Errorf("%v", f.sysctls)
	}
}

func TestBSDWarnings(t *testing.T) {
	f := newFakeBSD(bsdVPS())
	f.main["rules"] = "anchor \"netcombiner/*\" on vtnet0 all\n"
	f.skipped = "all\nlo\nlo0 (skip)\nnc0 (skip)\nvtnet0\n"
	r, err := apply(newBSD(f), t.TempDir(), remoteSpec(config.RoutingPortal))
	if err != nil {
		t.Fatal(err)
	}
	warnings := r.Warnings()
	if len(warnings) != 2 || !strings.Contains(warnings[0], "on vtnet0") || !strings.Contains(warnings[1], "skip on nc0") {
		t.Errorf("%q", warnings)
	}
}
