package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"netcombiner/src/linkwatch"
	"netcombiner/src/rtsock"
	"netcombiner/src/tundevice"
	"netcombiner/src/tundevice/tuntest"
)

// Words for scripts on FreeBSD, which has no namespaces but jails with a network
// stack of their own:
//
//	jail NAME N…     make a jail, and for each N a cable of two ends: wanN here,
//	                 ispN in the jail; what is run with NC_JAIL=$NAME runs in it
//	address DEV A…   a program: give an interface addresses, and bring it up
//	fibs N           have at least so many routing tables
//	gateway A        a program: make a default route
//	link DEV up|down a program
//	pf on|off
//	release DEV      a program: take an interface's addresses away, as dhclient(8) does
//	inside PROG …    a program: run one of the system's in the jail
//	echo A:P         a program: send all datagrams back that come there
//	ask A:P N        a program: send N datagrams there, until all have come back

func init() {
	words["jail"], words["fibs"], words["pf"] = cmdJail, cmdFIBs, cmdPF
	programs["gateway"] = inJail(func(args []string) error {
		gateway := netip.MustParseAddr(args[0])
		everywhere, err := gateway.Prefix(0)
		if err != nil {
			return err
		}
		return linkwatch.ChangeRoute(0, rtsock.RouteAdd, rtsock.Route{Prefix: everywhere, Gateway: gateway})
	})
	programs["link"] = inJail(func(args []string) error { return setLink(args[0], args[1] == "up") })
	programs["release"] = inJail(func(args []string) error {
		device, err := net.InterfaceByName(args[0])
		if err != nil {
			return err
		}
		all, err := device.Addrs()
		for _, a := range all {
			err = errors.Join(err, tundevice.RemoveAddress(args[0], netip.MustParsePrefix(a.String())))
		}
		return err
	})
	programs["address"] = inJail(func(args []string) error {
		var all []netip.Prefix
		for _, a := range args[1:] {
			all = append(all, netip.MustParsePrefix(a))
		}
		_, err := tundevice.Configure(args[0], all, 0)
		return err
	})
	programs["inside"] = inJail(func(args []string) error {
		path, err := exec.LookPath(args[0])
		if err != nil {
			return err
		}
		return unix.Exec(path, args, os.Environ())
	})
	programs["echo"] = inJail(echo)
	programs["ask"] = inJail(question)
	jailed, _ := unix.SysctlUint32("security.jail.jailed") // as the child of a process that is
	if jid := os.Getenv("NC_JAIL"); jid != "" && jailed == 0 {
		n, _ := strconv.Atoi(jid)
		if _, _, errno := unix.RawSyscall(unix.SYS_JAIL_ATTACH, uintptr(n), 0, 0); errno != 0 {
			panic(errno)
		}
	}
}

