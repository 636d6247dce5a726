package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"netcombiner/src/routing/nstest"
)

// The guide's commands that are not run here, and why.
var operatorsElsewhere = map[string]string{
	"systemctl disable --now netcombiner@nc57":                "no systemd in a namespace",
	"systemctl restart netcombiner@$i":                        "no systemd in a namespace",
	"kubectl create secret generic nc58 --from-file=nc58.key": "no cluster",
	"kubectl apply -f -":                                      "no cluster; what comes before the pipe is run",
	"make evaluate ONLY=many":                                 "measures for minutes",
	"make bench":                                              "measures for minutes",
	"sysctl net.netfilter.nf_conntrack_max":                   "a namespace need not have it",
}

// Whoever does what doc/operators.md says adds the 57th home, upgrades it, moves
// it to another host and takes it away: its commands, run here as they stand there.
func TestOperatorsGuide(t *testing.T) {
	doc := readDocument(t, "../../../doc/operators.md")
	ran := map[string]bool{}
	client, router, internet, vps := joinHosts(t, ran)
	other := newHost(t, "new", ran)
	nstest.Join(other.NS, "eth0", internet.NS, "host2")
	internet.Run("ip address add 203.0.114.1/24 dev host2")
	other.Run("ip address add 203.0.114.2/24 dev eth0", "ip route add default via 203.0.114.1")
	router.names(t, "203.0.113.2 nc57.example.org")
	// Two homes are there already, one of them where nc57 belongs.
	vps.typed(t, "netcombiner init remote --yes")
	vps.typed(t, "netcombiner init remote nc1 --yes")

	added := doc.block(t, "netcombiner init remote nc57 --address nc57.example.org")[0]
	if said := initBoth(t, vps, router, added, doc.block(t, "netcombiner init local TOKEN --wan eth1 --wan wwan0")[0]); !strings.Contains(said, "2 of 2 links work") {
		t.Fatalf("%s: %s", added, said)
	}
	text, err := os.ReadFile(filepath.Join(vps.dir, "nc57.conf"))
	if err != nil || !strings.Contains(string(text), "172.19.152.116/31\n") || !regexp.MustCompile(`Address\s*=\s*\S+:4782\n`).Match(text) {
		t.Errorf("nc57 is not at its place: %v", err)
	}
	const reachInternet = "ping -c 1 -W 2 198.51.100.1"
	client.await(t, reachInternet, "1 received")
	if out := vps.typed(t, doc.block(t, "netcombiner check --all")[0]); strings.Count(out, ": ok\n") != 3 {
		t.Errorf("check --all: %s", out)
	}
	for _, line := range doc.block(t, "netcombiner show nc57 --json") {
		if out := vps.typed(t, line); !strings.Contains(out, "nc57") {
			t.Errorf("%s: %s", line, out)
		}
	}

	// Upgrade.
	var loop string
	for _, c := range doc.commands {
		if strings.HasPrefix(c, "for f in ") {
			loop = c
		}
	}
	vps.onFiles(t, loop, "")
	client.await(t, reachInternet, "1 received")

	// Move.
	left, arrived := doc.block(t, "scp -p /etc/netcombiner/nc57.conf new.example.org:/etc/netcombiner/"), doc.block(t, "netcombiner nc57")
	for _, line := range left {
		vps.onFiles(t, line, other.dir)
	}
	for _, line := range arrived {
		other.typed(t, line)
	}
	router.names(t, "203.0.114.2 nc57.example.org")
	moved := time.Now()
	client.await(t, reachInternet, "1 received")
	t.Logf("back %.1f s after its name told the new address", time.Since(moved).Seconds())
	if out := other.typed(t, "netcombiner show nc57"); !strings.Contains(out, " up ") {
		t.Errorf("on the new host: %s", out)
	}

	// Take away.
	for _, line := range doc.block(t, "rm /etc/netcombiner/nc57.conf /var/lib/netcombiner/nc57.quota") {
		other.onFiles(t, line, "")
	}
	if left, _ := filepath.Glob(other.dir + "/*/nc57*"); len(left) > 0 {
		t.Errorf("left: %q", left)
	}

	// What stands before kubectl.
	for _, c := range doc.commands {
		switch typed, rest, piped := strings.Cut(c, " | "); {
		case piped && strings.HasPrefix(rest, "kubectl "):
			out := vps.typed(t, strings.Replace(typed, "packaging/", "../../../packaging/", 1))
			if strings.Contains(out, "nc57") || strings.Contains(out, "4782") || !strings.Contains(out, "0.0.0.0:4783") {
				t.Errorf("%s: %s", typed, out)
			}
			ran[c] = true
		case strings.HasPrefix(c, "(umask 077; netcombiner genkey > "):
			vps.typed(t, strings.Replace(c, "> ", "> "+vps.dir+"/", 1))
			ran[c] = true
		}
	}
	for _, command := range doc.commands {
		if !ran[command] && operatorsElsewhere[command] == "" && !strings.Contains(command, " = ") && !strings.HasPrefix(command, `"state"`) {
			t.Errorf("doc/operators.md says `%s`, and this test does not run it", command)
		}
	}
}

// names makes the host know a name's address, in place of what it knew of others.
func (h host) names(t *testing.T, line string) {
	t.Helper()
	if err := os.WriteFile(h.dir+"/hosts", []byte("127.0.0.1 localhost\n"+line+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

// onFiles types a line that names files of this host, or of another that it copies to.
func (h host) onFiles(t *testing.T, line, to string) {
	t.Helper()
	typed := strings.NewReplacer("scp ", "cp ",
		"new.example.org:/etc/netcombiner/", to+"/", "new.example.org:/var/lib/netcombiner/", to+"/state/",
		"/etc/netcombiner/", h.dir+"/", "/var/lib/netcombiner/", h.dir+"/state/").Replace(line)
	h.typed(t, typed)
	h.ran[line] = true
}
