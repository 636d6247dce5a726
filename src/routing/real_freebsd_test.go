package routing

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
)

// Held against a real kernel and its pf: the packets of each mode go where they
// are to go. See lab for how to run these.

const (
	pfOpen = "nat-anchor \"netcombiner/*\"\nanchor \"netcombiner/*\"\n"
	// As careful people have it: nothing comes in but what they name, or what answers.
	pfClosed = "set skip on lo0\nnat-anchor \"netcombiner/*\"\nanchor \"netcombiner/*\"\nblock in log all\npass out all keep state\npass in on tap3 all keep state\n" +
		"pass in on tap1 proto tcp to port 22\npass inet6 proto ipv6-icmp\n"
	// As pfSense makes it: anchors of other names, late, and states that hold for one
	// device.
	pfSense = "set state-policy if-bound\nset skip on lo0\nno nat proto carp\nnat-anchor \"natearly/*\"\nnat-anchor \"natrules/*\"\nanchor \"openvpn/*\"\n" +
		"block in log inet all\nblock out log inet all\nblock in log inet6 all\nblock out log inet6 all\npass quick inet6 proto ipv6-icmp\n" +
		"pass out inet all keep state allow-opts\npass out inet6 all keep state allow-opts\nanchor \"userrules/*\"\n" +
		"pass in quick on tap3 inet all keep state\npass in quick on tap3 inet6 all keep state\npass in quick on tap1 inet proto tcp to port 22 keep state\npass in quick on tap1 inet6 proto tcp to port 22 keep state\n"
)

var pfConfs = map[string]string{"open": pfOpen, "closed": pfClosed, "pfsense": pfSense}

// One more main ruleset, with the lab's devices in it: NETCOMBINER_PFCONF names it.
func init() {
	if conf, err := os.ReadFile(os.Getenv("NETCOMBINER_PFCONF")); err == nil {
		pfConfs["given"] = string(conf)
	}
}

func realLocal(mode config.Routing, egress config.Egress) Spec {
	s := Spec{
		Interface: "nc0", Role: config.Local, Mode: mode, Egress: egress,
		Address: prefixes("172.19.152.3/31", "fd19:152::3/127"),
		WANs:    []WAN{{Device: "tap1"}, {Source: addr("198.51.100.2")}},
		Remotes: []Endpoint{{"udp", 0, netip.MustParseAddrPort("203.0.113.2:4725")}, {"udp", 0, netip.MustParseAddrPort("[2001:db8:3::2]:4725")}},
		Paths:   []config.Path{{Name: "lte", Source: addr("198.51.100.2"), Gateway: []netip.Addr{addr("198.51.100.1"), addr("fe80::2")}}},
	}
	if mode == config.RoutingPortal {
		s.ClientInterface = "tap3"
		s.Public = []netip.Addr{addr("203.0.113.2"), addr("2001:db8:3::2")}
	}
	return s
}

func moreFIBs(t *testing.T) {
	t.Helper()
	if n, _ := (kernel{}).fibs(); n >= 4 {
		return
	}
	if err := (kernel{}).setSysctl("net.fibs", "4"); err != nil {
		t.Fatal(err)
	}
}

// Each path leaves by its own WAN, whatever the mode, and hears the answer.
func TestRealEgress(t *testing.T) {
	for _, mode := range []config.Routing{config.RoutingNone, config.RoutingNAT, config.RoutingPortal} {
		for _, egress := range []config.Egress{config.EgressPF, config.EgressFIB} {
			for name, conf := range pfConfs {
				if mode == config.RoutingNone && egress == config.EgressFIB {
					conf = "" // pf has no part in it
				}
				t.Run(string(mode)+"-"+string(egress)+"-"+name, func(t *testing.T) {
					l := newLab(t, conf)
					if egress == config.EgressFIB {
						moreFIBs(t)
					}
					r := l.start(realLocal(mode, egress))
					for _, c := range []struct{ from, device, to string }{
						{"192.0.2.2:0", "tap1", "203.0.113.2:4725"},
						{"198.51.100.2:0", "tap2", "203.0.113.2:4725"},
						{"[2001:db8:1::2]:0", "tap1", "[2001:db8:3::2]:4725"},
						{"[2001:db8:2::2]:0", "tap2", "[2001:db8:3::2]:4725"},
					} {
						fib, ok := r.FIB("", netip.MustParseAddrPort(c.from).Addr())
						if ok != (egress == config.EgressFIB) {
							t.Errorf("%s: FIB %d, %v", c.from, fib, ok)
						}
						conn := l.socket(c.from, fib, ok)
						sent := l.send(conn, c.to)
						l.leaves(c.device, sent)
						l.comesIn(c.device, packet{sent.to, sent.from, protoUDP})
						if !l.hears(conn) {
							t.Errorf("the answer to %v is not heard", sent)
						}
					}
				})
			}
		}
	}
}

