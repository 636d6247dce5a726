package opnsense

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/config"
	"netcombiner/src/token"
)

// firewall is a host with the plugin, as far as its scripts see it: what stands in for
// OPNsense's and FreeBSD's programs records how it was called (testdata/bin), and the
// templates are candidates that lie ready.
type firewall struct {
	t    *testing.T
	dir  string
	path string
}

const (
	home = "# os-netcombiner writes this file from config.xml.\n[Interface]\nRole = local\nKey = " + key + "\n[Path]\nRemote = 192.0.2.1:4725\n"
	away = "# os-netcombiner writes this file from config.xml.\n[Interface]\nRole = remote\nKey = " + key + "\n[Listen]\nAddress = [::]:4725\n"
)

func newFirewall(t *testing.T) *firewall {
	doubles, err := filepath.Abs("testdata/bin")
	must(t, err)
	f := &firewall{t: t, dir: t.TempDir(), path: doubles + ":" + os.Getenv("PATH")}
	must(t, os.MkdirAll(f.dir+"/templates", 0o755))
	must(t, os.MkdirAll(f.dir+"/runs", 0o755))
	f.settings("nc0", "")
	f.candidate("nc0", home)
	return f
}

// settings is what the template for rc.conf.d makes.
func (f *firewall) settings(interfaces, carp string) {
	write(f.t, f.dir+"/rc.conf", "netcombiner_enable=\"YES\"\nnetcombiner_skip=\"YES\"\nnetcombiner_interfaces=\""+interfaces+"\"\nnetcombiner_carp='"+carp+"'\n")
}

func (f *firewall) candidate(name, text string) { write(f.t, f.dir+"/templates/"+name+".conf", text) }

