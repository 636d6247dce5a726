package main

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
)

// ways counts pings at the Internet's end, by the link they came from; those in
// the tunnel come from the VPS.
type ways struct {
	t        *testing.T
	internet host
}

func watchWays(t *testing.T, internet host) ways {
	internet.Run("ip address add 198.51.100.2/32 dev lo", "nft add table ip watch", "nft add chain ip watch pre { type filter hook prerouting priority 0; }")
	for _, device := range []string{"dsl", "lte", "host"} {
		internet.Run("nft add rule ip watch pre iifname " + device + " ip daddr 198.51.100.0/24 icmp type echo-request counter comment " + device)
	}
	return ways{t, internet}
}

// since calls f, and tells by what ways pings came meanwhile: "dsl", "dsl+host".
func (w ways) since(f func()) string {
	before := w.counts()
	f()
	var used []string
	for i, n := range w.counts() {
		if n > before[i] {
			used = append(used, []string{"dsl", "lte", "host"}[i])
		}
	}
	return strings.Join(used, "+")
}

func (w ways) counts() (n [3]int) {
	for i, device := range []string{"dsl", "lte", "host"} {
		found := regexp.MustCompile(`counter packets (\d+) bytes \d+ comment "` + device).FindStringSubmatch(w.internet.Run("nft list chain ip watch pre"))
		fmt.Sscan(found[1], &n[i])
	}
	return n
}

// goes pings until an answer comes, and wants the last one to have gone this way.
func (w ways) goes(when string, client host, address, want string) {
	w.t.Helper()
	var used string
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		answered := false
		used = w.since(func() {
			out, _ := client.Try("ping -c 1 -W 1 " + address)
			answered = strings.Contains(out, "1 received")
		})
		if answered && used == want {
			return
		}
	}
	w.t.Errorf("%s: pings to %s go by %q, want %q", when, address, used, want)
}

