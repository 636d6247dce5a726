package ip

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"unsafe"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
	"netcombiner/src/transport/transporttest"
	"netcombiner/src/tundevice/tuntest"
	"netcombiner/src/udpsocket"
)

var addresses = []string{"10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4", "fd00:9::1", "fd00:9::2", "fd00:9::3", "fd00:9::4"}

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		os.Stdout.WriteString("skipped: raw sockets need root\n")
		os.Exit(0)
	}
	var all []netip.Prefix
	for _, a := range addresses {
		addr := netip.MustParseAddr(a)
		all = append(all, netip.PrefixFrom(addr, addr.BitLen()))
	}
	if err := tuntest.Loopback(all...); err != nil {
		panic(err)
	}
	// Where there is an ipfw, it drops what is tested; see TestIPFWDropsIt.
	restore := func() {}
	if was, err := unix.SysctlUint32(ipfwDrops); err == nil {
		setSysctl(ipfwDrops, 0)
		restore = func() { setSysctl(ipfwDrops, was) }
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) { restore(); os.Exit(status) }))
}

const ipfwDrops = "net.inet6.ip6.fw.deny_unknown_exthdrs"

// setSysctl does what sysctl(8) would, which a bare kernel has not.
func setSysctl(name string, value uint32) {
	_, _, errno := unix.Syscall6(unix.SYS___SYSCTLBYNAME, uintptr(unsafe.Pointer(unsafe.StringData(name))), uintptr(len(name)), 0, 0, uintptr(unsafe.Pointer(&value)), 4)
	if errno != 0 {
		panic(fmt.Errorf("%s: %w", name, errno))
	}
}

// An ipfw that drops what goes is told of, and how to let it pass.
func TestIPFWDropsIt(t *testing.T) {
	if _, err := unix.SysctlUint32(ipfwDrops); err != nil {
		t.Skip("no ipfw here")
	}
	setSysctl(ipfwDrops, 1)
	defer setSysctl(ipfwDrops, 0)
	if _, err := New(nil).Dial(t.Context(), transport.Bind{}, portless("fd00:9::1")); err == nil || !strings.Contains(err.Error(), "ipfw drops IPv6 packets of protocol 253: sysctl "+ipfwDrops+"=0 lets them pass") {
		t.Errorf("IPv6: %v", err)
	}
	f, err := New(nil).Dial(t.Context(), transport.Bind{}, portless("10.9.0.1"))
	if err != nil {
		t.Fatalf("IPv4: %v", err)
	}
	f.Close()
}

func portless(addr string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), 0) }

// The kernel's raw sockets keep the contract. Both ends are on one host, where a
// wildcard would have the answers, too: for that see TestBothVersions.
func TestContract(t *testing.T) {
	for _, test := range []struct {
		name, at, network string
		options           udpsocket.Options
	}{
		{"IPv4", "10.9.0.1", "10.9.0.", udpsocket.Options{}},
		{"IPv4OneByOne", "10.9.0.1", "10.9.0.", udpsocket.Options{OneByOne: true}},
		{"IPv6", "fd00:9::1", "fd00:9::", udpsocket.Options{}},
		{"IPv6OneByOne", "fd00:9::1", "fd00:9::", udpsocket.Options{OneByOne: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Setup {
				tr := New(nil)
				tr.options = test.options
				from := func(host string) transport.Bind {
					return transport.Bind{Addr: netip.MustParseAddr(test.network + host)}
				}
				target := netip.MustParseAddr(test.network + "1")
				return transporttest.Setup{
					Dialer: tr, Listener: tr, Portless: true,
					At: portless(test.at), Target: target,
					Bind: from("2"), More: [2]transport.Bind{from("3"), from("4")},
					Longest: 16384 - tr.Overhead(target),
				}
			})
		})
	}
}

// On :: there is a flow for each IP version.
func TestBothVersions(t *testing.T) {
	l, err := New(nil).Listen(t.Context(), portless("::"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, to := range []string{"fd00:9::1", "10.9.0.1"} {
		f, err := New(nil).Dial(t.Context(), transport.Bind{}, portless(to))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.Send([]transport.Message{{Buf: []byte("question")}}); err != nil {
			t.Fatal(err)
		}
		at, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ms := []transport.Message{{Buf: make([]byte, 100)}}
		if _, err := at.Receive(ms); err != nil || ms[0].Remote != f.Local() || ms[0].Local != portless(to) || string(ms[0].Buf[:ms[0].N]) != "question" {
			t.Errorf("%q from %v to %v, %v", ms[0].Buf[:ms[0].N], ms[0].Remote, ms[0].Local, err)
		}
	}
}

// What does not fit the interface is refused, never sent in fragments.
func TestTooLongIsRefused(t *testing.T) {
	for _, to := range []string{"10.9.0.1", "fd00:9::1"} {
		f, err := New(nil).Dial(t.Context(), transport.Bind{}, portless(to))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		longest := 16384 - New(nil).Overhead(netip.MustParseAddr(to))
		for size, refused := range map[int]bool{longest: false, longest + 1: true} {
			_, err := f.Send([]transport.Message{{Buf: make([]byte, size)}})
			if _, is := errors.AsType[*transport.RefusedError](err); is != refused || err != nil && !refused {
				t.Errorf("%d bytes to %s: %v", size, to, err)
			}
			if refused && !strings.Contains(err.Error(), "message too long") {
				t.Errorf("%v", err)
			}
		}
	}
}
