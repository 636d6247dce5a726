package routing

import "net/netip"

// Means are those that the modes nat and portal, and Egress = pf, need here.
func Means() []Mean { return newBSD(kernel{}).means() }

// LendFIB has the last FIB lead to a subnet by a device, for a socket to try
// (SO_SETFIB), until giveBack. Its error says what to do on a host that has but one.
func LendFIB(device string, to netip.Prefix) (fib int, giveBack func() error, err error) {
	return newBSD(kernel{}).lend(Route{To: to.Masked(), Device: device})
}
