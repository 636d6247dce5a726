package routing

import (
	"net/netip"
	"slices"
	"strings"
)

// Next hops that FreeBSD knows and has in no routing table: of a second WAN's DHCP
// lease, and of routers that a second WAN has heard advertise.

// leasedRouters reads a file of dhclient(8), /var/db/dhclient.leases.em0: the
// routers of its last lease. Where that has none, or is not IPv4, there are none.
func leasedRouters(leases string) (routers []netip.Addr) {
	for line := range strings.Lines(leases) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "lease ") || line == "lease{" {
			routers = nil
		}
		list, ok := strings.CutPrefix(line, "option routers ")
		if !ok {
			continue
		}
		routers = nil
		for word := range strings.SplitSeq(strings.TrimSuffix(list, ";"), ",") {
			if a, err := netip.ParseAddr(strings.TrimSpace(word)); err == nil && a.Is4() && !a.IsUnspecified() {
				routers = append(routers, a)
			}
		}
	}
	return routers
}

// advertisedRouters reads what `ndp -rn` prints: fe80::1%em0 if=em0, flags=…,
// by device.
func advertisedRouters(list string) map[string][]netip.Addr {
	all := map[string][]netip.Addr{}
	for line := range strings.Lines(list) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		text, _, _ := strings.Cut(words[0], "%")
		a, err := netip.ParseAddr(text)
		device, ok := strings.CutPrefix(strings.TrimSuffix(words[1], ","), "if=")
		if err == nil && ok && a.Is6() && !a.Is4In6() && device != "" && !slices.Contains(all[device], a) {
			all[device] = append(all[device], a)
		}
	}
	return all
}
