package routing

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

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

func TestPortal(t *testing.T) {
	l := newLab(t)
	l.tunnel()
	l.holdPublic()
	l.serve(l.client, "client", "::", 80)
	l.serve(l.client, "client", "::", port)
	l.serve(l.client, "client", "::", 22)
	l.serve(l.remote, "remote", "::", 22)
	l.serve(l.remote, "remote", "::", 80)
	l.serve(l.remote, "remote", "::", port)
	l.serve(l.server, "server", "::", 80)

	beforeLocal, beforeRemote := state(t, l.local), state(t, l.remote)
	l.expect(l.server, publicV4, 80, "", "remote "+serverV4)
	remote := l.apply(l.remote, l.spec(l.remote, config.RoutingPortal))
	local := l.apply(l.local, l.spec(l.local, config.RoutingPortal))

	// Everything for the public address reaches the client, from the true source…
	l.expect(l.server, publicV4, 80, "", "client "+serverV4)
	l.expect(l.server, publicV6, 80, "", "client "+serverV6)
	l.server.Run("ping -c1 -W3 "+publicV4, "ping -c1 -W3 "+publicV6)
	// … but for SSH and the tunnel's own port, each on its own protocol.
	for address, from := range map[string]string{publicV4: serverV4, publicV6: serverV6} {
		for _, c := range []struct {
			network string
			port    int
			want    string
		}{{"tcp", 22, "remote "}, {"udp", 22, "client "}, {"udp", port, "remote "}, {"tcp", port, "client "}} {
			if got := l.ask(l.server, c.network, address, c.port, ""); got != c.want+from {
				t.Errorf("%s to %s port %d: %q, want %q", c.network, address, c.port, got, c.want+from)
			}
		}
	}
	// The client is the public address for the rest of the world.
	l.expect(l.client, serverV4, 80, "", "server "+publicV4)
	l.expect(l.client, serverV6, 80, "", "server "+publicV6)
	// The remote's own connections are answered.
	l.expect(l.remote, serverV4, 80, "", "server "+publicV4)
	l.expect(l.remote, serverV6, 80, "", "server "+publicV6)
	// The local portal itself stays on its WAN, and reaches the client.
	l.expect(l.local, serverV4, 80, "", "server "+wan1V4)
	l.expect(l.local, publicV4, 80, "", "client 172.19.152.3")
	l.checkTooBig()
	l.checkReject()
	l.leaked.Store(0)
	l.checkPaths()
	l.checkNeighbours()

	l.undo(l.local, local)
	l.undo(l.remote, remote)
	l.unchanged(l.local, beforeLocal)
	l.unchanged(l.remote, beforeRemote)
	l.expect(l.server, publicV4, 80, "", "remote "+serverV4)
}

// checkTooBig sends the client a packet that does not fit in the tunnel: the
// remote says so, and by that does not take the flow for one of its own.
func (l *lab) checkTooBig() {
	l.t.Helper()
	var conn net.Conn
	l.server.Do(func() {
		dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			})
			return err
		}}
		var err error
		if conn, err = dialer.Dial("udp4", net.JoinHostPort(publicV4, "80")); err != nil {
			l.t.Fatal(err)
		}
	})
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	ask := func(when string) {
		l.t.Helper()
		var err error
		for range 100 { // an error of an earlier packet is reported once
			if _, err = conn.Write([]byte("?")); err == nil {
				break
			}
		}
		answer := make([]byte, 100)
		n, err := conn.Read(answer)
		if string(answer[:n]) != "client "+serverV4+"\n" {
			l.t.Errorf("%s a packet that was too long: %q, %v", when, answer[:n], err)
		}
	}
	ask("before")
	var err error
	for !errors.Is(err, unix.EMSGSIZE) {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.t.Errorf("nobody said that a packet of 1478 bytes is too long: %v", err)
			return
		}
		_, err = conn.Write(make([]byte, 1450))
		time.Sleep(time.Millisecond)
	}
	ask("after")
}

// checkReject lets the remote's own firewall refuse what is for the client: it
// is heard.
func (l *lab) checkReject() {
	l.t.Helper()
	l.remote.Run("nft add table inet fw", "nft add chain inet fw forward { type filter hook forward priority 0 ; }",
		"nft add rule inet fw forward tcp dport 82 reject with tcp reset", "nft add rule inet fw forward udp dport 82 reject")
	for _, address := range []string{publicV4, publicV6} {
		for _, network := range []string{"tcp", "udp"} {
			if got := l.ask(l.server, network, address, 82, ""); !strings.Contains(got, "refused") {
				l.t.Errorf("%s to %s, which the host's firewall refuses: %q", network, address, got)
			}
		}
	}
	l.remote.Run("nft delete table inet fw")
}

