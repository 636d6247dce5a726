package linkwatch

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"netcombiner/src/rtsock"
)

// These tests change a real FreeBSD, and so want root: they make tap devices,
// which have a carrier while somebody holds them open, and VLANs on them, which
// have it then, too, and take them away again. (A tap itself loses its addresses
// with its carrier.) The routes that they add are in the last FIB.

// request makes an ioctl of size bytes that begin with a device's name; fill
// writes what follows.
func request(t *testing.T, family int, op uintptr, name string, size int, fill func(b []byte)) {
	t.Helper()
	if err := try(family, op, name, size, fill); err != nil {
		t.Fatalf("ioctl %#x of %s: %v", op, name, err)
	}
}

func try(family int, op uintptr, name string, size int, fill func(b []byte)) error {
	b := make([]byte, size)
	copy(b, name)
	if fill != nil {
		fill(b[unix.IFNAMSIZ:])
	}
	return ask(family, op, unsafe.Pointer(&b[0]))
}

const sizeRequest = 32 // struct ifreq

// setUp sets or clears IFF_UP.
func setUp(t *testing.T, name string, up bool) {
	t.Helper()
	b := make([]byte, sizeRequest)
	copy(b, name)
	if err := ask(unix.AF_INET, unix.SIOCGIFFLAGS, unsafe.Pointer(&b[0])); err != nil {
		t.Fatalf("flags of %s: %v", name, err)
	}
	b[unix.IFNAMSIZ] &^= unix.IFF_UP
	if up {
		b[unix.IFNAMSIZ] |= unix.IFF_UP
	}
	if err := ask(unix.AF_INET, unix.SIOCSIFFLAGS, unsafe.Pointer(&b[0])); err != nil {
		t.Fatalf("flags of %s: %v", name, err)
	}
}

func up(t *testing.T, name string)   { t.Helper(); setUp(t, name, true) }
func down(t *testing.T, name string) { t.Helper(); setUp(t, name, false) }

// sockaddr writes what a message of a route would have.
func sockaddr(b []byte, addr netip.Addr) {
	if addr.Is4() {
		b[0], b[1] = 16, unix.AF_INET
		copy(b[4:], addr.AsSlice())
		return
	}
	b[0], b[1] = 28, unix.AF_INET6
	copy(b[8:], addr.AsSlice())
}

func netmask(p netip.Prefix) netip.Addr {
	b := make([]byte, p.Addr().BitLen()/8)
	for i := range p.Bits() {
		b[i/8] |= 0x80 >> (i % 8)
	}
	addr, _ := netip.AddrFromSlice(b)
	return addr
}

// addAddr gives a device an address, of IPv6 with the flags IN6_IFF_.
func addAddr(t *testing.T, name, prefix string, flags uint32) {
	t.Helper()
	p := netip.MustParsePrefix(prefix)
	if p.Addr().Is4() {
		request(t, unix.AF_INET, 0x8044692b, name, 68, func(b []byte) { // SIOCAIFADDR, struct in_aliasreq
			sockaddr(b, p.Addr())
			sockaddr(b[32:], netmask(p))
		})
		return
	}
	request(t, unix.AF_INET6, 0x8088691b, name, 136, func(b []byte) { // SIOCAIFADDR_IN6, struct in6_aliasreq
		sockaddr(b, p.Addr())
		sockaddr(b[56:], netmask(p))
		binary.LittleEndian.PutUint32(b[84:], flags)
		binary.LittleEndian.PutUint64(b[104:], 1<<64-1) // valid and preferred for ever
	})
}

func removeAddr(t *testing.T, name, addr string) {
	t.Helper()
	a := netip.MustParseAddr(addr)
	family, op, size := unix.AF_INET, uintptr(unix.SIOCDIFADDR), sizeRequest
	if a.Is6() {
		family, op, size = unix.AF_INET6, 0x81206919, 288 // SIOCDIFADDR_IN6, struct in6_ifreq
	}
	request(t, family, op, name, size, func(b []byte) { sockaddr(b, a) })
}

// tap makes a device without a carrier, by its name, and removes it after the test.
func tap(t *testing.T, name string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to make devices")
	}
	if err := try(unix.AF_INET, unix.SIOCIFCREATE, name, sizeRequest, nil); err != nil {
		t.Fatalf("making %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := destroy(name); err != nil && !errors.Is(err, unix.ENXIO) {
			t.Errorf("removing %s: %v", name, err)
		}
	})
}

