package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/src/routing/nstest"
)

// The README's commands that no test can run, and why.
var notHere = map[string]string{
	"journalctl -g netcombiner": "a namespace has no journal of its own",
	"logread -e netcombiner":    "OpenWrt has it",

	"apt install ./netcombiner_*_arm64.deb":  "make package-test installs it",
	"dnf install ./netcombiner-*.x86_64.rpm": "make package-test installs it",
	"systemctl restart netcombiner@nc0":      "make package-test does",
	"systemctl enable --now netcombiner@nc0": "make package-test does",
	"netcombiner service install nc0":        "make package-test does, under three managers",

	"scp -O build/openwrt/ipk/*_aarch64_generic.ipk build/openwrt/ipk/*_all.ipk root@192.168.1.1:/tmp":    "there is no router",
	"scp -O build/openwrt/apk/*.aarch64_generic.apk build/openwrt/apk/*.noarch.apk root@192.168.1.1:/tmp": "there is no router",
	"opkg install /tmp/netcombiner_*.ipk /tmp/luci-*.ipk":                                                 "OpenWrt has opkg",
	"apk add --allow-untrusted /tmp/netcombiner-*.apk /tmp/luci-*.apk":                                    "OpenWrt has apk",

	"pkg add ./netcombiner-[0-9]*.pkg ./os-netcombiner-*.pkg":          "FreeBSD has pkg",
	"pkg add ./netcombiner-[0-9]*.pkg ./pfSense-pkg-netcombiner-*.pkg": "FreeBSD has pkg",
	"pkg add ./netcombiner-[0-9]*.pkg":                                 "package packaging/freebsd reads it back",
	"pkg delete netcombiner":                                           "package freebsd/test runs its script",
	"pkg upgrade":                                                      "FreeBSD has pkg",
	"sysrc pf_enable=YES":                                              "package freebsd/test types it",
	"service pf start":                                                 "package freebsd/test types it",
	"service pf reload":                                                "package freebsd/test types it",
	"sysctl net.fibs=3":                                                "Linux has no FIBs",
	"sysrc netcombiner_enable=YES":                                     "package freebsd/test types it",
	"sysrc netcombiner_interfaces+=nc0":                                "package freebsd/test types it",
	"service netcombiner start":                                        "package freebsd/test types it",
	"service netcombiner stop":                                         "package freebsd/test types it",
	"service netcombiner status":                                       "package freebsd/test types it",
	"service netcombiner reload nc0":                                   "package freebsd/test types it",
	"service netcombiner restart nc0":                                  "package freebsd/test types it",
	"service netcombiner restart":                                      "package freebsd/test types it",

	"service netcombiner reload && ifup nc0": "OpenWrt has procd and netifd",
	"service netcombiner check nc0":          "package openwrt/test/router does",
	"cat /var/etc/netcombiner/nc0.problem":   "OpenWrt's service writes it",
}

// What stands in the README as code, has a blank in it, and is no command; nor
// is what holds " = ", a line of a configuration.
var notCommands = []string{"session: handshake", "rejected: mac", "path cannot connect", "no WAN yet: waits for wan", "interface wanb has no metric",
	"--wan em1 --wan ue0", "needs pf to ask our rules", "has no gateway that …", "have no way of their own", "is tried again and again", // FreeBSD's
	"pass in proto udp to port 4725", "pass in on netcombiner", "set reassemble yes", "set skip on nc0",
	"nc0.conf:9: …", "the configuration was not written", "the other firewall of the cluster has it"}

// Whoever types what README.md says gets the tunnel that it promises: its
// configurations and its commands, run here as they stand there. A command
// that is added to it must be run here, too.
func TestReadme(t *testing.T) {
	doc := readReadme(t)
	ran := map[string]bool{}
	for _, command := range doc.commands {
		if words := strings.Fields(command); words[0] == "make" {
			out, err := exec.Command("make", append([]string{"-n", "-C", "../../.."}, words[1:]...)...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %v\n%s", command, err, out)
			}
			ran[command] = true
		}
	}
	followReadme(t, doc, ran)
	for _, command := range doc.commands {
		if !ran[command] && notHere[command] == "" && !strings.Contains(command, " = ") && !slices.Contains(notCommands, command) {
			t.Errorf("README.md says `%s`, and this test does not run it", command)
		}
	}
}

// readme is what README.md tells its reader to type.
type readme struct {
	blocks   [][]string // of commands, without comments
	configs  []string
	bypass   string   // part of one
	commands []string // those of blocks, and all code in the text that has a blank in it
}

func readReadme(t *testing.T) readme {
	t.Helper()
	doc := readDocument(t, "../../../README.md")
	if len(doc.configs) != 2 || len(doc.blocks) < 4 {
		t.Fatalf("README.md holds %d configurations and %d blocks of commands: does this test still read it right?", len(doc.configs), len(doc.blocks))
	}
	return doc
}

