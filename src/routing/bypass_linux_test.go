package routing

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/routing/nstest"
)

// otherV4 and otherV6 are the server's, too.
const otherV4, otherV6 = "100.64.9.3", "2001:db8:9::3"

// bypassLab is a lab with a tunnel, in which a client asks a server that has two
// addresses.
func bypassLab(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.local.Run("ip addr add 10.7.0.1/24 dev lan0", "ip addr add fd07::1/64 dev lan0 nodad")
	l.client.Run("ip addr add "+lanV4+"/24 dev eth0", "ip addr add "+lanV6+"/64 dev eth0 nodad",
		"ip route add default via 10.7.0.1", "ip -6 route add default via fd07::1")
	l.server.Run("ip addr add "+otherV4+"/32 dev lo", "ip addr add "+otherV6+"/128 dev lo")
	l.internet.Run("ip route add "+otherV4+" via "+serverV4, "ip -6 route add "+otherV6+" via "+serverV6)
	l.tunnel()
	l.serve(l.server, "server", "::", 80)
	l.apply(l.remote, l.spec(l.remote, config.RoutingNAT))
	return l
}

func (l *lab) refresh(r *Routing, spec Spec) {
	l.t.Helper()
	l.local.Do(func() {
		if err := r.Refresh(spec); err != nil {
			l.t.Errorf("Refresh: %v", err)
		}
	})
}

// by asks for the server over TCP, from the client and the local portal, and
// wants it to see this address; "" for an error at once or later.
func (l *lab) by(when, address, want string) {
	l.t.Helper()
	for _, from := range []*nstest.NS{l.client, l.local} {
		got := l.ask(from, "tcp", address, 80, "")
		if want == "" && !strings.HasPrefix(got, "server") {
			continue
		}
		if got != "server "+want || want == "" {
			l.t.Errorf("%s: from %s to %s: %q, want %q", when, nameOf(l, from), address, got, want)
		}
	}
}

func nameOf(l *lab, ns *nstest.NS) string {
	if ns == l.client {
		return "the client"
	}
	return "the portal"
}

func TestBypassTo(t *testing.T) {
	l := bypassLab(t)
	before := state(t, l.local)
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{{To: prefixes(serverV4+"/32", serverV6+"/128"), Via: "lte", Source: addr(wan2V4)}}
	r := l.apply(l.local, spec)

	l.by("bypass", serverV4, wan2V4)
	l.by("bypass", serverV6, wan2V6)
	l.by("not bypassed", otherV4, publicV4)
	l.by("not bypassed", otherV6, publicV6)
	l.client.Run("ping -c1 -W2 "+serverV4, "ping -c1 -W2 "+serverV6)
	l.checkPathsTo(publicV4)

	// Down: by the kernel alone the tunnel is next, before anybody has looked.
	l.local.Run("ip link set eth2 down")
	l.by("at once after the WAN went", serverV4, publicV4)
	l.by("at once after the WAN went", serverV6, publicV6)
	l.refresh(r, spec)
	l.by("after the WAN went", serverV4, publicV4)
	if s := r.Bypasses(); len(s) != 1 || s[0].State != "tunnel" {
		t.Errorf("standing: %+v", s)
	}
	// Back, with another address and gateway; a connection through the tunnel
	// would go on there with the tunnel's address.
	conn := l.flow(serverV4)
	l.internet.Run("ip addr add 198.51.100.129/24 dev wan2")
	l.local.Run("ip link set eth2 up", "ip addr del "+wan2V4+"/24 dev eth2", "ip addr add 198.51.100.77/24 dev eth2",
		"ip route add default via 198.51.100.129 dev eth2 metric 20")
	spec.Bypasses[0].Source, spec.Bypasses[0].Device = addr("0.0.0.0"), "eth2"
	l.refresh(r, spec)
	l.by("after the WAN came back", serverV4, "198.51.100.77")
	if answer := conn(); answer != "server 198.51.100.77" {
		t.Errorf("a flow that began in the tunnel: %q", answer)
	}
	// Its carrier, for which the kernel changes no route.
	l.carrier("wan2", "eth2", false)
	l.refresh(r, spec)
	l.by("without a carrier", serverV4, publicV4)
	l.carrier("wan2", "eth2", true)
	l.refresh(r, spec)
	l.by("with a carrier", serverV4, "198.51.100.77")

	// Changed live: another one, and none.
	spec.Bypasses = []config.Bypass{{To: prefixes(otherV4 + "/32"), Device: "eth1"}}
	l.refresh(r, spec)
	l.by("removed", serverV4, publicV4)
	l.by("added", otherV4, wan1V4)
	l.undo(l.local, r)
	l.local.Run("ip addr del 198.51.100.77/24 dev eth2")
	after := state(t, l.local)
	for _, command := range []string{"ip -d rule", "ip -6 -d rule", "nft list ruleset"} {
		if fmt.Sprint(before[command]) != fmt.Sprint(after[command]) {
			t.Errorf("%s is not as it was: %v", command, after[command])
		}
	}
}

