package router

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// What procd is told of a tunnel: this command, this jail, this user, and no more.
func TestInstance(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	calls := r.service("start")
	T := r.dir
	same(t, "triggers", with(calls, "procd_add_reload_trigger", "procd_add_interface_trigger"), []string{
		"procd_add_reload_trigger netcombiner network",
		"procd_add_interface_trigger interface.* wan /etc/init.d/netcombiner reload after=200",
		"procd_add_interface_trigger interface.* wanb /etc/init.d/netcombiner reload after=200",
	})
	same(t, "instance", instances(calls), []string{
		"procd_open_instance nc0",
		"procd_set_param command /usr/sbin/netcombiner -f --config " + T + "/etc/nc0.conf nc0",
		"procd_set_param file " + T + "/etc/nc0.started /usr/sbin/netcombiner",
		"procd_set_param env NETCOMBINER_LOG=procd NETCOMBINER_STATE_DIR=" + T + "/state",
		"procd_set_param respawn 3600 5 5",
		"procd_set_param term_timeout 15",
		"procd_set_param limits core=0",
		"procd_set_param stdout 1",
		"procd_set_param stderr 1",
		"procd_set_param user netcombiner",
		"procd_set_param group netcombiner",
		"procd_set_param capabilities /etc/capabilities/netcombiner.json",
		"procd_set_param no_new_privs 1",
		"procd_add_jail netcombiner-nc0 procfs",
		"procd_add_jail_mount " + T + "/etc " + T + "/etc/resolv.conf:/etc/resolv.conf /etc/hosts /etc/localtime",
		"procd_add_jail_mount_rw " + T + "/run /dev/net/tun",
		"procd_add_jail_mount_rw " + T + "/state",
		"procd_close_instance",
	})
	same(t, "INI", r.ini("nc0"), `[Interface]
Role = local
Key = `+key+`
Address = 172.19.152.3/31, fd19:152::3/127
Routing = none # nat, by netifd

[Path]
Name = dsl
Bind = eth1 # interface wan
Remote = 203.0.113.2:4725

[Path]
Name = lte
Bind = wwan0 # interface wanb
Remote = 203.0.113.2:4725
`)
	same(t, "name servers", r.read("etc/resolv.conf"), "options timeout:1 attempts:2\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nnameserver 127.0.0.1\n")
	info, err := os.Stat(r.path("etc/nc0.conf"))
	r.must(err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the key is in a file of mode %v", info.Mode())
	}
	for _, secret := range append(calls, r.read("log")) {
		if strings.Contains(secret, key) {
			t.Errorf("the key is in %q", secret)
		}
	}
}

// Without ujail, or without the user, the tunnel still runs.
func TestInstanceWithoutJail(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	r.must(os.Remove(r.path("ujail")))
	calls := r.service("start")
	if len(with(calls, "procd_open_instance nc0")) != 1 {
		t.Errorf("no instance:\n%v", calls)
	}
	if jail := with(calls, "procd_add_jail", "procd_set_param user"); jail != nil {
		t.Errorf("%v without ujail, and so without capabilities", jail)
	}
}

// With Routing = portal the daemon needs nft and /proc/sys/net, but no more rights.
func TestPortalKeepsTheHostsFiles(t *testing.T) {
	r := newRouter(t)
	r.uci(strings.Replace(home, "option routing nat", "option routing portal\n\toption client_interface eth9", 1))
	calls := r.service("start")
	// Any word more, and ujail would give it files of its own.
	same(t, "jail", with(calls, "procd_add_jail"), []string{"procd_add_jail netcombiner-nc0"})
	if len(with(calls, "procd_set_param capabilities")) != 1 {
		t.Error("no capabilities")
	}
}

// A reload with the same UCI tells procd the same, so that it restarts nothing.
func TestReloadOfTheSame(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	first, stamp := r.service("start"), r.read("etc/nc0.started")
	same(t, "calls", r.service("reload"), first)
	same(t, "stamp", r.read("etc/nc0.started"), stamp)
}

