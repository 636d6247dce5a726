// Package routing makes the host's routing fit a tunnel, and takes all of it
// back: one of the four places that touch the operating system.
//
//	routing.Inherit(dir, "nc0")          // after a kill -9; before anything else
//	tundevice.Configure("nc0", …)        // the plan needs the interface up
//	r, err := routing.Apply(dir, spec)
//	r.Refresh(spec)                      // after each event of package linkwatch,
//	                                     // when Remotes or paths changed, and
//	                                     // when Watch told and it is not Intact
//	r.Undo()
//	routing.Cleanup(dir, "nc0")          // after a kill -9, when there is no Apply to come
//
// Plan is pure: from a Spec (what the configuration asks for) and a Host (what
// the host has) it makes a list of Steps, each of which prints as the command
// that a person would type, and has an inverse. What carries steps out keeps a
// journal, written before the first change, so that the next start finds what
// a killed process left behind. Only what was not there before is ever made,
// and only what was made is undone.
//
// # Glossary
//
//	WAN      a device by which a path leaves the local portal
//	outside  a device of the remote portal with a default route
//	public   an address of the remote portal that, in portal mode, the client holds
//	client   the device of the local portal behind which that client is
//	kept     a port of a public address that stays with the remote portal
//	slot     on Linux a number, one for each tunnel of the host: its routing tables are
//	         4725000 + 100·slot + 19, 20, 21 (the paper's), 22 (the fallback) and
//	         30, 31, … (WANs)
//
// # What each mode does
//
// none: nothing at all.
//
// nat, remote: forwards between the tunnel and outside, and masquerades what
// comes out of the tunnel (nftables table "inet netcombiner-IFACE").
//
// nat, local: everything goes into the tunnel, but for what the main table has
// a more specific route for (the LAN), and what belongs to a WAN (see below).
// It gives all of that its own tunnel address, so the remote needs no route to
// the LANs behind it. Forwarding is switched on for every device but the WANs.
// A family in which the tunnel has no address is left alone.
//
// portal, remote (the paper's 3.3.1): everything to a public address enters
// the tunnel, except
//   - TCP to KeepPorts, and the tunnel's own Listens, of ip the whole protocol;
//   - answers to connections of the host itself. They are known by a bit of
//     the connection mark, not by a range of ports, which the client would
//     lose; so the host can still resolve names and install packages. What
//     has crossed the tunnel has another bit: while there is no nc0, between a
//     kill and the next start, the host neither refuses nor answers it;
//   - IPv6 neighbour discovery. For IPv4 a proxy ARP entry answers, since
//     the kernel does not for an address that it would route elsewhere.
//
// For that the rule of the local table moves from priority 0 to 20. The new
// one is there before the old one goes, and back again before the new one goes.
//
// portal, local (the paper's 3.3.2): what comes out of the tunnel for a public
// address goes to the client, what the client sends from there enters the
// tunnel. The client's gateway is the local portal's own tunnel address, which
// is put on the client's device: it cannot clash with a modem's 192.168.1.1.
// On the client, for a public address 203.0.113.2:
//
//	ip addr add 203.0.113.2/32 dev eth0
//	ip route add 172.19.152.3 dev eth0
//	ip route add default via 172.19.152.3
//
// Where the remote stands behind a one-to-one NAT, its public address is the
// one that it has itself: name it in PublicAddress on both portals.
//
// On a local portal, in both modes (the paper's 3.3.3), each WAN has a table
// with a copy of the main table's routes by that device. A socket bound to the
// device (SO_BINDTODEVICE) or to an address of it uses that table: it leaves
// by this WAN and never enters the tunnel. Resolve the remote's name through
// such a socket: any other goes the normal way, which is the tunnel. ARP flux
// is off on WANs and outside: arp_ignore = 1, and arp_announce = 2 rather than
// the paper's 1, which still errs where two WANs share a subnet.
//
// # What goes beside the tunnel
//
// Each [Bypass] of a local portal has a table of its own, 4825000 + 100·slot and
// following, with the WAN's default routes to its destinations, and a rule by
// which packets come there, after the main table's more specific routes (the
// LAN) and before the tunnel. The kernel takes the routes away with the WAN; then
// the tunnel is next, or with IfDown = block an unreachable route. Packets of an
// nft set are marked (setMask) by chains of ours in the set's own table. While
// the fallback is on, the host's own default routes stand in the tunnel's place.
//
// What leaves so is masqueraded. On a WAN that did not forward before, it has to
// now, for the answers; a chain drops all but these. What has begun inside the
// tunnel is forgotten by the connection tracking, since it would keep its address.
//
// # What it does not do
//
// The host's own firewall is not touched. An accept in a table of ours cannot
// overrule a drop in another table, so where a forward chain drops by default
// Warnings says so. Where the host's firewall is loaded anew and takes our table
// along ("flush ruleset"), Watch tells, and a Refresh makes it again. IPv6
// forwarding is one switch for all devices: a host that did not forward before,
// and has no firewall, forwards between any of them. In nat mode, answers to a
// port that the local portal's WAN forwards into the LAN go into the tunnel.
//
// # FreeBSD
//
// The same modes, by pf and routes; pf.go and fib.go tell their words. The rules
// stand in an anchor netcombiner/IFACE (on pfSense userrules/netcombiner-IFACE and
// natrules/netcombiner-IFACE), which the main ruleset must call; it is never
// touched itself. Each path leaves by its own WAN by a FIB (Routing.FIB tells which
// a socket is to be in) or by route-to, with Routing = none, too.
//
// nat, local: 0.0.0.0/1 and 128.0.0.0/1 lead into the tunnel, ::/1 and 8000::/1,
// so that the host's own default route stays. nat, remote: a translation rule for
// each device but the tunnel. portal: route-to at both ends, and a route to the
// client for the public address. Forwarding is a switch for all devices: who has
// no firewall forwards between any of them.
//
// There a path without Bind in a Routing = nat by pf has a route to its remote
// portal by the host's default: so what the LAN sends to that address goes beside
// the tunnel. [Bypass] and Fallback are refused.
package routing

