package routing

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// forget deletes connections from the kernel's table.
func (kernel) forget(f forgotten) error {
	var errs []error
	for _, family := range []netlink.InetFamily{unix.AF_INET, unix.AF_INET6} {
		_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, family, conntrackFilter{&f})
		if errors.Is(err, netlink.ErrDumpInterrupted) {
			err = nil // what came or went meanwhile is not meant
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("connections that began in the tunnel cannot be forgotten and will stall (OpenWrt: install kmod-nf-conntrack-netlink): %w", err)
	}
	return nil
}

type conntrackFilter struct{ *forgotten }

func (c conntrackFilter) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	from, to, reply := addrOf(flow.Forward.SrcIP), addrOf(flow.Forward.DstIP), addrOf(flow.Reverse.DstIP)
	return c.match(from, to, reply, flow.Mark)
}

func addrOf(ip net.IP) netip.Addr {
	a, _ := netip.AddrFromSlice(ip)
	return a.Unmap()
}
