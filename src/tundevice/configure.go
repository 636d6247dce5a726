package tundevice

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Configure gives the interface its addresses, sets its MTU in bytes (0: as it
// is) and brings it up. It may be called again: what is there stays. The peer
// of a /31 or /127 is reachable by the route that comes with the address.
//
// undo takes back the addresses and the "up" that Configure has made. That
// matters where the interface outlives its TUN, because somebody else made it
// (ip tuntap add). It is no error when the interface is gone. When Configure
// fails it has undone all, and undo is nil.
func Configure(name string, addrs []netip.Prefix, mtu int) (undo func() error, err error) {
	before, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("interface %s: %w", name, err)
	}
	there, err := addresses(before)
	if err != nil {
		return nil, fmt.Errorf("interface %s: reading its addresses: %w", name, err)
	}
	var undos []func() error
	undo = func() error {
		var errs []error
		for _, u := range slices.Backward(undos) {
			if removed(before) {
				return nil // and all this with it
			}
			errs = append(errs, u())
		}
		// A TUN that was closed goes when the kernel comes to it, perhaps
		// between the look and the deed.
		if removed(before) {
			return nil
		}
		return errors.Join(errs...)
	}
	defer func() {
		if err != nil {
			err, undo = errors.Join(err, undo()), nil
		}
	}()

	if mtu != 0 {
		if err := setMTU(name, mtu); err != nil {
			return undo, err
		}
	}
	for _, prefix := range addrs {
		if err := addAddress(name, prefix); err != nil {
			return undo, fmt.Errorf("interface %s: adding the address %s: %w", name, prefix, err)
		}
		if !slices.Contains(there, prefix) {
			undos = append(undos, func() error { return removeAddress(name, prefix) })
		}
	}
	undos = append(undos, quiet(name))
	if err := setUp(name, true); err != nil {
		return undo, fmt.Errorf("interface %s: bringing it up: %w", name, err)
	}
	if before.Flags&net.FlagUp == 0 {
		undos = append(undos, func() error { return setUp(name, false) })
	}
	return undo, nil
}

// removed reports whether an interface is no more, even if another has its name.
func removed(iface *net.Interface) bool {
	now, err := net.InterfaceByName(iface.Name)
	return err != nil || now.Index != iface.Index
}

// addresses lists those of an interface, with the lengths of their prefixes.
func addresses(of *net.Interface) (all []netip.Prefix, err error) {
	list, err := of.Addrs()
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p)
		}
	}
	return all, err
}

// AddAddress gives an interface, of whatever kind, one more address. The kernel's
// error is in that: of one that it has already, too.
func AddAddress(name string, prefix netip.Prefix) error { return addAddress(name, prefix) }

// RemoveAddress takes an address away. One that is gone is no error.
func RemoveAddress(name string, prefix netip.Prefix) error { return removeAddress(name, prefix) }
