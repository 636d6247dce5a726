package udpsocket

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/netns"
)

// execute runs commands, one a line, inside the namespace and returns what they
// print.
func execute(t *testing.T, n *netns.Namespace, commands string) string {
	t.Helper()
	var out bytes.Buffer
	for line := range strings.Lines(commands) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		command, err := n.Start(&out, words...)
		if err == nil {
			err = command.Wait()
		}
		if err != nil {
			t.Fatalf("%s: %v: %s", strings.TrimSpace(line), err, &out)
		}
	}
	return out.String()
}

// twoWANs returns a router with the interfaces wan0 and wan1 and the server at
// their other ends, which has 203.0.113.1 and 2001:db8:ff::1 besides. The
// router's default route is by wan0.
func twoWANs(t *testing.T) (router, server *netns.Namespace) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	router, server = newNamespace(t, "router"), newNamespace(t, "server")
	// A burst of ICMP errors is what awaitAnswer wants, at once.
	check(t, errors.Join(server.Sysctl("net.ipv4.icmp_ratelimit", "0"), server.Sysctl("net.ipv6.icmp.ratelimit", "0")))
	for i := range 2 {
		wan, isp := fmt.Sprintf("wan%d", i), fmt.Sprintf("isp%d", i)
		check(t, netns.Veth(router, wan, server, isp))
		for end, n := range []*netns.Namespace{server, router} {
			device := []string{isp, wan}[end]
			// What does not find its neighbour tries again soon.
			check(t, errors.Join(
				n.Sysctl("net.ipv4.neigh."+device+".retrans_time_ms", "10"),
				n.Sysctl("net.ipv6.neigh."+device+".retrans_time_ms", "10"),
				n.Address(device,
					netip.MustParsePrefix(fmt.Sprintf("10.0.%d.%d/24", i, 1+end)),
					netip.MustParsePrefix(fmt.Sprintf("2001:db8:%d::%d/64", i, 1+end)),
					netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", 1+end)))))
		}
		for everywhere, gateway := range map[string]string{"0.0.0.0/0": "10.0.%d.1", "::/0": "2001:db8:%d::1"} {
			check(t, router.Route(netip.MustParsePrefix(everywhere), netip.MustParseAddr(fmt.Sprintf(gateway, i)), wan, 10+i, 0))
		}
	}
	check(t, server.Address("lo", netip.MustParsePrefix("203.0.113.1/32"), netip.MustParsePrefix("2001:db8:ff::1/128")))
	for i := range 2 {
		for _, to := range []string{"10.0.%d.1:9", "[2001:db8:%d::1]:9"} {
			awaitAnswer(t, router, fmt.Sprintf(to, i))
		}
	}
	return router, server
}

func newNamespace(t testing.TB, name string) *netns.Namespace {
	t.Helper()
	n, err := netns.New(name)
	check(t, err)
	t.Cleanup(n.Close)
	return n
}

// awaitAnswer returns once an ICMP error came back from a port where nobody
// listens: a new link loses packets until the kernel has brought it up.
func awaitAnswer(t *testing.T, n *netns.Namespace, at string) {
	t.Helper()
	var conn net.Conn
	check(t, n.Do(func() (err error) { conn, err = net.Dial("udp", at); return err }))
	defer conn.Close()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := conn.Write([]byte("ready?")); errors.Is(err, unix.ECONNREFUSED) {
			return
		}
	}
	t.Fatalf("%s is not reached", at)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
