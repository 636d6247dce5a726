package tuntest

import (
	"net"
	"net/netip"

	"netcombiner/src/tundevice"
)

// Loopback readies FreeBSD's lo0 for tests: up, which nobody has done yet where
// they are the init of a bare kernel, and with further addresses. On Linux, where
// namespaces are for that, it does nothing.
func Loopback(more ...netip.Prefix) error {
	lo, err := net.InterfaceByName("lo0")
	if err != nil {
		return nil
	}
	if lo.Flags&net.FlagUp == 0 {
		more = append(more, netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128"))
	}
	if len(more) == 0 {
		return nil
	}
	_, err = tundevice.Configure(lo.Name, more, 0)
	return err
}