// carrier takes the other end of a WAN down, or up, and waits until the kernel
// says so.
func (l *lab) carrier(far, near string, up bool) {
	l.t.Helper()
	l.internet.Run("ip link set " + far + map[bool]string{true: " up", false: " down"}[up])
	for deadline := time.Now().Add(5 * time.Second); strings.Contains(l.local.Run("ip link show "+near), "NO-CARRIER") == up; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("the carrier of %s does not change", near)
		}
	}
}

// checkPathsTo sends as paths do, to an address that a bypass may hold.
func (l *lab) checkPathsTo(remote string) {
	l.t.Helper()
	l.serve(l.remote, "remote", "::", port)
	for bind, want := range map[string]string{"eth1": wan1V4, "eth2": wan2V4, wan2V4: wan2V4} {
		if got := l.ask(l.local, "udp", remote, port, bind); got != "remote "+want {
			l.t.Errorf("a path bound to %s: %q", bind, got)
		}
	}
}

// flow is a UDP flow from the client, of one port, that has gone through the
// tunnel; what it returns asks again, a few times.
func (l *lab) flow(address string) (again func() string) {
	l.t.Helper()
	var conn net.Conn
	var err error
	l.client.Do(func() { conn, err = net.Dial("udp", net.JoinHostPort(address, "80")) })
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { conn.Close() })
	again = func() string {
		buf := make([]byte, 100)
		for range 5 {
			fmt.Fprint(conn, "?")
			conn.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			if n, err := conn.Read(buf); err == nil {
				return strings.TrimSpace(string(buf[:n]))
			}
		}
		return "no answer"
	}
	if got := again(); got != "server "+publicV4 {
		l.t.Fatalf("the flow began as %q", got)
	}
	return again
}

func TestBypassBlocks(t *testing.T) {
	l := bypassLab(t)
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{{To: prefixes(serverV4+"/32", serverV6+"/128"), Device: "eth2", Block: true}}
	r := l.apply(l.local, spec)
	l.by("bypass", serverV4, wan2V4)
	l.local.Run("ip link set eth2 down", "nft add table inet watch", "nft add chain inet watch post { type filter hook postrouting priority 0; }",
		"nft add rule inet watch post ip daddr "+serverV4+" counter", "nft add rule inet watch post ip6 daddr "+serverV6+" counter")
	blocked := func(when string, from *nstest.NS, address string) {
		t.Helper()
		if got := l.ask(from, "tcp", address, 80, ""); !strings.Contains(got, "unreachable") && !strings.Contains(got, "no route") {
			t.Errorf("%s: from %s to %s: %q", when, nameOf(l, from), address, got)
		}
	}
	blocked("at once", l.client, serverV4)
	blocked("at once", l.client, serverV6)
	blocked("at once", l.local, serverV4)
	l.refresh(r, spec)
	for _, from := range []*nstest.NS{l.client, l.local} {
		blocked("after the routing followed", from, serverV4)
		blocked("after the routing followed", from, serverV6)
	}
	if n := counted(l.local.Run("nft list table inet watch")); n != 0 {
		t.Errorf("%d packets left", n)
	}
	if s := r.Bypasses(); s[0].State != "blocked" {
		t.Errorf("standing: %+v", s)
	}
	l.by("not bypassed", otherV4, publicV4)
}

