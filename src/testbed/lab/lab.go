//go:build linux

// Package lab raises a small Internet on the real kernel:
//
//	client ── local ══ link 1 ══ internet ── remote
//	                ══ link N ══          ── server
//
// Every machine is a namespace (package netns), every link an emulated one
// (package emulator). All is gone after Close, and after this process's end
// however it comes.
//
// Everyone has an IPv4 and an IPv6 address. The home network's addresses are
// private: the internet does not know the way to the client, unless a
// tunnel brings it there.
package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"netcombiner/src/testbed/emulator"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/netns"
)

// The addresses of the lab, each an example range of its kind.
var (
	Client  = Host{netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("fd00:1::2")}
	Gateway = Host{netip.MustParseAddr("192.168.1.1"), netip.MustParseAddr("fd00:1::1")} // local's, to the client
	Remote  = Host{netip.MustParseAddr("203.0.113.2"), netip.MustParseAddr("2001:db8:203::2")}
	Server  = Host{netip.MustParseAddr("198.51.100.2"), netip.MustParseAddr("2001:db8:198::2")}

	remoteRouter = Host{netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:203::1")}
	serverRouter = Host{netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("2001:db8:198::1")}

	anywhere = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}
)

// MaxLinks is how many links a lab may have.
const MaxLinks = 8

// Host is a machine's addresses.
type Host struct{ V4, V6 netip.Addr }

func (h Host) prefixes() []netip.Prefix {
	return []netip.Prefix{netip.PrefixFrom(h.V4, 24), netip.PrefixFrom(h.V6, 64)}
}

// LinkConfig describes one WAN of the local portal.
type LinkConfig struct {
	Name     string     // also of its interface, in local and in internet: at most 15 letters
	Down, Up link.Shape // to the home, from the home
	MTU      int        // bytes; 0: 1500
	Metric   int        // of the tunnel's path over it
}

// Symmetric is a link of the same shape both ways.
func Symmetric(name string, s link.Shape) LinkConfig {
	return LinkConfig{Name: name, Down: s, Up: s}
}

// Config describes a lab.
type Config struct {
	Links []LinkConfig
	Seed  uint64 // of the links' random faults
}

// Link is a WAN: an emulated link and the addresses at its ends.
type Link struct {
	*emulator.Link
	Config LinkConfig
	Local  Host // the local portal's end
	Router Host // the provider's end

	macs [2]net.HardwareAddr
}

// Lab is a running lab.
type Lab struct {
	Client, Local, Internet, Remote, Server *netns.Namespace
	Links                                   []*Link
	Emulator                                *emulator.Emulator

	machines []*netns.Namespace
}

// New raises a lab. It needs root.
func New(c Config) (lab *Lab, err error) {
	if err := netns.Privileged(); err != nil {
		return nil, err
	}
	if n := len(c.Links); n < 1 || n > MaxLinks {
		return nil, fmt.Errorf("lab: %d links; allowed are 1 to %d", n, MaxLinks)
	}
	lab = &Lab{}
	defer func() {
		if err != nil {
			lab.Close()
			lab, err = nil, fmt.Errorf("lab: %w", err)
		}
	}()
	for _, m := range []struct {
		name string
		ns   **netns.Namespace
	}{{"client", &lab.Client}, {"local", &lab.Local}, {"internet", &lab.Internet}, {"remote", &lab.Remote}, {"server", &lab.Server}} {
		if *m.ns, err = netns.New(m.name); err != nil {
			return
		}
		lab.machines = append(lab.machines, *m.ns)
		if err = quiet(*m.ns); err != nil {
			return
		}
	}
	if err = lab.cables(); err != nil {
		return
	}
	if lab.Emulator, err = emulator.New(); err != nil {
		return
	}
	for i, lc := range c.Links {
		if err = lab.addLink(i, lc, c.Seed); err != nil {
			return
		}
	}
	return
}

// Machines are all of the lab's.
func (lab *Lab) Machines() []*netns.Namespace { return lab.machines }

// Close ends every process in the lab, and the lab.
func (lab *Lab) Close() {
	for _, m := range lab.machines {
		m.Close()
	}
	if lab.Emulator != nil {
		lab.Emulator.Close()
	}
}

