package routing

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/config"
)

// Which FIB a WAN has, on hosts of every kind.
func TestFIBChoice(t *testing.T) {
	add := func(routes ...Route) func(*Host) { return func(h *Host) { h.Routes = append(h.Routes, routes...) } }
	link := func(name string, fib int) func(*Host) {
		return func(h *Host) { h.link(name).FIB = fib }
	}
	ours := func(fib int, device string) func(*Host) {
		return func(h *Host) { h.Ours = map[int]string{fib: device} }
	}
	move := func(device string, fib uint32) func(*Host) {
		return func(h *Host) {
			for i := range h.Routes {
				if h.Routes[i].Device == device {
					h.Routes[i].Table = fib
				}
			}
		}
	}
	em1Default := []Route{route(1, "0.0.0.0/0", "198.51.100.1", "em1"), route(1, "::/0", "fe80::2", "em1")}
	for name, c := range map[string]struct {
		mode     config.Routing
		fibs     int
		host     []func(*Host)
		em0, em1 int // -1: none
		makes    bool
	}{
		"the host's own, and one from the top":           {config.RoutingNone, 4, nil, 0, 3, true},
		"with nat none is the host's own":                {config.RoutingNAT, 4, nil, 3, 2, true},
		"just enough":                                    {config.RoutingNone, 2, nil, 0, 1, true},
		"too few":                                        {config.RoutingNone, 1, nil, -1, -1, false},
		"too few for nat":                                {config.RoutingNAT, 2, nil, -1, -1, false},
		"one that somebody has prepared":                 {config.RoutingNone, 4, []func(*Host){add(em1Default...)}, 0, 1, false},
		"prepared for one family only":                   {config.RoutingNone, 4, []func(*Host){add(em1Default[0])}, 0, 3, true},
		"a device's own FIB, ready":                      {config.RoutingNone, 4, []func(*Host){link("em1", 2), move("em1", 2), add(route(2, "0.0.0.0/0", "198.51.100.1", "em1"))}, 0, 2, true},
		"a device's own FIB, another device's default":   {config.RoutingNone, 4, []func(*Host){link("em1", 2), move("em1", 2), add(route(2, "0.0.0.0/0", "10.7.0.9", "em2"))}, 0, 3, true},
		"another device's own FIB is not for the taking": {config.RoutingNone, 4, []func(*Host){link("em2", 3)}, 0, 2, true},
		"one with a gateway is somebody's":               {config.RoutingNone, 4, []func(*Host){add(route(3, "10.9.0.0/16", "10.7.0.9", "em2"))}, 0, 2, true},
		"one with links' own routes is not":              {config.RoutingNone, 4, []func(*Host){add(route(3, "10.7.0.0/24", "", "em2"))}, 0, 3, true},
		"but where the WAN's own are to stand":           {config.RoutingNone, 4, []func(*Host){add(route(3, "198.51.100.0/24", "", "em2"))}, 0, 2, true},
		"ours, as before":                                {config.RoutingNone, 4, []func(*Host){ours(1, "em1")}, 0, 1, true},
		"ours, though the host's own would do":           {config.RoutingNone, 4, []func(*Host){ours(2, "em0")}, 2, 3, true},
		"another tunnel's for another WAN":               {config.RoutingNone, 4, []func(*Host){ours(3, "em2")}, 0, 2, true},
		"two defaults: the host's own is nobody's":       {config.RoutingNone, 4, []func(*Host){add(route(0, "0.0.0.0/0", "198.51.100.1", "em1"))}, 3, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			host := bsdRouter(c.fibs)
			for _, change := range c.host {
				change(&host)
			}
			plan, err := planBSD(bsdLocal(c.mode, config.EgressFIB), host)
			if c.em0 < 0 {
				if err == nil || !strings.Contains(err.Error(), "too few") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if em0, em1 := plan.fibs[WAN{Device: "em0"}], plan.fibs[WAN{Device: "em1"}]; em0 != c.em0 || em1 != c.em1 {
				t.Errorf("em0 is in FIB %d, em1 in %d; want %d and %d", em0, em1, c.em0, c.em1)
			}
			if plan.fibs[WAN{Source: addr("2001:db8:2::2")}] != c.em1 {
				t.Error("an address of em1 is in another FIB")
			}
			makes := slices.ContainsFunc(plan.steps, func(s Step) bool { return s.FIB != nil && s.FIB.Table > 0 })
			if makes != c.makes {
				t.Errorf("makes routes in a FIB: %v", makes)
			}
		})
	}
}

