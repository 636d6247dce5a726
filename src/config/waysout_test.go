package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// on parses a configuration as a daemon of that system does.
func on(system, text string) (*Config, error) {
	return ParseFor(system, "nc0.conf", strings.NewReader(text))
}

const (
	home  = "[Interface]\nRole=local\nKey=" + testKey + "\n"
	away  = "[Interface]\nRole=remote\nKey=" + testKey + "\n[Listen]\nAddress=[::]:4725\n"
	bound = "[Path]\nBind=em1\nRemote=192.0.2.1:4725\n"
)

func TestWaysOut(t *testing.T) {
	c, err := on(freebsd, home+"Egress = PF\n"+bound+"Gateway = 198.51.100.1, fe80::1\n"+bound)
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Addr{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("fe80::1")}
	if c.Interface.Egress != EgressPF || !slices.Equal(c.Paths[0].Gateway, want) || c.Paths[1].Gateway != nil {
		t.Errorf("%q, %v, %v", c.Interface.Egress, c.Paths[0].Gateway, c.Paths[1].Gateway)
	}
	for _, system := range []string{"linux", freebsd} {
		c, err := on(system, home+bound)
		if err != nil || c.Interface.Egress != EgressAuto {
			t.Errorf("without Egress on %s: %q, %v", system, c.Interface.Egress, err)
		}
		if _, err := on(system, home+"Egress = auto\n"+bound); err != nil {
			t.Errorf("auto on %s: %v", system, err)
		}
	}
}

func TestWaysOutRejected(t *testing.T) {
	for name, tc := range map[string]struct{ system, text, want string }{
		"fib on Linux":       {"linux", home + "Egress=fib\n" + bound, "nc0.conf:4: Egress = fib: for FreeBSD; on Linux a path is bound to its interface; allowed: auto, or leave it out"},
		"pf on Linux":        {"linux", home + "Egress=pf\n" + bound, "nc0.conf:4: Egress = pf: for FreeBSD; on Linux a path is bound to its interface; allowed: auto, or leave it out"},
		"no such":            {freebsd, home + "Egress=vrf\n" + bound, "nc0.conf:4: Egress = vrf: not a way out; allowed: auto, fib, pf"},
		"on the VPS":         {freebsd, strings.Replace(away, "[Listen]", "Egress=fib\n[Listen]", 1), "nc0.conf:4: Egress = fib: means nothing on a remote portal; allowed: on the local portal only"},
		"gateway on Linux":   {"linux", home + bound + "Gateway=192.0.2.1\n", "nc0.conf:7: Gateway: for FreeBSD; on Linux the routes of the path's interface are asked; allowed: leave it out"},
		"gateway, no bind":   {freebsd, home + "[Path]\nRemote=192.0.2.1:4725\nGateway=192.0.2.1\n", "nc0.conf:6: Gateway: means nothing without Bind; allowed: Bind = the link's interface, or one of its addresses, beside it"},
		"two of one version": {freebsd, home + bound + "Gateway=192.0.2.1, 192.0.2.2\n", "nc0.conf:7: Gateway = 192.0.2.2: a second one of its IP version, after 192.0.2.1; allowed: one of IPv4 and one of IPv6"},
		"other version":      {freebsd, home + "[Path]\nBind=192.0.2.7\nRemote=a.example:1\nGateway=fe80::1\n", "nc0.conf:7: Gateway = fe80::1: not of the same IP version as Bind; allowed: both IPv4 or both IPv6"},
		"no address":         {freebsd, home + bound + "Gateway=em1\n", "nc0.conf:7: Gateway = em1: em1 is not the address of a host; allowed: 192.0.2.7, 2001:db8::7"},
		"everywhere":         {freebsd, home + bound + "Gateway=0.0.0.0\n", "nc0.conf:7: Gateway = 0.0.0.0: 0.0.0.0 is not the address of a host; allowed: 192.0.2.7, 2001:db8::7"},
		"with a zone":        {freebsd, home + bound + "Gateway=fe80::1%em1\n", "nc0.conf:7: Gateway = fe80::1%em1: fe80::1%em1 is not the address of a host; allowed: 192.0.2.7, 2001:db8::7"},
	} {
		if _, err := on(tc.system, tc.text); err == nil || err.Error() != tc.want {
			t.Errorf("%s:\n got %v\nwant %s", name, err, tc.want)
		}
	}
}

// A change of a configuration is checked for the system that the configuration is for.
func TestWaysOutLive(t *testing.T) {
	c, err := on(freebsd, home+"Egress=fib\n"+bound+"Gateway=192.0.2.1\n")
	if err != nil {
		t.Fatal(err)
	}
	next, err := c.Edit(Edit{Do: Add, Path: "lte", Settings: []Setting{{"bind", "em2"}, {"remote", "192.0.2.1:4725"}, {"gateway", "198.51.100.1"}}})
	if err != nil || len(next.Paths) != 2 || len(next.Paths[1].Gateway) != 1 {
		t.Fatalf("%v, %v", next, err)
	}
	file, err := on(freebsd, home+"Egress=pf\n"+bound+"Gateway=192.0.2.9\n")
	if err != nil {
		t.Fatal(err)
	}
	next, restart, err := c.Reload(file)
	if err != nil || !slices.Equal(restart, []string{"Egress"}) || next.Interface.Egress != EgressFIB {
		t.Errorf("reload: %v needs a restart, %v", restart, err)
	}
	if changes := Diff(c, next); len(changes.SetPaths) != 1 || changes.SetPaths[0].Gateway[0] != netip.MustParseAddr("192.0.2.9") {
		t.Errorf("reload changes %+v", changes)
	}
}
