package linkwatch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/rtsock"
)

var kernel = bsd{interfaces: listInterfaces, routes: listRoutes, fibs: FIBs, flags6: flags6}

// State says whether the device exists, and whether it is up: administratively,
// running, and with a carrier, or of a kind that knows none.
func State(device string) (exists, up bool, err error) { return kernel.state(device) }

// Addrs returns the addresses of a device that a path may use as its source,
// the oldest first: not those of link scope, and of IPv6 not the deprecated,
// duplicated, detached or anycast ones or those whose uniqueness is not yet
// proved. A device that does not exist has none, which is no error.
func Addrs(device string) ([]netip.Addr, error) { return kernel.addrs(device) }

// DeviceOf returns the name of the device that holds addr, or "" when none
// does.
func DeviceOf(addr netip.Addr) (string, error) { return kernel.deviceOf(addr) }

// WaysOut returns the devices by which a default route of any FIB goes, each
// once, those of FIB 0 first.
func WaysOut() (devices []string, err error) { return kernel.waysOut() }

// Routes returns the routes of a FIB, 0 to FIBs()-1, of IPv4 and IPv6, with
// their Device.
func Routes(fib int) ([]rtsock.Route, error) { return kernel.routesOf(fib) }

// Tables is for nftables, which FreeBSD has not: there is nothing to tell.
func Tables(context.Context, func(table string) bool) (<-chan struct{}, error) { return nil, nil }

// FIBs is how many FIBs there are, 1 or more: sysctl net.fibs.
func FIBs() (int, error) {
	n, err := unix.SysctlUint32("net.fibs")
	if err != nil {
		return 0, fmt.Errorf("sysctl net.fibs: %w", err)
	}
	return int(n), nil
}

// FIBOf is the FIB that a device's own traffic and connected routes are in:
// ifconfig em1 fib 1.
func FIBOf(device string) (int, error) {
	request := struct {
		name [unix.IFNAMSIZ]byte
		fib  uint32
		_    [12]byte
	}{}
	copy(request.name[:len(request.name)-1], device)
	if err := ask(unix.AF_INET, unix.SIOCGIFFIB, unsafe.Pointer(&request)); err != nil {
		return 0, fmt.Errorf("the FIB of %s: %w", device, err)
	}
	return int(request.fib), nil
}

// ChangeRoute adds a route to a FIB, deletes it or changes its gateway: kind is
// rtsock.RouteAdd, RouteDelete or RouteChange. The error wraps the kernel's:
// unix.EEXIST of a route that is there, ESRCH of one that is not, ENETUNREACH
// of a gateway that no route leads to.
func ChangeRoute(fib int, kind rtsock.Kind, r rtsock.Route) error {
	fd, err := routingSocket(fib)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// We want no answer: the write's error is one.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_USELOOPBACK, 0)
	if _, err := unix.Write(fd, rtsock.AppendRoute(nil, kind, r, 1)); err != nil {
		doing := map[rtsock.Kind]string{rtsock.RouteAdd: "adding", rtsock.RouteDelete: "deleting", rtsock.RouteChange: "changing"}[kind]
		return fmt.Errorf("%s the route %v in FIB %d: %w", doing, r, fib, err)
	}
	return nil
}

// routingSocket opens a socket that hears of one FIB's routes and changes them.
func routingSocket(fib int) (int, error) {
	fd, err := unix.Socket(unix.AF_ROUTE, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.AF_UNSPEC)
	if err != nil {
		return -1, fmt.Errorf("opening a routing socket: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SETFIB, fib); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("a routing socket for FIB %d: %w", fib, err)
	}
	return fd, nil
}

// What sysctl net.routetable, alias {CTL_NET, PF_ROUTE}, is asked for.
const (
	dumpRoutes     = 1 // NET_RT_DUMP
	dumpInterfaces = 3 // NET_RT_IFLIST
)

func listInterfaces() ([]byte, error) { return dump(0, 0, dumpInterfaces, 0) }

func listRoutes(fib int) ([]byte, error) { return dump(0, 0, dumpRoutes, 0, fib) }

// dump reads a list that may grow between the question how long it is and the
// reading.
func dump(args ...int) (b []byte, err error) {
	for range 5 {
		if b, err = unix.SysctlRaw("net.routetable", args...); !errors.Is(err, unix.ENOMEM) {
			break
		}
	}
	return b, os.NewSyscallError("sysctl net.routetable", err)
}

// flags6 asks by struct in6_ifreq: the device's name, then sockaddr_in6, which
// the flags replace; and room for more than that.
func flags6(device string, addr netip.Addr) (uint32, error) {
	const siocgifaflag = 0xc1206949 // SIOCGIFAFLAG_IN6
	request := struct {
		name [unix.IFNAMSIZ]byte
		addr unix.RawSockaddrInet6
		_    [288 - unix.IFNAMSIZ - unix.SizeofSockaddrInet6]byte
	}{addr: unix.RawSockaddrInet6{Len: unix.SizeofSockaddrInet6, Family: unix.AF_INET6, Addr: addr.As16()}}
	copy(request.name[:len(request.name)-1], device)
	err := ask(unix.AF_INET6, siocgifaflag, unsafe.Pointer(&request))
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENXIO) {
		err = errGone
	}
	return *(*uint32)(unsafe.Pointer(&request.addr)), err
}

// ask makes an ioctl by a socket of a family.
func ask(family int, request uintptr, argument unsafe.Pointer) error {
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