// nat, local: the LAN's packets enter the tunnel with its address, and their
// answers come back; the LAN itself and what has a WAN's address stay out of it.
func TestRealNATLocal(t *testing.T) {
	for name, conf := range pfConfs {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, conf)
			l.start(realLocal(config.RoutingNAT, config.EgressPF))
			for _, c := range []struct{ from, own, to string }{
				{"10.7.0.9:1000", "172.19.152.3", "8.8.8.8:9999"},
				{"[fd07::9]:1000", "fd19:152::3", "[2001:db8:9::9]:9999"},
			} {
				l.comesIn("tap3", udpPacket(c.from, c.to))
				out, ok := l.next("nc0", c.to)
				if !ok || out.from.Addr() != addr(c.own) {
					t.Errorf("from %s: %v in the tunnel, %v", c.from, out, ok)
					continue
				}
				l.comesIn("nc0", packet{out.to, out.from, protoUDP})
				l.leaves("tap3", udpPacket(c.to, c.from))
			}
			l.leaves("nc0", l.send(l.socket("172.19.152.3:0", 0, false), "8.8.4.4:9999"))
			l.leaves("tap2", l.send(l.socket("198.51.100.2:0", 0, false), "8.8.4.4:9999"))
			l.leaves("tap1", l.send(l.socket("192.0.2.2:0", 0, false), "8.8.4.4:9999"))
			l.leaves("tap3", l.send(l.socket("10.7.0.1:0", 0, false), "10.7.0.9:9999"))
		})
	}
}

// next waits for what a device sends to an address.
func (l *lab) next(device, to string) (p packet, ok bool) {
	w := l.wires[device]
	for {
		select {
		case b := <-w.frames:
			if w.own != nil {
				b = b[14:]
			}
			if p, ok = parse(b); ok && p.to == netip.MustParseAddrPort(to) {
				return p, true
			}
		case <-time.After(labPatience):
			return packet{}, false
		}
	}
}

// nat, remote: what the home sends leaves with the device's address.
func TestRealNATRemote(t *testing.T) {
	for _, name := range []string{"open", "given"} { // the others let nothing in from the tunnel
		conf, there := pfConfs[name]
		if !there {
			continue
		}
		t.Run(name, func(t *testing.T) {
			l := newLab(t, conf)
			l.start(Spec{Interface: "nc0", Role: config.Remote, Mode: config.RoutingNAT, Address: prefixes("172.19.152.3/31", "fd19:152::3/127")})
			for _, c := range []struct{ from, own, to string }{
				{"172.19.152.2:1000", "192.0.2.2", "8.8.8.8:9999"},
				{"[fd19:152::2]:1000", "2001:db8:1::2", "[2001:db8:9::9]:9999"},
			} {
				l.comesIn("nc0", udpPacket(c.from, c.to))
				out, ok := l.next("tap1", c.to)
				if !ok || out.from.Addr() != addr(c.own) {
					t.Errorf("from %s: %v outside, %v", c.from, out, ok)
					continue
				}
				l.comesIn("tap1", packet{out.to, out.from, protoUDP})
				l.leaves("nc0", udpPacket(c.to, c.from))
			}
		})
	}
}

