package routing

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/linkwatch"
	"netcombiner/src/rtsock"
	"netcombiner/src/tundevice"
)

// undoByHand is what a damaged journal leaves to a person.
const undoByHand = "what `pfctl -s Anchors -v` shows as netcombiner, and what `netstat -rn -F` shows of each FIB with the flag 1,"

// kernel is a real FreeBSD host.
type kernel struct{}

func host() system { return newBSD(kernel{}) }

// boot is the kernel's random number of this start. A FreeBSD before 14 has none:
// there it is always the same, and journals of before are gone only because
// rc.d/cleanvar empties /var/run, unless somebody has switched it off.
func (kernel) boot() (string, error) {
	id, err := unix.SysctlRaw("kern.boot_id")
	if err != nil {
		return "", nil
	}
	return hex.EncodeToString(id), nil
}

func (kernel) lock(dir string) (func(), error) { return lockDir(dir) }

func (kernel) links() (links []Link, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("listing interfaces: %w", err)
	}
	for _, i := range all {
		const running = net.FlagUp | net.FlagRunning
		l := Link{Name: i.Name, Loopback: i.Flags&net.FlagLoopback != 0, Up: i.Flags&running == running, PointToPoint: i.Flags&net.FlagPointToPoint != 0}
		list, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, v6 := range []bool{false, true} {
			for _, a := range list {
				p, err := netip.ParsePrefix(a.String())
				if err == nil && p.Addr().Is6() == v6 && !p.Addr().IsLinkLocalUnicast() {
					l.Addrs = append(l.Addrs, p)
				}
			}
		}
		l.FIB, _ = linkwatch.FIBOf(i.Name)
		links = append(links, l)
	}
	return links, nil
}

func (kernel) fibs() (int, error) { return linkwatch.FIBs() }

func (kernel) routes(fib int) (routes []Route, err error) {
	all, err := linkwatch.Routes(fib)
	if err != nil {
		return nil, fmt.Errorf("listing the routes of FIB %d: %w", fib, err)
	}
	for _, r := range all {
		if r.Flags&(rtsock.Reject|rtsock.Blackhole) != 0 {
			continue
		}
		route := Route{Table: uint32(fib), To: r.Prefix, Via: r.Gateway, Device: r.Device}
		if !r.Source.IsLinkLocalUnicast() {
			route.Source = r.Source
		}
		routes = append(routes, route)
	}
	return routes, nil
}

// changeRoute marks what it adds by Proto1: netstat -rn shows the flag 1.
func (kernel) changeRoute(r Route, add bool) error {
	device, err := net.InterfaceByName(r.Device)
	if err != nil && !add {
		return nil // gone, and its routes with it
	}
	if err != nil {
		return fmt.Errorf("there is no interface %s", r.Device)
	}
	route := rtsock.Route{Prefix: r.To, Gateway: r.Via, Index: device.Index, Flags: rtsock.Static | rtsock.Proto1}
	if add {
		return linkwatch.ChangeRoute(int(r.Table), rtsock.RouteAdd, route)
	}
	err = linkwatch.ChangeRoute(int(r.Table), rtsock.RouteDelete, route)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

func (kernel) changeAlias(a Address, add bool) error {
	if add {
		return tundevice.AddAddress(a.Device, a.Prefix)
	}
	return tundevice.RemoveAddress(a.Device, a.Prefix)
}

func (kernel) sysctl(key string) (string, error) {
	n, err := unix.SysctlUint32(key)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", key, err)
	}
	return strconv.FormatUint(uint64(n), 10), nil
}

// setSysctl sets a number: all that are set here are.
func (kernel) setSysctl(key, value string) error {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil {
		return fmt.Errorf("setting %s: %w", key, err)
	}
	name, number := []byte(key), uint32(n)
	_, _, errno := unix.Syscall6(unix.SYS___SYSCTLBYNAME, uintptr(unsafe.Pointer(&name[0])), uintptr(len(name)), 0, 0,
		uintptr(unsafe.Pointer(&number)), unsafe.Sizeof(number))
	if errno != 0 {
		return fmt.Errorf("setting %s to %s: %w", key, value, errno)
	}
	return nil
}

// leasesMax bounds what is read of a file of leases, in bytes. dhclient(8) writes
// one anew with each of its starts.
const leasesMax = 1 << 20

func (kernel) nextHops(devices []string) map[string][]netip.Addr {
	list, _ := run("", "/usr/sbin/ndp", "-rn") // without IPv6 there are none
	hops := advertisedRouters(list)
	for _, device := range devices {
		f, err := os.Open("/var/db/dhclient.leases." + device)
		if err != nil {
			continue
		}
		leases, err := io.ReadAll(io.LimitReader(f, leasesMax))
		f.Close()
		if err == nil {
			hops[device] = append(hops[device], leasedRouters(string(leases))...)
		}
	}
	return hops
}

func (kernel) pfctl(stdin string, args ...string) (string, error) {
	return run(stdin, "/sbin/pfctl", args...)
}

// toolTime bounds how long one of the host's tools may take.
const toolTime = 10 * time.Second

// run runs a tool of the host's. Of one that fails the error is what it says.
func run(stdin, tool string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), toolTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C") // it is read
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("%s is not here", path.Base(tool))
	}
	if err != nil {
		said := strings.TrimSpace(complaint.String())
		if said == "" {
			said = strings.TrimSpace(out.String())
		}
		return "", fmt.Errorf("%s: %w: %s", tool, err, said)
	}
	return out.String(), nil
}
