package tundevice

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Configure gives the interface its addresses, sets its MTU in bytes (0: as it
// is) and brings it up. It may be called again: what is there stays. The peer
// of a /31 or /127 is reachable by the route that comes with the address.
func Configure(name string, addrs []netip.Prefix, mtu int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if mtu != 0 {
		if err := setMTU(name, mtu); err != nil {
			return err
		}
	}
	for _, prefix := range addrs {
		if err := addAddress(link, prefix); err != nil {
			return fmt.Errorf("interface %s: adding the address %s: %w", name, prefix, explainAddress(prefix, err))
		}
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("interface %s: bringing it up: %w", name, err)
	}
	return nil
}

func addAddress(link netlink.Link, prefix netip.Prefix) error {
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}}
	if prefix.Addr().Is6() {
		// Nobody else is on the wire: the address is usable at once.
		addr.Flags = unix.IFA_F_NODAD
	}
	return netlink.AddrReplace(link, addr)
}

func explainAddress(prefix netip.Prefix, err error) error {
	if !prefix.Addr().Is6() {
		return err
	}
	switch {
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("IPv6 is off on this host: leave it out of Address, or switch it on (sysctl net.ipv6.conf.*.disable_ipv6): %w", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.ENODEV):
		return fmt.Errorf("IPv6 needs an MTU of at least %d bytes: %w", MinMTU6, err)
	}
	return err
}
