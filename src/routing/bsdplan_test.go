package routing

import (
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/config"
)

func route(fib uint32, to, via, device string) Route {
	r := Route{Table: fib, To: netip.MustParsePrefix(to), Device: device}
	if via != "" {
		r.Via = addr(via)
	}
	return r
}

// called is pf as a user has it who has read the manual.
var called = PF{Enabled: true, Filter: "netcombiner/nc0", NAT: "netcombiner/nc0"}

// bsdRouter is a local portal's host with FreeBSD: two WANs, one LAN, both
// families; the second WAN's gateways are in no table.
func bsdRouter(fibs int) Host {
	return Host{
		Links: []Link{
			{Name: "lo0", Loopback: true},
			{Name: "em0", Up: true, Addrs: prefixes("192.0.2.2/24", "2001:db8:1::2/64")},
			{Name: "em1", Up: true, Addrs: prefixes("198.51.100.2/24", "2001:db8:2::2/64")},
			{Name: "em2", Up: true, Addrs: prefixes("10.7.0.1/24", "fd07::1/64")},
			{Name: "nc0", Up: true, Addrs: prefixes("172.19.152.3/31", "fd19:152::3/127")},
		},
		Routes: []Route{
			route(0, "0.0.0.0/0", "192.0.2.1", "em0"),
			route(0, "192.0.2.0/24", "", "em0"),
			route(0, "198.51.100.0/24", "", "em1"),
			route(0, "10.7.0.0/24", "", "em2"),
			route(0, "172.19.152.2/31", "", "nc0"),
			route(0, "::/0", "fe80::1", "em0"),
			route(0, "2001:db8:1::/64", "", "em0"),
			route(0, "2001:db8:2::/64", "", "em1"),
			route(0, "fe80::/64", "", "em0"),
		},
		Gateways: map[string][]netip.Addr{"em1": {addr("fe80::2"), addr("198.51.100.1")}},
		FIBs:     fibs,
		PF:       called,
	}
}

func bsdVPS() Host {
	return Host{
		Links: []Link{
			{Name: "lo0", Loopback: true},
			{Name: "vtnet0", Up: true, Addrs: prefixes("203.0.113.2/24", "203.0.113.3/24", "2001:db8:3::2/64")},
			{Name: "nc0", Up: true, Addrs: prefixes("172.19.152.2/31", "fd19:152::2/127")},
		},
		Routes: []Route{
			route(0, "0.0.0.0/0", "203.0.113.1", "vtnet0"),
			route(0, "203.0.113.0/24", "", "vtnet0"),
			route(0, "::/0", "fe80::1", "vtnet0"),
			route(0, "172.19.152.2/31", "", "nc0"),
			route(0, "10.7.0.0/24", "172.19.152.3", "nc0"), // the user's
		},
		FIBs: 1,
		PF:   called,
	}
}

func bsdLocal(mode config.Routing, egress config.Egress) Spec {
	s := localSpec(mode)
	s.WANs = []WAN{{Device: "em0"}, {Source: addr("198.51.100.2")}, {Device: "em0"}, {Device: "absent"}}
	s.Paths = []config.Path{{Name: "dsl", Device: "em0"}, {Name: "lte", Source: addr("198.51.100.2")}}
	s.Egress = egress
	if s.ClientInterface != "" {
		s.ClientInterface = "em2"
	}
	return s
}

// with returns a spec or a host with something else about it.
func with[T any](v T, change func(*T)) T { change(&v); return v }

type bsdCase struct {
	spec Spec
	host Host
}

