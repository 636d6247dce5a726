package routing

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/config"
)

var banks, films = config.NFTSet{Family: "inet", Table: "fw4", Name: "banks"}, config.NFTSet{Family: "ip6", Table: "own", Name: "films"}

// bypassSpec has one of each kind.
func bypassSpec(mode config.Routing) Spec {
	s := localSpec(mode)
	s.Bypasses = []config.Bypass{
		{To: prefixes("100.64.9.0/24", "100.64.9.2/32", "2001:db8:9::/64"), Via: "lte", Device: "lte"},
		{To: prefixes("100.64.8.0/24"), From: prefixes("10.7.0.5/32", "10.7.1.0/24"), Via: "dsl", Device: "dsl", Block: true},
		{Set: banks, Via: "lte", Source: addr("198.51.100.2")},
		{Set: films, Via: "dsl", Device: "dsl", Block: true},
		{Mark: config.Mark{Value: 0x20, Mask: 0xff}, Via: "dsl", Device: "dsl"},
		{From: prefixes("fd07::5/128"), Via: "absent", Device: "absent", Block: true},
	}
	return s
}

func bypassHost() Host {
	h := router()
	h.Sets = map[config.NFTSet]string{banks: "ip", films: "ip6"}
	for device, forwards := range map[string]string{"dsl": "1", "lte": "0", "lan": "1"} {
		h.Sysctl[forwarding4(device)] = forwards
	}
	return h
}

func directSpec(mode config.Routing) Spec {
	s := localSpec(mode)
	s.Direct = true
	return s
}

func TestStandings(t *testing.T) {
	host := bypassHost()
	delete(host.Sets, films)
	spec := bypassSpec(config.RoutingNAT)
	spec.Lost = []WAN{{Source: addr("198.51.100.2")}}
	want := []Standing{
		{"to 100.64.9.0/24, 100.64.9.2, 2001:db8:9::/64", "lte", "tunnel", "the WAN is down"},
		{"to 100.64.8.0/24 from 10.7.0.5, 10.7.1.0/24", "dsl", "direct", ""},
		{"to set inet fw4 banks", "lte", "tunnel", "the WAN is down"},
		{"to set ip6 own films", "dsl", "tunnel", "there is no nft set ip6 own films of type ipv4_addr or ipv6_addr"},
		{"mark 0x20/0xff", "dsl", "direct", ""},
		{"from fd07::5", "absent", "blocked", "there is no such interface"},
	}
	if diff := cmp.Diff(want, standings(spec, host, 0)); diff != "" {
		t.Error(diff)
	}
}

// A WAN that is down takes its bypasses along, but not the blocks.
func TestBypassOfLostWAN(t *testing.T) {
	for name, lose := range map[string]func(*Spec, *Host){
		"carrier": func(_ *Spec, h *Host) { h.link("dsl").Up, h.link("lte").Up = false, false },
		"paths":   func(s *Spec, _ *Host) { s.Lost = []WAN{{Device: "dsl"}, {Device: "lte"}} },
		"routes":  func(_ *Spec, h *Host) { h.Routes = nil },
		"device":  func(_ *Spec, h *Host) { h.Links = h.Links[3:] },
	} {
		spec, host := bypassSpec(config.RoutingNAT), bypassHost()
		lose(&spec, &host)
		steps, err := Plan(spec, host, 0)
		if err != nil {
			t.Fatal(err)
		}
		blocks := 0
		for _, s := range steps {
			if r := s.Route; r != nil && r.Table >= firstBypassTable {
				if !r.Unreachable {
					t.Errorf("%s: %s", name, s)
				}
				blocks++
			}
		}
		if blocks != 3 {
			t.Errorf("%s: %d unreachable routes, want 3", name, blocks)
		}
	}
}

