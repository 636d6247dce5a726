package setup

import (
	"strings"
	"testing"

	"netcombiner/src/config"
)

const debianRuleset = `table inet filter {
	set seen {
		type ipv4_addr
	}

	chain input {
		type filter hook input priority filter; policy drop;
		iif "lo" accept
		ct state established,related accept
		tcp dport 22 accept
	}

	chain forward {
		type filter hook forward priority filter; policy drop;
	}

	chain output {
		type filter hook output priority filter; policy accept;
	}
}
table inet netcombiner-nc9 {
	chain input {
		type filter hook input priority filter; policy drop;
	}
}
`

// ufwDone is what ufw says once it has run our commands.
const ufwDone = `Status: active

To                         Action      From
--                         ------      ----
4725/udp                   ALLOW       Anywhere                  
443/tcp                    ALLOW       Anywhere                  
4725/udp (v6)              ALLOW       Anywhere (v6)             

Anywhere                   ALLOW FWD   Anywhere on nc0           
Anywhere on nc0            ALLOW FWD   Anywhere                  
`

const dockerRuleset = `table ip nat {
	chain PREROUTING {
		type nat hook prerouting priority dstnat; policy accept;
	}
}
table ip filter {
	chain DOCKER {
	}
	chain FORWARD {
		type filter hook forward priority filter; policy drop;
		counter packets 0 bytes 0 jump DOCKER-USER
	}
	chain INPUT {
		type filter hook input priority filter; policy accept;
		counter packets 9 bytes 99 reject with icmp type host-prohibited
	}
}
`

func TestFirewallCommands(t *testing.T) {
	for _, test := range []struct {
		name     string
		programs map[string]string
		want     string
	}{
		{"none", nil, ""},
		{"open", map[string]string{"nft list ruleset": "table inet a {\n\tchain b {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport 25 drop\n\t\taccept\n\t}\n}\n"}, ""},
		{"nftables", map[string]string{"nft list ruleset": debianRuleset}, `nft insert rule inet filter input udp dport 4725 accept
nft insert rule inet filter input tcp dport 443 accept
nft insert rule inet filter forward iifname "nc0" accept
nft insert rule inet filter forward oifname "nc0" accept`},
		{"iptables and docker", map[string]string{"nft list ruleset": dockerRuleset}, `nft insert rule ip filter FORWARD iifname "nc0" accept
nft insert rule ip filter FORWARD oifname "nc0" accept
nft insert rule ip filter INPUT udp dport 4725 accept
nft insert rule ip filter INPUT tcp dport 443 accept`},
		{"half open", map[string]string{"nft list ruleset": strings.Replace(debianRuleset, "tcp dport 22 accept",
			"udp dport 4725 counter packets 3 bytes 90 accept\n\t\ttcp dport 443 accept", 1)}, `nft insert rule inet filter forward iifname "nc0" accept
nft insert rule inet filter forward oifname "nc0" accept`},
		{"ufw", map[string]string{"ufw status": "Status: active\n\nTo      Action   From\n443/tcp ALLOW    Anywhere\n", "nft list ruleset": debianRuleset}, `ufw allow 4725/udp
ufw route allow in on nc0
ufw route allow out on nc0`},
		{"ufw, done", map[string]string{"ufw status": ufwDone}, ""},
		{"ufw, off", map[string]string{"ufw status": "Status: inactive\n"}, ""},
		{"firewalld", map[string]string{"firewall-cmd --state": "running\n", "firewall-cmd --list-ports": "443/tcp 80/tcp\n",
			"firewall-cmd --get-zone-of-interface=nc0": "no zone\n"}, `firewall-cmd --permanent --add-port=4725/udp
firewall-cmd --permanent --zone=trusted --add-interface=nc0
firewall-cmd --reload`},
		{"OpenWrt", openWrt(""), `uci add_list firewall.@zone[1].device=nc0
uci commit firewall
/etc/init.d/firewall reload`},
		{"OpenWrt, done", openWrt("nc0\n"), ""},
	} {
		m := newMachine(t)
		for k, v := range test.programs {
			m.programs[k] = v
		}
		m.remote(RemoteOptions{Yes: true})
		if got := strings.Join(m.ran, "\n"); got != test.want {
			t.Errorf("%s: ran\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

func openWrt(devices string) map[string]string {
	programs := map[string]string{"nft list ruleset": "table inet fw4 {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n",
		"uci -q get firewall.@zone[0].name": "lan\n", "uci -q get firewall.@zone[1].name": "wan\n", "/etc/init.d/firewall x": ""}
	programs["uci -q get firewall.@zone[1].device"] = devices
	return programs
}

// Without a word from a person nothing is opened.
func TestFirewallAsks(t *testing.T) {
	for _, test := range []struct {
		name string
		ask  func(string) bool
		yes  bool
		runs int
		says string
	}{
		{"nobody there", nil, false, 0, "nothing was opened"},
		{"no", func(string) bool { return false }, false, 0, "nothing was opened"},
		{"yes", func(string) bool { return true }, false, 4, "until the next boot"},
		{"--yes", nil, true, 4, "until the next boot"},
	} {
		m := newMachine(t)
		m.programs["nft list ruleset"] = debianRuleset
		m.Ask = test.ask
		m.remote(RemoteOptions{Yes: test.yes})
		if len(m.ran) != test.runs {
			t.Errorf("%s: ran %q", test.name, m.ran)
		}
		m.says("    nft insert rule inet filter input udp dport 4725 accept\n", `    nft insert rule inet filter forward iifname '"nc0"' accept`, test.says)
	}
	m := newMachine(t)
	m.programs["nft list ruleset"] = debianRuleset
	m.remote(RemoteOptions{Yes: true, Routing: config.RoutingNone})
	if len(m.ran) != 2 { // nothing is forwarded
		t.Errorf("ran %q", m.ran)
	}
}
