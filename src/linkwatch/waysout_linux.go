package linkwatch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// WaysOut returns the devices by which a default route of the main table goes, each once,
// the route of the lowest metric first.
func WaysOut() (devices []string, err error) {
	main := &netlink.Route{Table: unix.RT_TABLE_MAIN}
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_ALL, main, netlink.RT_FILTER_TABLE)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	routes = slices.DeleteFunc(routes, func(r netlink.Route) bool {
		anywhere := r.Dst == nil || r.Dst.IP.IsUnspecified() && len(r.Dst.Mask) > 0 && r.Dst.Mask[0] == 0
		return !anywhere || r.Type != unix.RTN_UNICAST
	})
	slices.SortStableFunc(routes, func(a, b netlink.Route) int { return cmp.Compare(a.Priority, b.Priority) })
	for _, r := range routes {
		indices := []int{r.LinkIndex}
		for _, hop := range r.MultiPath {
			indices = append(indices, hop.LinkIndex)
		}
		for _, index := range indices {
			l, err := netlink.LinkByIndex(index)
			if err == nil && l.Attrs().Flags&unix.IFF_LOOPBACK == 0 && !slices.Contains(devices, l.Attrs().Name) {
				devices = append(devices, l.Attrs().Name)
			}
		}
	}
	return devices, nil
}
