package pfsense

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A tunnel starts, follows what is changed, and goes, each by as little as does.
func TestApply(t *testing.T) {
	f := newHome(t)
	f.calls()
	same(t, "problems", f.apply(), []string{})
	same(t, "start", f.calls(), []string{"rc.d/netcombiner onerestart nc0"})
	c := f.parsed("nc0")
	if c.Interface.Key.Base64() != key || len(c.Paths) != 2 || c.Paths[0].Device != "em0" {
		t.Errorf("configuration %+v", c)
	}
	same(t, "rc.conf.d", f.text("usr/local/etc/rc.conf.d/netcombiner"),
		"# pfSense writes this file from config.xml.\nnetcombiner_enable=\"YES\"\nnetcombiner_interfaces=\"nc0\"\n")

	same(t, "again", f.apply(), []string{})
	same(t, "nothing to do", f.calls(), []string(nil))

	f.host["gateways"] = []object{{"name": "WAN_DHCP", "friendlyiface": "wan", "gateway": "192.0.2.254"}} // a new lease
	f.apply()
	same(t, "changed", f.calls(), []string{"netcombiner reload nc0"})
	contains(t, "nc0.conf", f.ini("nc0"), "Gateway = 192.0.2.254\n")

	f.write("reload-says", "Role = local: not changed; restart to apply\n")
	f.host["gateways"] = []object{}
	f.apply()
	same(t, "changed much", f.calls(), []string{"netcombiner reload nc0", "rc.d/netcombiner onerestart nc0"})

	f.php("config_set_path('installedpackages/netcombiner/config/0/enable', 'off'); write_config('off');")
	same(t, "off", f.apply(), []string{})
	same(t, "stop", f.calls(), []string{"rc.d/netcombiner onestop nc0"})
	if f.exists("usr/local/etc/netcombiner/nc0.conf") {
		t.Error("its configuration is still there, and in it the key")
	}
	contains(t, "rc.conf.d", f.text("usr/local/etc/rc.conf.d/netcombiner"), `netcombiner_enable="NO"`)
}

// Nobody but root reads what holds the key, at no time, whatever the umask.
func TestPermissions(t *testing.T) {
	f := newHome(t)
	f.php("umask(0); netcombiner_apply(); return umask();")
	for name, mode := range map[string]os.FileMode{"nc0.conf": 0o600, ".": 0o700, "new": 0o700} {
		info, err := os.Stat(f.path("usr/local/etc/netcombiner/" + name))
		f.ok(err)
		if info.Mode().Perm() != mode {
			t.Errorf("%s is %v", name, info.Mode())
		}
	}
	left, err := os.ReadDir(f.path("usr/local/etc/netcombiner/new"))
	f.ok(err)
	if len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	lacks(t, "what was called", f.text("calls"), key)
}

// Of two at a time one waits, and by a file that nobody but root may hold or replace.
func TestOneAtATime(t *testing.T) {
	f := newHome(t)
	f.apply()
	lock, err := os.OpenFile(f.path("var/run/netcombiner.lock"), os.O_RDWR, 0)
	f.ok(err)
	defer lock.Close()
	if info, err := lock.Stat(); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the lock is %v, %v", info.Mode(), err)
	}
	f.php("config_set_path('installedpackages/netcombiner/config/0/enable', 'off'); write_config('off');")
	f.calls()
	f.ok(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))
	done := make(chan []string)
	go func() { done <- f.apply() }()
	select {
	case said := <-done:
		t.Errorf("it did not wait: %q", said)
	case <-time.After(time.Second):
		same(t, "meanwhile", f.calls(), []string(nil))
		f.ok(syscall.Flock(int(lock.Fd()), syscall.LOCK_UN))
		same(t, "problems", <-done, []string{})
	}
	same(t, "then", f.calls(), []string{"rc.d/netcombiner onestop nc0"})

	f.ok(os.Remove(f.path("var/run/netcombiner.lock")))
	f.ok(os.Mkdir(f.path("var/run/netcombiner.lock"), 0o755))
	same(t, "no lock", f.apply(), []string{"cannot write to " + f.path("var/run/netcombiner.lock") + ": is the disk full?"})
}