// readDocument reads a file in which commands and configurations are indented.
func readDocument(t *testing.T, file string) (doc readme) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var block []string
	end := func() {
		whole := strings.TrimSpace(strings.Join(block, "\n"))
		switch {
		case whole == "", strings.Contains(whole, "══"), strings.Contains(whole, "src/daemon"): // drawing, layout
		case strings.HasPrefix(whole, "[Bypass]"):
			doc.bypass = whole + "\n"
		case strings.HasPrefix(whole, "nat-anchor "): // pf.conf, which package freebsd/test reads
		case strings.HasPrefix(whole, "config "): // UCI, which package openwrt/test/router tries
		case whole[0] == '[':
			doc.configs = append(doc.configs, whole+"\n")
		default:
			var lines []string
			for line := range strings.SplitSeq(whole, "\n") {
				line, _, _ = strings.Cut(line, " #")
				if line = strings.TrimSpace(line); line != "" {
					lines = append(lines, line)
				}
			}
			doc.blocks = append(doc.blocks, lines)
			doc.commands = append(doc.commands, lines...)
		}
		block = nil
	}
	code := regexp.MustCompile("`([^`]*)`")
	for line := range strings.SplitSeq(string(text), "\n") {
		inside, indented := strings.CutPrefix(line, "    ")
		if indented || line == "" {
			block = append(block, inside)
			continue
		}
		end()
		for _, found := range code.FindAllStringSubmatch(line, -1) {
			if strings.Contains(found[1], " ") {
				doc.commands = append(doc.commands, found[1])
			}
		}
	}
	end()
	return doc
}

// block returns the block of commands that holds this one.
func (doc readme) block(t *testing.T, command string) []string {
	t.Helper()
	for _, lines := range doc.blocks {
		if slices.Contains(lines, command) {
			return lines
		}
	}
	t.Fatalf("the document no longer says %q", command)
	return nil
}

// host is a reader's machine.
type host struct {
	*nstest.NS
	dir string // its own /etc/netcombiner, /var/run/netcombiner and /etc/hosts
	ran map[string]bool
}

// try runs a line as a reader would, who ends what is endless by Ctrl-C.
func (h host) try(line string) (string, error) {
	var out []byte
	var err error
	h.Do(func() {
		typed := line
		if strings.HasPrefix(line, "ping ") || strings.HasPrefix(line, "netcombiner -f") || strings.HasSuffix(line, " --watch") {
			// In the foreground: else it sends the signal twice, and a second Ctrl-C kills.
			typed = "timeout --foreground --preserve-status -s INT 1 " + line
		}
		cmd := exec.Command("unshare", "--mount", "sh", "-ec", "mount --bind "+h.dir+"/hosts /etc/hosts\n"+typed)
		cmd.Env = append(os.Environ(), "NC_SYSTEM=real", "NC_CONFIG_DIR="+h.dir, "NETCOMBINER_RUN_DIR="+h.dir+"/run", "NETCOMBINER_STATE_DIR="+h.dir+"/state", "GORACE=atexit_sleep_ms=0")
		out, err = cmd.CombinedOutput()
	})
	h.ran[line] = true
	return string(out), err
}

func (h host) typed(t *testing.T, line string) string {
	t.Helper()
	out, err := h.try(line)
	if err != nil {
		t.Fatalf("%s: %v\n%s", line, err, out)
	}
	return out
}

// await repeats a line until what it prints matches.
func (h host) await(t *testing.T, line, pattern string) {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		out, err := h.try(line)
		if err == nil && want.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v, want %s\n%s", line, err, pattern, out)
		}
	}
}

