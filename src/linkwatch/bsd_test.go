package linkwatch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/rtsock"
)

// The messages that follow are made by the structures of FreeBSD's net/if.h.
// Flags of a device:
const (
	iffUp       = 0x1
	iffLoopback = 0x8
	iffRunning  = 0x40
	carrierLost = 1
	carrier     = 2
)

// ofDevice makes a message: what all begin with, addresses i32, flags i32,
// index u16; zeros up to size; sockaddrs.
func ofDevice(kind byte, size, index, flags int, set byte, sockaddrs ...byte) []byte {
	b := append(make([]byte, size), sockaddrs...)
	binary.LittleEndian.PutUint16(b, uint16(len(b)))
	b[2], b[3], b[4] = 5, kind, set
	binary.LittleEndian.PutUint32(b[8:], uint32(flags))
	binary.LittleEndian.PutUint16(b[12:], uint16(index))
	return b
}

// device makes the message that tells what a device is like; without a name as
// a socket has it.
func device(index int, name string, flags int, state byte) []byte {
	var set byte
	var named []byte
	if name != "" {
		set, named = 0x10, make([]byte, 56)
		named[0], named[1], named[2], named[5] = 54, 18, byte(index), byte(len(name))
		copy(named[8:], name)
	}
	b := ofDevice(0xe, 168, index, flags, set, named...)
	b[20], b[22] = state, 152
	return b
}

// address makes the message that a device has an address; gone, that it has not.
func address(index int, prefix string, gone ...bool) []byte {
	p := netip.MustParsePrefix(prefix)
	kind := byte(0xc)
	if gone != nil {
		kind = 0xd
	}
	mask, held := []byte{16, 2, 0, 0}, []byte{16, 2, 0, 0}
	if p.Addr().Is6() {
		mask, held = []byte{28, 28, 0, 0, 0, 0, 0, 0}, []byte{28, 28, 0, 0, 0, 0, 0, 0}
	}
	ones, _ := netip.AddrFrom16([16]byte(slices.Repeat([]byte{0xff}, 16))).Prefix(p.Bits())
	mask = append(mask, ones.Addr().AsSlice()[:p.Addr().BitLen()/8]...)
	held = append(held, p.Addr().AsSlice()...)
	for len(mask)%16 != 0 {
		mask, held = append(mask, 0), append(held, 0)
	}
	return ofDevice(kind, 20, index, 0, 0x24, append(mask, held...)...)
}

// announcement says that a device came, or went.
func announcement(index int, name string, what byte) []byte {
	b := make([]byte, 24)
	b[0], b[2], b[3], b[4], b[22] = 24, 5, 0x11, byte(index), what
	copy(b[6:], name)
	return b
}

// route makes a route's message, of a kind that dumps have if kind is RouteGet.
func route(kind rtsock.Kind, prefix, gateway string, index int, flags rtsock.Flags) []byte {
	r := rtsock.Route{Prefix: netip.MustParsePrefix(prefix), Index: index, Flags: flags}
	if gateway != "" {
		r.Gateway = netip.MustParseAddr(gateway)
	}
	b := rtsock.AppendRoute(nil, kind, r, 0)
	if kind == rtsock.RouteGet {
		b[3] = 4
	}
	binary.LittleEndian.PutUint16(b[4:], uint16(index))
	return b
}

// host doubles the calls of a host with three devices and two FIBs.
func host() (h bsd, flags map[string]uint32) {
	flags = map[string]uint32{}
	up := iffUp | iffRunning
	return bsd{
		interfaces: func() ([]byte, error) {
			return slices.Concat(
				device(1, "em0", up, carrier), address(1, "192.0.2.2/24"), address(1, "192.0.2.3/32"),
				address(1, "fe80::1/64"), address(1, "2001:db8::2/64"), address(1, "2001:db8::3/64"), address(1, "169.254.7.7/16"),
				device(2, "em1", up, carrierLost), address(2, "198.51.100.2/24"),
				device(3, "lo0", up|iffLoopback, 0), address(3, "127.0.0.1/8"),
				device(4, "ng0", iffRunning, carrier), device(5, "tun3", iffUp, carrier), device(6, "tun4", up, 0)), nil
		},
		routes: func(fib int) ([]byte, error) {
			return [][]byte{
				slices.Concat(route(rtsock.RouteGet, "192.0.2.0/24", "", 1, 0), route(rtsock.RouteGet, "0.0.0.0/0", "192.0.2.1", 1, 0),
					route(rtsock.RouteGet, "::/0", "fe80::9", 1, 0), route(rtsock.RouteGet, "::/0", "::1", 3, 0)),
				slices.Concat(route(rtsock.RouteGet, "0.0.0.0/0", "127.0.0.1", 6, rtsock.Blackhole), route(rtsock.RouteGet, "0.0.0.0/1", "", 6, 0),
					route(rtsock.RouteGet, "0.0.0.0/0", "198.51.100.1", 2, 0), route(rtsock.RouteGet, "::/0", "", 1, 0)),
			}[fib], nil
		},
		fibs: func() (int, error) { return 2, nil },
		flags6: func(device string, addr netip.Addr) (uint32, error) {
			if f, ok := flags[addr.String()]; ok && f == gone {
				return 0, errGone
			}
			return flags[addr.String()], nil
		},
	}, flags
}

