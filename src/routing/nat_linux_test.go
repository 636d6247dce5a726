package routing

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/routing/nstest"
)

func TestNAT(t *testing.T) {
	l := newLab(t)
	l.local.Run("ip addr add 10.7.0.1/24 dev lan0", "ip addr add fd07::1/64 dev lan0 nodad")
	l.client.Run("ip addr add "+lanV4+"/24 dev eth0", "ip addr add "+lanV6+"/64 dev eth0 nodad",
		"ip route add default via 10.7.0.1", "ip -6 route add default via fd07::1")
	l.tunnel()
	l.serve(l.server, "server", "::", 80)
	l.serve(l.remote, "remote", "::", port)
	l.serve(l.client, "client", "::", 80)
	l.serve(l.local, "local", "::", 80)

	beforeLocal, beforeRemote := state(t, l.local), state(t, l.remote)
	l.expect(l.local, serverV4, 80, "", "server "+wan1V4)

	remote := l.apply(l.remote, l.spec(l.remote, config.RoutingNAT))
	local := l.apply(l.local, l.spec(l.local, config.RoutingNAT))

	for _, from := range []*nstest.NS{l.local, l.client} {
		l.expect(from, serverV4, 80, "", "server "+publicV4)
		l.expect(from, serverV6, 80, "", "server "+publicV6)
	}
	// The LAN stays where it is.
	l.expect(l.local, lanV4, 80, "", "client 10.7.0.1")
	l.expect(l.client, "10.7.0.1", 80, "", "local "+lanV4)
	// The peer's own tunnel address.
	l.expect(l.local, "172.19.152.2", port, "", "remote 172.19.152.3")
	l.expect(l.local, "fd19:152::2", port, "", "remote fd19:152::3")
	l.leaked.Store(0)
	l.checkPaths()
	// What comes in by a WAN is answered there. (Of UDP only where the server
	// answers from the address that was asked: ours listens on all.)
	for address, from := range map[string]string{wan2V4: serverV4, wan2V6: serverV6} {
		if got := l.ask(l.server, "tcp", address, 80, ""); got != "local "+from {
			t.Errorf("to a WAN's address %s: %q", address, got)
		}
	}

	// A second call changes nothing.
	applied := fmt.Sprint(local.Steps())
	l.local.Do(func() {
		if err := local.Refresh(l.spec(l.local, config.RoutingNAT)); err != nil {
			t.Error(err)
		}
	})
	if again := fmt.Sprint(local.Steps()); again != applied {
		t.Errorf("Refresh without a change:\n%s\nbefore:\n%s", again, applied)
	}

	l.undo(l.local, local)
	l.undo(l.remote, remote)
	l.unchanged(l.local, beforeLocal)
	l.unchanged(l.remote, beforeRemote)
	l.expect(l.local, serverV4, 80, "", "server "+wan1V4)
}

// checkPaths sends as paths do: each must leave by its own WAN, and none enter
// the tunnel.
func (l *lab) checkPaths() {
	l.t.Helper()
	for _, path := range []struct{ to, bind, want string }{
		{publicV4, "eth1", wan1V4}, {publicV4, wan1V4, wan1V4},
		{publicV4, "eth2", wan2V4}, {publicV4, wan2V4, wan2V4},
		{publicV6, "eth1", wan1V6}, {publicV6, wan1V6, wan1V6},
		{publicV6, "eth2", wan2V6}, {publicV6, wan2V6, wan2V6},
		{publicV4, "", wan1V4}, {publicV6, "", wan1V6},
	} {
		if got := l.ask(l.local, "udp", path.to, port, path.bind); got != "remote "+path.want {
			l.t.Errorf("a path bound to %q: %q, want %q", path.bind, got, "remote "+path.want)
		}
	}
	if n := l.leaked.Load(); n != 0 {
		l.t.Errorf("%d of the portal's own packets entered the tunnel", n)
	}
}