// What is wrong keeps what runs, is told in the daemon's words where LuCI finds
// them, and once in the log.
func TestBadConfigurationKeepsTheGoodOne(t *testing.T) {
	for _, c := range []struct{ name, from, to, problem string }{
		{"value", "option name lte", "option name lte\n\toption metric 70000", "[Path] lte: Metric = 70000: not a metric; allowed: 0 to 65535"},
		{"no key", "option key " + key, "", "Key: missing in [Interface]; allowed: 32 bytes in base64, the same on both portals (netcombiner genkey makes one), or KeyFile"},
		{"no key file", "option key " + key, "option key_file /nowhere/key", "KeyFile: /nowhere/key: no such file or directory"},
		{"comment", "203.0.113.2:4725", "203.0.113.2:4725#x", "Remote: a # or a control character in it; allowed: printed characters"},
		{"second line", "option name dsl", "option name 'dsl\nKey = x'", "Name: a # or a control character in it; allowed: printed characters"},
		{"bind and interface", "option interface wanb", "option interface wanb\n\toption bind eth7", "path lte: interface and bind; allowed: one of the two"},
		{"bind to an address", "option interface wanb", "option bind 192.0.2.7", "path lte: it would go into the tunnel itself; allowed: an interface as netifd names it (wan), or a device to bind to (eth1)"},
		{"bound to nothing", "option interface wanb", "", "path lte: it would go into the tunnel itself; allowed: an interface as netifd names it (wan), or a device to bind to (eth1)"},
		{"fallback", "option routing nat", "option routing nat\n\toption fallback direct", "fallback 'direct' needs routing 'portal'; with 'nat', mwan3 can watch nc0 and do this"},
		{"bypass", "config path lte", "config bypass\n\toption tunnel nc0\n\tlist to 192.0.2.0/24\n\toption via dsl\nconfig path lte",
			"bypass: needs routing 'portal'; with 'nat', pbr or a config rule in /etc/config/network does this"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRouter(t)
			r.uci(home)
			first, ini := r.service("start"), r.ini("nc0")
			bad := strings.Replace(home, c.from, c.to, 1)
			if bad == home {
				t.Fatalf("%q is not in it", c.from)
			}
			r.uci(bad)
			same(t, "check", r.check("nc0"), c.problem)
			same(t, "instance", instances(r.service("reload")), instances(first))
			r.service("reload")
			same(t, "INI", r.ini("nc0"), ini)
			same(t, "problem", r.problem("nc0"), c.problem)
			same(t, "log", r.read("log"), "-t netcombiner -p daemon.err nc0: "+c.problem+"; it goes on as it was configured before\n")
			if left, _ := os.ReadDir(r.path("etc/new")); len(left) > 0 {
				t.Errorf("left: %v", left)
			}

			r.uci(home)
			r.service("reload")
			same(t, "problem afterwards", r.problem("nc0"), "")
			same(t, "check afterwards", r.check("nc0"), "")
		})
	}
}

// check is the command that LuCI's backend uses.
func (r *router) check(name string) string {
	r.t.Helper()
	out, err := r.script("service.sh", nil, "check", name)
	if out == "" && err != nil || out != "" && (err == nil || err.Error() != "exit status 2") {
		r.t.Errorf("check: %v\n%s", err, out)
	}
	return strings.TrimSpace(out)
}

// Who asks for a tunnel that is not there is not told of its missing keys.
func TestCheckOfNoTunnel(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	for _, name := range []string{"nc9", "dsl", ""} {
		same(t, "check", r.check(name), "there is no tunnel '"+name+"' in /etc/config/netcombiner")
	}
}

// A daemon that cannot run, for want of memory say, has not found all well.
func TestCheckThatDidNotRun(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	r.must(os.Mkdir(r.path("bin"), 0o755))
	r.must(os.WriteFile(r.path("bin/netcombiner"), []byte("#!/bin/sh\nexit 137\n"), 0o755))
	out, _ := r.script("service.sh", []string{"PATH=" + r.path("bin") + ":" + os.Getenv("PATH")}, "check", "nc0")
	if !strings.Contains(out, "netcombiner check did not run; is the memory full?") {
		t.Errorf("check: %q", out)
	}
}