const gone = 1 << 31

func TestStateOnFreeBSD(t *testing.T) {
	h, _ := host()
	for name, want := range map[string][2]bool{
		"em0": {true, true}, "em1": {true, false}, "lo0": {true, true}, "ng0": {true, false}, "tun3": {true, false}, "tun4": {true, true}, "em": {},
	} {
		if exists, up, err := h.state(name); exists != want[0] || up != want[1] || err != nil {
			t.Errorf("%s: %v, %v, %v, want %v", name, exists, up, err, want)
		}
	}
}

func TestAddrsOnFreeBSD(t *testing.T) {
	h, flags := host()
	addrs := func(t *testing.T, device string, want ...string) {
		t.Helper()
		list, err := h.addrs(device)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range list {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(device, diff)
		}
	}
	addrs(t, "em0", "192.0.2.2", "192.0.2.3", "2001:db8::2", "2001:db8::3")
	addrs(t, "lo0", "127.0.0.1")
	addrs(t, "ng0")
	addrs(t, "em7")
	for what, bad := range map[string]uint32{
		"anycast": 1, "tentative": 2, "duplicated": 4, "detached": 8, "deprecated": 0x10, "gone": gone,
	} {
		flags["2001:db8::2"] = bad
		t.Run(what, func(t *testing.T) { addrs(t, "em0", "192.0.2.2", "192.0.2.3", "2001:db8::3") })
	}
	flags["2001:db8::2"] = 0x20 | 0x40 | 0x80 | 0x100 // of no harm
	addrs(t, "em0", "192.0.2.2", "192.0.2.3", "2001:db8::2", "2001:db8::3")
}

func TestDeviceOfOnFreeBSD(t *testing.T) {
	h, _ := host()
	for addr, want := range map[string]string{
		"192.0.2.3": "em0", "::ffff:192.0.2.2": "em0", "198.51.100.2": "em1", "2001:db8::2": "em0", "192.0.2.9": "",
	} {
		if got, err := h.deviceOf(netip.MustParseAddr(addr)); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", addr, got, err, want)
		}
	}
}

func TestWaysOutOnFreeBSD(t *testing.T) {
	h, _ := host()
	if got, err := h.waysOut(); err != nil || !slices.Equal(got, []string{"em0", "em1"}) {
		t.Errorf("%q, %v", got, err)
	}
}

func TestRoutesOnFreeBSD(t *testing.T) {
	h, _ := host()
	routes, err := h.routesOf(1)
	if err != nil || len(routes) != 4 || routes[2].Device != "em1" || routes[2].Gateway.String() != "198.51.100.1" || routes[3].Device != "em0" {
		t.Errorf("%+v, %v", routes, err)
	}
	for _, fib := range []int{-1, 2} {
		if _, err := h.routesOf(fib); err == nil || err.Error() != fmt.Sprintf("there is no FIB %d: net.fibs is 2, so that there are 0 to 1", fib) {
			t.Error(err)
		}
	}
}

// Whatever call fails, whoever asks is told, and with what failed.
func TestCallsThatFail(t *testing.T) {
	broken := errors.New("broken")
	spoil := map[string]func(*bsd){
		"interfaces": func(h *bsd) { h.interfaces = func() ([]byte, error) { return nil, broken } },
		"routes":     func(h *bsd) { h.routes = func(int) ([]byte, error) { return nil, broken } },
		"fibs":       func(h *bsd) { h.fibs = func() (int, error) { return 0, broken } },
		"flags":      func(h *bsd) { h.flags6 = func(string, netip.Addr) (uint32, error) { return 0, broken } },
	}
	ask := map[string]func(bsd) error{
		"state":    func(h bsd) error { _, _, err := h.state("em0"); return err },
		"addrs":    func(h bsd) error { _, err := h.addrs("em0"); return err },
		"deviceOf": func(h bsd) error { _, err := h.deviceOf(netip.MustParseAddr("192.0.2.9")); return err },
		"waysOut":  func(h bsd) error { _, err := h.waysOut(); return err },
		"routes":   func(h bsd) error { _, err := h.routesOf(0); return err },
	}
	for question, spoilt := range map[string][]string{
		"state": {"interfaces"}, "addrs": {"interfaces", "flags"}, "deviceOf": {"interfaces"},
		"waysOut": {"interfaces", "routes", "fibs"}, "routes": {"interfaces", "routes", "fibs"},
	} {
		for _, what := range spoilt {
			h, _ := host()
			spoil[what](&h)
			if err := ask[question](h); !errors.Is(err, broken) {
				t.Errorf("%s with broken %s: %v", question, what, err)
			}
		}
	}
}