// With the real program: bypasses from the file and live, a reload, kill -9, and
// a VPS that dies and comes back.
func TestBypassAndFallback(t *testing.T) {
	client, router, internet, vps := joinHosts(t, map[string]bool{})
	w := watchWays(t, internet)
	key := strings.TrimSpace(vps.typed(t, "netcombiner genkey"))
	vps.configure(t, "[Interface]\nRole = remote\nKey = "+key+"\nAddress = 172.19.152.2/31\nRouting = nat\n[Listen]\nAddress = 0.0.0.0:4725\n")
	file := "[Interface]\nRole = local\nKey = " + key + "\nAddress = 172.19.152.3/31\nRouting = nat\nFallback = direct\n" +
		"[Path]\nName = dsl\nBind = eth1\nRemote = 203.0.113.2:4725\n[Path]\nName = lte\nBind = wwan0\nRemote = 203.0.113.2:4725\n"
	router.configure(t, file+"[Bypass]\nTo = 198.51.100.2\nVia = lte\n")
	before := router.state()
	vps.typed(t, "netcombiner nc0")
	router.typed(t, "netcombiner nc0")
	router.await(t, "netcombiner show nc0", `(?s)dsl +up .*lte +up `)

	w.goes("in the file", client, "198.51.100.2", "lte")
	w.goes("not in the file", client, "198.51.100.1", "host")
	router.typed(t, "netcombiner add nc0 bypass 198.51.100.1 via dsl")
	w.goes("added", client, "198.51.100.1", "dsl")
	router.typed(t, "netcombiner remove nc0 bypass 198.51.100.1")
	w.goes("removed", client, "198.51.100.1", "host")
	router.typed(t, "netcombiner add nc0 bypass 198.51.100.0/24 via eth1")
	w.goes("a wider one, added", client, "198.51.100.1", "dsl")
	w.goes("the narrower one, in the file", client, "198.51.100.2", "lte")
	router.await(t, "netcombiner show nc0", `bypass: to 198.51.100.2, by lte\n +bypass: to 198.51.100.0/24, by eth1\n`)
	router.configure(t, file+"[Bypass]\nTo = 198.51.100.2\nVia = dsl\n")
	router.typed(t, "netcombiner reload nc0")
	w.goes("reloaded", client, "198.51.100.1", "host")
	w.goes("reloaded", client, "198.51.100.2", "dsl")

	// A set that is there later than the tunnel, and outlives what firewalls do.
	router.configure(t, file+"[Bypass]\nTo = 198.51.100.2\nVia = dsl\n[Bypass]\nSet = inet fw4 banks\nVia = lte\n")
	router.typed(t, "netcombiner reload nc0")
	router.await(t, "netcombiner show nc0", `bypass: to set inet fw4 banks, by lte: now tunnel, there is no nft set inet fw4 banks`)
	firewall := []string{"nft add table inet fw4", "nft add set inet fw4 banks { type ipv4_addr; }", "nft add element inet fw4 banks { 198.51.100.1 }"}
	router.Run(firewall...)
	w.goes("in the set", client, "198.51.100.1", "lte")
	router.Run("nft flush table inet fw4")
	w.goes("after a reload of the firewall", client, "198.51.100.1", "lte")
	router.Run("nft delete table inet fw4")
	w.goes("without the table", client, "198.51.100.1", "host")
	router.Run(firewall...)
	w.goes("after a restart of the firewall", client, "198.51.100.1", "lte")
	router.Run("nft delete table inet fw4")

	// The link dies beyond its modem: only its path can tell.
	internet.Run("nft add chain ip watch dead { type filter hook prerouting priority -1; }", "nft add rule ip watch dead iifname dsl drop")
	w.goes("the link leads nowhere", client, "198.51.100.2", "host")
	internet.Run("nft flush chain ip watch dead")
	w.goes("the link is back", client, "198.51.100.2", "dsl")

	killAll(router.dir + "/run")
	router.typed(t, "netcombiner nc0")
	router.await(t, "netcombiner show nc0", `(?s)dsl +up .*lte +up `)
	w.goes("after kill -9", client, "198.51.100.2", "dsl")

	// The VPS dies. A flow goes on by itself, from another address.
	w.goes("before the VPS dies", client, "198.51.100.1", "host")
	vps.typed(t, "netcombiner down nc0")
	died := time.Now()
	w.goes("fallback", client, "198.51.100.1", "dsl")
	t.Logf("direct %v after the VPS died", time.Since(died).Round(100*time.Millisecond))
	if since := time.Since(died); since > 10*time.Second {
		t.Errorf("direct only after %v", since)
	}
	router.await(t, "netcombiner show nc0", `hint: every path has failed: traffic leaves by the links themselves`)
	router.await(t, "netcombiner show nc0 --json", `"fallback": ?"direct"`)
	router.Run("ip link set eth1 down")
	w.goes("fallback, by the other link", client, "198.51.100.1", "lte")
	router.Run("ip link set eth1 up", "ip route add default via 10.1.0.1 metric 10")
	w.goes("fallback, by the first link again", client, "198.51.100.1", "dsl")
	killAll(router.dir + "/run")
	router.typed(t, "netcombiner down nc0")
	if after := router.state(); after != before {
		t.Errorf("after kill -9 in the fallback it was\n%s\nand is\n%s", before, after)
	}
	router.typed(t, "netcombiner nc0")
	w.goes("started while the VPS is dead", client, "198.51.100.1", "dsl")
	router.typed(t, "netcombiner set nc0 fallback none")
	if used := w.since(func() {
		if out, err := client.Try("ping -c 5 -i 0.2 -W 1 198.51.100.1"); err == nil {
			t.Errorf("pings without a fallback: %s", out)
		}
	}); used != "" {
		t.Errorf("without a fallback pings went by %s", used)
	}
	router.typed(t, "netcombiner set nc0 fallback direct")
	w.goes("fallback, once more", client, "198.51.100.1", "dsl")
	vps.typed(t, "netcombiner nc0")
	back := time.Now()
	w.goes("after the return", client, "198.51.100.1", "host")
	t.Logf("in the tunnel %v after the VPS came back", time.Since(back).Round(100*time.Millisecond))

	router.typed(t, "netcombiner down nc0")
	vps.typed(t, "netcombiner down nc0")
	if after := router.state(); after != before {
		t.Errorf("down has not undone all: it was\n%s\nand is\n%s", before, after)
	}
}
