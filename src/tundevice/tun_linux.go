package tundevice

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"netcombiner/src/superpacket"
)

// CleanUp has nothing to do: a TUN goes with its process.
func CleanUp(string) (undone []string, err error) { return nil, nil }

const clonePath = "/dev/net/tun"

func create(name string, o Options) (*TUN, error) {
	fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, explainOpen(err)
	}
	request, err := unix.NewIfreq(name)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("interface name %q: %w", name, err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return nil, explainSetIff(name, err)
	}
	// An interface that was there before remembers what its last user set.
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, superpacket.HeaderSize); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("interface %s: setting the length of its virtio-net header: %w", name, err)
	}
	if err := setQueue(name); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return fromFD(fd, o)
}

// queueLength is how many packets the kernel keeps until they are read. The
// default of 500 is less than the burst that a flow of 100 Mbit/s sends when the
// packet came that all others had waited for.
const queueLength = 2000

func setQueue(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil && link.Attrs().TxQLen < queueLength {
		err = netlink.LinkSetTxQLen(link, queueLength)
	}
	if err != nil {
		return fmt.Errorf("interface %s: setting the length of its queue: %w", name, err)
	}
	return nil
}

func fromFile(f *os.File, o Options) (*TUN, error) {
	// A file of our own on the same description: f may be in blocking mode,
	// in which Close would not end a Read.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	f.Close()
	if err != nil {
		return nil, err
	}
	return fromFD(fd, o)
}

// fromFD takes fd over.
func fromFD(fd int, o Options) (*TUN, error) {
	if err := unix.SetNonblock(fd, true); err != nil { // before NewFile, which looks
		unix.Close(fd)
		return nil, err
	}
	t := &TUN{system: system{f: os.NewFile(uintptr(fd), clonePath)}}
	if err := t.adopt(fd, o); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *TUN) adopt(fd int, o Options) error {
	request, err := unix.NewIfreq("")
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.TUNGETIFF, request)
	}
	if err != nil {
		return err
	}
	t.name = request.Name()
	if request.Uint16()&unix.IFF_VNET_HDR == 0 {
		return fmt.Errorf("interface %s: its file has no virtio-net header", t.name)
	}
	if err := t.start(o); err != nil {
		return err
	}
	if err := t.offload(fd, o.Offload); err != nil {
		return err
	}
	return t.SetMTU(o.MTU)
}

func setMTU(name string, mtu int) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	if link.Attrs().MTU == mtu {
		return nil
	}
	if err := netlink.LinkSetMTU(link, mtu); err != nil {
		return fmt.Errorf("interface %s: setting the MTU to %d: %w", name, mtu, err)
	}
	return nil
}

// gone says whether err is what the file of a deleted interface answers.
func gone(err error) bool {
	return errors.Is(err, unix.EBADFD)
}

func explainOpen(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%s is not there: load the tun module (modprobe tun; on OpenWrt install kmod-tun): %w", clonePath, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return fmt.Errorf("no privilege to open %s: run as root: %w", clonePath, err)
	}
	return fmt.Errorf("opening %s: %w", clonePath, err)
}

// explainKind says why an interface that exists cannot be ours.
func explainKind(name string, err error) error {
	link, _ := netlink.LinkByName(name)
	if tun, ok := link.(*netlink.Tuntap); ok && tun.Mode == netlink.TUNTAP_MODE_TUN && tun.Flags&netlink.TUNTAP_MULTI_QUEUE != 0 {
		return fmt.Errorf("interface %s exists with several queues, of which others may be in use: make it without multi_queue, or remove it (ip link del %s): %w", name, name, err)
	}
	return fmt.Errorf("interface %s exists and is not a TUN: choose another name: %w", name, err)
}

func explainSetIff(name string, err error) error {
	switch {
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("interface %s is in use: another process holds it (netcombiner down %s ends ours): %w", name, name, err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("no privilege to create interface %s: run as root, or with CAP_NET_ADMIN: %w", name, err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EEXIST):
		return explainKind(name, err)
	}
	return fmt.Errorf("creating interface %s: %w", name, err)
}