// A bypass may hold the remote portal, and one that blocks: paths do not care.
func TestBypassHoldsTheRemote(t *testing.T) {
	l := bypassLab(t)
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{{To: prefixes("0.0.0.0/0", "::/0"), Device: "eth2", Block: true}}
	r := l.apply(l.local, spec)
	l.checkPathsTo(publicV4)
	l.by("everything", serverV4, wan2V4)
	l.by("everything", serverV6, wan2V6)
	l.local.Run("ip link set eth2 down")
	l.refresh(r, spec)
	l.by("blocked", serverV4, "")
	l.by("blocked", serverV6, "")
	for bind, want := range map[string]string{"eth1": wan1V4, wan1V4: wan1V4, "": wan1V4} {
		if got := l.ask(l.local, "udp", publicV4, port, bind); got != "remote "+want {
			t.Errorf("a path bound to %q: %q", bind, got)
		}
	}
	l.leaked.Store(0)
	// The LAN stays where it is.
	l.serve(l.client, "client", "::", 81)
	l.serve(l.local, "local", "::", 82)
	if got := l.ask(l.local, "tcp", lanV4, 81, ""); got != "client 10.7.0.1" {
		t.Errorf("to the LAN: %q", got)
	}
	if got := l.ask(l.client, "tcp", "10.7.0.1", 82, ""); got != "local "+lanV4 {
		t.Errorf("from the LAN: %q", got)
	}
}

// A WAN like PPP's has no gateway.
func TestBypassByPointToPoint(t *testing.T) {
	l := bypassLab(t)
	l.internet.Run("sysctl -qw net.ipv4.conf.wan2.proxy_arp=1")
	l.local.Run("ip route del default dev eth2", "ip addr del "+wan2V4+"/24 dev eth2", "ip addr add "+wan2V4+" peer 198.51.100.1/32 dev eth2",
		"ip route add default dev eth2 metric 20")
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{{To: prefixes(serverV4 + "/32"), Device: "eth2"}}
	l.apply(l.local, spec)
	l.by("without a gateway", serverV4, wan2V4)
}

func TestBypassFrom(t *testing.T) {
	l := bypassLab(t)
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{{From: prefixes(lanV4+"/32", lanV6+"/128"), Device: "eth2"}}
	l.apply(l.local, spec)
	for address, want := range map[string]string{serverV4: wan2V4, serverV6: wan2V6} {
		if got := l.ask(l.client, "tcp", address, 80, ""); got != "server "+want {
			t.Errorf("from the client to %s: %q", address, got)
		}
	}
	if got := l.ask(l.local, "tcp", serverV4, 80, ""); got != "server "+publicV4 {
		t.Errorf("from the portal: %q", got)
	}
	// The LAN stays where it is.
	l.serve(l.local, "local", "::", 81)
	if got := l.ask(l.client, "tcp", "10.7.0.1", 81, ""); got != "local "+lanV4 {
		t.Errorf("to the portal itself: %q", got)
	}
}

