//go:build linux

package testbed

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

// Three tunnels of one host, each with Routing = nat: whatever one does, the
// others' traffic to the Internet goes on, and when all have ended nothing is left.
func TestNeighboursAreLeftAlone(t *testing.T) {
	privileged(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	m, err := newMany(build(t))
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	internet := addInternet(t, m)
	if err := m.host.WriteFile(manyFile("nc0"), nil, 0o600); err != nil { // makes the folder
		t.Fatal(err)
	}
	before := stateOf(t, m.host.Namespace)
	if err := m.start(ctx, 3); err != nil {
		t.Fatal(err)
	}
	for i := range m.host.daemons {
		if lost := m.pings(ctx, i, internet, 1); lost != "" {
			t.Fatal("at first: ", lost)
		}
	}

	// In an order that has each one act first, in between and last.
	for _, act := range []struct {
		on   int
		what syscall.Signal
	}{{0, syscall.SIGTERM}, {2, syscall.SIGKILL}, {1, syscall.SIGTERM}, {1, syscall.SIGKILL}, {0, syscall.SIGKILL}, {2, syscall.SIGTERM}} {
		name := fmt.Sprintf("%s of nc%d", act.what, act.on)
		lost := make(chan string)
		for i := range m.host.daemons {
			if i != act.on {
				go func() { lost <- m.pings(ctx, i, internet, 100) }()
			}
		}
		time.Sleep(200 * time.Millisecond)
		d := m.host.daemons[act.on]
		d.cmd.Process.Signal(act.what)
		d.cmd.Wait()
		time.Sleep(300 * time.Millisecond) // the others run alone
		if err := d.start(&m.host, m.program, manyFile(d.iface)); err != nil {
			t.Fatal(err)
		}
		for range len(m.host.daemons) - 1 {
			if l := <-lost; l != "" {
				t.Errorf("%s: %s", name, l)
			}
		}
		if lost := m.pings(ctx, act.on, internet, 20); lost != "" {
			t.Errorf("after the %s: %s", name, lost)
		}
	}

	// The last one to end takes back what they share. One was killed, so its next
	// "down" does.
	for i, d := range m.host.daemons {
		sign := syscall.SIGTERM
		if i == 1 {
			sign = syscall.SIGKILL
		}
		d.cmd.Process.Signal(sign)
		d.cmd.Wait()
	}
	if err := run(m.host.Namespace, m.program, "down", m.host.daemons[1].iface); err != nil {
		t.Error(err)
	}
	if after := stateOf(t, m.host.Namespace); after != before {
		t.Errorf("the host was\n%s\nand is\n%s", before, after)
	}
}

// addInternet gives the host a second cable, to whom it hands on what the homes
// send, and returns an address there.
func addInternet(t *testing.T, m *many) netip.Addr {
	t.Helper()
	internet, err := netns.New("internet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(internet.Close)
	if err := netns.Veth(m.host.Namespace, "eth1", internet, "eth0"); err != nil {
		t.Fatal(err)
	}
	host, far := netip.MustParsePrefix("203.0.113.2/24"), netip.MustParsePrefix("203.0.113.1/24")
	if err := m.host.Address("eth1", host); err != nil {
		t.Fatal(err)
	}
	if err := internet.Address("eth0", far); err != nil {
		t.Fatal(err)
	}
	if err := run(m.host.Namespace, "ip", "route", "replace", "default", "via", far.Addr().String()); err != nil {
		t.Fatal(err)
	}
	return far.Addr()
}

// pings has home i ask an address through its tunnel, 50 times a second, and
// says if one was not answered. The first is patient: a tunnel may just start.
func (m *many) pings(ctx context.Context, i int, to netip.Addr, count int) (lost string) {
	device := m.homes.daemons[i].iface
	var err error
	for range 50 {
		if err = run(m.homes.Namespace, "ping", "-n", "-c", "1", "-W", "1", "-I", device, to.String()); err == nil || ctx.Err() != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return fmt.Sprintf("%s: nothing crosses it: %v: %s", device, err, m.host.daemons[i].out)
	}
	r, err := measure.Ping{For: time.Duration(count) * 20 * time.Millisecond, Device: device}.Run(ctx, m.homes.Namespace, to)
	if err != nil || len(r.Lost) > 0 {
		return fmt.Sprintf("%s (load %.1f): of %d echoes these were not answered: %v (longest %.1f ms) %v", device, measure.Load(), count, r.Lost, r.Quantile(1), err)
	}
	return ""
}

// stateOf is what tunnels change of a host, as the commands show it.
func stateOf(t *testing.T, on *netns.Namespace) string {
	t.Helper()
	var all strings.Builder
	for _, command := range []string{
		"nft list ruleset", "ip rule", "ip -6 rule", "ip route show table all type unicast", "ip -br link",
		"find /run/netcombiner ! -name *.conf -type f",
		"sysctl net.ipv4.conf.eth0.forwarding net.ipv4.conf.eth1.forwarding net.ipv4.ip_forward net.ipv6.conf.all.forwarding net.ipv6.conf.eth1.accept_ra net.ipv4.conf.eth1.arp_ignore net.ipv4.conf.eth1.arp_announce",
	} {
		var out strings.Builder
		cmd, err := on.Start(&out, strings.Fields(command)...)
		if err == nil {
			err = cmd.Wait()
		}
		if err != nil {
			t.Fatalf("%s: %v: %s", command, err, out.String())
		}
		fmt.Fprintf(&all, "%s:\n%s\n", command, out.String())
	}
	return all.String()
}