func (h host) configure(t *testing.T, config string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, "nc0.conf"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (h host) state() string {
	return h.Run("ip rule", "ip -6 rule", "ip -4 route show table all", "nft list ruleset", "sysctl net.ipv4.ip_forward net.ipv6.conf.all.forwarding")
}

// newHost is a machine with nothing but the program.
func newHost(t *testing.T, name string, ran map[string]bool) host {
	t.Helper()
	dir, err := os.MkdirTemp("", "nc") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	h := host{nstest.New(t, name), dir, ran}
	if err := os.Mkdir(dir+"/state", 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killAll(dir + "/run"); os.RemoveAll(dir) })
	if err := os.WriteFile(dir+"/hosts", []byte("127.0.0.1 localhost\n203.0.113.2 vps.example.org\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return h
}

// joinHosts is the network of the README's reader: a client behind a router with two links,
// and a VPS.
func joinHosts(t *testing.T, ran map[string]bool) (client, router, internet, vps host) {
	client, router, internet, vps = newHost(t, "client", ran), newHost(t, "router", ran), newHost(t, "internet", ran), newHost(t, "vps", ran)
	nstest.Join(client.NS, "eth0", router.NS, "eth0")
	nstest.Join(router.NS, "eth1", internet.NS, "dsl")
	nstest.Join(router.NS, "wwan0", internet.NS, "lte")
	nstest.Join(vps.NS, "eth0", internet.NS, "host")
	internet.Run("ip address add 10.1.0.1/24 dev dsl", "ip address add 10.2.0.1/24 dev lte", "ip address add 203.0.113.1/24 dev host",
		"ip address add 198.51.100.1/32 dev lo", "sysctl -w net.ipv4.ip_forward=1")
	vps.Run("ip address add 203.0.113.2/24 dev eth0", "ip route add default via 203.0.113.1")
	router.Run("ip address add 192.168.1.1/24 dev eth0", "ip address add 10.1.0.2/24 dev eth1", "ip address add 10.2.0.2/24 dev wwan0",
		"ip route add default via 10.1.0.1 metric 10", "ip route add default via 10.2.0.1 metric 20")
	client.Run("ip address add 192.168.1.10/24 dev eth0", "ip route add default via 192.168.1.1")
	return client, router, internet, vps
}

// initBoth types the README's two commands, and returns what the second one says.
func initBoth(t *testing.T, vps, router host, onVPS, atHome string) string {
	t.Helper()
	token := regexp.MustCompile(`(?m)^nc1\.\S+$`).FindString(vps.typed(t, onVPS))
	if token == "" || !strings.Contains(atHome, " TOKEN ") {
		t.Fatalf("%s printed the token %q, and %q is to take it", onVPS, token, atHome)
	}
	router.ran[atHome] = true
	return router.typed(t, strings.Replace(atHome, "TOKEN", token, 1))
}

// bypassAsReadme adds the README's section to the configuration that runs, and types
// its commands.
func bypassAsReadme(t *testing.T, doc readme, router host, config string) {
	t.Helper()
	router.configure(t, config+doc.bypass)
	router.typed(t, "netcombiner check")
	router.typed(t, "netcombiner reload nc0")
	router.await(t, "netcombiner show nc0", `bypass: to 192.0.2.64/26, 2001:db8:64::/48, by dsl\n`)
	router.configure(t, config)
	router.typed(t, "netcombiner reload nc0")
	for _, line := range doc.block(t, "netcombiner add nc0 bypass 192.0.2.64/26 via lte") {
		router.typed(t, line)
	}
}

// followReadme sets the README's tunnel up on a router with two links and a
// VPS, uses it, takes it down: by init, by hand, and with Routing = portal.
func followReadme(t *testing.T, doc readme, ran map[string]bool) {
	client, router, _, vps := joinHosts(t, ran)
	const reachInternet = "ping -c 1 -W 2 198.51.100.1"
	if out, err := client.try(reachInternet); err == nil {
		t.Fatalf("the client reaches the Internet without a tunnel: the test shows nothing\n%s", out)
	}

	bare := vps.state() + router.state()
	block := doc.block(t, "netcombiner init remote")
	if said := initBoth(t, vps, router, block[0], block[1]); !strings.Contains(said, "2 of 2 links work") {
		t.Errorf("%s: %s", block[1], said)
	}
	client.await(t, reachInternet, "1 received")
	vps.typed(t, "netcombiner help init")
	vps.typed(t, "netcombiner init remote nc1") // another home's
	vps.typed(t, "netcombiner down nc1")
	vps.Run("rm " + vps.dir + "/nc1.conf")
	for _, h := range []host{vps, router} {
		h.typed(t, "netcombiner down nc0")
	}
	if after := vps.state() + router.state(); after != bare {
		t.Errorf("down has not undone all: it was\n%s\nand is\n%s", bare, after)
	}

	key := strings.TrimSpace(vps.typed(t, "netcombiner genkey"))
	ends := []host{vps, router}
	configs := make([]string, 2)
	for i, h := range ends {
		configs[i] = strings.ReplaceAll(doc.configs[i], "<the key>", key)
		h.configure(t, configs[i])
		h.typed(t, "netcombiner check")
	}
	before := vps.state() + router.state()
	for _, h := range ends {
		h.typed(t, "netcombiner selftest nc0")
	}
	vps.typed(t, "netcombiner -f nc0")
	const down = "netcombiner down nc0"
	for _, line := range doc.block(t, down) {
		if line == down {
			router.await(t, "netcombiner show nc0", `(?s)session: established.*  dsl +up .*  lte +up `)
			client.await(t, reachInternet, "1 received")
			for _, command := range doc.commands {
				if strings.HasPrefix(command, "ping ") {
					router.typed(t, command)
				}
			}
			router.typed(t, "netcombiner selftest nc0") // and beside the tunnel that runs
			client.await(t, reachInternet, "1 received")
			bypassAsReadme(t, doc, router, configs[1])
			for _, change := range doc.block(t, "netcombiner reload nc0") {
				router.typed(t, change)
				client.await(t, reachInternet, "1 received")
			}
			vps.typed(t, "netcombiner reload nc0")
		}
		for _, h := range ends {
			h.typed(t, line)
		}
	}
	if after := vps.state() + router.state(); after != before {
		t.Errorf("down has not undone all: it was\n%s\nand is\n%s", before, after)
	}

	for i, h := range ends {
		more := []string{"KeepPorts = 22", "ClientInterface = eth0"}[i]
		h.configure(t, strings.ReplaceAll(configs[i], "Routing = nat", "Routing = portal\n"+more))
		h.typed(t, "netcombiner nc0")
	}
	client.Run("ip address flush dev eth0")
	for _, line := range doc.block(t, "ip route add default via 172.19.152.3") {
		client.typed(t, line)
	}
	client.await(t, reachInternet, "1 received")
	for _, h := range ends {
		h.typed(t, down)
	}
}
