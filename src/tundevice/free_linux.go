package tundevice

import (
	"errors"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Free says why no TUN could have the name; nil: one could. It makes none. A TUN that
// somebody made to last would be taken as it is.
func Free(name string) error {
	link, err := netlink.LinkByName(name)
	if missing := (netlink.LinkNotFoundError{}); errors.As(err, &missing) {
		return CheckName(name)
	}
	tun, ok := link.(*netlink.Tuntap)
	if err != nil || ok && tun.Mode == netlink.TUNTAP_MODE_TUN && tun.Flags&netlink.TUNTAP_MULTI_QUEUE == 0 {
		return err
	}
	return explainKind(name, unix.EEXIST)
}