// What began in the tunnel is forgotten when it comes to leave beside it, once.
func TestForget(t *testing.T) {
	f := newFake(t, bypassHost())
	spec := bypassSpec(config.RoutingNAT)
	spec.Lost = []WAN{{Device: "lte"}}
	r, err := apply(f, t.TempDir(), spec)
	if err != nil {
		t.Fatal(err)
	}
	f.forgot = nil
	if err := r.Refresh(spec); err != nil || f.forgot != nil {
		t.Errorf("without a change: %v, %v", f.forgot, err)
	}
	spec.Lost = nil
	if err := r.Refresh(spec); err != nil || len(f.forgot) != 1 {
		t.Fatalf("a WAN that is back: %v, %v", f.forgot, err)
	}
	const tunnel, client, bank, picked = "172.19.152.3", "10.7.0.2", "192.0.3.1", 7 << setShift
	for _, c := range []struct {
		from, to, reply string
		mark            uint32
		want            bool
	}{
		{client, "100.64.9.7", tunnel, 0, true},
		{client, "100.64.9.7", "198.51.100.2", 0, false},   // by a WAN already
		{client, "100.64.7.7", tunnel, 0, false},           // stays in the tunnel
		{client, "2001:db8:9::7", "fd19:152::3", 0, false}, // lte has no IPv6
		{client, "100.64.9.8", tunnel, 9, true},
		{client, bank, tunnel, 1<<setShift | 5, true},
		{client, bank, tunnel, picked, false},        // of another tunnel's set
		{"10.7.0.5", "100.64.8.7", tunnel, 0, false}, // by dsl, which was up all the time
	} {
		if got := f.forgot[0].match(netip.MustParseAddr(c.from), netip.MustParseAddr(c.to), netip.MustParseAddr(c.reply), c.mark); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
	spec.Direct = true
	if err := r.Refresh(spec); err != nil || len(f.forgot) != 2 || !f.forgot[1].match(addr(client), addr("9.9.9.9"), addr(tunnel), 0) {
		t.Errorf("the fallback: %v, %v", f.forgot, err)
	}
}

// No table or mark of one tunnel is another's, however many the host has.
func TestTunnelsShareNoTableOrMark(t *testing.T) {
	spec, host := bypassSpec(config.RoutingNAT), bypassHost()
	for len(spec.Bypasses) < config.MaxBypasses {
		spec.Bypasses = append(spec.Bypasses, config.Bypass{To: prefixes("100.64.9.0/24"), Via: "lte", Device: "lte"})
	}
	tables, marks := map[uint32]int{}, map[uint32]int{}
	only := func(of map[uint32]int, number uint32, slot int, what string) {
		if other, taken := of[number]; taken && other != slot {
			t.Fatalf("tunnels %d and %d have the same %s %d", other, slot, what, number)
		}
		of[number] = slot
	}
	for slot := range maxSlots {
		s := spec
		if slot >= maxSetSlots {
			if _, err := Plan(s, host, slot); err == nil || !strings.Contains(err.Error(), "Set") {
				t.Fatalf("tunnel %d: %v", slot, err)
			}
			s.Bypasses = slices.DeleteFunc(slices.Clone(s.Bypasses), func(b config.Bypass) bool { return b.Set != (config.NFTSet{}) })
		}
		steps, err := Plan(s, host, slot)
		if err != nil {
			t.Fatal(err)
		}
		for _, step := range steps {
			if r := step.Route; r != nil {
				only(tables, r.Table, slot, "table")
			}
			if r := step.Rule; r != nil && r.Mask == setMask {
				only(marks, r.Mark, slot, "mark")
				if r.Mark&^setMask != 0 {
					t.Fatalf("tunnel %d: the mark %#x is not under its mask", slot, r.Mark)
				}
			}
		}
	}
}

func TestSetChain(t *testing.T) {
	steps, err := Plan(bypassSpec(config.RoutingNAT), bypassHost(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var chains []string
	for _, s := range steps {
		if s.SetChain != nil {
			chains = append(chains, s.key())
			if !strings.Contains(s.Inverse(), "nft delete chain "+s.SetChain.Family+" "+s.SetChain.Table+" netcombiner-nc0-in\n") {
				t.Errorf("Inverse: %s", s.Inverse())
			}
		}
	}
	want := []string{"chains netcombiner-nc0 in inet fw4", "chains netcombiner-nc0 in ip6 own"}
	if diff := cmp.Diff(want, chains); diff != "" {
		t.Error(diff)
	}
}
