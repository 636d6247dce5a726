package tundevice

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests that package unix does not know, or by an older layout.
const (
	siocAIFADDR    = 0x8044692b // of struct in_aliasreq
	siocAIFADDRin6 = 0x8088691b // of struct in6_aliasreq
	siocDIFADDRin6 = 0x81206919 // of struct in6_ifreq
)

// ioctl has the kernel carry out a request, whose answer comes in the same bytes.
func ioctl(family int, request uintptr, b []byte) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&b[0]))); errno != 0 {
		return errno
	}
	return nil
}

func setMTU(name string, mtu int) error {
	if err := ioctl(unix.AF_INET, unix.SIOCSIFMTU, numberRequest(name, mtu)); err != nil {
		return fmt.Errorf("interface %s: setting the MTU to %d: %w", name, mtu, err)
	}
	return nil
}

func addAddress(name string, prefix netip.Prefix) error {
	if prefix.Addr().Is6() {
		return explainIPv6(ioctl(unix.AF_INET6, siocAIFADDRin6, aliasRequest(name, prefix)))
	}
	return ioctl(unix.AF_INET, siocAIFADDR, aliasRequest(name, prefix))
}

func removeAddress(name string, prefix netip.Prefix) error {
	var err error
	if prefix.Addr().Is6() {
		err = ioctl(unix.AF_INET6, siocDIFADDRin6, addressRequest(name, prefix.Addr()))
	} else {
		err = ioctl(unix.AF_INET, unix.SIOCDIFADDR, addressRequest(name, prefix.Addr()))
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return nil // gone already
	}
	return err
}

func explainIPv6(err error) error {
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return fmt.Errorf("this kernel has no IPv6: leave it out of Address: %w", err)
	}
	return err
}

// setUp sets or clears the flag. The first address has brought a TUN up already.
func setUp(name string, up bool) error {
	flags := numberRequest(name, 0)
	if err := ioctl(unix.AF_INET, unix.SIOCGIFFLAGS, flags); err != nil {
		return err
	}
	set := numberIn(flags) &^ unix.IFF_UP
	if up {
		set |= unix.IFF_UP
	}
	return ioctl(unix.AF_INET, unix.SIOCSIFFLAGS, numberRequest(name, set))
}

// quiet has nothing to do: nobody asks for routers here but rtsol(8).
func quiet(string) (undo func() error) { return func() error { return nil } }

// look finds out about an interface. One that is not there is an error, unix.ENXIO.
func look(name string) (f found, err error) {
	if f.groups, err = groupsOf(name); err != nil {
		return found{}, err
	}
	status := request(name, sizeStatus)
	if ioctl(unix.AF_INET, unix.SIOCGIFSTATUS, status) == nil { // what is no TUN has none
		f.holder = holderIn(cString(status[requestName:]))
	}
	return f, nil
}

// groupsOf asks twice, as the interface is: how long the list is, and for the list.
func groupsOf(name string) ([]string, error) {
	ask := request(name, sizeGroup)
	if err := ioctl(unix.AF_INET, unix.SIOCGIFGROUP, ask); err != nil {
		return nil, err
	}
	length := binary.NativeEndian.Uint32(ask[requestName:])
	if length == 0 {
		return nil, nil
	}
	list := make([]byte, length)
	*(*unsafe.Pointer)(unsafe.Pointer(&ask[24])) = unsafe.Pointer(&list[0])
	if err := ioctl(unix.AF_INET, unix.SIOCGIFGROUP, ask); err != nil {
		return nil, err
	}
	return groupNames(list), nil
}

func mark(name string) error {
	err := ioctl(unix.AF_INET, unix.SIOCAIFGROUP, groupRequest(name, Mark))
	if errors.Is(err, unix.EEXIST) {
		return nil
	}
	return err
}

// destroy removes an interface that no process holds.
func destroy(name string) error {
	err := ioctl(unix.AF_INET, unix.SIOCIFDESTROY, request(name, sizeRequest))
	if errors.Is(err, unix.ENXIO) {
		return nil
	}
	return err
}