// quiet leaves out what would send packets of its own accord.
func quiet(n *netns.Namespace) error {
	return errors.Join(
		n.Sysctl("net.ipv6.conf.default.accept_dad", "0"),
		n.Sysctl("net.ipv6.conf.default.router_solicitations", "0"),
		n.Sysctl("net.ipv6.conf.default.accept_ra", "0"),
		n.Sysctl("net.ipv4.ip_forward", map[bool]string{true: "1", false: "0"}[n.Name == "internet"]),
		n.Sysctl("net.ipv6.conf.all.forwarding", map[bool]string{true: "1", false: "0"}[n.Name == "internet"]),
		// What a first connection learned must not shape the second.
		n.Sysctl("net.ipv4.tcp_no_metrics_save", "1"),
	)
}

// cables joins the machines that no emulated link joins.
func (lab *Lab) cables() error {
	for _, c := range []struct {
		a       *netns.Namespace
		deviceA string
		hostA   Host
		b       *netns.Namespace
		deviceB string
		hostB   Host
	}{
		{lab.Client, "eth0", Client, lab.Local, "lan0", Gateway},
		{lab.Remote, "eth0", Remote, lab.Internet, "remote0", remoteRouter},
		{lab.Server, "eth0", Server, lab.Internet, "server0", serverRouter},
	} {
		err := netns.Veth(c.a, c.deviceA, c.b, c.deviceB)
		if err == nil {
			err = errors.Join(c.a.Address(c.deviceA, c.hostA.prefixes()...), c.b.Address(c.deviceB, c.hostB.prefixes()...))
		}
		if err == nil {
			err = defaultRoute(c.a, c.hostB, c.deviceA, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addLink makes WAN number i. As behind most modems, its default route is
// one of several in the main table, and the first link has the lowest metric.
func (lab *Lab) addLink(i int, c LinkConfig, seed uint64) error {
	if c.MTU == 0 {
		c.MTU = 1500
	}
	l := &Link{
		Config: c,
		Local:  Host{netip.AddrFrom4([4]byte{100, 64, byte(i + 1), 2}), wan6(i, 2)},
		Router: Host{netip.AddrFrom4([4]byte{100, 64, byte(i + 1), 1}), wan6(i, 1)},
		macs:   [2]net.HardwareAddr{{2, 0, 0, 0, byte(i + 1), 2}, {2, 0, 0, 0, byte(i + 1), 1}},
	}
	first, err := lab.Local.TAP(c.Name, c.MTU, l.macs[0])
	if err != nil {
		return err
	}
	second, err := lab.Internet.TAP(c.Name, c.MTU, l.macs[1])
	if err != nil {
		return err
	}
	if l.Link, err = lab.Emulator.Add(c.Name, first, second, c.Up, c.Down, seed+uint64(i)); err != nil {
		return err
	}
	lab.Links = append(lab.Links, l)
	// Permanent neighbours: a cut link must look dead to nobody but who measures.
	return errors.Join(
		lab.Local.Address(c.Name, l.Local.prefixes()...),
		lab.Internet.Address(c.Name, l.Router.prefixes()...),
		lab.Local.Neighbour(c.Name, l.Router.V4, l.macs[1]),
		lab.Local.Neighbour(c.Name, l.Router.V6, l.macs[1]),
		lab.Internet.Neighbour(c.Name, l.Local.V4, l.macs[0]),
		lab.Internet.Neighbour(c.Name, l.Local.V6, l.macs[0]),
		defaultRoute(lab.Local, l.Router, c.Name, 100+i),
	)
}

// Link returns the link of that name; it must exist.
func (lab *Lab) Link(name string) *Link {
	for _, l := range lab.Links {
		if l.Config.Name == name {
			return l
		}
	}
	panic("lab: no link " + name)
}

func wan6(i int, host byte) netip.Addr {
	a := netip.MustParseAddr("2001:db8:64::").As16()
	a[7], a[15] = byte(i+1), host
	return netip.AddrFrom16(a)
}

func defaultRoute(n *netns.Namespace, via Host, device string, metric int) error {
	return errors.Join(n.Route(anywhere[0], via.V4, device, metric, 0), n.Route(anywhere[1], via.V6, device, metric, 0))
}
