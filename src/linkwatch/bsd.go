package linkwatch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"netcombiner/src/rtsock"
)

// bsd answers what one asks about a FreeBSD host, by what its calls return. It
// decides, and makes no call of its own.
type bsd struct {
	// interfaces lists all devices with their addresses, as NET_RT_IFLIST does.
	interfaces func() ([]byte, error)
	// routes lists the routes of a FIB, as NET_RT_DUMP does.
	routes func(fib int) ([]byte, error)
	// fibs is net.fibs.
	fibs func() (int, error)
	// flags6 are the flags of an IPv6 address, as SIOCGIFAFLAG_IN6 tells; the
	// error of one that is gone is errGone.
	flags6 func(device string, addr netip.Addr) (uint32, error)
}

var errGone = errors.New("the address is gone")

// unusable6 are the flags of an IPv6 address that no path may use as its
// source: anycast, tentative, duplicated, detached, deprecated.
const unusable6 = 0x01 | 0x02 | 0x04 | 0x08 | 0x10

func (h bsd) state(device string) (exists, up bool, err error) {
	err = h.eachInterface(func(m rtsock.Message) {
		if m.Kind == rtsock.LinkInfo && m.Device == device {
			exists, up = true, m.Up
		}
	})
	return exists, up, err
}

func (h bsd) addrs(device string) (addrs []netip.Addr, err error) {
	held, err := h.held()
	if err != nil {
		return nil, err
	}
	for _, a := range held {
		if a.device != device || !ofUse(a.addr) {
			continue
		}
		if a.addr.Is6() {
			flags, err := h.flags6(device, a.addr)
			if errors.Is(err, errGone) || err == nil && flags&unusable6 != 0 {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("address %s of %s: %w", a.addr, device, err)
			}
		}
		addrs = append(addrs, a.addr)
	}
	return addrs, nil
}

func (h bsd) deviceOf(addr netip.Addr) (string, error) {
	held, err := h.held()
	for _, a := range held {
		if a.addr == addr.Unmap() {
			return a.device, err
		}
	}
	return "", err
}

func (h bsd) waysOut() (devices []string, err error) {
	fibs, err := h.fibs()
	if err != nil {
		return nil, err
	}
	loopback := map[string]bool{}
	err = h.eachInterface(func(m rtsock.Message) { loopback[m.Device] = m.Loopback || loopback[m.Device] })
	if err != nil {
		return nil, err
	}
	for fib := range fibs {
		routes, err := h.routesOf(fib)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			refusal := r.Flags&(rtsock.Reject|rtsock.Blackhole) != 0
			if r.Default() && !refusal && r.Device != "" && !loopback[r.Device] && !slices.Contains(devices, r.Device) {
				devices = append(devices, r.Device)
			}
		}
	}
	return devices, nil
}

func (h bsd) routesOf(fib int) (routes []rtsock.Route, err error) {
	fibs, err := h.fibs()
	if err != nil {
		return nil, err
	}
	if fib < 0 || fib >= fibs {
		return nil, fmt.Errorf("there is no FIB %d: net.fibs is %d, so that there are 0 to %d", fib, fibs, fibs-1)
	}
	names := map[int]string{}
	if err := h.eachInterface(func(m rtsock.Message) {
		if m.Kind == rtsock.LinkInfo {
			names[m.Index] = m.Device
		}
	}); err != nil {
		return nil, err
	}
	b, err := h.routes(fib)
	if err != nil {
		return nil, fmt.Errorf("listing the routes of FIB %d: %w", fib, err)
	}
	err = rtsock.Each(b, func(m rtsock.Message) {
		if m.Kind == rtsock.RouteGet {
			m.Route.Device = names[m.Index]
			routes = append(routes, m.Route)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listing the routes of FIB %d: %w", fib, err)
	}
	return routes, nil
}

// holding is an address and the device that has it.
type holding struct {
	device string
	addr   netip.Addr
}

// held lists all addresses, in the kernel's order.
func (h bsd) held() (list []holding, err error) {
	names := map[int]string{}
	err = h.eachInterface(func(m rtsock.Message) {
		switch m.Kind {
		case rtsock.LinkInfo:
			names[m.Index] = m.Device
		case rtsock.AddrAdd:
			list = append(list, holding{names[m.Index], m.Addr.Addr()})
		}
	})
	return list, err
}

func (h bsd) eachInterface(f func(rtsock.Message)) error {
	b, err := h.interfaces()
	if err == nil {
		err = rtsock.Each(b, f)
	}
	if err != nil {
		return fmt.Errorf("listing the interfaces: %w", err)
	}
	return nil
}

// ofUse says whether an address may be a path's source, for all that it tells
// itself.
func ofUse(a netip.Addr) bool { return a.IsGlobalUnicast() || a.IsLoopback() }