// checkNeighbours makes the remote's provider forget, and then doubt, where
// the public addresses are.
func (l *lab) checkNeighbours() {
	l.t.Helper()
	l.internet.Run("ip neigh flush dev vps")
	l.expect(l.server, publicV4, 80, "", "client "+serverV4)
	l.expect(l.server, publicV6, 80, "", "client "+serverV6)
	for _, address := range []string{publicV4, publicV6} {
		mac := ""
		fields := strings.Fields(l.internet.Run("ip neigh show " + address + " dev vps"))
		for i, field := range fields {
			if field == "lladdr" {
				mac = fields[i+1]
			}
		}
		if mac == "" {
			l.t.Errorf("no neighbour %s: %v", address, fields)
			continue
		}
		l.internet.Run("ip neigh replace " + address + " lladdr " + mac + " dev vps nud probe")
		reached := func() bool {
			return strings.Contains(l.internet.Run("ip neigh show "+address+" dev vps"), "REACHABLE")
		}
		for deadline := time.Now().Add(8 * time.Second); !reached() && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		if !reached() {
			l.t.Errorf("a neighbour's doubt about %s is not answered: %s", address, l.internet.Run("ip neigh show dev vps"))
		}
	}
}

// The kernel gives back each kind of rule as it was given, and takes none for
// another.
func TestRulesRoundTrip(t *testing.T) {
	ns := nstest.New(t, "host")
	ns.Run("ip link add dsl type veth peer name far")
	ns.Do(func() {
		var rules []Rule
		for _, c := range []struct {
			spec Spec
			host Host
		}{{localSpec(config.RoutingNAT), router()}, {localSpec(config.RoutingPortal), router()}, {bypassSpec(config.RoutingPortal), bypassHost()}, {remoteSpec(config.RoutingPortal), vps()}} {
			steps, err := Plan(c.spec, c.host, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range steps {
				if s.Rule != nil {
					rules = append(rules, *s.Rule)
				}
			}
		}
		for _, r := range rules {
			s := Step{Rule: &r}
			is := func(want bool) {
				t.Helper()
				if got, err := (kernel{}).present(s); got != want || err != nil {
					t.Errorf("%s: present %v, %v, want %v", s, got, err, want)
				}
			}
			is(false)
			for range 2 { // again is no error
				if err := (kernel{}).make(s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
			is(true)
			for range 2 {
				if err := (kernel{}).unmake(s); err != nil {
					t.Fatalf("%s: %v", s, err)
				}
			}
			is(false)
		}
	})
}

// A user's rule that looks like ours is not deleted with ours.
func TestRuleOfTheUsersStays(t *testing.T) {
	ns := nstest.New(t, "host")
	ns.Run("ip rule add pref 20 lookup local", "ip rule add pref 1 to 203.0.113.2 ipproto tcp dport 20-22 lookup local")
	ns.Do(func() {
		r := Rule{Priority: 20, Table: tableLocal}
		if present, err := rulePresent(r); !present || err != nil {
			t.Errorf("present %v, %v", present, err)
		}
		if err := (kernel{}).unmake(Step{Rule: &r}); err != nil {
			t.Error(err)
		}
		if present, err := rulePresent(Rule{Priority: 1, To: whole(addr("203.0.113.2")), Proto: protoTCP, Port: 20, Table: tableLocal}); present || err != nil {
			t.Errorf("a range of ports is taken for one: %v, %v", present, err)
		}
	})
	if rules := ns.Run("ip rule"); !strings.Contains(rules, "20:") {
		t.Errorf("the user's rule is gone:\n%s", rules)
	}
}

func TestWarnings(t *testing.T) {
	ns := nstest.New(t, "host")
	ns.Do(func() {
		if got := (kernel{}).warnings("nc0"); len(got) != 0 {
			t.Errorf("warnings without a firewall: %q", got)
		}
	})
	ns.Run("nft add table inet fw", "nft add chain inet fw pass { type filter hook forward priority 0 ; policy accept ; }",
		"nft add chain inet fw block { type filter hook forward priority 1 ; policy drop ; }")
	ns.Do(func() {
		if got := (kernel{}).warnings("nc0"); len(got) != 1 || !strings.Contains(got[0], "inet fw block") || !strings.Contains(got[0], "nc0") {
			t.Errorf("warnings: %q", got)
		}
	})
}

// Two WANs in one subnet (the paper's 3.3.3): each packet leaves by the device
// that has its source, and only that device answers for its address.
func TestWANsOfOneSubnet(t *testing.T) {
	local, network := nstest.New(t, "local"), nstest.New(t, "network")
	network.Run("ip link add br0 type bridge", "ip link set br0 up", "ip addr add 10.10.0.1/24 dev br0")
	for i, device := range []string{"eth0", "eth1"} {
		nstest.Join(local, device, network, fmt.Sprint("port", i))
		network.Run(fmt.Sprintf("ip link set port%d master br0", i))
		local.Run(fmt.Sprintf("ip addr add 10.10.0.%d/24 dev %s", i+2, device))
	}
	local.Run("ip route add default via 10.10.0.1")
	spec := Spec{Interface: "nc0", Role: config.Local, Mode: config.RoutingNAT, Address: prefixes("172.19.152.3/31"),
		WANs:    []WAN{{Device: "eth0"}, {Source: addr("10.10.0.3")}},
		Remotes: []Endpoint{{"udp", 0, netip.MustParseAddrPort("203.0.113.2:4725")}}}
	mac := func(device string) string {
		_, after, _ := strings.Cut(local.Run("ip -o link show "+device), "link/ether ")
		return strings.Fields(after)[0]
	}
	local.Do(func() {
		dev := makeTunnel(t, spec.Address)
		defer dev.Close()
		if _, err := Apply(t.TempDir(), spec); err != nil {
			t.Fatal(err)
		}
	})
	for i, device := range []string{"eth0", "eth1"} {
		for _, to := range []string{"10.10.0.1", "203.0.113.2"} {
			if route := local.Run(fmt.Sprintf("ip route get %s from 10.10.0.%d", to, i+2)); !strings.Contains(route, "dev "+device) {
				t.Errorf("%s from 10.10.0.%d: %s", to, i+2, route)
			}
			if route := local.Run("ip route get " + to + " oif " + device); !strings.Contains(route, "dev "+device) || to == "203.0.113.2" && !strings.Contains(route, "via 10.10.0.1") {
				t.Errorf("%s bound to %s: %s", to, device, route)
			}
		}
		for range 5 {
			network.Run("ip neigh flush dev br0", fmt.Sprintf("ping -c1 -W3 10.10.0.%d", i+2))
			if neighbour := network.Run(fmt.Sprintf("ip neigh show 10.10.0.%d", i+2)); !strings.Contains(neighbour, mac(device)) {
				t.Fatalf("10.10.0.%d is at %s, want %s's %s", i+2, neighbour, device, mac(device))
			}
		}
	}
}

// A WAN's IPv6 default route often comes by router advertisements, of which a
// host that forwards takes no notice unless it is told to.
func TestAdvertisedDefaultRouteSurvives(t *testing.T) {
	local, internet := nstest.New(t, "local"), nstest.New(t, "internet")
	nstest.Join(local, "eth1", internet, "wan1")
	advertise := func() {
		internet.Do(func() {
			fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMPV6)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, 255)
			unix.BindToDevice(fd, "wan1")
			// Type 134, code, checksum, hop limit, flags, lifetime 1800 s.
			packet := []byte{134, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0}
			allNodes := [16]byte{0: 0xff, 1: 0x02, 15: 1}
			unix.Sendto(fd, packet, 0, &unix.SockaddrInet6{Addr: allNodes}) // an address that is still tentative: next time
		})
	}
	advertised := func() bool {
		return strings.Contains(local.Run("ip -6 route show default"), "proto ra")
	}
	wait := func(what string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); !advertised(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no advertised default route %s:\n%s", what, local.Run("ip -6 route"))
			}
			advertise()
		}
	}
	wait("at first")
	spec := Spec{Interface: "nc0", Role: config.Local, Mode: config.RoutingNAT, Address: prefixes("fd19:152::3/127"), WANs: []WAN{{Device: "eth1"}}}
	local.Do(func() {
		dev := makeTunnel(t, spec.Address)
		defer dev.Close()
		r, err := Apply(t.TempDir(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if !advertised() {
			t.Error("Apply lost the advertised default route")
		}
		if table := local.Run("ip -6 route show table 4725030"); !strings.Contains(table, "default via fe80") {
			t.Errorf("the WAN's table has no default route: %s", table)
		}
		local.Run("ip -6 route del default dev eth1")
		wait("while forwarding")
		if err := r.Undo(); err != nil {
			t.Error(err)
		}
		if !advertised() {
			t.Error("Undo lost the advertised default route")
		}
	})
}