func TestNATFollowsWANs(t *testing.T) {
	l := newLab(t)
	l.tunnel()
	l.serve(l.server, "server", "::", 80)
	l.serve(l.remote, "remote", "::", port)
	l.apply(l.remote, l.spec(l.remote, config.RoutingNAT))
	before := state(t, l.local)
	local := l.apply(l.local, l.spec(l.local, config.RoutingNAT))
	refresh := func() {
		t.Helper()
		l.local.Do(func() {
			if err := local.Refresh(l.spec(l.local, config.RoutingNAT)); err != nil {
				t.Error(err)
			}
		})
	}

	// A new lease: another address, another gateway.
	l.internet.Run("ip addr add 192.0.2.129/24 dev wan1")
	l.local.Run("ip addr del "+wan1V4+"/24 dev eth1", "ip addr add 192.0.2.77/24 dev eth1", "ip route add default via 192.0.2.129 dev eth1 metric 10")
	refresh()
	for _, bind := range []string{"eth1", "192.0.2.77"} {
		if got := l.ask(l.local, "udp", publicV4, port, bind); got != "remote 192.0.2.77" {
			t.Errorf("after a new lease, bound to %s: %q", bind, got)
		}
	}
	if table := l.local.Run("ip route show table 4725030"); !strings.Contains(table, "via 192.0.2.129") || strings.Contains(table, "via 192.0.2.1 ") {
		t.Errorf("the WAN's table:\n%s", table)
	}

	// Down: the kernel forgets its routes, in all tables. A socket that is
	// still bound there gets an error, and its packets not into the tunnel.
	l.local.Run("ip link set eth1 down")
	refresh()
	l.leaked.Store(0)
	for _, bind := range []string{"eth1", "192.0.2.77"} {
		if got := l.ask(l.local, "udp", publicV4, port, bind); strings.HasPrefix(got, "remote") {
			t.Errorf("a path by a link that is down: %q", got)
		}
	}
	// And with no way out left, for a path that is not bound.
	l.local.Run("ip route del default dev eth2")
	refresh()
	if got := l.ask(l.local, "udp", publicV4, port, ""); !strings.Contains(got, "unreachable") {
		t.Errorf("a path without a way out: %q", got)
	}
	l.local.Run("ip route add default via 198.51.100.1 dev eth2 metric 20")
	if n := l.leaked.Load(); n != 0 {
		t.Errorf("%d of the portal's own packets entered the tunnel", n)
	}
	l.local.Run("ip link set eth1 up", "ip route add default via 192.0.2.129 dev eth1 metric 10")
	refresh()
	if got := l.ask(l.local, "udp", publicV4, port, "eth1"); got != "remote 192.0.2.77" {
		t.Errorf("after the link came back: %q", got)
	}

	// Somebody flushes the firewall.
	var changes <-chan struct{}
	l.local.Do(func() {
		var err error
		if changes, err = local.Watch(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !local.Intact() {
			t.Error("not intact, though nobody touched the firewall")
		}
	})
	l.local.Run("nft flush ruleset")
	select {
	case <-changes:
	case <-time.After(5 * time.Second):
		t.Error("nobody was told that the ruleset is gone")
	}
	l.local.Do(func() {
		if local.Intact() {
			t.Error("intact without the ruleset")
		}
	})
	refresh()
	l.expect(l.local, serverV4, 80, "", "server "+publicV4)

	// A WAN that is gone altogether.
	l.local.Run("ip link del eth1")
	refresh()
	if rules := l.local.Run("ip rule") + l.local.Run("ip -6 rule"); strings.Contains(rules, "eth1") || strings.Contains(rules, "192.0.2") {
		t.Errorf("rules of a WAN that is gone:\n%s", rules)
	}
	l.undo(l.local, local)
	after := state(t, l.local)
	for _, command := range []string{"ip -d rule", "ip -6 -d rule", "nft list ruleset"} {
		if fmt.Sprint(before[command]) != fmt.Sprint(after[command]) {
			t.Errorf("%s is not as it was: %v", command, after[command])
		}
	}
}