import (
	"net/netip"

	"netcombiner/src/config"
)

// Spec is what a tunnel asks of the host's routing.
type Spec struct {
	Interface string         // the tunnel's: nc0
	Role      config.Role    // which end this is
	Mode      config.Routing // none, nat or portal
	Address   []netip.Prefix // the tunnel's own addresses; they must be configured

	// Local portal: where paths leave, and where to.
	WANs    []WAN
	Remotes []Endpoint // those known by now; names may not be resolved yet
	Lost    []WAN      // whose paths have failed while others work

	// Local portal: what goes beside the tunnel. Direct says that all does,
	// while every path has failed.
	Bypasses []config.Bypass
	Fallback bool // whether there may be a Direct
	Direct   bool

	// Local portal, FreeBSD: how a path leaves by its own WAN, and what the
	// configuration says of each: its name and gateways.
	Egress config.Egress
	Paths  []config.Path

	// Remote portal: where paths arrive. An unspecified address stands for
	// all of them, of both families where it is IPv6.
	Listens []Endpoint

	// Portal mode. Public may be empty: then it is, on the remote portal, the
	// first address of each outside device and family, and on the local portal
	// the addresses of Remotes.
	Public          []netip.Addr
	ClientInterface string   // local portal
	KeepPorts       []uint16 // remote portal: TCP
}

// WAN is where a path is bound: to a device, to an address, or (both zero)
// not at all.
type WAN struct {
	Device string
	Source netip.Addr
}

// Endpoint is a transport's remote end or listening address.
type Endpoint struct {
	Transport string         // "udp", "tcp", "ip"
	Protocol  uint8          // IP protocol number of ip; else 0
	Addr      netip.AddrPort // its port is 0 where the transport has none
}

// SpecOf returns what a configuration asks for. Remotes are the caller's to
// add, once it has resolved them.
func SpecOf(iface string, c *config.Config) Spec {
	s := Spec{
		Interface:       iface,
		Role:            c.Interface.Role,
		Mode:            c.Interface.Routing,
		Address:         c.Interface.Address,
		Public:          c.Interface.PublicAddress,
		ClientInterface: c.Interface.ClientInterface,
		KeepPorts:       c.Interface.KeepPorts,
		Bypasses:        c.Bypasses,
		Fallback:        c.Interface.Fallback,
		Egress:          c.Interface.Egress,
		Paths:           c.Paths,
	}
	for _, p := range c.Paths {
		s.WANs = append(s.WANs, WAN{p.Device, p.Source})
	}
	for _, l := range c.Listens {
		s.Listens = append(s.Listens, Endpoint{l.Transport, l.Protocol, l.Address})
	}
	return s
}

// Host is what Plan must know of the host. What this package changed counts
// as it was before.
type Host struct {
	Links  []Link
	Routes []Route           // of the main table, on FreeBSD of every FIB; unicast
	Sysctl map[string]string // by key, with slashes: those that sysctlsRead lists

	// Of the nft sets that were asked for, those that are there: whether they
	// hold addresses of "ip" or "ip6".
	Sets map[config.NFTSet]string

	// FreeBSD: how many FIBs there are, for which device this package, in this
	// tunnel or another one, has filled which, next hops that are in no table, by
	// device, and pf.
	FIBs     int
	Ours     map[int]string
	Gateways map[string][]netip.Addr
	PF       PF
}

// Link is a network device and its addresses of global scope.
type Link struct {
	Name     string
	Loopback bool
	Up       bool           // administratively, and with a carrier
	Addrs    []netip.Prefix // IPv4 first, each family in the kernel's order

	// FreeBSD: the FIB of what comes in there, and whether it has but one other end.
	FIB          int
	PointToPoint bool
}

func (h *Host) link(name string) *Link {
	for i := range h.Links {
		if h.Links[i].Name == name {
			return &h.Links[i]
		}
	}
	return nil
}

// holder returns the device that holds addr, or nil.
func (h *Host) holder(addr netip.Addr) *Link {
	for i := range h.Links {
		for _, own := range h.Links[i].Addrs {
			if own.Addr() == addr {
				return &h.Links[i]
			}
		}
	}
	return nil
}