// What the daemon refuses leaves what runs as it is, every tunnel, and is told in its words.
func TestRefused(t *testing.T) {
	f := newHome(t)
	f.apply()
	before := f.ini("nc0")
	f.calls()
	f.php(`$paths = netcombiner_items('path'); $paths[1]['metric'] = '-1'; return netcombiner_save('path', $paths, 'test');`)
	same(t, "problems", f.apply(), []string{"nc0: [Path] lte: Metric = -1: not a metric; allowed: 0 to 65535"})
	same(t, "calls", f.calls(), []string(nil))
	same(t, "nc0.conf", f.ini("nc0"), before)

	f.ok(os.Remove(f.path("runs/nc0"))) // a reboot, with the mistake still in config.xml
	same(t, "problems at boot", f.apply(), []string{"nc0: [Path] lte: Metric = -1: not a metric; allowed: 0 to 65535"})
	same(t, "calls at boot", f.calls(), []string{"rc.d/netcombiner onerestart nc0"})
	same(t, "nc0.conf", f.ini("nc0"), before)

	f.php(`$paths = netcombiner_items('path'); $paths[1]['metric'] = '';
		$second = ['name' => 'second', 'instance' => '1'] + netcombiner_items('tunnel')[0];
		return [netcombiner_save('path', array_merge($paths, [['of' => 'nc1'] + $paths[0]]), 'test'), netcombiner_save('tunnel', [netcombiner_items('tunnel')[0], $second], 'test')];`)
	problems := strings.Join(f.apply(), "\n")
	contains(t, "two tunnels of one key", problems, "nc1: Key: the one of nc0.conf:4; allowed: a key for each tunnel")
	lacks(t, "problems", problems, "/new/", key)
	same(t, "calls", f.calls(), []string(nil))
	same(t, "nc0.conf", f.ini("nc0"), before)
}

// A file that somebody wrote by hand stays theirs.
func TestNotOurs(t *testing.T) {
	f := newHome(t)
	f.ok(os.MkdirAll(f.path("usr/local/etc/netcombiner"), 0o700))
	f.write("usr/local/etc/netcombiner/nc0.conf", "[Interface]\n")
	f.write("usr/local/etc/netcombiner/nc7.conf", "[Interface]\n")
	problems := f.apply()
	if len(problems) != 1 || !strings.Contains(problems[0], "is of somebody else: move it away") {
		t.Errorf("problems: %v", problems)
	}
	f.php("config_set_path('installedpackages/netcombiner/config/0/enable', 'off'); return netcombiner_apply();")
	same(t, "nc0.conf", f.ini("nc0"), "[Interface]\n")
	same(t, "nc7.conf", f.ini("nc7"), "[Interface]\n")
}

// A tunnel that does not start says why, in the log and on the page.
func TestBroken(t *testing.T) {
	f := newHome(t)
	f.write("broken-nc0", "netcombiner: nc0: no pf: kldload pf\nmore\n")
	same(t, "problems", f.apply(), []string{"nc0: no pf: kldload pf"})
	same(t, "status", f.php("return netcombiner_status();"),
		`{"tunnels":[],"problems":{"nc0":"no pf: kldload pf"},"names":{"nc0":"home"}}`)
	f.calls()
	f.php("netcombiner_resync();")
	same(t, "log", f.calls(), []string{"rc.d/netcombiner onerestart nc0", "log netcombiner: nc0: no pf: kldload pf"})
}

// Without the program all stays as it is, and one line says so.
func TestNoProgram(t *testing.T) {
	f := newHome(t)
	f.ok(os.Remove(f.path("usr/local/sbin/netcombiner")))
	problems := f.apply()
	if len(problems) != 1 || !strings.Contains(problems[0], "cannot run "+f.path("usr/local/sbin/netcombiner")) {
		t.Errorf("problems: %v", problems)
	}
}

// Of two firewalls the one has the tunnel that is CARP's master.
func TestCARP(t *testing.T) {
	f := newHome(t)
	f.php("$t = netcombiner_items('tunnel'); $t[0]['carp'] = '_vip1'; return netcombiner_save('tunnel', $t, 'test');")
	event := func(state string) []string {
		f.host["carp"] = object{"_vip1": []string{"192.0.2.9", state}}
		f.calls()
		f.php("netcombiner_plugin_carp(['event' => 'rc.carp']);")
		return f.calls()
	}
	same(t, "backup", event("BACKUP"), []string{"rc.d/netcombiner onestop nc0"})
	if f.ini("nc0") == "" {
		t.Error("the backup is not ready: it has no configuration")
	}
	contains(t, "status", f.php("return netcombiner_status();"), `"nc0":"the other firewall of the cluster has it"`)
	same(t, "master", event("MASTER"), []string{"rc.d/netcombiner onerestart nc0"})
	same(t, "master still", event("MASTER"), []string(nil))
	same(t, "backup again", event("BACKUP"), []string{"rc.d/netcombiner onestop nc0"})
	f.host["carp"] = object{}
	f.calls()
	f.apply()
	same(t, "no such address", f.calls(), []string{"rc.d/netcombiner onestop nc0"})
}
