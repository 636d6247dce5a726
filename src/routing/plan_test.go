package routing

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/config"
)

var update = flag.Bool("update", false, "write the golden files")

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// router is a local portal's host: two WANs, one LAN, both families.
func router() Host {
	h := Host{
		Links: []Link{
			{Name: "lo", Loopback: true},
			{Name: "dsl", Up: true, Addrs: prefixes("192.0.2.2/24", "2001:db8:1::2/64")},
			{Name: "lte", Up: true, Addrs: prefixes("198.51.100.2/24")},
			{Name: "lan", Up: true, Addrs: prefixes("10.7.0.1/24", "fd07::1/64")},
			{Name: "nc0", Up: true, Addrs: prefixes("172.19.152.3/31", "fd19:152::3/127")},
		},
		Routes: []Route{
			{Table: tableMain, To: netip.MustParsePrefix("0.0.0.0/0"), Via: addr("192.0.2.1"), Device: "dsl", Metric: 10},
			{Table: tableMain, To: netip.MustParsePrefix("0.0.0.0/0"), Via: addr("198.51.100.1"), Device: "lte", Metric: 20, OnLink: true},
			{Table: tableMain, To: netip.MustParsePrefix("192.0.2.0/24"), Device: "dsl", Source: addr("192.0.2.2")},
			{Table: tableMain, To: netip.MustParsePrefix("198.51.100.0/24"), Device: "lte", Source: addr("198.51.100.2")},
			{Table: tableMain, To: netip.MustParsePrefix("10.7.0.0/24"), Device: "lan", Source: addr("10.7.0.1")},
			{Table: tableMain, To: netip.MustParsePrefix("::/0"), Via: addr("fe80::1"), Device: "dsl", Metric: 1024},
			{Table: tableMain, To: netip.MustParsePrefix("2001:db8:1::/64"), Device: "dsl", Metric: 256},
			{Table: tableMain, To: netip.MustParsePrefix("fe80::/64"), Device: "dsl", Metric: 256},
		},
		Sysctl: map[string]string{},
	}
	for _, name := range []string{"default", "dsl", "lte", "lan", "nc0"} {
		h.Sysctl["net/ipv6/conf/"+name+"/accept_ra"] = "1"
		h.Sysctl["net/ipv6/conf/"+name+"/forwarding"] = "0"
	}
	h.Sysctl["net/ipv6/conf/lan/accept_ra"] = "0"
	return h
}

// vps is a remote portal's host.
func vps() Host {
	return Host{
		Links: []Link{
			{Name: "lo", Loopback: true},
			{Name: "eth0", Addrs: prefixes("203.0.113.2/24", "203.0.113.3/24", "2001:db8:3::2/64")},
			{Name: "nc0", Addrs: prefixes("172.19.152.2/31", "fd19:152::2/127")},
		},
		Routes: []Route{
			{Table: tableMain, To: netip.MustParsePrefix("0.0.0.0/0"), Via: addr("203.0.113.1"), Device: "eth0"},
			{Table: tableMain, To: netip.MustParsePrefix("::/0"), Via: addr("fe80::1"), Device: "eth0", Metric: 1024},
		},
		Sysctl: map[string]string{
			"net/ipv6/conf/eth0/accept_ra": "1", "net/ipv6/conf/eth0/forwarding": "0",
			"net/ipv6/conf/default/accept_ra": "0", "net/ipv6/conf/default/forwarding": "0",
		},
	}
}

func localSpec(mode config.Routing) Spec {
	s := Spec{
		Interface: "nc0", Role: config.Local, Mode: mode,
		Address: prefixes("172.19.152.3/31", "fd19:152::3/127"),
		WANs:    []WAN{{Device: "dsl"}, {Source: addr("198.51.100.2")}, {Device: "dsl"}, {Device: "absent"}, {}},
		Remotes: []Endpoint{{"udp", 0, netip.MustParseAddrPort("203.0.113.2:4725")}, {"tcp", 0, netip.MustParseAddrPort("203.0.113.2:4725")},
			{"udp", 0, netip.MustParseAddrPort("[2001:db8:3::2]:4725")}, {"ip", 253, netip.AddrPortFrom(addr("203.0.113.2"), 0)}},
	}
	if mode == config.RoutingPortal {
		s.ClientInterface = "lan"
	}
	return s
}

func remoteSpec(mode config.Routing) Spec {
	return Spec{
		Interface: "nc0", Role: config.Remote, Mode: mode,
		Address: prefixes("172.19.152.2/31", "fd19:152::2/127"),
		Listens: []Endpoint{{"udp", 0, netip.MustParseAddrPort("[::]:4725")}, {"tcp", 0, netip.MustParseAddrPort("203.0.113.2:443")}, {"tcp", 0, netip.MustParseAddrPort("203.0.113.3:8443")},
			{"ip", 253, netip.AddrPortFrom(netip.IPv6Unspecified(), 0)}},
		KeepPorts: []uint16{22, 2222},
	}
}

