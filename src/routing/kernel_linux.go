package routing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"netcombiner/src/config"
	"netcombiner/src/linkwatch"
)

// routeProtocol marks the rules and routes that this package makes: `ip rule`
// and `ip route` show "proto 47".
const routeProtocol = 47

// undoByHand is what a damaged journal leaves to a person.
const undoByHand = "what `ip rule` shows as proto 47"

// kernel is the system of the current network namespace.
type kernel struct{}

func host() system { return kernel{} }

func (kernel) needs(spec Spec) bool { return spec.Mode != config.RoutingNone && spec.Mode != "" }

func (kernel) plan(spec Spec, host Host, slot int, _ ...index) (planned, error) {
	steps, err := Plan(spec, host, slot)
	return planned{steps: steps}, err
}

func (kernel) watch(ctx context.Context, concerns func(table string) bool) (<-chan struct{}, error) {
	return linkwatch.Tables(ctx, concerns)
}

func (kernel) boot() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("reading the boot's number: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

func (kernel) lock(dir string) (func(), error) { return lockDir(dir) }

// again repeats a dump that the kernel says changed while it was read.
func again[T any](dump func() (T, error)) (list T, err error) {
	for range 10 {
		if list, err = dump(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return list, err
		}
	}
	return list, err
}

func (kernel) snapshot() (Host, error) {
	links, err := again(netlink.LinkList)
	if err != nil {
		return Host{}, fmt.Errorf("listing interfaces: %w", err)
	}
	var host Host
	names := map[int]string{}
	for _, l := range links {
		a := l.Attrs()
		names[a.Index] = a.Name
		const running = unix.IFF_UP | unix.IFF_RUNNING
		host.Links = append(host.Links, Link{Name: a.Name, Loopback: a.Flags&net.FlagLoopback != 0, Up: a.RawFlags&running == running})
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		addrs, err := again(func() ([]netlink.Addr, error) { return netlink.AddrList(nil, family) })
		if err != nil {
			return Host{}, fmt.Errorf("listing addresses: %w", err)
		}
		for _, a := range addrs {
			link := host.link(names[a.LinkIndex])
			if link == nil || a.Scope >= unix.RT_SCOPE_LINK || a.Flags&unix.IFA_F_DADFAILED != 0 {
				continue
			}
			if addr, ok := netip.AddrFromSlice(a.IP); ok {
				ones, _ := a.Mask.Size()
				link.Addrs = append(link.Addrs, netip.PrefixFrom(addr.Unmap(), ones))
			}
		}
		routes, err := again(func() ([]netlink.Route, error) {
			return netlink.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
		})
		if err != nil {
			return Host{}, fmt.Errorf("listing routes: %w", err)
		}
		for _, r := range routes {
			host.Routes = append(host.Routes, unicast(r, family == netlink.FAMILY_V6, names)...)
		}
	}
	host.Sysctl = map[string]string{}
	for _, key := range host.sysctlsRead() {
		if value, err := readSysctl(key); err == nil {
			host.Sysctl[key] = value
		}
	}
	return host, nil
}

// unicast returns a route of the kernel's as ours: one for each of its next
// hops, none if it is of another type.
func unicast(r netlink.Route, v6 bool, names map[int]string) (routes []Route) {
	if r.Type != unix.RTN_UNICAST {
		return nil
	}
	route := Route{Table: uint32(r.Table), To: anywhere(v6), Metric: uint32(r.Priority)}
	if r.Dst != nil {
		addr, _ := netip.AddrFromSlice(r.Dst.IP)
		ones, _ := r.Dst.Mask.Size()
		route.To = netip.PrefixFrom(addr, ones)
		if !v6 {
			route.To = netip.PrefixFrom(addr.Unmap(), ones)
		}
	}
	if source, ok := netip.AddrFromSlice(r.Src); ok {
		route.Source = source.Unmap()
	}
	hops := r.MultiPath
	if len(hops) == 0 {
		hops = []*netlink.NexthopInfo{{LinkIndex: r.LinkIndex, Gw: r.Gw, Flags: r.Flags, Via: r.Via}}
	}
	for _, hop := range hops {
		route.Device = names[hop.LinkIndex]
		if route.Device == "" {
			continue
		}
		route.Via, route.OnLink = netip.Addr{}, hop.Flags&unix.RTNH_F_ONLINK != 0
		if via, ok := netip.AddrFromSlice(hop.Gw); ok {
			route.Via = via.Unmap()
		} else if via, ok := hop.Via.(*netlink.Via); ok {
			// IPv4 by an IPv6 gateway (RFC 8950).
			route.Via, _ = netip.AddrFromSlice(via.Addr)
		}
		routes = append(routes, route)
	}
	return routes
}

func (kernel) present(s Step) (bool, error) {
	switch {
	case s.Rule != nil:
		return rulePresent(*s.Rule)
	case s.NoRule != nil:
		return rulePresent(*s.NoRule)
	case s.Address != nil:
		link, err := netlink.LinkByName(s.Address.Device)
		if err != nil {
			return false, fmt.Errorf("interface %s: %w", s.Address.Device, err)
		}
		addrs, err := again(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
		for _, a := range addrs {
			ones, _ := a.Mask.Size()
			if a.IP.Equal(s.Address.Prefix.Addr().AsSlice()) && ones == s.Address.Prefix.Bits() {
				return true, nil
			}
		}
		return false, err
	case s.Proxy != nil:
		link, err := netlink.LinkByName(s.Proxy.Device)
		if err != nil {
			return false, fmt.Errorf("interface %s: %w", s.Proxy.Device, err)
		}
		list, err := again(func() ([]netlink.Neigh, error) { return netlink.NeighProxyList(link.Attrs().Index, netlink.FAMILY_ALL) })
		for _, n := range list {
			if n.IP.Equal(s.Proxy.Prefix.Addr().AsSlice()) {
				return true, nil
			}
		}
		return false, err
	case s.Ruleset != nil:
		_, err := nft("", "-t", "list", "table", "inet", s.Ruleset.Name)
		return err == nil, nil
	case s.SetChain != nil:
		return chainsPresent(*s.SetChain), nil
	}
	return false, nil // a route: its table is ours
}

func (kernel) make(s Step) error {
	switch {
	case s.Rule != nil:
		return tolerate(changeRule(*s.Rule, true), unix.EEXIST)
	case s.NoRule != nil:
		return tolerate(changeRule(*s.NoRule, false), unix.ENOENT)
	case s.Route != nil:
		return changeRoute(*s.Route, true)
	case s.Address != nil:
		return changeAddress(*s.Address, true)
	case s.Proxy != nil:
		return changeProxy(*s.Proxy, true)
	case s.Sysctl != nil:
		now, err := readSysctl(s.Sysctl.Key)
		if err != nil || s.Sysctl.satisfied(now) {
			return err
		}
		return writeSysctl(s.Sysctl.Key, s.Sysctl.Value)
	case s.Ruleset != nil:
		return loadRuleset(*s.Ruleset)
	case s.SetChain != nil:
		return loadSetChain(*s.SetChain)
	}
	return nil
}

func (kernel) unmake(s Step) error {
	switch {
	case s.Rule != nil:
		return tolerate(changeRule(*s.Rule, false), unix.ENOENT)
	case s.NoRule != nil:
		return tolerate(changeRule(*s.NoRule, true), unix.EEXIST)
	case s.Route != nil:
		return changeRoute(*s.Route, false)
	case s.Address != nil:
		return changeAddress(*s.Address, false)
	case s.Proxy != nil:
		return changeProxy(*s.Proxy, false)
	case s.Sysctl != nil:
		return restoreSysctl(*s.Sysctl)
	case s.Ruleset != nil:
		return deleteRuleset(s.Ruleset.Name)
	case s.SetChain != nil:
		return deleteSetChain(*s.SetChain)
	}
	return nil
}

// tolerate makes no error of those that say that nothing was to be done.
func tolerate(err error, fine ...unix.Errno) error {
	for _, f := range fine {
		if errors.Is(err, f) {
			return nil
		}
	}
	return err
}

// linkOf looks a device up. ok is false when it is not there: then nothing
// that hung on it is, either.
func linkOf(device string) (link netlink.Link, ok bool, err error) {
	link, err = netlink.LinkByName(device)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return nil, false, nil
	}
	return link, err == nil, err
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func changeRoute(r Route, add bool) error {
	if r.Unreachable {
		return changeUnreachable(r, add)
	}
	link, ok, err := linkOf(r.Device)
	if err != nil || !ok && !add {
		return err
	}
	if !ok {
		return fmt.Errorf("there is no interface %s", r.Device)
	}
	route := &netlink.Route{
		Table:     int(r.Table),
		Dst:       ipNet(r.To),
		LinkIndex: link.Attrs().Index,
		Priority:  int(r.Metric),
		Protocol:  routeProtocol,
	}
	if !r.Via.IsValid() {
		route.Scope = unix.RT_SCOPE_LINK
	} else if r.Via.Is6() && r.To.Addr().Is4() {
		route.Via = &netlink.Via{AddrFamily: unix.AF_INET6, Addr: r.Via.AsSlice()}
	} else {
		route.Gw = r.Via.AsSlice()
	}
	if r.Source.IsValid() {
		route.Src = r.Source.AsSlice()
	}
	if r.OnLink {
		route.Flags = unix.RTNH_F_ONLINK
	}
	if !add {
		return tolerate(netlink.RouteDel(route), unix.ESRCH, unix.ENOENT, unix.ENODEV)
	}
	return tolerate(netlink.RouteAdd(route), unix.EEXIST)
}

func changeUnreachable(r Route, add bool) error {
	route := &netlink.Route{Table: int(r.Table), Dst: ipNet(r.To), Priority: int(r.Metric), Protocol: routeProtocol, Type: unix.RTN_UNREACHABLE}
	if !add {
		return tolerate(netlink.RouteDel(route), unix.ESRCH, unix.ENOENT)
	}
	return tolerate(netlink.RouteAdd(route), unix.EEXIST)
}

func changeAddress(a Address, add bool) error {
	link, ok, err := linkOf(a.Device)
	if err != nil || !ok && !add {
		return err
	}
	if !ok {
		return fmt.Errorf("there is no interface %s", a.Device)
	}
	addr := &netlink.Addr{IPNet: ipNet(a.Prefix)}
	if a.Prefix.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	if add {
		return tolerate(netlink.AddrAdd(link, addr), unix.EEXIST)
	}
	return tolerate(netlink.AddrDel(link, addr), unix.EADDRNOTAVAIL, unix.ENODEV)
}

func changeProxy(a Address, add bool) error {
	link, ok, err := linkOf(a.Device)
	if err != nil || !ok && !add {
		return err
	}
	if !ok {
		return fmt.Errorf("there is no interface %s", a.Device)
	}
	family := netlink.FAMILY_V4
	if a.Prefix.Addr().Is6() {
		family = netlink.FAMILY_V6
	}
	neighbour := &netlink.Neigh{
		LinkIndex: link.Attrs().Index,
		Family:    family,
		Flags:     netlink.NTF_PROXY,
		IP:        a.Prefix.Addr().AsSlice(),
	}
	if add {
		return tolerate(netlink.NeighAdd(neighbour), unix.EEXIST)
	}
	return tolerate(netlink.NeighDel(neighbour), unix.ENOENT, unix.ENODEV)
}

const sysctlRoot = "/proc/sys/"

func readSysctl(key string) (string, error) {
	value, err := os.ReadFile(sysctlRoot + key)
	return strings.TrimSpace(string(value)), err
}

func writeSysctl(key, value string) error {
	// Not created where it is missing.
	f, err := os.OpenFile(sysctlRoot+key, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(value)
	return errors.Join(err, f.Close())
}

// sysctl returns a parameter's value, and where it sets that of all devices
// theirs, by key.
func (kernel) sysctl(key string) (string, map[string]string, error) {
	value, err := readSysctl(key)
	if err != nil || key != forwarding6 {
		return value, nil, err
	}
	paths, err := filepath.Glob(sysctlRoot + strings.Replace(key, "/all/", "/*/", 1))
	siblings := map[string]string{}
	for _, path := range paths {
		sibling := strings.TrimPrefix(path, sysctlRoot)
		if old, err := readSysctl(sibling); err == nil && sibling != key {
			siblings[sibling] = old
		}
	}
	return value, siblings, err
}

// restoreSysctl puts the old value back, unless somebody has changed it since.
func restoreSysctl(s Sysctl) error {
	now, err := readSysctl(s.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone with its device
	}
	if err != nil {
		return err
	}
	if now != s.Value {
		return nil
	}
	if err := writeSysctl(s.Key, s.Old); err != nil {
		return err
	}
	var errs []error
	for key, old := range s.Siblings {
		if now, err := readSysctl(key); err != nil || now == old {
			continue
		}
		errs = append(errs, tolerate(writeSysctl(key, old), unix.ENOENT))
	}
	return errors.Join(errs...)
}