// Who knows a WAN's gateway, and which is asked first.
func TestNextHop(t *testing.T) {
	two := bsdRouter(1)
	two.Links[2].Addrs = prefixes("192.0.2.7/24") // em1, in em0's subnet
	two.Routes = slices.DeleteFunc(two.Routes, func(r Route) bool { return r.Device == "em1" })
	two.Gateways = nil
	for name, c := range map[string]struct {
		host   Host
		hops   []netip.Addr // of the configuration, for em1
		to     string
		device string
		want   string // "": no way
	}{
		"a default route":                {bsdRouter(1), nil, "203.0.113.2", "em0", "192.0.2.1"},
		"a lease":                        {bsdRouter(1), nil, "203.0.113.2", "em1", "198.51.100.1"},
		"an advertisement":               {bsdRouter(1), nil, "2001:db8:3::2", "em1", "fe80::2"},
		"the configuration before these": {bsdRouter(1), []netip.Addr{addr("198.51.100.9")}, "203.0.113.2", "em1", "198.51.100.9"},
		"of the other family nothing":    {bsdRouter(1), []netip.Addr{addr("198.51.100.9")}, "2001:db8:3::2", "em1", "fe80::2"},
		"the same subnet's other WAN's":  {two, nil, "203.0.113.2", "em1", "192.0.2.1"},
		"on the link":                    {bsdRouter(1), nil, "198.51.100.50", "em1", "198.51.100.50"},
		"a route of its own": {with(bsdRouter(1), func(h *Host) {
			h.Routes = append(h.Routes, route(0, "203.0.113.0/24", "198.51.100.20", "em1"))
		}), nil, "203.0.113.2", "em1", "198.51.100.20"},
		"point-to-point": {with(bsdRouter(1), func(h *Host) {
			h.Links[2].PointToPoint, h.Gateways = true, nil
		}), nil, "203.0.113.2", "em1", "203.0.113.2"},
		"a lease of another network": {with(bsdRouter(1), func(h *Host) {
			h.Gateways = map[string][]netip.Addr{"em1": {addr("192.168.1.1")}}
		}), nil, "203.0.113.2", "em1", ""},
		"nobody": {with(bsdRouter(1), func(h *Host) { h.Gateways = nil }), nil, "203.0.113.2", "em1", ""},
	} {
		t.Run(name, func(t *testing.T) {
			spec := bsdLocal(config.RoutingNone, config.EgressPF)
			spec.WANs = []WAN{{Device: "em0"}, {Device: "em1"}}
			spec.Paths = []config.Path{{Name: "lte", Device: "em1", Gateway: c.hops}}
			p := &bsdPlan{planner: *newPlanner(spec, c.host, 0), all: c.host.Routes}
			hop, ok := p.toward(p.host.link(c.device), addr(c.to))
			if got := map[bool]string{true: hop.String()}[ok]; got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestLeasedRouters(t *testing.T) {
	const leases = `lease {
  interface "em1";
  fixed-address 198.51.100.7;
  option subnet-mask 255.255.255.0;
  option routers 198.51.100.9;
  renew 1 2026/11/23 10:00:00;
}
lease {
  interface "em1";
  fixed-address 198.51.100.7;
  option routers 198.51.100.1, 198.51.100.2;
  option domain-name-servers 198.51.100.1;
}
`
	if got := leasedRouters(leases); !slices.Equal(got, []netip.Addr{addr("198.51.100.1"), addr("198.51.100.2")}) {
		t.Errorf("%v", got)
	}
	if got := leasedRouters(leases + "lease {\n  fixed-address 198.51.100.7;\n}\n"); got != nil {
		t.Errorf("the last lease has no router, and %v", got)
	}
}

func TestAdvertisedRouters(t *testing.T) {
	got := advertisedRouters("fe80::1%em0 if=em0, flags=, pref=medium, expire=29m41s\nfe80::2%em1 if=em1, flags=O, pref=high, expire=Never\n")
	if len(got) != 2 || !slices.Equal(got["em1"], []netip.Addr{addr("fe80::2")}) {
		t.Errorf("%v", got)
	}
}

func FuzzNextHops(f *testing.F) {
	f.Add("lease {\n option routers 192.0.2.1;\n}\nfe80::1%em0 if=em0,\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, a := range leasedRouters(text) {
			if !a.Is4() {
				t.Errorf("%v", a)
			}
		}
		for device, list := range advertisedRouters(text) {
			for _, a := range list {
				if !a.Is6() || a.Zone() != "" || device == "" {
					t.Errorf("%q: %v", device, a)
				}
			}
		}
	})
}