func inJail(do func(args []string) error) func() {
	return func() {
		if err := do(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// jails is held by the script that has one: they all want the same links, and one pf.
var jails sync.Mutex

func cmdJail(ts *testscript.TestScript, _ bool, args []string) {
	if ts.Getenv("HAS_JAILS") == "" {
		jails.Lock()
		ts.Defer(jails.Unlock)
		ts.Setenv("HAS_JAILS", "yes")
	}
	ts.Check(tuntest.Loopback())
	jid, err := newJail(args[0])
	ts.Check(err)
	ts.Defer(func() { _, _, _ = unix.Syscall(unix.SYS_JAIL_REMOVE, uintptr(jid), 0, 0) })
	ts.Setenv(args[0], strconv.Itoa(jid))
	for _, n := range args[1:] {
		here, err := change(unix.SIOCIFCREATE, "epair", nil)
		ts.Check(err)
		there := here[:len(here)-1] + "b"
		_, err = change(siocSIFVNET, there, binary.NativeEndian.AppendUint32(nil, uint32(jid)))
		ts.Check(err)
		ts.Check(rename(here, "wan"+n))
		ts.Defer(func() { _, _ = change(unix.SIOCIFDESTROY, "wan"+n, nil) })
		ts.Setenv("isp"+n, there)
	}
}

func cmdFIBs(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	have, err := linkwatch.FIBs()
	ts.Check(err)
	if have < want {
		ts.Check(setSysctl("net.fibs", uint32(want)))
	}
}

// cmdPF switches pf, which may be on or off already; at the script's end it is off.
func cmdPF(ts *testscript.TestScript, _ bool, args []string) {
	off := func() { _ = exec.Command("pfctl", "-q", "-d").Run() }
	if args[0] == "off" {
		off()
		return
	}
	_ = exec.Command("pfctl", "-q", "-e").Run()
	ts.Defer(off)
}

func setSysctl(name string, value uint32) error {
	_, _, errno := unix.Syscall6(unix.SYS___SYSCTLBYNAME, uintptr(unsafe.Pointer(unsafe.StringData(name))), uintptr(len(name)), 0, 0, uintptr(unsafe.Pointer(&value)), 4)
	if errno != 0 {
		return fmt.Errorf("%s=%d: %w", name, value, errno)
	}
	return nil
}

func setLink(device string, up bool) error {
	b, err := changed(unix.SIOCGIFFLAGS, device, nil)
	if err != nil {
		return err
	}
	flags := binary.NativeEndian.Uint32(b[16:]) &^ unix.IFF_UP
	if up {
		flags |= unix.IFF_UP
	}
	_, err = changed(unix.SIOCSIFFLAGS, device, binary.NativeEndian.AppendUint32(nil, flags))
	return err
}

const siocSIFVNET = 0xc020695a // net/if.h

// newJail makes a jail that stays without a process, and sees all files.
func newJail(name string) (jid int, err error) {
	pairs := [][]byte{
		[]byte("path\x00"), []byte("/\x00"),
		[]byte("name\x00"), []byte(name + "\x00"),
		[]byte("vnet\x00"), {1, 0, 0, 0},
		[]byte("persist\x00"), nil,
		[]byte("allow.raw_sockets\x00"), nil,
	}
	var iov []unix.Iovec
	for _, p := range pairs {
		v := unix.Iovec{Base: unsafe.SliceData(p)}
		v.SetLen(len(p))
		iov = append(iov, v)
	}
	const create = 1
	n, _, errno := unix.Syscall(unix.SYS_JAIL_SET, uintptr(unsafe.Pointer(&iov[0])), uintptr(len(iov)), create)
	if errno != 0 {
		return 0, fmt.Errorf("jail %s: %w", name, errno)
	}
	return int(n), nil
}

// change asks something of an interface by a struct ifreq, and returns the name in it.
func change(request uintptr, device string, value []byte) (string, error) {
	b, err := changed(request, device, value)
	return string(bytes.TrimRight(b[:16], "\x00")), err
}

func changed(request uintptr, device string, value []byte) (b [32]byte, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return b, err
	}
	defer unix.Close(fd)
	copy(b[:15], device)
	copy(b[16:], value)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(unsafe.Pointer(&b))); errno != 0 {
		return b, fmt.Errorf("%s: request %#x: %w", device, request, errno)
	}
	return b, nil
}

func rename(device, name string) error {
	var fresh [16]byte
	copy(fresh[:15], name)
	_, err := change(unix.SIOCSIFNAME, device, binary.NativeEndian.AppendUint64(nil, uint64(uintptr(unsafe.Pointer(&fresh)))))
	return err
}

func echo(args []string) error {
	at := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(args[0]))
	c, err := net.ListenUDP("udp", at)
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		c, err = net.ListenUDP("udp", at) // the address comes with the tunnel
	}
	for b := make([]byte, 2000); err == nil; {
		var n int
		var from netip.AddrPort
		if n, from, err = c.ReadFromUDPAddrPort(b); err == nil {
			_, err = c.WriteToUDPAddrPort(b[:n], from)
		}
	}
	return err
}

func question(args []string) error {
	c, err := net.Dial("udp", args[0])
	if err != nil {
		return err
	}
	want, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	came, b := 0, make([]byte, 2000)
	for end := time.Now().Add(60 * time.Second); came < want; {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d came back", came, want)
		}
		text := fmt.Appendf(nil, "question %d %s", came, bytes.Repeat([]byte("."), 1000))
		_, err := c.Write(text)
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		for n := 0; err == nil && !bytes.Equal(b[:n], text); { // an earlier one may be late
			n, err = c.Read(b)
		}
		if err == nil {
			came++
		}
	}
	fmt.Println(came, "came back")
	return nil
}