// vlan makes a device on a tap that has a carrier as long as that, and keeps its
// addresses without one.
func vlan(t *testing.T, on string) (name string) {
	t.Helper()
	tap(t, on)
	tap(t, on+".5")
	return on + ".5"
}

func destroy(name string) error {
	return try(unix.AF_INET, unix.SIOCIFDESTROY, name, sizeRequest, nil)
}

// plug gives a tap a carrier until what it returns is called.
func plug(t *testing.T, name string) (unplug func()) {
	t.Helper()
	f, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	up(t, name) // which its end has undone
	return func() { f.Close() }
}

func watch(t *testing.T) <-chan Event {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	events, err := Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		for range events {
		}
	})
	return events
}

// expect reads events until the one that is wanted has come, and fails on one
// of forbidden.
func expect(t *testing.T, events <-chan Event, want Event, forbidden ...Event) {
	t.Helper()
	began := time.Now()
	late := time.After(20 * time.Second)
	for {
		select {
		case e := <-events:
			if slices.Contains(forbidden, e) {
				t.Fatalf("event %v, which should not have come", e)
			}
			if e == want {
				t.Logf("%v after %v", e, time.Since(began).Round(10*time.Microsecond))
				return
			}
		case <-late:
			t.Fatalf("never came: %v", want)
		}
	}
}

func lastFIB(t *testing.T) int {
	t.Helper()
	n, err := FIBs()
	if err != nil {
		t.Fatal(err)
	}
	return n - 1
}

// change makes a change of the last FIB that is to succeed.
func change(t *testing.T, kind rtsock.Kind, r rtsock.Route) {
	t.Helper()
	if err := ChangeRoute(lastFIB(t), kind, r); err != nil {
		t.Fatal(err)
	}
}

func indexOf(t *testing.T, name string) (index int) {
	t.Helper()
	if err := kernel.eachInterface(func(m rtsock.Message) {
		if m.Device == name {
			index = m.Index
		}
	}); err != nil || index == 0 {
		t.Fatalf("the number of %s: %d, %v", name, index, err)
	}
	return index
}

func TestWatchSeesWhatAPathNeeds(t *testing.T) {
	wan := vlan(t, "tap21")
	unplug := plug(t, "tap21")
	events := watch(t)

	up(t, wan)
	expect(t, events, Event{wan, LinkUp})
	addAddr(t, wan, "192.0.2.2/24", 0)
	expect(t, events, Event{wan, AddrAdded}, Event{wan, LinkDown})
	addAddr(t, wan, "2001:db8::2/64", 0x20)
	expect(t, events, Event{wan, AddrAdded})

	index := indexOf(t, wan)
	net4 := rtsock.Route{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Index: index}
	default4 := rtsock.Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr("192.0.2.1"), Index: index}
	default6 := rtsock.Route{Prefix: netip.MustParsePrefix("::/0"), Gateway: netip.MustParseAddr("fe80::1"), Index: index}
	if lastFIB(t) > 0 {
		change(t, rtsock.RouteAdd, net4)
	}
	change(t, rtsock.RouteAdd, default4)
	expect(t, events, Event{wan, RouteChanged})
	default4.Gateway = netip.MustParseAddr("192.0.2.9")
	change(t, rtsock.RouteChange, default4)
	expect(t, events, Event{wan, RouteChanged})
	change(t, rtsock.RouteDelete, default4)
	expect(t, events, Event{wan, RouteChanged})
	change(t, rtsock.RouteAdd, default6)
	expect(t, events, Event{wan, RouteChanged})

	unplug()
	expect(t, events, Event{wan, LinkDown})
	unplug = plug(t, "tap21")
	expect(t, events, Event{wan, LinkUp})
	down(t, wan)
	expect(t, events, Event{wan, LinkDown})
	up(t, wan)
	expect(t, events, Event{wan, LinkUp})
	removeAddr(t, wan, "192.0.2.2")
	expect(t, events, Event{wan, AddrRemoved})
	removeAddr(t, wan, "2001:db8::2")
	expect(t, events, Event{wan, AddrRemoved})

	if err := rename(wan, "wan21"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = destroy("wan21") })
	expect(t, events, Event{"wan21", LinkUp})
	down(t, "wan21")
	expect(t, events, Event{"wan21", LinkDown})
	up(t, "wan21")
	expect(t, events, Event{"wan21", LinkUp})
	unplug()
	expect(t, events, Event{"wan21", LinkDown})
	if err := destroy("wan21"); err != nil {
		t.Fatal(err)
	}
}

