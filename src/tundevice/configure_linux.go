package tundevice

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func addAddress(name string, prefix netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return explainAddress(prefix, netlink.AddrReplace(link, address(prefix)))
}

func removeAddress(name string, prefix netip.Prefix) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.AddrDel(link, address(prefix)); !errors.Is(err, unix.EADDRNOTAVAIL) {
		return err
	}
	return nil
}

func address(prefix netip.Prefix) *netlink.Addr {
	addr := &netlink.Addr{IPNet: &net.IPNet{
		IP:   prefix.Addr().AsSlice(),
		Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen()),
	}}
	if prefix.Addr().Is6() {
		// Nobody else is on the wire: the address is usable at once.
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}

// quiet keeps the kernel from asking for routers on the interface, where none
// will ever answer: each question would cross the tunnel and wake both portals
// and all paths for a second. undo makes it as it was.
func quiet(name string) (undo func() error) {
	file := "/proc/sys/net/ipv6/conf/" + name + "/router_solicitations"
	before, err := os.ReadFile(file)
	if err != nil || os.WriteFile(file, []byte("0"), 0) != nil {
		return func() error { return nil } // without IPv6, or in a container that may not
	}
	return func() error { return os.WriteFile(file, before, 0) }
}

func setUp(name string, up bool) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if up {
		return netlink.LinkSetUp(link)
	}
	return netlink.LinkSetDown(link)
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
