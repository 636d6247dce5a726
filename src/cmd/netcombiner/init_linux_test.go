package main

import (
	"strings"
	"testing"
	"time"
)

const (
	initRemote = "netcombiner init remote --yes"
	initLocal  = "netcombiner init local TOKEN --wan eth1 --wan wwan0"
)

// Two bare machines, two commands, nothing edited: the client's first packet crosses
// the tunnel within ten seconds of the first one's begin.
func TestInitFirstPacket(t *testing.T) {
	for _, test := range []struct {
		name  string
		rules []string // of the Internet's firewall
		says  []string
	}{
		{"open", nil, []string{"eth1: up by UDP", "wwan0: up by UDP", "2 of 2 links work"}},
		{"UDP blocked on a link", []string{"iifname lte udp dport 4725 drop"},
			[]string{"wwan0: no answer by UDP within 5s, trying TCP on port 443", "eth1: up by UDP", "wwan0: up by TCP", "this link blocks UDP", "2 of 2 links work"}},
		{"UDP blocked", []string{"udp dport 4725 drop"},
			[]string{"eth1: up by TCP", "wwan0: up by TCP", "UDP gets through on no link", "2 of 2 links work"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, router, internet, vps := joinHosts(t, map[string]bool{})
			internet.Run("nft add table inet isp", "nft add chain inet isp forward { type filter hook forward priority 0 ; }")
			for _, rule := range test.rules {
				internet.Run("nft add rule inet isp forward " + rule)
			}
			begin := time.Now()
			said := initBoth(t, vps, router, initRemote, initLocal)
			client.await(t, "ping -c 1 -W 2 198.51.100.1", "1 received")
			took := time.Since(begin)
			for _, want := range test.says {
				if !strings.Contains(said, want) {
					t.Errorf("init local does not say %q:\n%s", want, said)
				}
			}
			if took > 10*time.Second {
				t.Errorf("the first packet came after %v, want 10 s", took)
			}
			t.Logf("from two bare hosts to the first packet: %v", took)
			for _, h := range []host{vps, router} {
				h.typed(t, "netcombiner down nc0")
			}
		})
	}
}

// A VPS whose own firewall is closed: init says what opens it, and does so when told to.
func TestInitOpensTheFirewall(t *testing.T) {
	client, router, _, vps := joinHosts(t, map[string]bool{})
	vps.Run("nft add table inet filter",
		"nft add chain inet filter input { type filter hook input priority 0 ; policy drop ; }",
		"nft add chain inet filter forward { type filter hook forward priority 0 ; policy drop ; }")
	said := vps.typed(t, "netcombiner init remote")
	if !strings.Contains(said, "    nft insert rule inet filter input udp dport 4725 accept") || !strings.Contains(said, "nothing was opened") {
		t.Errorf("init remote says nothing of the firewall:\n%s", said)
	}
	if rules := vps.Run("nft list ruleset"); strings.Contains(rules, "4725") {
		t.Errorf("unasked it opened\n%s", rules)
	}
	initBoth(t, vps, router, initRemote, initLocal)
	client.await(t, "ping -c 1 -W 2 198.51.100.1", "1 received")
	rules := vps.Run("nft list ruleset")
	if vps.typed(t, initRemote); vps.Run("nft list ruleset") != rules {
		t.Errorf("once more changes the rules again:\n%s", vps.Run("nft list ruleset"))
	}
	for _, h := range []host{vps, router} {
		h.typed(t, "netcombiner down nc0")
	}
}
