package routing

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/config"
	"netcombiner/src/routing/nstest"
)

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
		if got := (kernel{}).warnings("nc0", nil); len(got) != 0 {
			t.Errorf("warnings without a firewall: %q", got)
		}
	})
	ns.Run("nft add table inet fw", "nft add chain inet fw pass { type filter hook forward priority 0 ; policy accept ; }",
		"nft add chain inet fw block { type filter hook forward priority 1 ; policy drop ; }")
	ns.Do(func() {
		if got := (kernel{}).warnings("nc0", nil); len(got) != 1 || !strings.Contains(got[0], "inet fw block") || !strings.Contains(got[0], "nc0") {
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
