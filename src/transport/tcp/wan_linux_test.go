package tcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"netcombiner/src/testbed/netns"
	"netcombiner/src/transport"
)

// A dialled connection leaves by its device, and says so where it cannot.
func TestLeavesByItsDevice(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	router, server := namespace(t, "router"), namespace(t, "server")
	prefix := netip.MustParsePrefix
	for i := range 2 {
		wan, isp := fmt.Sprintf("wan%d", i), fmt.Sprintf("isp%d", i)
		check(t, errors.Join(
			netns.Veth(router, wan, server, isp),
			router.Address(wan, prefix(fmt.Sprintf("10.0.%d.2/24", i)), prefix(fmt.Sprintf("2001:db8:%d::2/64", i))),
			server.Address(isp, prefix(fmt.Sprintf("10.0.%d.1/24", i)), prefix(fmt.Sprintf("2001:db8:%d::1/64", i))),
			router.Route(prefix("0.0.0.0/0"), netip.MustParseAddr(fmt.Sprintf("10.0.%d.1", i)), wan, 10+i, 0),
			router.Route(prefix("::/0"), netip.MustParseAddr(fmt.Sprintf("2001:db8:%d::1", i)), wan, 10+i, 0)))
	}
	check(t, server.Address("lo", prefix("203.0.113.1/32"), prefix("2001:db8:ff::1/128")))
	var l transport.Listener
	check(t, server.Do(func() (err error) {
		l, err = Transport{}.Listen(context.Background(), netip.MustParseAddrPort("[::]:4725"))
		return err
	}))
	defer l.Close()
	dial := func(ctx context.Context, bind transport.Bind, to string) (f transport.Flow, err error) {
		err = router.Do(func() (err error) {
			f, err = Transport{}.Dial(ctx, bind, netip.MustParseAddrPort(to))
			return err
		})
		return f, err
	}
	for _, test := range []struct{ device, source, to, from string }{
		{"wan0", "", "203.0.113.1:4725", "10.0.0.2"},
		{"wan1", "", "203.0.113.1:4725", "10.0.1.2"},
		{"wan0", "", "[2001:db8:ff::1]:4725", "2001:db8:0::2"},
		{"wan1", "", "[2001:db8:ff::1]:4725", "2001:db8:1::2"},
		{"", "10.0.1.2", "203.0.113.1:4725", "10.0.1.2"},
	} {
		bind := transport.Bind{Device: test.device}
		if test.source != "" {
			bind.Addr = netip.MustParseAddr(test.source)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		f, err := dial(ctx, bind, test.to)
		cancel()
		check(t, err)
		accepted, err := l.Accept()
		check(t, err)
		if accepted.Remote().Addr() != netip.MustParseAddr(test.from) || accepted.Remote() != f.Local() {
			t.Errorf("bound to %v it came from %v, want %v", bind, accepted.Remote(), test.from)
		}
		if accepted.Local() != netip.MustParseAddrPort(test.to) {
			t.Errorf("sent to %v it came to %v", test.to, accepted.Local())
		}
		f.Close()
		accepted.Close()
	}

	for _, test := range []struct{ device, to, says string }{
		{"wan7", "203.0.113.1:4725", `no interface "wan7"`},
		{"wan1", "203.0.113.1:4726", "refused"},
		{"wan1", "10.0.1.77:4725", "wan1"}, // nobody there: ctx ends it
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		_, err := dial(ctx, transport.Bind{Device: test.device}, test.to)
		cancel()
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("Dial to %s by %s: %v, want an error with %q", test.to, test.device, err, test.says)
		}
	}
}

func namespace(t *testing.T, name string) *netns.Namespace {
	t.Helper()
	n, err := netns.New(name)
	check(t, err)
	t.Cleanup(n.Close)
	return n
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