func text(steps []Step) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

func TestPlanGolden(t *testing.T) {
	only4 := func(s Spec) Spec { s.Address = s.Address[:1]; return s }
	configured := remoteSpec(config.RoutingPortal)
	configured.Public = []netip.Addr{addr("203.0.113.3")}
	for name, c := range map[string]struct {
		spec Spec
		host Host
		slot int
	}{
		"nat-local":            {localSpec(config.RoutingNAT), router(), 0},
		"nat-local-v4":         {only4(localSpec(config.RoutingNAT)), router(), 3},
		"nat-local-bypass":     {bypassSpec(config.RoutingNAT), bypassHost(), 1},
		"nat-local-v4-bypass":  {only4(bypassSpec(config.RoutingNAT)), bypassHost(), 0},
		"nat-local-direct":     {directSpec(config.RoutingNAT), router(), 0},
		"portal-local-bypass":  {bypassSpec(config.RoutingPortal), bypassHost(), 0},
		"portal-local-direct":  {directSpec(config.RoutingPortal), router(), 0},
		"nat-remote":           {remoteSpec(config.RoutingNAT), vps(), 0},
		"nat-remote-v4":        {only4(remoteSpec(config.RoutingNAT)), vps(), 0},
		"portal-local":         {localSpec(config.RoutingPortal), router(), 0},
		"portal-remote":        {remoteSpec(config.RoutingPortal), vps(), 0},
		"portal-remote-public": {configured, vps(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := Plan(c.spec, c.host, c.slot)
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(text(steps)), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), text(steps)); diff != "" {
				t.Errorf("go test -update writes %s anew:\n%s", golden, diff)
			}
			seen := map[string]bool{}
			for _, s := range steps {
				if seen[s.key()] {
					t.Errorf("twice: %s", s)
				}
				seen[s.key()] = true
			}
		})
	}
}

func TestPlanOfNoneIsEmpty(t *testing.T) {
	for _, mode := range []config.Routing{"", config.RoutingNone} {
		if steps, err := Plan(localSpec(mode), router(), 0); len(steps) != 0 || err != nil {
			t.Errorf("Routing = %q: %v, %v", mode, steps, err)
		}
	}
}

func TestPlanErrors(t *testing.T) {
	noClient, wrongClient, wrongTransport := localSpec(config.RoutingPortal), localSpec(config.RoutingPortal), localSpec(config.RoutingNAT)
	noClient.ClientInterface = ""
	wrongClient.ClientInterface = "br-lan"
	wrongTransport.Remotes[0].Transport = "pigeon"
	for want, c := range map[string]struct {
		spec Spec
		slot int
	}{
		"ClientInterface":      {noClient, 0},
		"no such interface":    {wrongClient, 0},
		"pigeon":               {wrongTransport, 0},
		"at most 1000 tunnels": {localSpec(config.RoutingNAT), 1000},
		"none, nat or portal":  {localSpec("magic"), 0},
		"Role =  is not known": {Spec{Mode: config.RoutingNAT}, 0},
	} {
		if _, err := Plan(c.spec, router(), c.slot); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
}

// A remote whose network is not up yet, and a local portal whose remote's name
// is not resolved: nothing of the switch is made before there is an address.
func TestPlanWithoutPublicAddress(t *testing.T) {
	local := localSpec(config.RoutingPortal)
	local.Remotes = nil
	for _, c := range []struct {
		spec Spec
		host Host
	}{{remoteSpec(config.RoutingPortal), Host{}}, {local, router()}} {
		steps, err := Plan(c.spec, c.host, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range steps {
			if s.Rule != nil || s.NoRule != nil || s.Route != nil {
				t.Errorf("planned: %s", s)
			}
		}
	}
}

func TestStepInverse(t *testing.T) {
	for _, c := range []struct {
		step Step
		want string
	}{
		{Step{NoRule: &Rule{Table: tableLocal}}, "ip rule add pref 0 lookup 255"},
		{Step{Sysctl: &Sysctl{Key: "net/a", Value: "1", Old: "0"}}, "sysctl -w net/a=0"},
		{Step{Ruleset: &Ruleset{Name: "netcombiner-nc0"}}, "nft delete table inet netcombiner-nc0"},
		{Step{Proxy: &Address{"eth0", prefixes("203.0.113.2/32")[0]}}, "ip neigh del proxy 203.0.113.2 dev eth0"},
		{Step{Route: &Route{Table: 9, To: prefixes("::/0")[0], Device: "nc0"}}, "ip -6 route del table 9 ::/0 dev nc0"},
	} {
		if got := c.step.Inverse(); got != c.want {
			t.Errorf("Inverse = %q, want %q", got, c.want)
		}
	}
}