// portal, remote: all to the public address enters the tunnel, and what comes out
// of it leaves with that; but for the ports that stay, the tunnel's own, and
// answers to the host itself.
func TestRealPortalRemote(t *testing.T) {
	for name, conf := range pfConfs {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, conf)
			r := l.start(Spec{
				Interface: "nc0", Role: config.Remote, Mode: config.RoutingPortal, Address: prefixes("172.19.152.3/31", "fd19:152::3/127"),
				Listens: []Endpoint{{"udp", 0, netip.MustParseAddrPort("[::]:4725")}}, KeepPorts: []uint16{22},
			})
			if w := r.Warnings(); len(w) > 0 {
				t.Errorf("%q", w)
			}
			for _, c := range []struct{ own, world string }{{"192.0.2.2", "8.8.8.8"}, {"2001:db8:1::2", "2001:db8:9::9"}} {
				at := func(a string, port uint16) netip.AddrPort { return netip.AddrPortFrom(addr(a), port) }
				own := func(port uint16) netip.AddrPort { return at(c.own, port) }
				world := func(port uint16) netip.AddrPort { return at(c.world, port) }
				// The client's.
				in := packet{world(1000), own(9999), protoUDP}
				l.comesIn("tap1", in)
				l.leaves("nc0", in)
				l.comesIn("tap1", packet{world(1001), own(443), protoTCP})
				l.leaves("nc0", packet{world(1001), own(443), protoTCP})
				out := packet{own(2000), world(9999), protoUDP}
				l.comesIn("nc0", out)
				l.leaves("tap1", out)
				back := packet{world(9999), own(2000), protoUDP}
				l.comesIn("tap1", back)
				l.leaves("nc0", back)
				if addr(c.own).Is6() {
					l.comesIn("tap1", packet{at("2001:db8:1::1", 0), own(0), 58})
					l.leaves("tap1", packet{own(0), at("2001:db8:1::1", 0), 58})
				}
				// SSH stays: nobody listens here, which the host says itself.
				l.comesIn("tap1", packet{world(1002), own(22), protoTCP})
				l.leaves("tap1", packet{own(22), world(1002), protoTCP})
				// The tunnel's own port.
				if name == "open" {
					listen := l.socket(netip.AddrPortFrom(addr(c.own), 4725).String(), 0, false)
					l.comesIn("tap1", packet{world(1003), own(4725), protoUDP})
					if !l.hears(listen) {
						t.Error("the tunnel's own port hears nothing")
					}
				}
				// The host's own connection.
				conn := l.socket(netip.AddrPortFrom(addr(c.own), 0).String(), 0, false)
				sent := l.send(conn, world(53).String())
				l.leaves("tap1", sent)
				l.comesIn("tap1", packet{sent.to, sent.from, protoUDP})
				if !l.hears(conn) {
					t.Errorf("the answer to the host's own %v is not heard", sent)
				}
			}
		})
	}
}

// portal, local: the client has the public address; the paths to the remote
// portal, which is at the same address, leave by their WANs.
func TestRealPortalLocal(t *testing.T) {
	for name, conf := range pfConfs {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, conf)
			l.start(realLocal(config.RoutingPortal, config.EgressPF))
			for _, c := range []struct{ public, world string }{{"203.0.113.2:4725", "8.8.8.8:9999"}, {"[2001:db8:3::2]:2000", "[2001:db8:9::9]:9999"}} {
				out := udpPacket(c.public, c.world)
				l.comesIn("tap3", out)
				l.leaves("nc0", out)
				in := udpPacket(c.world, c.public)
				l.comesIn("nc0", in)
				l.leaves("tap3", in)
			}
			// The client to the portal itself: the tunnel gets nothing of it.
			l.comesIn("tap3", udpPacket("203.0.113.2:2000", "172.19.152.3:9998"))
			l.staysInside(udpPacket("203.0.113.2:2000", "172.19.152.3:9998"))
			l.comesIn("tap3", udpPacket("203.0.113.2:2000", "224.0.0.251:5353"))
			l.staysInside(udpPacket("203.0.113.2:2000", "224.0.0.251:5353"))
		})
	}
}

// A killed process: what it left is found and undone, and until then a remote
// portal does not answer for the client.
func TestRealKilled(t *testing.T) {
	l := newLab(t, pfOpen)
	moreFIBs(t)
	before := l.look()
	dir := t.TempDir()
	if _, err := Apply(dir, realLocal(config.RoutingNAT, config.EgressFIB)); err != nil {
		t.Fatal(err)
	}
	kept, err := Inherit(dir, "nc0")
	if err != nil || !kept {
		t.Fatal(kept, err)
	}
	if rules := command(t, "/sbin/pfctl -a netcombiner/nc0 -s nat"); !strings.Contains(rules, "nc0") {
		t.Errorf("Inherit took the rules away: %q", rules)
	}
	undone, err := Cleanup(dir, "nc0")
	if err != nil || len(undone) != 1 {
		t.Errorf("%q, %v", undone, err)
	}
	if after := l.look(); after != before {
		t.Errorf("not as it was:\n%s\nbefore:\n%s", after, before)
	}
}

// pf loaded anew keeps what is in anchors; flushed, it is found.
func TestRealReload(t *testing.T) {
	l := newLab(t, pfOpen)
	spec := realLocal(config.RoutingNAT, config.EgressPF)
	r := l.start(spec)
	conf := t.TempDir() + "/pf.conf"
	if err := os.WriteFile(conf, []byte(pfOpen), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, "/sbin/pfctl -q -f "+conf)
	if !r.Intact() {
		t.Error("a reload took our rules along")
	}
	command(t, "/sbin/pfctl -q -F all")
	t.Logf("after pfctl -F all the anchor has rules: %v", command(t, "/sbin/pfctl -a netcombiner/nc0 -s rules") != "") // 14.0: true
	if r.Intact() {
		t.Error("the main ruleset calls nothing, and nobody sees it")
	}
	command(t, "/sbin/pfctl -q -f "+conf)
	if err := r.Refresh(spec); err != nil || !r.Intact() {
		t.Errorf("not mended: %v", err)
	}
}
