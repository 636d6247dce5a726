package linkwatch

import (
	"slices"
	"testing"

	"netcombiner/src/routing/nstest"
)

func TestWaysOut(t *testing.T) {
	host, far := nstest.New(t, "host"), nstest.New(t, "far")
	ways := func(want ...string) {
		t.Helper()
		host.Do(func() {
			if got, err := WaysOut(); err != nil || !slices.Equal(got, want) {
				t.Errorf("%q, %v, want %q", got, err, want)
			}
		})
	}
	ways()
	for _, device := range []string{"va", "vb", "vc"} {
		nstest.Join(host, device, far, device)
		host.Run("ip address add 10." + map[string]string{"va": "1", "vb": "2", "vc": "3"}[device] + ".0.2/24 dev " + device)
	}
	ways() // a LAN is no way out
	host.Run("ip route add default via 10.1.0.1 metric 20", "ip route add default via 10.2.0.1 metric 10", "ip -6 route add default dev va metric 5000")
	ways("vb", "va")
	host.Run("ip route add unreachable default metric 1", "ip route add default via 10.3.0.1 table 7", "ip route add 0.0.0.0/1 dev vc")
	ways("vb", "va") // neither refusals nor other tables nor half of the Internet
	host.Run("ip route del default via 10.2.0.1", "ip route del default via 10.1.0.1", "ip route add default metric 3 nexthop via 10.3.0.1 nexthop via 10.2.0.1")
	ways("vc", "vb", "va")
}