// control runs the script and returns what it prints, and what it called meanwhile.
func (f *firewall) control(args ...string) (said string, calls []string) {
	f.t.Helper()
	_ = os.Remove(f.dir + "/calls")
	script, err := filepath.Abs(scripts + "control.sh")
	must(f.t, err)
	out, _ := command(f.t, []string{
		"PATH=" + f.path, "DOUBLE=" + f.dir, "DAEMON=" + bin + "/netcombiner",
		"NETCOMBINER_ETC=" + f.dir + "/etc", "NETCOMBINER_RUN=" + f.dir + "/run", "NETCOMBINER_RC_CONF=" + f.dir + "/rc.conf",
	}, append([]string{"dash", script}, args...)...)
	if text, err := os.ReadFile(f.dir + "/calls"); err == nil {
		calls = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	if all := out + strings.Join(calls, "\n"); strings.Contains(all, key) {
		f.t.Errorf("the key is in %s", all)
	}
	return strings.TrimSpace(out), calls
}

// did keeps of the calls those that change something.
func did(calls []string) (changes []string) {
	for _, call := range calls {
		if strings.HasPrefix(call, "service ") || strings.HasPrefix(call, "netcombiner reload") || strings.HasPrefix(call, "configctl -dq") {
			changes = append(changes, call)
		}
	}
	return changes
}

func (f *firewall) expect(what, said, want string, calls []string, changes ...string) {
	f.t.Helper()
	if said != want {
		f.t.Errorf("%s: says %q, want %q", what, said, want)
	}
	if got := did(calls); !slices.Equal(got, changes) {
		f.t.Errorf("%s: did %q, want %q", what, got, changes)
	}
}

func (f *firewall) installed(name string) string {
	text, err := os.ReadFile(f.dir + "/etc/" + name + ".conf")
	if err != nil {
		return ""
	}
	if info, _ := os.Stat(f.dir + "/etc/" + name + ".conf"); info.Mode().Perm() != 0o600 {
		f.t.Errorf("%s.conf may be read by others: %v", name, info.Mode())
	}
	return string(text)
}

func TestReconfigure(t *testing.T) {
	f := newFirewall(t)
	said, calls := f.control("reconfigure")
	f.expect("first", said, "OK", calls, "service netcombiner onerestart nc0", "configctl -dq interface newip nc0 force", "configctl -dq interface newipv6 nc0 force")
	if f.installed("nc0") != home {
		t.Errorf("nc0.conf is %q", f.installed("nc0"))
	}
	for _, folder := range []string{"/etc", "/etc/new"} {
		if info, err := os.Stat(f.dir + folder); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", folder, info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(f.dir + "/etc/new/*"); len(left) > 0 {
		t.Errorf("candidates stay: %v", left)
	}

	said, calls = f.control("reconfigure")
	f.expect("the same", said, "OK", calls)

	metric := home + "Metric = 5\n"
	f.candidate("nc0", metric)
	said, calls = f.control("reconfigure")
	f.expect("a change", said, "OK", calls, "netcombiner reload nc0")
	if f.installed("nc0") != metric {
		t.Errorf("nc0.conf is %q", f.installed("nc0"))
	}

	f.candidate("nc0", strings.Replace(metric, "[Path]", "MTU = 1400\n[Path]", 1))
	write(t, f.dir+"/reload", "MTU: restart to apply\n")
	said, calls = f.control("reconfigure")
	f.expect("what needs a restart", said, "OK", calls, "netcombiner reload nc0", "service netcombiner onerestart nc0", "configctl -dq interface newip nc0 force", "configctl -dq interface newipv6 nc0 force")

	f.settings("nc0 nc1", "")
	f.candidate("nc1", away)
	said, calls = f.control("reconfigure")
	f.expect("a second", said, "OK", calls, "service netcombiner onerestart nc1", "configctl -dq interface newip nc1 force", "configctl -dq interface newipv6 nc1 force")

	f.settings("nc1", "")
	must(t, os.Remove(f.dir+"/templates/nc0.conf"))
	said, calls = f.control("reconfigure")
	f.expect("one less", said, "OK", calls, "service netcombiner onestop nc0")
	if f.installed("nc0") != "" || f.installed("nc1") != away {
		t.Error("the wrong file is gone")
	}
}

// A person's own tunnels are none of the plugin's.
func TestOthersFilesStay(t *testing.T) {
	f := newFirewall(t)
	write(t, f.dir+"/etc/nc9.conf", "[Interface]\n# mine\n")
	f.settings("", "")
	said, calls := f.control("reconfigure")
	f.expect("none", said, "OK", calls)
	said, calls = f.control("stop")
	f.expect("stop", said, "", calls)
	if f.installed("nc9") == "" {
		t.Error("it is gone")
	}
}

// One that has the name of a tunnel of the plugin's is not written over.
func TestOthersFilesAreNotReplaced(t *testing.T) {
	f := newFirewall(t)
	const mine = "[Interface]\n# mine\n"
	write(t, f.dir+"/etc/nc0.conf", mine)
	said, calls := f.control("reconfigure")
	f.expect("mine", said, f.dir+"/etc/nc0.conf is of somebody else: move it away, or choose another device", calls)
	if f.installed("nc0") != mine {
		t.Errorf("it is %q", f.installed("nc0"))
	}
}

// When the plugin goes, its tunnels and their keys do, and a person's own stay.
func TestRemove(t *testing.T) {
	f := newFirewall(t)
	f.control("reconfigure")
	write(t, f.dir+"/etc/nc9.conf", "[Interface]\n# mine\n")
	write(t, f.dir+"/etc/new/nc5.conf", home)
	said, calls := f.control("remove")
	f.expect("remove", said, "", calls, "service netcombiner onestop nc0")
	if left, _ := filepath.Glob(f.dir + "/etc/*/*"); f.installed("nc0") != "" || f.installed("nc9") == "" || len(left) > 0 || exists(f.dir+"/rc.conf") {
		t.Errorf("left: %v", left)
	}
}

// What the daemon finds wrong is told in its words, and everything stays.
func TestWrongConfiguration(t *testing.T) {
	f := newFirewall(t)
	f.control("reconfigure")
	f.settings("nc0 nc1", "")
	f.candidate("nc0", home+"Metric = 5\n")
	f.candidate("nc1", home+"Bind = em0\nQuotaReset = 3\n")
	for _, action := range []string{"reconfigure", "restart", "start"} {
		said, calls := f.control(action)
		if !strings.HasPrefix(said, "nc1.conf:") || !strings.Contains(said, "QuotaReset: means nothing without Quota; allowed: a Quota beside it, or leave it out") ||
			strings.Contains(said, "OK") || strings.Contains(said, f.dir) {
			t.Errorf("%s says %q", action, said)
		}
		if changes := did(calls); changes != nil {
			t.Errorf("%s: did %q", action, changes)
		}
	}
	if f.installed("nc0") != home || f.installed("nc1") != "" {
		t.Errorf("nc0.conf is %q", f.installed("nc0"))
	}

	// After a reboot, with the mistake still in config.xml.
	must(t, os.Remove(f.dir+"/runs/nc0"))
	said, calls := f.control("reconfigure")
	if !strings.HasPrefix(said, "nc1.conf:") || strings.Contains(said, "OK") {
		t.Errorf("at boot it says %q", said)
	}
	if changes := did(calls); len(changes) != 3 || changes[0] != "service netcombiner onerestart nc0" || f.installed("nc0") != home {
		t.Errorf("at boot it did %q", changes)
	}
	if info, err := os.Stat(f.dir + "/run.lock"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may hold the lock: %v, %v", info, err)
	}

	// Two that are right alone, and not together.
	f.candidate("nc0", away)
	f.candidate("nc1", away)
	if said, calls := f.control("reconfigure"); !strings.Contains(said, "nc1.conf") || !strings.Contains(said, "nc0") || did(calls) != nil {
		t.Errorf("a clash: %q, %q", said, calls)
	}
}

func TestWhatFails(t *testing.T) {
	f := newFirewall(t)
	write(t, f.dir+"/template", "Error\n")
	said, calls := f.control("reconfigure")
	f.expect("no template", said, "the configuration was not written: System, Log Files, Backend says why", calls)
	must(t, os.Remove(f.dir+"/template"))

	write(t, f.dir+"/refuse", "nc0: the name is taken by another interface\n")
	said, calls = f.control("reconfigure")
	f.expect("no start", said, "nc0: the name is taken by another interface", calls, "service netcombiner onerestart nc0")
	must(t, os.Remove(f.dir+"/refuse"))

	must(t, os.Remove(f.dir+"/etc/new"))
	write(t, f.dir+"/etc/new", "a file where the folder is to be\n")
	if said, calls = f.control("reconfigure"); !strings.Contains(said, "cannot write to "+f.dir+"/etc: is the disk full?") || did(calls) != nil {
		t.Errorf("no folder: %q, %q", said, calls)
	}
	for _, name := range []string{"em0", "nc", "nc1000", "nc0;id", "../nc0", "-f"} {
		said, calls = f.control("restart", name)
		f.expect(name, said, "not a tunnel of OPNsense: nc0, nc1, …", calls)
	}
}

// Of a cluster only the master has the tunnel.
func TestCARP(t *testing.T) {
	f := newFirewall(t)
	f.settings("nc0", "nc0=em2,3")
	state := func(word string) {
		write(t, f.dir+"/ifconfig.em2", "em2: flags=8943<UP,BROADCAST> metric 0 mtu 1500\n\tcarp: MASTER vhid 33 advbase 1 advskew 0\n\tcarp: "+word+" vhid 3 advbase 1 advskew 0\n")
	}
	state("BACKUP")
	said, calls := f.control("reconfigure")
	f.expect("the backup", said, "OK", calls)
	if said, _ := f.control("problems"); said != "nc0: the other firewall of the cluster has it" {
		t.Errorf("problems: %q", said)
	}
	state("MASTER")
	said, calls = f.control("reconfigure")
	f.expect("it becomes master", said, "OK", calls, "service netcombiner onerestart nc0", "configctl -dq interface newip nc0 force", "configctl -dq interface newipv6 nc0 force")
	state("INIT")
	said, calls = f.control("reconfigure")
	f.expect("it is master no more", said, "OK", calls, "service netcombiner onestop nc0")
	must(t, os.Remove(f.dir+"/ifconfig.em2"))
	said, calls = f.control("reconfigure")
	f.expect("its interface is gone", said, "OK", calls)
}

func TestServiceControl(t *testing.T) {
	f := newFirewall(t)
	f.settings("nc0 nc1", "")
	f.candidate("nc1", away)
	said, _ := f.control("status", "")
	f.expect("status before", said, "netcombiner is not running", nil)
	said, calls := f.control("start", "")
	f.expect("start", said, "OK", calls, "service netcombiner onerestart nc0", "configctl -dq interface newip nc0 force", "configctl -dq interface newipv6 nc0 force", "service netcombiner onerestart nc1", "configctl -dq interface newip nc1 force", "configctl -dq interface newipv6 nc1 force")
	said, _ = f.control("status", "")
	f.expect("status", said, "netcombiner is running", nil)
	said, calls = f.control("restart", "nc1")
	f.expect("restart of one", said, "OK", calls, "service netcombiner onestop nc1", "service netcombiner onerestart nc1", "configctl -dq interface newip nc1 force", "configctl -dq interface newipv6 nc1 force")
	said, calls = f.control("stop", "nc1")
	f.expect("stop of one", said, "", calls, "service netcombiner onestop nc1")
	write(t, f.dir+"/run/nc1.problem", "netcombiner: nc1: the name is taken\nand more\n")
	said, _ = f.control("problems")
	f.expect("problems", said, "nc1: the name is taken", nil)
	must(t, os.Remove(f.dir+"/run/nc1.problem"))
	said, _ = f.control("problems")
	f.expect("problems", said, "nc1: it is stopped", nil)
	said, calls = f.control("stop", "")
	f.expect("stop", said, "", calls, "service netcombiner onestop nc0", "service netcombiner onestop nc1")
	said, _ = f.control("nonsense")
	if !strings.HasPrefix(said, "control.sh start|stop") {
		t.Errorf("nonsense: %q", said)
	}
}

// The token comes in a file of the API's, and nothing else is read.
func TestToken(t *testing.T) {
	file, err := os.CreateTemp("/tmp", "netcombiner_token_")
	must(t, err)
	defer os.Remove(file.Name())
	_, err = file.WriteString("nc1.mangled\n")
	must(t, err)
	script := scripts + "token.sh"
	path := []string{"PATH=" + bin + ":" + os.Getenv("PATH")}
	if out, err := command(t, path, "dash", script, file.Name()); err == nil || !strings.Contains(out, "token") || strings.Contains(out, "mangled\n") {
		t.Errorf("a mangled token: %q, %v", out, err)
	}
	secret, err := config.ParseKey(key)
	must(t, err)
	good, err := (&token.Token{
		Key: secret, Host: "vps.example.org", Suite: "auto", Routing: config.RoutingNAT,
		Address: []netip.Prefix{netip.MustParsePrefix("172.19.152.3/31")}, Ways: []token.Way{{Transport: "udp", Port: 4725}},
	}).Encode()
	must(t, err)
	write(t, file.Name(), good+"\n")
	out, err := command(t, path, "dash", script, file.Name())
	var fields token.Fields
	if jsonErr := json.Unmarshal([]byte(out), &fields); err != nil || jsonErr != nil || fields.Key != key || fields.Paths[0].Remote != "vps.example.org:4725" || fields.Routing != "nat" {
		t.Errorf("a good token: %q, %v, %v", out, err, jsonErr)
	}
	link := file.Name() + "link"
	must(t, os.Symlink("/etc/passwd", link))
	defer os.Remove(link)
	for _, name := range []string{"", "/etc/passwd", "/tmp/netcombiner_token_", "/tmp/netcombiner_token_../../etc/passwd", "/tmp/netcombiner_token_nosuchfile", link, file.Name() + " /etc/passwd"} {
		if out, err := command(t, path, "dash", script, name); err == nil || out != "not a file of the API\n" {
			t.Errorf("%q: %q, %v", name, out, err)
		}
	}
}