func bsdCases() map[string]bsdCase {
	one := func(s *Spec) { s.WANs = []WAN{{}} }
	noGateway := func(h *Host) { h.Gateways = nil }
	return map[string]bsdCase{
		"none-fib":          {bsdLocal(config.RoutingNone, config.EgressAuto), bsdRouter(2)},
		"none-pf":           {bsdLocal(config.RoutingNone, config.EgressAuto), bsdRouter(1)},
		"nat-local-fib":     {bsdLocal(config.RoutingNAT, config.EgressFIB), bsdRouter(4)},
		"nat-local-pf":      {bsdLocal(config.RoutingNAT, config.EgressPF), bsdRouter(4)},
		"nat-local-one":     {with(bsdLocal(config.RoutingNAT, config.EgressAuto), one), bsdRouter(1)},
		"nat-local-one-fib": {with(bsdLocal(config.RoutingNAT, config.EgressAuto), one), bsdRouter(2)},
		"nat-local-pfsense": {with(bsdLocal(config.RoutingNAT, config.EgressPF), func(s *Spec) { s.Address = s.Address[:1] }),
			with(bsdRouter(1), func(h *Host) {
				h.PF = PF{Enabled: true, Filter: "userrules/netcombiner-nc0", NAT: "natrules/netcombiner-nc0"}
			})},
		"portal-local-fib": {bsdLocal(config.RoutingPortal, config.EgressFIB), bsdRouter(3)},
		"portal-local-pf":  {bsdLocal(config.RoutingPortal, config.EgressAuto), bsdRouter(1)},
		"missing-gateway":  {bsdLocal(config.RoutingNone, config.EgressPF), with(bsdRouter(1), noGateway)},
		// Nor may the tunnel's own packets enter the tunnel: the default leads there.
		"missing-gateway-nat": {bsdLocal(config.RoutingNAT, config.EgressFIB), with(bsdRouter(4), noGateway)},
		"one-family-nat-pf": {bsdLocal(config.RoutingNAT, config.EgressPF), with(bsdRouter(1), func(h *Host) {
			h.Gateways = map[string][]netip.Addr{"em1": {addr("198.51.100.1")}}
		})},
		"given-gateway": {with(bsdLocal(config.RoutingNone, config.EgressPF), func(s *Spec) {
			s.Paths[1].Gateway = []netip.Addr{addr("198.51.100.9"), addr("fe80::9")}
		}), with(bsdRouter(1), noGateway)},
		"point-to-point": {with(bsdLocal(config.RoutingNAT, config.EgressFIB), func(s *Spec) {
			s.WANs, s.Address = []WAN{{Device: "pppoe0"}}, s.Address[:1]
		}), with(bsdRouter(2), func(h *Host) {
			h.Links = append(h.Links, Link{Name: "pppoe0", Up: true, PointToPoint: true, Addrs: prefixes("100.64.0.9/32")})
			h.Routes = append(h.Routes, route(0, "100.64.0.1/32", "", "pppoe0"))
		})},
		"nat-remote":    {remoteSpec(config.RoutingNAT), bsdVPS()},
		"portal-remote": {remoteSpec(config.RoutingPortal), bsdVPS()},
		"portal-remote-public": {with(remoteSpec(config.RoutingPortal), func(s *Spec) {
			s.Public = []netip.Addr{addr("203.0.113.2"), addr("203.0.113.3")}
		}), bsdVPS()},
	}
}

func (p planned) text() string {
	var b strings.Builder
	b.WriteString(text(p.steps))
	for _, w := range slices.SortedFunc(maps.Keys(p.fibs), func(a, b WAN) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		fmt.Fprintf(&b, "# a socket bound to %v is in FIB %d\n", w, p.fibs[w])
	}
	for _, note := range p.notes {
		fmt.Fprintln(&b, "# note:", note)
	}
	return b.String()
}

func TestBSDPlanGolden(t *testing.T) {
	for name, c := range bsdCases() {
		t.Run(name, func(t *testing.T) {
			plan, err := planBSD(c.spec, c.host)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "bsd-"+name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(plan.text()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), plan.text()); diff != "" {
				t.Errorf("go test -update writes %s anew:\n%s", golden, diff)
			}
			seen := map[string]bool{}
			for _, s := range plan.steps {
				if seen[s.key()] {
					t.Errorf("twice: %s", s)
				}
				seen[s.key()] = true
			}
		})
	}
}

// Where a pfctl of FreeBSD's runs here (NETCOMBINER_PFCTL names it), it takes all
// rules of the golden files.
func TestRulesBeforeARealPfctl(t *testing.T) {
	pfctl := os.Getenv("NETCOMBINER_PFCTL")
	if pfctl == "" {
		t.Skip("NETCOMBINER_PFCTL names no pfctl")
	}
	for name, c := range bsdCases() {
		plan, err := planBSD(c.spec, c.host)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range plan.steps {
			if s.Anchor == nil {
				continue
			}
			cmd := exec.Command(pfctl, "-n", "-a", s.Anchor.Name, "-f", "-")
			cmd.Stdin = strings.NewReader(s.Anchor.Rules)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s%s", name, err, s.Anchor.Rules, out)
			}
		}
	}
}
