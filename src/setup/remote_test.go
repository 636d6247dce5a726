package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/config"
	"netcombiner/src/token"
)

// remote sets m up, and returns what its token says.
func (m *machine) remote(o RemoteOptions) *token.Token {
	m.t.Helper()
	if o.Interface == "" {
		o.Interface = "nc0"
	}
	text, err := m.Remote(o)
	if err != nil {
		m.t.Fatal(err)
	}
	tok, err := token.Parse(text)
	if err != nil {
		m.t.Fatal(err)
	}
	return tok
}

// refuses checks that setting m up fails with these words, by its status, and changes
// nothing.
func (m *machine) refuses(o RemoteOptions, usage bool, words string) {
	m.t.Helper()
	if o.Interface == "" {
		o.Interface = "nc0"
	}
	before, _ := os.ReadFile(m.path(o.Interface))
	names, starts := m.files(), m.starts+m.reloads
	_, err := m.Remote(o)
	if err == nil || !strings.Contains(err.Error(), words) {
		m.t.Errorf("%+v: %v, want %q", o, err, words)
	}
	if _, is := errors.AsType[Wrong](err); is != usage {
		m.t.Errorf("%+v: %v: a wrong usage: %v, want %v", o, err, is, usage)
	}
	after, _ := os.ReadFile(m.path(o.Interface))
	if string(before) != string(after) || m.files() != names || m.starts+m.reloads != starts {
		m.t.Errorf("%+v: refused, and yet changed: %s", o, m.files())
	}
}

