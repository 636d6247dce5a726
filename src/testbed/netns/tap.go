//go:build linux

package netns

import (
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// TAP makes a TAP interface in the namespace, up, and returns its
// non-blocking descriptor. With the descriptor the interface goes.
//
// It has no virtio-net header, so the kernel cuts super-packets and fills in
// checksums before it hands frames over: what is read is what a cable carries.
func (n *Namespace) TAP(device string, mtu int, hardware net.HardwareAddr) (fd int, err error) {
	err = n.Do(func() error {
		// The interface comes to be where the descriptor was opened.
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() {
			if err != nil {
				unix.Close(fd)
			}
		}()
		var ifr *unix.Ifreq
		if ifr, err = unix.NewIfreq(device); err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		if err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
			return err
		}
		var l netlink.Link
		if l, err = netlink.LinkByName(device); err != nil {
			return err
		}
		for _, set := range []func() error{
			func() error { return netlink.LinkSetHardwareAddr(l, hardware) },
			func() error { return netlink.LinkSetMTU(l, mtu) },
			func() error { return netlink.LinkSetTxQLen(l, 1000) },
			func() error { return netlink.LinkSetUp(l) },
		} {
			if err = set(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return -1, fmt.Errorf("%s: TAP %s: %w", n.Name, device, err)
	}
	return fd, nil
}
