package routing

import (
	"fmt"
	"strings"
	"testing"

	"netcombiner/src/config"
)

func TestFallback(t *testing.T) {
	l := bypassLab(t)
	spec := l.spec(l.local, config.RoutingNAT)
	before := state(t, l.local)
	r := l.apply(l.local, spec)
	l.by("before", serverV4, publicV4)
	flow := l.flow(serverV4)
	l.watchWANs()

	// The tunnel is dead: nothing of it leaves by a WAN.
	l.end[l.remote].Load().Close()
	for _, address := range []string{serverV4, serverV6} {
		if _, err := l.client.Try("ping -c2 -i0.2 -W1 " + address); err == nil {
			t.Error("the tunnel is dead, and pings come back: the test shows nothing")
		}
	}
	l.refresh(r, spec)
	if got := flow(); strings.HasPrefix(got, "server") {
		t.Errorf("without a fallback: %q", got)
	}
	if n := l.seenOnWANs(); n != 0 {
		t.Errorf("without a fallback %d packets left by a WAN", n)
	}

	spec.Direct = true
	l.refresh(r, spec)
	l.by("direct", serverV4, wan1V4)
	l.by("direct", serverV6, wan1V6)
	l.client.Run("ping -c1 -W2 "+serverV4, "ping -c1 -W2 "+serverV6)
	if got := flow(); got != "server "+wan1V4 {
		t.Errorf("a flow that began in the tunnel: %q", got)
	}
	if l.seenOnWANs() == 0 {
		t.Error("nothing was counted: the test shows nothing")
	}
	l.carrier("wan1", "eth1", false)
	l.refresh(r, spec)
	l.by("direct, by the other WAN", serverV4, wan2V4)
	l.carrier("wan1", "eth1", true)
	l.refresh(r, spec)

	l.open(l.remote)
	l.remote.Do(func() {
		if _, err := Cleanup(l.dir[l.remote], "nc0"); err != nil {
			t.Fatal(err)
		}
	})
	l.apply(l.remote, l.spec(l.remote, config.RoutingNAT))
	spec.Direct = false
	l.refresh(r, spec)
	l.by("after the return", serverV4, publicV4)
	l.by("after the return", serverV6, publicV6)
	if got := flow(); got != "server "+publicV4 {
		t.Errorf("a flow that began direct: %q", got)
	}
	l.undo(l.local, r)
	l.settle(l.local, "eth1")
	l.unchanged(l.local, before)
}

// watchWANs counts what comes to the Internet for the server by a WAN.
func (l *lab) watchWANs() {
	l.internet.Run("nft add table inet watch", "nft add chain inet watch pre { type filter hook prerouting priority 0; }",
		"nft add rule inet watch pre iifname { wan1, wan2 } ip daddr 100.64.9.0/24 counter",
		"nft add rule inet watch pre iifname { wan1, wan2 } ip6 daddr 2001:db8:9::/64 counter")
}

func (l *lab) seenOnWANs() int { return counted(l.internet.Run("nft list chain inet watch pre")) }

// counted adds up the packets of nft's counters.
func counted(listing string) (packets int) {
	for line := range strings.Lines(listing) {
		if _, counted, ok := strings.Cut(line, "counter packets "); ok {
			var n int
			fmt.Sscan(counted, &n)
			packets += n
		}
	}
	return packets
}
