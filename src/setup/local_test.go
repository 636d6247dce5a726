package setup

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/token"
)

func homeToken(t *testing.T) *token.Token {
	m := newMachine(t)
	return m.remote(RemoteOptions{Expires: 24 * time.Hour})
}

func wans(devices ...string) (all []WAN) {
	for _, d := range devices {
		all = append(all, WAN{Device: d})
	}
	return all
}

// local sets m up in virtual time, and returns how long that took.
func (m *machine) local(o LocalOptions) (took time.Duration, err error) {
	m.t.Helper()
	if o.Interface == "" {
		o.Interface = "nc0"
	}
	synctest.Test(m.t, func(*testing.T) {
		begin := time.Now()
		err = m.Local(o)
		took = time.Since(begin)
	})
	return took, err
}

func (m *machine) localWorks(o LocalOptions) time.Duration {
	m.t.Helper()
	took, err := m.local(o)
	if err != nil {
		m.t.Fatal(err)
	}
	return took
}

func (m *machine) localRefuses(o LocalOptions, words string) {
	m.t.Helper()
	before, _ := os.ReadFile(m.path("nc0"))
	_, err := m.local(o)
	if _, is := errors.AsType[Wrong](err); !is || !strings.Contains(err.Error(), words) {
		m.t.Errorf("%+v: %v, want %q", o, err, words)
	}
	if after, _ := os.ReadFile(m.path("nc0")); string(before) != string(after) || m.starts+m.reloads > 0 {
		m.t.Errorf("%+v: refused, and yet changed", o)
	}
}

