package routing

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/config"
)

// What is left when a WAN, pf or FIBs are not there.

// unplug takes a device away, and its routes with it, as the kernel does.
func unplug(device string) func(*Host) {
	return func(h *Host) {
		h.Links = slices.DeleteFunc(slices.Clone(h.Links), func(l Link) bool { return l.Name == device })
		h.Routes = slices.DeleteFunc(slices.Clone(h.Routes), func(r Route) bool { return r.Device == device })
	}
}

// The WAN of the host's default route goes: sockets of the other one stay in their
// FIB, whose routes stay; and so it is if the host's default route is by it then.
func TestBSDTheOtherWANGoesInAFIB(t *testing.T) {
	f := newFakeBSD(bsdRouter(2))
	spec := bsdLocal(config.RoutingNone, config.EgressAuto)
	r, err := apply(newBSD(f), t.TempDir(), spec)
	if err != nil {
		t.Fatal(err)
	}
	inFIB, _ := f.routes(1)
	unplug("em0")(&f.host)
	for _, follows := range []Route{{}, route(0, "0.0.0.0/0", "198.51.100.1", "em1"), route(0, "::/0", "fe80::2", "em1")} {
		if follows.Device != "" {
			f.host.Routes = append(f.host.Routes, follows)
		}
		if err := r.Refresh(spec); err != nil {
			t.Fatal(err)
		}
		if fib, ok := r.FIB("em1", netip.Addr{}); !ok || fib != 1 {
			t.Errorf("em1 is in FIB %d, %v", fib, ok)
		}
		if now, _ := f.routes(1); !slices.Equal(now, inFIB) {
			t.Errorf("FIB 1 had %v, and now %v", inFIB, now)
		}
	}
}

// The same by pf, which the kernel does not ask where it has no route at all: FIB 0
// gets one, for as long as it has none.
func TestBSDTheOtherWANGoesByPF(t *testing.T) {
	for _, mode := range []config.Routing{config.RoutingNone, config.RoutingPortal} {
		f := newFakeBSD(bsdRouter(1))
		spec := bsdLocal(mode, config.EgressAuto)
		r, err := apply(newBSD(f), t.TempDir(), spec)
		if err != nil {
			t.Fatal(err)
		}
		there := f.host
		unplug("em0")(&f.host)
		if err := r.Refresh(spec); err != nil {
			t.Fatal(err)
		}
		led := func(to, via string) bool {
			return slices.Contains(f.host.Routes, route(0, to, via, "em1"))
		}
		if !led("203.0.113.2/32", "198.51.100.1") || !led("2001:db8:3::2/128", "fe80::2") {
			t.Errorf("Routing = %s: nothing leads to the remote portal: %v", mode, f.host.Routes)
		}
		if rules := f.anchors["netcombiner/nc0"]; !strings.Contains(rules, "route-to (em1 198.51.100.1)") {
			t.Errorf("Routing = %s: what has em1's address does not leave there:\n%s", mode, rules)
		}
		f.host = there
		if err := r.Refresh(spec); err != nil {
			t.Fatal(err)
		}
		if led("203.0.113.2/32", "198.51.100.1") {
			t.Errorf("Routing = %s: the route stays", mode)
		}
	}
}

// A lone path that is bound leaves by its WAN, whosever the default route is; and
// where the host's routes lead there anyway nothing is touched.
func TestBSDOneWAN(t *testing.T) {
	for device, want := range map[string]bool{"em0": false, "em1": true} {
		f := newFakeBSD(bsdRouter(2))
		spec := with(bsdLocal(config.RoutingNone, config.EgressAuto), func(s *Spec) { s.WANs = []WAN{{Device: device}} })
		r, err := apply(newBSD(f), t.TempDir(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := r.FIB(device, netip.Addr{}); ok != want || f.changes > 0 != want {
			t.Errorf("%s has a FIB: %v; %d changes", device, ok, f.changes)
		}
	}
}

// With neither FIBs nor pf, Egress = auto does what can be done, says what is
// missing, and does the rest once it can.
func TestBSDNeitherFIBsNorPF(t *testing.T) {
	f := newFakeBSD(bsdRouter(1))
	f.pf = "Status: Disabled\n"
	spec := bsdLocal(config.RoutingNone, config.EgressAuto)
	r, err := apply(newBSD(f), t.TempDir(), spec)
	if err != nil {
		t.Fatal(err)
	}
	notes := r.Notes()
	if len(notes) != 1 || strings.Contains(notes[0], "\n") {
		t.Fatalf("%q", notes)
	}
	for _, want := range []string{"no way of their own", "net.fibs=2", "service pf start"} {
		if !strings.Contains(notes[0], want) {
			t.Errorf("%q, want %q in it", notes[0], want)
		}
	}
	if _, ok := r.FIB("em1", netip.Addr{}); ok {
		t.Error("em1 has a FIB")
	}
	f.pf = "Status: Enabled\n"
	if r.Intact() {
		t.Fatal("nobody will look whether pf is on")
	}
	if err := r.Refresh(spec); err != nil {
		t.Fatal(err)
	}
	if len(r.Notes()) > 0 || f.anchors["netcombiner/nc0"] == "" || !r.Intact() {
		t.Errorf("pf is on now, and yet: %q", r.Notes())
	}
}