// By somebody else's sets, of both families, whose table is made anew as
// firewalls do.
func TestBypassSet(t *testing.T) {
	l := bypassLab(t)
	l.local.Run("nft add table inet fw4", "nft add set inet fw4 banks { type ipv4_addr; flags interval; }", "nft add set inet fw4 banks6 { type ipv6_addr; }",
		"nft add element inet fw4 banks6 { "+serverV6+" }")
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{
		{Set: config.NFTSet{Family: "inet", Table: "fw4", Name: "banks"}, Device: "eth2", Block: true},
		{Set: config.NFTSet{Family: "inet", Table: "fw4", Name: "banks6"}, Device: "eth1"},
		{Set: config.NFTSet{Family: "ip", Table: "nowhere", Name: "films"}, Device: "eth1"},
	}
	r := l.apply(l.local, spec)
	if s := r.Bypasses(); s[0].State != "direct" || s[2].Hint == "" {
		t.Errorf("standing: %+v", s)
	}
	l.by("an empty set", serverV4, publicV4)
	var changes <-chan struct{}
	l.local.Do(func() {
		var err error
		if changes, err = r.Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	intact := func(when string, want bool) {
		t.Helper()
		l.local.Do(func() {
			if got := r.Intact(); got != want {
				t.Errorf("%s: intact %v", when, got)
			}
		})
	}
	intact("at first", true)
	pinned := l.flow(serverV4)
	l.local.Run("nft add element inet fw4 banks { " + serverV4 + "/31 }") // 2 and 3
	l.by("in the set", serverV4, wan2V4)
	l.by("in the set", otherV4, wan2V4)
	l.by("in the set", serverV6, wan1V6)
	if got := pinned(); got != "server "+publicV4 {
		t.Errorf("a flow that began before its address was in the set: %q", got)
	}
	l.local.Run("nft flush set inet fw4 banks", "nft add element inet fw4 banks { "+otherV4+" }")
	l.by("no longer in the set", serverV4, publicV4)
	l.by("still in the set", otherV4, wan2V4)

	select {
	case <-changes:
		t.Error("an element in a set is no change")
	default:
	}
	l.local.Run("nft flush table inet fw4") // fw4 reload
	l.by("while the rules are gone", otherV4, publicV4)
	select {
	case <-changes:
	case <-time.After(5 * time.Second):
		t.Error("nobody was told that the rules are gone")
	}
	intact("without rules", false)
	l.refresh(r, spec)
	l.by("after a reload of the firewall", otherV4, wan2V4)
	intact("after a reload of the firewall", true)
	l.local.Run("nft delete table inet fw4") // fw4 stop
	intact("without the table", false)
	l.refresh(r, spec)
	l.local.Run("nft add table inet fw4", "nft add set inet fw4 banks { type ipv4_addr; flags interval; }", "nft add element inet fw4 banks { "+serverV4+" }")
	l.refresh(r, spec)
	l.by("after a restart of the firewall", serverV4, wan2V4)
	l.local.Run("ip link set eth2 down")
	l.by("blocked", serverV4, "")

	l.local.Run("nft delete table inet fw4") // and once more, before all is undone
	l.undo(l.local, r)
	if rules := l.local.Run("nft list ruleset"); rules != "" {
		t.Errorf("left: %s", rules)
	}
}

// Chains in somebody else's table are taken out of it, and nothing else.
func TestBypassSetIsUndone(t *testing.T) {
	l := newLab(t)
	l.tunnel()
	l.local.Run("nft add table ip own", "nft add set ip own banks { type ipv4_addr; }", "nft add chain ip own mine { type filter hook forward priority 0; }",
		"nft add rule ip own mine ip daddr @banks counter")
	before := state(t, l.local)
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{{Set: config.NFTSet{Family: "ip", Table: "own", Name: "banks"}, Device: "eth2", From: prefixes("10.7.0.0/24", "10.7.0.2/32")}}
	r := l.apply(l.local, spec)
	if rules := l.local.Run("nft list table ip own"); !strings.Contains(rules, "netcombiner-nc0-in") {
		t.Fatalf("no chain of ours: %s", rules)
	}
	l.undo(l.local, r)
	l.unchanged(l.local, before)
}

func TestBypassMark(t *testing.T) {
	l := bypassLab(t)
	l.local.Run("nft add table ip own", "nft add chain ip own pre { type filter hook prerouting priority mangle; }",
		"nft add rule ip own pre iifname lan0 tcp dport 80 meta mark set 0x1220")
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{{Mark: config.Mark{Value: 0x20, Mask: 0xff}, Device: "eth2"}}
	l.apply(l.local, spec)
	l.serve(l.server, "server", "::", 81)
	for port, want := range map[int]string{80: wan2V4, 81: publicV4} {
		if got := l.ask(l.client, "tcp", serverV4, port, ""); got != "server "+want {
			t.Errorf("port %d: %q", port, got)
		}
	}
}

// In portal mode the client's packets would enter the tunnel before any rule.
func TestBypassInPortalMode(t *testing.T) {
	l := newLab(t)
	l.tunnel()
	l.holdPublic()
	l.server.Run("ip addr add "+otherV4+"/32 dev lo", "ip addr add "+otherV6+"/128 dev lo")
	l.internet.Run("ip route add "+otherV4+" via "+serverV4, "ip -6 route add "+otherV6+" via "+serverV6)
	l.serve(l.server, "server", "::", 80)
	before := state(t, l.local)
	l.apply(l.remote, l.spec(l.remote, config.RoutingPortal))
	spec := l.spec(l.local, config.RoutingPortal)
	r := l.apply(l.local, spec)
	ask := func(when, address, want string) {
		t.Helper()
		if got := l.ask(l.client, "tcp", address, 80, ""); got != "server "+want {
			t.Errorf("%s: %s: %q, want %q", when, address, got, want)
		}
	}
	ask("at first", serverV4, publicV4)
	began := l.flow(serverV4)
	spec.Bypasses = []config.Bypass{{To: prefixes(serverV4+"/32", serverV6+"/128"), Device: "eth2"}}
	l.refresh(r, spec)
	ask("bypass", serverV4, wan2V4)
	ask("bypass", serverV6, wan2V6)
	ask("not bypassed", otherV4, publicV4)
	ask("not bypassed", otherV6, publicV6)
	if got := began(); got != "server "+wan2V4 {
		t.Errorf("a flow that began in the tunnel: %q", got)
	}
	spec.Direct = true
	l.refresh(r, spec)
	ask("fallback", serverV4, wan2V4)
	ask("fallback", otherV4, wan1V4)
	ask("fallback", otherV6, wan1V6)
	l.undo(l.local, r)
	l.unchanged(l.local, before)
}

// WANs get no more forwarding than they need.
func TestBypassOpensNothing(t *testing.T) {
	l := bypassLab(t)
	l.serve(l.client, "client", "::", 80)
	spec := l.spec(l.local, config.RoutingNAT)
	spec.Bypasses = []config.Bypass{{To: prefixes(serverV4 + "/32"), Device: "eth2"}}
	l.apply(l.local, spec)
	l.by("bypass", serverV4, wan2V4)
	l.internet.Run("ip route add 10.7.0.0/24 via " + wan2V4) // a neighbour on the WAN
	if got := l.ask(l.internet, "tcp", lanV4, 80, ""); strings.HasPrefix(got, "client") {
		t.Errorf("somebody on the WAN reaches the LAN: %q", got)
	}
}

func TestCleanupAfterKillWithBypass(t *testing.T) {
	l := newLab(t)
	l.local.Run("nft add table inet fw4", "nft add set inet fw4 banks { type ipv4_addr; }")
	before := state(t, l.local)
	t.Setenv("ROUTING_BYPASS", "1")
	l.killed(l.local, config.RoutingNAT)
	left := state(t, l.local)
	for command, want := range map[string]string{"nft list ruleset": "netcombiner-nc0-in", "ip -d rule": "lookup 4825000", "ip -d route show table all": "unreachable 100.64.9.2 table 4825000"} {
		if !strings.Contains(strings.Join(left[command], "\n"), want) {
			t.Errorf("the killed process left no %q in %s: the test shows nothing", want, command)
		}
	}
	l.local.Do(func() {
		if _, err := Inherit(l.dir[l.local], "nc0"); err != nil {
			t.Errorf("Inherit: %v", err)
		}
		if _, err := Cleanup(l.dir[l.local], "nc0"); err != nil {
			t.Errorf("Cleanup: %v", err)
		}
	})
	l.unchanged(l.local, before)
}
