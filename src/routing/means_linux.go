package routing

import (
	"errors"
	"fmt"
	"net/netip"
)

// Means are those that the modes nat and portal need here.
func Means() []Mean {
	tables := Mean{Name: "nft", Found: "tables can be made"}
	if tables.Missing = (kernel{}).check([]Step{{Ruleset: &Ruleset{}}}); tables.Missing == nil {
		if _, err := nft("", "list", "tables"); err != nil {
			tables.Missing = fmt.Errorf("it does not work: %w: run as root, and on a kernel with nf_tables (modprobe nf_tables)", err)
		}
	}
	const key = "net/ipv4/ip_forward"
	forward := Mean{Name: "forwarding"}
	value, err := readSysctl(key)
	forward.Found = fmt.Sprintf("%s is %s, and is switched on where Routing needs it", key, value)
	if err == nil {
		err = writeSysctl(key, value) // as it is
	}
	if err != nil {
		forward.Missing = fmt.Errorf("%s%s cannot be changed (%w): run as root; a container needs the privilege, or --sysctl net.ipv4.ip_forward=1 from outside", sysctlRoot, key, err)
	}
	return []Mean{tables, forward}
}

// LendFIB is for FreeBSD; here it is errors.ErrUnsupported.
func LendFIB(string, netip.Prefix) (fib int, giveBack func() error, err error) {
	return 0, nil, errors.ErrUnsupported
}
