package linkwatch

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// State says whether the device exists, and whether it is up: administratively
// and with a carrier.
func State(device string) (exists, up bool, err error) {
	l, err := netlink.LinkByName(device)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("interface %s: %w", device, err)
	}
	const running = unix.IFF_UP | unix.IFF_RUNNING
	return true, l.Attrs().RawFlags&running == running, nil
}

// Addrs returns the addresses of a device that a path may use as its source,
// the kernel's favourite first: not those of link scope, and of IPv6 not the
// deprecated ones or those whose uniqueness is not yet proved. A device that
// does not exist has none, which is no error.
func Addrs(device string) ([]netip.Addr, error) {
	l, err := netlink.LinkByName(device)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", device, err)
	}
	list, err := netlink.AddrList(l, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("addresses of %s: %w", device, err)
	}
	var addrs []netip.Addr
	for _, a := range list {
		if addr, ok := netip.AddrFromSlice(a.IP); ok && usable(a.Scope, a.Flags) {
			addrs = append(addrs, addr.Unmap())
		}
	}
	return addrs, nil
}

func usable(scope, flags int) bool {
	const bad = unix.IFA_F_TENTATIVE | unix.IFA_F_DADFAILED | unix.IFA_F_DEPRECATED
	optimistic := flags&unix.IFA_F_OPTIMISTIC != 0
	return scope < unix.RT_SCOPE_LINK && (flags&bad == 0 || optimistic && flags&unix.IFA_F_DADFAILED == 0)
}

// DeviceOf returns the name of the device that holds addr, or "" when none
// does.
func DeviceOf(addr netip.Addr) (string, error) {
	list, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return "", fmt.Errorf("listing addresses: %w", err)
	}
	for _, a := range list {
		if held, ok := netip.AddrFromSlice(a.IP); !ok || held.Unmap() != addr.Unmap() {
			continue
		}
		l, err := netlink.LinkByIndex(a.LinkIndex)
		if err != nil {
			continue // gone meanwhile
		}
		return l.Attrs().Name, nil
	}
	return "", nil
}