// Where nothing good was before, a tunnel does not start.
func TestBadFromTheStart(t *testing.T) {
	r := newRouter(t)
	r.uci(strings.Replace(home, "option role local", "option role lokal", 1))
	if calls := with(r.service("start"), "procd_open_instance"); calls != nil {
		t.Error(calls)
	}
	same(t, "log", r.read("log"), "-t netcombiner -p daemon.err nc0: Role = lokal: not a role; allowed: local, remote; it does not start\n")
}

// Of two tunnels, one that takes the other's port is refused, and it alone.
func TestTwoTunnels(t *testing.T) {
	r := newRouter(t)
	second := `
config tunnel nc1
	option role remote
	option key c2Vjb25kc2Vjb25kc2Vjb25kc2Vjb25kc2Vjb25kMDA=
	list address 172.19.152.4/31

config listen
	option tunnel nc1
	option address [::]:4725
`
	r.uci(home + second)
	same(t, "instances", with(r.service("start"), "procd_open_instance"), []string{"procd_open_instance nc0", "procd_open_instance nc1"})
	same(t, "only the second", with(r.service("start", "nc1"), "procd_open_instance"), []string{"procd_open_instance nc1"})

	r.uci(home + second + strings.ReplaceAll(second, "nc1", "nc2"))
	same(t, "instances", with(r.service("reload"), "procd_open_instance"), []string{"procd_open_instance nc0", "procd_open_instance nc1"})
	if p := r.problem("nc2"); !strings.Contains(p, "nc1") || r.problem("nc1") != "" {
		t.Errorf("nc2: %q, nc1: %q", p, r.problem("nc1"))
	}

	r.uci(home)
	r.service("reload")
	if r.ini("nc1") != "" || r.problem("nc2") != "" {
		t.Error("something is left of tunnels that are gone")
	}
	r.uci(strings.Replace(home, "option enabled 1", "option enabled 0", 1))
	if calls := with(r.service("reload"), "procd_open_instance"); calls != nil || r.ini("nc0") != "" {
		t.Errorf("not enabled, and started: %v", calls)
	}
}

// One that was stopped by its name does not come back with the next WAN.
func TestStopByName(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	started := r.service("start")
	r.service("stop", "nc0")
	if calls := with(r.service("reload"), "procd_open_instance"); calls != nil {
		t.Error(calls)
	}
	same(t, "calls", r.service("start", "nc0"), started)
	same(t, "calls", r.service("reload"), started)

	r.service("stop", "nc0")
	same(t, "calls of a start of all", r.service("start"), started)
}

// The daemon's folder is the daemon's: whatever it puts there, root neither writes
// through it, nor reads it, nor waits for it.
func TestRootStaysOutOfTheDaemonsFolder(t *testing.T) {
	r := newRouter(t)
	r.uci(strings.Replace(home, "option key "+key, "", 1))
	r.write("precious", "precious")
	r.must(os.Symlink(r.path("precious"), r.path("run/nc0.stopped")))
	r.must(unix.Mkfifo(r.path("run/nc0.problem"), 0o600))
	r.service("start")
	if r.problem("nc0") == "" {
		t.Error("no problem is told")
	}
	r.service("stop", "nc0")
	same(t, "file", r.read("precious"), "precious")
	var names []string
	left, err := os.ReadDir(r.path("run"))
	r.must(err)
	for _, one := range left {
		names = append(names, one.Name())
	}
	same(t, "what the daemon has", names, []string{"nc0.problem", "nc0.stopped"})
}

