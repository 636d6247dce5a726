package linkwatch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// Watch is not there on FreeBSD yet: it returns errors.ErrUnsupported, and
// paths recover by their own probing.
func Watch(context.Context) (<-chan Event, error) {
	return nil, fmt.Errorf("watching links is not yet supported on FreeBSD: %w", errors.ErrUnsupported)
}

// State says whether the device exists, and whether it is up: administratively
// and with a carrier.
func State(device string) (exists, up bool, err error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return false, false, nil // the library does not tell why
	}
	return true, i.Flags&(net.FlagUp|net.FlagRunning) == net.FlagUp|net.FlagRunning, nil
}

// Addrs returns the addresses of a device that a path may use as its source.
// A device that does not exist has none, which is no error.
func Addrs(device string) ([]netip.Addr, error) {
	i, err := net.InterfaceByName(device)
	if err != nil {
		return nil, nil
	}
	list, err := i.Addrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of %s: %w", device, err)
	}
	return global(list), nil
}

// DeviceOf returns the name of the device that holds addr, or "" when none
// does.
func DeviceOf(addr netip.Addr) (string, error) {
	devices, err := net.Interfaces()
	if err != nil {
		return "", fmt.Errorf("listing interfaces: %w", err)
	}
	for _, i := range devices {
		list, _ := i.Addrs()
		for _, held := range global(list) {
			if held == addr.Unmap() {
				return i.Name, nil
			}
		}
	}
	return "", nil
}

func global(list []net.Addr) (addrs []netip.Addr) {
	for _, a := range list {
		prefix, err := netip.ParsePrefix(a.String())
		if addr := prefix.Addr().Unmap(); err == nil && (addr.IsGlobalUnicast() || addr.IsLoopback()) {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// WaysOut is not there on FreeBSD yet: it returns errors.ErrUnsupported.
func WaysOut() ([]string, error) {
	return nil, fmt.Errorf("finding default routes is not yet supported on FreeBSD: %w", errors.ErrUnsupported)
}

// Tables is for nftables, which FreeBSD has not: there is nothing to tell.
func Tables(context.Context, func(table string) bool) (<-chan struct{}, error) { return nil, nil }
