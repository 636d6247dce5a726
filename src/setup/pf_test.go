package setup

import (
	"net/netip"
	"strings"
	"testing"

	"netcombiner/src/config"
)

// pfRules is what `pfctl -P -s rules` of FreeBSD 14.0 prints of freebsd/pf/pf.conf.vps-nat.
const pfRules = `anchor "netcombiner/*" all
block drop in log all
pass in on vtnet0 proto tcp from any to any port = 22 flags S/SA keep state
pass in on vtnet0 proto tcp from any to any port = 443 flags S/SA keep state
pass in on vtnet0 inet proto icmp all keep state
pass in on vtnet0 proto udp from any to any port = 4725 keep state
pass in on netcombiner all flags S/SA keep state
pass out all flags S/SA keep state
`

// On FreeBSD no nft is asked for; what pf.conf lacks is said, and nothing is run.
func TestRemoteOnFreeBSD(t *testing.T) {
	without := func(words string) string {
		var left []string
		for line := range strings.Lines(pfRules) {
			if !strings.Contains(line, words) {
				left = append(left, line)
			}
		}
		return strings.Join(left, "")
	}
	for name, test := range map[string]struct {
		rules string
		want  []string
	}{
		"all is there":  {pfRules, []string{"!/etc/pf.conf"}},
		"no rules":      {"", []string{"!/etc/pf.conf"}},
		"blocks none":   {without("block"), []string{"!/etc/pf.conf"}},
		"passes all":    {"block drop in all\npass in all flags S/SA keep state\n", []string{"!/etc/pf.conf"}},
		"no udp":        {without("4725"), []string{"pf keeps packets out", "    pass in proto udp to port 4725\n", "!tcp to port", "!on netcombiner"}},
		"neither":       {without("vtnet0"), []string{"pass in proto udp to port 4725\n", "pass in proto tcp to port 443\n"}},
		"not the inner": {without("on netcombiner"), []string{"    pass in on netcombiner\n", "!to port"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			m.PF, m.hasNFT = true, false
			m.programs["pfctl -P -s rules"] = test.rules
			m.remote(RemoteOptions{Yes: true})
			if m.says(append(test.want, "open udp 4725 and tcp 443 there, too")...); m.starts != 1 || len(m.ran) != 0 {
				t.Errorf("%d starts; ran %q", m.starts, m.ran)
			}
		})
	}
}

func TestLocalOnFreeBSD(t *testing.T) {
	m := newMachine(t)
	m.PF, m.hasNFT = true, false
	m.programs["pfctl -P -s rules"] = "block drop in all\n"
	m.localWorks(LocalOptions{Token: homeToken(t), WANs: wans("eth1")})
	if m.says("!pf keeps", "!nft"); m.starts != 1 {
		t.Errorf("%d starts", m.starts)
	}
}

// FreeBSD's one default route says nothing of the other links.
func TestLocalOnFreeBSDWithoutAWay(t *testing.T) {
	m := newMachine(t)
	m.PF, m.hasNFT = true, false
	m.bare = []string{"ue0"}
	m.AddressesOf = func(string) ([]netip.Addr, error) { return addrs("10.1.0.2"), nil }
	m.localWorks(LocalOptions{Token: homeToken(t), WANs: wans("eth1", "ue0")})
	m.says("ue0 has no default route now: where no DHCP lease", "write Gateway = 192.0.2.1", "netcombiner reload nc0", "!reaches nothing")
}

func TestPortalOnFreeBSDPassesByItself(t *testing.T) {
	m := newMachine(t)
	m.PF, m.hasNFT = true, false
	m.programs["pfctl -P -s rules"] = strings.ReplaceAll(pfRules, "on netcombiner all", "on em5 all")
	m.remote(RemoteOptions{Routing: config.RoutingPortal})
	m.says("!/etc/pf.conf")
}