// What stands in UCI is never a command, nor more than one line of the INI.
func TestHostileUCI(t *testing.T) {
	r := newRouter(t)
	evil := "'$(touch " + r.path("evil") + ")`touch " + r.path("evil") + "`;touch " + r.path("evil") + "\"'"
	for _, option := range []string{"name dsl", "interface wan", "remote 203.0.113.2:4725", "role local", "routing nat", "key " + key} {
		word, _, _ := strings.Cut(option, " ")
		r.uci(strings.Replace(home, "option "+option, "option "+word+" "+evil, 1))
		r.service("start")
		if word != "interface" && r.problem("nc0") == "" {
			t.Errorf("%s: no problem", word)
		}
		if exists(r.path("evil")) {
			t.Fatalf("%s was run", word)
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

const vps = `
config tunnel nc0
	option role remote
	option key ` + key + `
	list address 172.19.152.2/31
	option routing nat

config listen
	option tunnel nc0
	option address [::]:4725
	option open_firewall 1

config listen
	option tunnel nc0
	option transport tcp
	option address 192.0.2.9:443
	option open_firewall 1

config listen
	option tunnel nc0
	option transport ip
	option protocol 254
	option address 0.0.0.0
	option open_firewall 1

config listen
	option tunnel nc0
	option address 0.0.0.0:4726
`

// The ports of a remote portal are opened as procd's data, and the firewall is
// told when they change, not at each reload.
func TestFirewall(t *testing.T) {
	r := newRouter(t)
	r.uci(vps)
	calls := r.service("start")
	rule := func(name string, rest ...string) []string {
		all := []string{"json_add_object ", "json_add_string type rule", "json_add_string name " + name, "json_add_string src *"}
		return append(append(all, rest...), "json_add_string target ACCEPT", "json_close_object")
	}
	want := append([]string{"json_add_array firewall"}, rule("netcombiner nc0 udp 4725", "json_add_string proto udp", "json_add_string dest_port 4725")...)
	want = append(want, rule("netcombiner nc0 tcp 443", "json_add_string proto tcp", "json_add_string dest_port 443", "json_add_string dest_ip 192.0.2.9")...)
	want = append(want, rule("netcombiner nc0 254", "json_add_string proto 254", "json_add_string family ipv4")...)
	same(t, "rules", with(calls, "json"), append(want, "json_close_array"))
	same(t, "told", with(calls, "procd_set_config_changed"), []string{"procd_set_config_changed firewall"})
	same(t, "tried again", with(calls, "procd_add_raw_trigger"), []string{"procd_add_raw_trigger interface.* 1000 /etc/init.d/netcombiner reload"})
	if again := with(r.service("reload"), "procd_set_config_changed"); again != nil {
		t.Errorf("told of no change: %v", again)
	}
	r.uci(strings.ReplaceAll(vps, "option open_firewall 1", ""))
	same(t, "told of closed ports", with(r.service("reload"), "procd_set_config_changed"), []string{"procd_set_config_changed firewall"})
	if rules := with(r.service("reload"), "json"); rules != nil {
		t.Errorf("rules that nobody wants: %v", rules)
	}
	r.uci(vps)
	r.service("reload")
	same(t, "told of the end", with(r.service("stop"), "procd_set_config_changed"), []string{"procd_set_config_changed firewall"})
}

// A full flash takes the counts at a reboot, and no more; it is said once.
func TestFullOverlay(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	r.write("state", "a file where the folder is to be: nobody can make it")
	calls := r.service("start")
	r.service("reload")
	if len(with(calls, "procd_open_instance nc0")) != 1 || with(calls, "procd_add_jail_mount_rw "+r.path("state")) != nil {
		t.Errorf("%v", calls)
	}
	log := strings.Split(strings.TrimSpace(r.read("log")), "\n")
	if len(log) != 1 || !strings.Contains(log[0], "is the flash full?") {
		t.Errorf("log: %q", log)
	}
}

// The counts are given to whom the daemon runs as, and flash is spared where they are.
func TestOwnerOfTheCounts(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	given := func() bool {
		r.write("owners", "")
		r.service("start")
		return strings.Contains(r.read("owners"), "-hR netcombiner:netcombiner "+r.path("state"))
	}
	if !given() {
		t.Error("they stay another's")
	}
	r.write("uid", strconv.Itoa(os.Getuid())+"\n")
	if given() {
		t.Error("they are given to whose they are")
	}
}

// netifd that has not read the new protocol handler cannot bring the interface up.
func TestNetifdDoesNotKnow(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	r.write("handlers", `{ "static": {} }`)
	r.write("config/network", "config interface tunnel\n\toption proto netcombiner\n\toption tunnel nc0\n")
	r.service("start")
	same(t, "problem", r.problem("nc0"), "netifd does not know the protocol yet, and tunnel stays down: restart the network once, or reboot")
}
