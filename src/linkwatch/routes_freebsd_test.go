package linkwatch

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"netcombiner/src/rtsock"
)

func TestRoutesAreAsTheyWereAdded(t *testing.T) {
	tap(t, "tap26")
	plug(t, "tap26")
	up(t, "tap26")
	addAddr(t, "tap26", "192.0.2.2/24", 0)
	addAddr(t, "tap26", "2001:db8::2/64", 0x20)
	up(t, "lo0") // refusals hang on it
	addAddr(t, "lo0", "127.0.0.1/8", 0)
	addAddr(t, "lo0", "::1/128", 0)
	fib, index := lastFIB(t), indexOf(t, "tap26")
	route := func(to, by string, flags rtsock.Flags) rtsock.Route {
		r := rtsock.Route{Prefix: netip.MustParsePrefix(to), Index: index, Flags: flags}
		if by != "" {
			r.Gateway = netip.MustParseAddr(by)
		}
		return r
	}
	routes := []rtsock.Route{
		route("192.0.2.0/25", "", rtsock.Static), // by the device; the whole network is in FIB 0
		route("2001:db8::/65", "", rtsock.Static),
		route("0.0.0.0/0", "192.0.2.1", rtsock.Static|rtsock.Proto1),
		route("::/0", "fe80::1", rtsock.Static),
		route("198.51.100.0/24", "192.0.2.9", rtsock.Static),
		route("198.51.100.7/32", "192.0.2.1", rtsock.Proto2),
		route("198.51.100.8/32", "", 0),
		route("2001:db8:7::/48", "2001:db8::1", 0),
		route("2001:db8:7::7/128", "fe80::7", 0),
		{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Flags: rtsock.Blackhole},
		{Prefix: netip.MustParsePrefix("2001:db8:9::/48"), Flags: rtsock.Reject},
	}
	find := func(want rtsock.Route) (rtsock.Route, bool) {
		t.Helper()
		all, err := Routes(fib)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(r rtsock.Route) bool { return r.Prefix == want.Prefix })
		if i < 0 {
			return rtsock.Route{}, false
		}
		return all[i], true
	}
	for _, want := range routes {
		change(t, rtsock.RouteAdd, want)
		got, ok := find(want)
		barred := rtsock.Reject | rtsock.Blackhole
		kept := rtsock.Static | rtsock.Proto1 | rtsock.Proto2 | barred
		if !ok || want.Flags&barred == 0 && (got.Gateway != want.Gateway || got.Index != index || got.Device != "tap26") || got.Flags&kept != want.Flags {
			t.Errorf("added %+v, found %+v, %v", want, got, ok)
		}
		if err := ChangeRoute(fib, rtsock.RouteAdd, want); !errors.Is(err, unix.EEXIST) {
			t.Errorf("adding %v again: %v", want.Prefix, err)
		}
	}
	if ways, err := WaysOut(); !slices.Contains(ways, "tap26") || err != nil {
		t.Errorf("ways out: %q, %v", ways, err)
	}
	changed := route("0.0.0.0/0", "192.0.2.77", rtsock.Static)
	change(t, rtsock.RouteChange, changed)
	if got, _ := find(changed); got.Gateway != changed.Gateway {
		t.Errorf("changed to %+v, found %+v", changed, got)
	}
	other := route("0.0.0.0/0", "192.0.2.78", 0)
	if err := ChangeRoute(fib, rtsock.RouteDelete, other); !errors.Is(err, unix.ESRCH) {
		t.Errorf("deleting a route with another gateway: %v", err)
	}
	routes[2] = changed
	for _, r := range routes {
		change(t, rtsock.RouteDelete, r)
		if got, ok := find(r); ok {
			t.Errorf("deleted, and found %+v", got)
		}
		if err := ChangeRoute(fib, rtsock.RouteDelete, r); !errors.Is(err, unix.ESRCH) {
			t.Errorf("deleting %v again: %v", r.Prefix, err)
		}
	}
	if err := ChangeRoute(fib, rtsock.RouteAdd, rtsock.Route{Prefix: netip.MustParsePrefix("198.18.0.0/15"), Gateway: netip.MustParseAddr("198.51.100.99")}); !errors.Is(err, unix.ENETUNREACH) {
		t.Errorf("a gateway nowhere: %v", err)
	}
}

func TestFIBs(t *testing.T) {
	n, err := FIBs()
	if err != nil || n < 1 {
		t.Fatalf("%d FIBs, %v", n, err)
	}
	t.Logf("%d FIBs", n)
	tap(t, "tap27")
	if fib, err := FIBOf("tap27"); fib != 0 || err != nil {
		t.Errorf("FIB %d, %v", fib, err)
	}
	request(t, unix.AF_INET, unix.SIOCSIFFIB, "tap27", sizeRequest, func(b []byte) { binary.LittleEndian.PutUint32(b, uint32(n-1)) })
	if fib, err := FIBOf("tap27"); fib != n-1 || err != nil {
		t.Errorf("FIB %d, %v, want %d", fib, err, n-1)
	}
	if _, err := FIBOf("tap99"); !errors.Is(err, unix.ENXIO) {
		t.Error(err)
	}
	if _, err := Routes(n); err == nil {
		t.Error("a FIB that is not there has routes")
	}
	if err := ChangeRoute(n, rtsock.RouteAdd, rtsock.Route{Prefix: netip.MustParsePrefix("198.18.0.0/15"), Flags: rtsock.Reject}); !errors.Is(err, unix.EINVAL) {
		t.Errorf("a FIB that is not there was changed: %v", err)
	}
}
