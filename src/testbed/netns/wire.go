//go:build linux

package netns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Veth joins two namespaces by a cable with an interface at each end, both up.
func Veth(a *Namespace, nameA string, b *Namespace, nameB string) error {
	peer, err := os.Open(b.Path())
	if err != nil {
		return err
	}
	defer peer.Close()
	err = a.Do(func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = nameA
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: nameB, PeerNamespace: netlink.NsFd(peer.Fd())})
		if err != nil {
			return err
		}
		inOrder(nameA)
		return up(nameA)
	})
	if err != nil {
		return fmt.Errorf("cable %s:%s to %s:%s: %w", a.Name, nameA, b.Name, nameB, err)
	}
	return b.Do(func() error { inOrder(nameB); return up(nameB) })
}

// inOrder has one processor take what comes on an interface of the calling thread's
// namespace, as a cable would deliver it: else two that send on it, one with an
// application's data and one with an acknowledgement's consequences, now and then
// change the order. Where the kernel has no RPS, nothing changes.
func inOrder(device string) {
	_ = os.WriteFile("/sys/class/net/"+device+"/queues/rx-0/rps_cpus", []byte("1"), 0)
}

// up sets an interface of the calling thread's namespace up.
func up(device string) error {
	l, err := netlink.LinkByName(device)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

// Address adds addresses to an interface. IPv6 ones are usable at once (no
// duplicate address detection).
func (n *Namespace) Address(device string, prefixes ...netip.Prefix) error {
	return n.onLink(device, func(l netlink.Link) error {
		for _, p := range prefixes {
			addr := &netlink.Addr{IPNet: ipNet(p)}
			if p.Addr().Is6() {
				addr.Flags = 0x02 // IFA_F_NODAD
			}
			if err := netlink.AddrAdd(l, addr); err != nil {
				return fmt.Errorf("address %v: %w", p, err)
			}
		}
		return nil
	})
}

// Forget removes all addresses of an interface, and with them their routes.
func (n *Namespace) Forget(device string) error {
	return n.onLink(device, func(l netlink.Link) error {
		addrs, err := netlink.AddrList(l, netlink.FAMILY_ALL)
		for _, a := range addrs {
			if !a.IP.IsLinkLocalUnicast() {
				err = errors.Join(err, netlink.AddrDel(l, &a))
			}
		}
		return err
	})
}

// Route adds a route by way of gateway, or of device alone where gateway is
// the zero Addr. table 0 is the main one.
func (n *Namespace) Route(to netip.Prefix, gateway netip.Addr, device string, metric, table int) error {
	return n.onLink(device, func(l netlink.Link) error {
		r := &netlink.Route{Dst: ipNet(to.Masked()), LinkIndex: l.Attrs().Index, Priority: metric, Table: table}
		if gateway.IsValid() {
			r.Gw = gateway.AsSlice()
		} else if to.Addr().Is4() {
			r.Scope = netlink.SCOPE_LINK // or no gateway may lie there
		}
		if err := netlink.RouteReplace(r); err != nil {
			return fmt.Errorf("route to %v: %w", to, err)
		}
		return nil
	})
}

// Neighbour tells the namespace the hardware address of addr for good, so
// that neither ARP nor NDP is needed.
func (n *Namespace) Neighbour(device string, addr netip.Addr, hardware net.HardwareAddr) error {
	return n.onLink(device, func(l netlink.Link) error {
		return netlink.NeighSet(&netlink.Neigh{
			LinkIndex: l.Attrs().Index, IP: addr.AsSlice(), HardwareAddr: hardware, State: netlink.NUD_PERMANENT,
		})
	})
}

// Rule sends what comes in by device to a routing table, both families. A rule
// that is there already stays.
func (n *Namespace) Rule(device string, table, priority int) error {
	return n.Do(func() error {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			r := netlink.NewRule()
			r.IifName, r.Table, r.Priority, r.Family = device, table, priority, family
			if err := netlink.RuleAdd(r); err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("%s: rule for %s: %w", n.Name, device, err)
			}
		}
		return nil
	})
}

// onLink runs f inside the namespace with an interface of it.
func (n *Namespace) onLink(device string, f func(netlink.Link) error) error {
	return n.Do(func() error {
		l, err := netlink.LinkByName(device)
		if err == nil {
			err = f(l)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", n.Name, device, err)
		}
		return nil
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// Up says whether the namespace has an interface of that name, and it is up.
func (n *Namespace) Up(device string) bool {
	return n.Do(func() error {
		l, err := netlink.LinkByName(device)
		if err == nil && l.Attrs().Flags&net.FlagUp == 0 {
			err = net.ErrClosed
		}
		return err
	}) == nil
}