func TestRemote(t *testing.T) {
	m := newMachine(t)
	tok := m.remote(RemoteOptions{Expires: time.Hour})
	m.says("public address 203.0.113.2 on eth0", "listens on udp 4725 and tcp 443", "wrote "+m.path("nc0"), "started", "!"+tok.Key.Base64())
	c, err := config.Load(m.path("nc0"))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(m.path("nc0")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if c.Interface.Role != config.Remote || c.Interface.Key != tok.Key || c.Interface.Routing != config.RoutingNAT || c.Interface.Address[0].String() != "172.19.152.2/31" {
		t.Errorf("%+v", c.Interface)
	}
	port, udp := tok.Port("udp")
	tcp, _ := tok.Port("tcp")
	if !udp || port != 4725 || tcp != 443 || tok.Host != "203.0.113.2" || tok.Address[0].String() != "172.19.152.3/31" || len(tok.Address) != 1 {
		t.Errorf("%+v", tok)
	}
	if !tok.Made.Equal(m.now) || !tok.Expires.Equal(m.now.Add(time.Hour)) {
		t.Errorf("made %v, expires %v", tok.Made, tok.Expires)
	}

	// Again, some days later: another token, the same tunnel, which runs.
	before := m.file("nc0")
	m.now = m.now.AddDate(0, 0, 3)
	m.taken = []string{"udp 4725", "tcp 443"} // by the tunnel itself
	again := m.remote(RemoteOptions{})
	m.says("right as it is", "runs already", "!wrote")
	if m.file("nc0") != before || again.Key != tok.Key || !again.Expires.IsZero() || m.starts != 1 || m.reloads != 0 || m.files() != "nc0.conf" {
		t.Errorf("again: %+v, %d starts, %d reloads, %s", again, m.starts, m.reloads, m.files())
	}

	// What an option asks for is all that changes.
	changed := m.remote(RemoteOptions{Port: 5000, NoTCP: true, Suite: "blake2s"})
	m.says("wrote ", "takes the new configuration over")
	if port, _ := changed.Port("udp"); port != 5000 || len(changed.Ways) != 1 || changed.Key != tok.Key || changed.Suite != "blake2s" || m.reloads != 1 {
		t.Errorf("changed: %+v", changed)
	}
	if m.remote(RemoteOptions{}); m.reloads != 1 {
		t.Error("what was once asked for is not kept")
	}
}

func TestRemoteWithIPv6(t *testing.T) {
	m := newMachine(t)
	m.sources = addrs("203.0.113.2", "2001:db8::2")
	if tok := m.remote(RemoteOptions{}); len(tok.Address) != 2 || tok.Address[1].String() != "fd19:152::3/127" {
		t.Errorf("%v", tok.Address)
	}
	m = newMachine(t)
	m.sources = addrs("2001:db8::2")
	if tok := m.remote(RemoteOptions{}); tok.Host != "2001:db8::2" || len(tok.Address) != 1 || tok.Address[0].String() != "fd19:152::3/127" {
		t.Error(tok.Host, tok.Address)
	}
	m.says("no IPv4 leads out of this host")
}

func TestRemoteBehindNAT(t *testing.T) {
	for _, private := range []string{"10.0.0.5", "192.168.1.2", "172.31.9.9", "100.64.0.9", "fd00::1", "169.254.3.3"} {
		m := newMachine(t)
		m.sources = addrs(private)
		m.refuses(RemoteOptions{}, false, private+" (eth0) is private: a NAT stands between")
		if tok := m.remote(RemoteOptions{Address: "vps.example.org"}); tok.Host != "vps.example.org" {
			t.Error(tok.Host)
		}
	}
	m := newMachine(t)
	m.sources = nil
	m.refuses(RemoteOptions{}, false, "no default route")
	for _, bad := range []string{"vps example", "1.2.3.4:4725", "[2001:db8::7]", "a/b", "-x", "a\n[Path]", "300.1.1.1", strings.Repeat("a", 300)} {
		m.refuses(RemoteOptions{Address: bad}, true, "is neither a name nor an address")
	}
}

func TestRemotePorts(t *testing.T) {
	m := newMachine(t)
	m.taken = []string{"udp 4725", "tcp 443"}
	tok := m.remote(RemoteOptions{})
	m.says("tcp port 443 is taken by another program, and is left out", "listens on udp 4726\n")
	if port, _ := tok.Port("udp"); port != 4726 || len(tok.Ways) != 1 {
		t.Errorf("%+v", tok.Ways)
	}
	m.taken = []string{"udp 4726"}
	if tok := m.remote(RemoteOptions{}); len(tok.Ways) != 1 {
		t.Error("tcp came back unasked")
	}
	if tok := m.remote(RemoteOptions{TCPPort: 8443}); len(tok.Ways) != 2 {
		t.Error("tcp did not come back")
	}

	m = newMachine(t)
	m.taken = []string{"udp 5000", "tcp 8443"}
	m.refuses(RemoteOptions{Port: 5000}, true, "udp port 5000 is taken by another program")
	m.refuses(RemoteOptions{TCPPort: 8443}, true, "tcp port 8443 is taken by another program")
}

// Several homes: each tunnel has what is its own.
func TestRemoteBesideOthers(t *testing.T) {
	m := newMachine(t)
	m.addresses = addrs("203.0.113.2", "172.19.152.5") // nc1's place is somebody's
	first := m.remote(RemoteOptions{})
	m.running = nil
	second := m.remote(RemoteOptions{Interface: "nc1"})
	m.says("tcp port 443 is nc0's, and is left out")
	if port, _ := second.Port("udp"); port != 4727 || second.Key == first.Key || second.Address[0].String() != "172.19.152.7/31" {
		t.Errorf("%+v", second)
	}
	m.refuses(RemoteOptions{Interface: "nc2", Port: 4725}, true, "udp port 4725 is nc0's")
}

func TestRemoteLeavesOthersFilesAlone(t *testing.T) {
	theirs := "[Interface]\nRole = remote\nKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n[Listen]\nAddress = [::]:99\n"
	m := newMachine(t)
	m.write("nc0.conf", theirs)
	m.refuses(RemoteOptions{}, true, "not written by netcombiner init")
	tok := m.remote(RemoteOptions{Force: true})
	m.says("kept the old file as "+m.path("nc0")+".bak", "the key is the old file's")
	if kept, _ := os.ReadFile(m.path("nc0") + ".bak"); string(kept) != theirs || tok.Key.Base64()[:4] != "AQID" {
		t.Errorf("kept %s", kept)
	}

	// Ours, until somebody edits it, and be it by a blank.
	edited := strings.Replace(m.file("nc0"), "Routing = nat", "Routing =  nat", 1)
	m.write("nc0.conf", edited)
	m.refuses(RemoteOptions{}, true, "was edited since")
	m.remote(RemoteOptions{Force: true})
	if kept, _ := os.ReadFile(m.path("nc0") + ".bak2"); string(kept) != edited {
		t.Errorf("kept %s", kept)
	}
	if info, err := os.Stat(m.path("nc0") + ".bak2"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the copy holds a key: %v %v", info, err)
	}
}

// Whoever mistakes one end for the other, or the tunnel's name for a link's, loses nothing.
func TestWrongEndOrName(t *testing.T) {
	m := newMachine(t)
	m.ways = append(m.ways, "eth0")
	m.refuses(RemoteOptions{Interface: "eth0"}, true, "eth0 is an interface of this host already")
	m.remote(RemoteOptions{})
	if _, err := m.local(LocalOptions{Token: homeToken(t), Yes: true}); err == nil || !strings.Contains(err.Error(), "makes this host the remote end of a tunnel. For a local one, take another name than nc0") {
		t.Error(err)
	}
	m = newMachine(t)
	m.localWorks(LocalOptions{Token: homeToken(t), Yes: true})
	m.refuses(RemoteOptions{}, true, "makes this host the local end")
	m.remote(RemoteOptions{Force: true})
}

// Two at once would print a token for a key that the other one replaces.
func TestOneAtATime(t *testing.T) {
	m := newMachine(t)
	release, err := m.lock()
	if err != nil {
		t.Fatal(err)
	}
	m.refuses(RemoteOptions{}, false, "another netcombiner init is at work")
	if info, err := os.Stat(filepath.Join(m.Dir, ".lock")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may hold the lock: %v, %v", info, err)
	}
	release()
	m.remote(RemoteOptions{})
	m.remote(RemoteOptions{})
}

// The folder is everybody's to read, and so to lock: that holds nobody up.
func TestFolderThatIsLocked(t *testing.T) {
	m := newMachine(t)
	dir, err := os.Open(m.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	m.remote(RemoteOptions{})
	if left, _ := filepath.Glob(m.Dir + "/.lock"); left != nil {
		t.Error("it leaves its lock, and the folder cannot be removed")
	}
}

// What is right as it is may be on a disk that cannot be written.
func TestRightIsNotTouched(t *testing.T) {
	m := newMachine(t)
	changed := func() int64 {
		m.remote(RemoteOptions{})
		var st unix.Stat_t
		if err := unix.Stat(m.path("nc0"), &st); err != nil {
			t.Fatal(err)
		}
		return st.Ctim.Nano()
	}
	before := changed()
	time.Sleep(10 * time.Millisecond) // the kernel's clock ticks
	if changed() != before {
		t.Error("the file was touched")
	}
	if err := os.Chmod(m.path("nc0"), 0o644); err != nil {
		t.Fatal(err)
	}
	m.remote(RemoteOptions{})
	if info, err := os.Stat(m.path("nc0")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestRemoteCannotWrite(t *testing.T) {
	m := newMachine(t)
	if err := os.Symlink("/etc/passwd", m.path("nc0")); err != nil {
		t.Fatal(err)
	}
	m.refuses(RemoteOptions{Force: true}, true, "not a regular file")
	m = newMachine(t)
	if err := os.MkdirAll(filepath.Join(m.path("nc0")+".new", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.refuses(RemoteOptions{}, false, "nc0.conf.new")
	m = newMachine(t)
	m.Dir = filepath.Join(m.Dir, "file")
	if err := os.WriteFile(m.Dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	m.refuses(RemoteOptions{}, false, "not a directory")
	m = newMachine(t)
	m.hasNFT = false
	m.refuses(RemoteOptions{}, false, "needs the command nft: install")
	m.remote(RemoteOptions{Routing: config.RoutingNone})
}

// What did not start is started by the next run, with the same key.
func TestRemoteStartFails(t *testing.T) {
	m := newMachine(t)
	m.failStart = true
	if _, err := m.Remote(RemoteOptions{Interface: "nc0"}); err == nil || !strings.Contains(err.Error(), "TUN") {
		t.Fatal(err)
	}
	before := m.file("nc0")
	m.failStart = false
	if m.remote(RemoteOptions{}); m.file("nc0") != before || m.starts != 1 {
		t.Errorf("%d starts", m.starts)
	}
}

func TestRemoteWithoutClock(t *testing.T) {
	m := newMachine(t)
	m.now = time.Unix(300, 0)
	if tok := m.remote(RemoteOptions{Expires: time.Hour}); !tok.Made.IsZero() || !tok.Expires.IsZero() {
		t.Errorf("%v %v", tok.Made, tok.Expires)
	}
	m.says("clock is not set (1970-01-01): the token never expires")
}