func TestLocal(t *testing.T) {
	m := newMachine(t)
	o := LocalOptions{Token: homeToken(t), WANs: []WAN{{"eth1", "dsl"}, {"wwan0", ""}}}
	if took := m.localWorks(o); took > time.Second {
		t.Errorf("took %v", took)
	}
	m.says("eth1: up by UDP, RTT 24 ms, MTU 1500\n", "wwan0: up by UDP", "2 of 2 links work; the tunnel's MTU is 1409", "!"+o.Token.Key.Base64())
	c, err := config.Load(m.path("nc0"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Interface.Role != config.Local || c.Interface.Key != o.Token.Key || c.Interface.Address[0].String() != "172.19.152.3/31" || c.Interface.Routing != config.RoutingNAT {
		t.Errorf("%+v", c.Interface)
	}
	if p := c.Paths[0]; len(c.Paths) != 2 || p.Name != "dsl" || p.Device != "eth1" || p.Remote.String() != "203.0.113.2:4725" || c.Paths[1].Name != "wwan0" {
		t.Errorf("%+v", c.Paths)
	}

	before := m.file("nc0")
	m.localWorks(o)
	m.says("right as it is", "runs already", "eth1: up by UDP")
	if m.file("nc0") != before || m.starts != 1 || m.reloads != 0 || m.files() != "nc0.conf" {
		t.Errorf("again: %d starts, %d reloads, %s", m.starts, m.reloads, m.files())
	}
	o.WANs = o.WANs[:1]
	m.localWorks(o)
	if m.says("wrote"); m.reloads != 1 {
		t.Error("a change is not taken over")
	}
}

func TestLocalTriesTCP(t *testing.T) {
	m := newMachine(t)
	m.ways = []string{"eth1", "wwan0", "eth3"}
	m.down = []string{"eth3"}
	m.passes = func(device, transport string) bool { return device == "eth1" || transport == "tcp" }
	o := LocalOptions{Token: homeToken(t), WANs: wans("eth1", "wwan0", "usb0", "eth3")}
	if took := m.localWorks(o); took < m.Patience || took > m.Patience+2*time.Second {
		t.Errorf("took %v", took)
	}
	m.says("there is no interface usb0 now: its path waits", "wwan0: no answer by UDP within 5s, trying TCP on port 443\n",
		"eth1: up by UDP, RTT 24 ms, MTU 1500\n", "wwan0: up by TCP, RTT 24 ms, MTU 1500; this link blocks UDP\n",
		"usb0: there is no such interface now", "eth3: it is down", "2 of 4 links work")
	if p := m.running.Paths; p[0].Transport != "udp" || p[1].Transport != "tcp" || p[1].Remote.Port != 443 || p[2].Transport != "udp" || p[3].Transport != "udp" {
		t.Errorf("%+v", p)
	}
	// What was found is kept, without asking UDP again,
	if took := m.localWorks(o); took > time.Second || m.reloads != 1 || m.running.Paths[1].Transport != "tcp" {
		t.Errorf("took %v, %d reloads", took, m.reloads)
	}
	// unless somebody wants to know.
	m.passes = func(string, string) bool { return true }
	o.Force = true
	if m.localWorks(o); m.running.Paths[1].Transport != "udp" {
		t.Error("--force does not begin with UDP")
	}
}

func TestLocalWithoutUDP(t *testing.T) {
	m := newMachine(t)
	m.passes = func(_, transport string) bool { return transport == "tcp" }
	m.localWorks(LocalOptions{Token: homeToken(t), WANs: wans("eth1", "wwan0")})
	m.says("eth1 and wwan0: no answer by UDP", "UDP gets through on no link", "port 4725 of the VPS", "!this link blocks")
}

func TestLocalNothingWorks(t *testing.T) {
	m := newMachine(t)
	m.passes = func(string, string) bool { return false }
	m.bare = []string{"eth2"}
	tok := homeToken(t)
	took, err := m.local(LocalOptions{Token: tok, WANs: wans("eth1", "eth2")})
	if err == nil || !strings.Contains(err.Error(), "no path works") || took > 2*m.Patience+time.Second {
		t.Errorf("%v after %v", err, took)
	}
	m.says("eth1: no answer by UDP on port 4725 or TCP on port 443; try ping -I eth1 203.0.113.2", "eth2: it has no address", "!trying TCP on port 443: eth2")
	if p := m.running.Paths; p[0].Transport != "udp" { // it goes on with the better one
		t.Errorf("%+v", p)
	}

	m = newMachine(t)
	m.passes, m.unknown = func(string, string) bool { return false }, true
	tok.Host = "vps.example.org"
	if _, err = m.local(LocalOptions{Token: tok, WANs: wans("eth1")}); err == nil {
		t.Error("works without DNS")
	}
	m.says("eth1: by it DNS finds no address of vps.example.org")

	tok.Ways = tok.Ways[:1]
	m = newMachine(t)
	m.passes = func(string, string) bool { return false }
	_, err = m.local(LocalOptions{Token: tok, WANs: wans("eth1")})
	if err == nil || !strings.Contains(err.Error(), "--tcp-port 443") || m.reloads > 0 {
		t.Errorf("%v, %d reloads", err, m.reloads)
	}
}

func TestLocalChoosesWANs(t *testing.T) {
	tok := homeToken(t)
	m := newMachine(t)
	m.localRefuses(LocalOptions{Token: tok}, "Internet links here: eth1 and wwan0. Choose by --wan eth1 --wan wwan0, or use all by --yes")
	m.Ask = func(q string) bool { m.asked = append(m.asked, q); return false }
	m.localRefuses(LocalOptions{Token: tok}, "choose by --wan eth1")
	m.Ask = func(q string) bool { m.asked = append(m.asked, q); return true }
	if m.localWorks(LocalOptions{Token: tok}); len(m.running.Paths) != 2 || len(m.asked) != 2 {
		t.Errorf("%+v %q", m.running.Paths, m.asked)
	}
	m = newMachine(t)
	m.ways, m.running = []string{"nc0", "eth1"}, &config.Config{} // not by itself
	if m.localWorks(LocalOptions{Token: tok, Yes: true}); len(m.running.Paths) != 1 {
		t.Errorf("%+v", m.running.Paths)
	}
	m = newMachine(t)
	m.ways = nil
	m.localRefuses(LocalOptions{Token: tok, Yes: true}, "no interface has a default route")

	m = newMachine(t)
	for words, w := range map[string][]WAN{
		"there is no interface eth7 and eth8 here; with a default route: eth1 and wwan0": wans("eth7", "eth8"),
		"--wan eth1 is given twice": wans("eth1", "eth1"),
		"--wan nc0 is no link":      wans("eth1", "nc0"),
		"--wan lo is no link":       wans("lo"),
		"not an interface name":     wans("eth1\n[Path]"),
	} {
		m.localRefuses(LocalOptions{Token: tok, WANs: w}, words)
	}
	for words, w := range map[string][]WAN{ // in the configuration's own words
		"not a path name":      {{"eth1", "a b"}},
		"the name of the path": {{"eth1", "a"}, {"wwan0", "A"}},
	} {
		if _, err := m.local(LocalOptions{Token: tok, WANs: w}); err == nil || !strings.Contains(err.Error(), words) || m.files() != "" {
			t.Errorf("%v: %v, %s", w, err, m.files())
		}
	}
}

func TestLocalRefuses(t *testing.T) {
	tok := homeToken(t)
	m := newMachine(t)
	m.now = tok.Expires.Add(time.Minute)
	m.localRefuses(LocalOptions{Token: tok, Yes: true}, "the token expired at 2026-11-24 12:00 UTC")
	m.now = time.Unix(0, 0)
	m.localWorks(LocalOptions{Token: tok, Yes: true})
	m.says("clock says 1970-01-01", "it is taken")

	m = newMachine(t)
	m.localRefuses(LocalOptions{Token: tok, Yes: true, Client: "eth0"}, "--client means nothing")
	tok.Routing = config.RoutingPortal
	m.localRefuses(LocalOptions{Token: tok, Yes: true}, "say by --client DEVICE")
	m.localWorks(LocalOptions{Token: tok, Yes: true, Client: "br-lan"})
	if m.running.Interface.ClientInterface != "br-lan" {
		t.Errorf("%+v", m.running.Interface)
	}

	// Another VPS's tunnel with the same addresses.
	m.running, m.starts = nil, 0
	other := homeToken(t)
	_, err := m.local(LocalOptions{Interface: "nc1", Token: other, Yes: true})
	if err == nil || !strings.Contains(err.Error(), "nc1.conf: Address = 172.19.152.3/31: overlaps with 172.19.152.3/31 of "+m.path("nc0")) || !strings.Contains(err.Error(), "init remote nc7") {
		t.Error(err)
	}
	// One token is for one tunnel.
	_, err = m.local(LocalOptions{Interface: "nc1", Token: tok, Client: "br-lan", Yes: true})
	if err == nil || !strings.Contains(err.Error(), "nc1.conf: Key: the one of ") || strings.Contains(err.Error(), tok.Key.Base64()) {
		t.Error(err)
	}
	m = newMachine(t)
	m.write("nc0.conf", "# mine\n")
	m.localRefuses(LocalOptions{Token: other, Yes: true}, "not written by netcombiner init")
}

// Whatever a device is called, its path has a name.
func TestPathNames(t *testing.T) {
	for device, want := range map[string]string{"eth0.2": "eth0.2", "ppp+x": "ppp-x", "_a": "a", "wg=1": "wg-1", "_": "path1"} {
		l := &local{LocalOptions: LocalOptions{WANs: wans(device)}}
		if got := l.name(0); got != want {
			t.Errorf("%s: %q, want %q", device, got, want)
		}
	}
}