func rename(from, to string) error {
	name := append([]byte(to), 0)
	return try(unix.AF_INET, 0x80206928, from, sizeRequest, func(b []byte) { // SIOCSIFNAME
		*(*unsafe.Pointer)(unsafe.Pointer(&b[0])) = unsafe.Pointer(&name[0])
	})
}

// A device that is destroyed while it is up, with its address and its routes.
func TestWatchSeesADeviceGo(t *testing.T) {
	tap(t, "tap22")
	events := watch(t)
	up(t, "tap22")
	addAddr(t, "tap22", "192.0.2.2/24", 0)
	expect(t, events, Event{"tap22", AddrAdded})
	unplug := plug(t, "tap22")
	expect(t, events, Event{"tap22", LinkUp})
	unplug()
	if err := destroy("tap22"); err != nil {
		t.Fatal(err)
	}
	expect(t, events, Event{"tap22", LinkDown})
	if exists, _, err := State("tap22"); exists || err != nil {
		t.Errorf("it exists: %v, %v", exists, err)
	}
}

// Nobody reads while the kernel has far more to say than fits anywhere.
func TestWatchSurvivesAFlood(t *testing.T) {
	tap(t, "tap23")
	plug(t, "tap23")
	up(t, "tap23")
	events := watch(t)
	for range 2000 {
		down(t, "tap23")
		up(t, "tap23")
	}
	last, count, lost := map[string]Kind{}, 0, 0
	for quiet := false; !quiet; {
		select {
		case e := <-events:
			count++
			if e.Kind == Resync {
				lost++
			}
			if e.Kind == LinkUp || e.Kind == LinkDown {
				last[e.Device] = e.Kind
			}
		case <-time.After(time.Second):
			quiet = true
		}
	}
	t.Logf("%d events, %d of them resync", count, lost)
	if count > 3*maxPending {
		t.Errorf("%d events for a reader that slept", count)
	}
	if l, ok := last["tap23"]; ok && l != LinkUp {
		t.Errorf("the last of tap23 is %v, want that it is up", l)
	}
	down(t, "tap23")
	expect(t, events, Event{"tap23", LinkDown})
}

func TestStateAddrsAndDeviceOf(t *testing.T) {
	tap(t, "tap24")
	state := func(device string, wantExists, wantUp bool) {
		t.Helper()
		if exists, up, err := State(device); exists != wantExists || up != wantUp || err != nil {
			t.Errorf("State(%s) = %v, %v, %v, want %v, %v", device, exists, up, err, wantExists, wantUp)
		}
	}
	state("tap24", true, false)
	up(t, "tap24")
	state("tap24", true, false)
	unplug := plug(t, "tap24")
	state("tap24", true, true)
	addrs := func(device string, want ...string) {
		t.Helper()
		list, err := Addrs(device)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range list {
			got = append(got, a.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	addrs("tap24")
	addAddr(t, "tap24", "192.0.2.2/24", 0)
	addAddr(t, "tap24", "192.0.2.3/32", 0)
	addAddr(t, "tap24", "2001:db8::2/64", 0x20)
	addAddr(t, "tap24", "2001:db8::3/64", 0x20|0x10) // deprecated
	addAddr(t, "tap24", "2001:db8::4/64", 0x01)      // anycast
	addrs("tap24", "192.0.2.2", "192.0.2.3", "2001:db8::2")
	addrs("tap7")
	for addr, want := range map[string]string{"192.0.2.3": "tap24", "::ffff:192.0.2.2": "tap24", "2001:db8::2": "tap24", "192.0.2.9": ""} {
		if got, err := DeviceOf(netip.MustParseAddr(addr)); got != want || err != nil {
			t.Errorf("DeviceOf(%s) = %q, %v, want %q", addr, got, err, want)
		}
	}
	unplug()
	state("tap24", true, false)
	state("tap7", false, false)
}

// An address whose uniqueness the kernel still proves is not used, and told of
// once more when it is.
func TestAnIPv6AddressThatIsTentative(t *testing.T) {
	tap(t, "tap25")
	plug(t, "tap25")
	up(t, "tap25")
	addAddr(t, "tap25", "2001:db8::4/64", 0x20) // the first one switches IPv6 on, and is not proved
	events := watch(t)
	addAddr(t, "tap25", "2001:db8::5/64", 0)
	expect(t, events, Event{"tap25", AddrAdded})
	if list, err := Addrs("tap25"); len(list) != 1 || err != nil {
		t.Errorf("it is used already: %v, %v", list, err)
	}
	expect(t, events, Event{"tap25", AddrAdded})
	if list, err := Addrs("tap25"); len(list) != 2 || err != nil {
		t.Errorf("it is not used: %v, %v", list, err)
	}
}
