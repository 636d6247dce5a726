package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

const testKey = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="

func mustKey(t testing.TB) Key {
	t.Helper()
	k, err := ParseKey(testKey)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func compareConfigs(t *testing.T, got, want *Config) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Config{}, "lines", "source"), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestParseLocal(t *testing.T) {
	const text = `
# a router with two links
[Interface]
Role      = local
Key       = ` + testKey + `   # both portals
Address   = 172.19.152.3/31, fd19:152::3/127
MTU       = 1400
Suite     = blake2s
Scheduler = redundant
Routing   = nat
AuthenticateAddresses = yes
Offload   = OFF
MemoryLimit = 24MiB
Metrics   = 127.0.0.1:9487
Log       = JSON

[Path]
Name       = dsl
Bind       = eth1
Remote     = vps.example.org:4725
Rate       = 40mbit/10mbit
Metric     = 7
Direction  = receive
Quota      = 50GB

[path]
TRANSPORT  = TCP
bind       = 192.0.2.7
quota      = 1.5 TiB
quotareset = 31
remote     = 198.51.100.1:4726

[Path]
Remote     = [2001:db8::7]:4725
Congestion = none
Rate       = 2.5mbit
`
	got, err := Parse("nc0.conf", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compareConfigs(t, got, &Config{
		Interface: Interface{
			Role: Local, Key: mustKey(t), MTU: 1400, Suite: "blake2s", Scheduler: "redundant", Routing: RoutingNAT, Egress: EgressAuto,
			Address:               []netip.Prefix{netip.MustParsePrefix("172.19.152.3/31"), netip.MustParsePrefix("fd19:152::3/127")},
			AuthenticateAddresses: true, MemoryLimit: 24 << 20, Metrics: netip.MustParseAddrPort("127.0.0.1:9487"), Log: "json",
		},
		Paths: []Path{
			{Name: "dsl", Transport: "udp", Device: "eth1", Remote: HostPort{"vps.example.org", 4725},
				Congestion: "bbr", RateDown: 40e6, RateUp: 10e6, Metric: 7, Direction: Receive,
				Quota: 50e9, QuotaReset: 1},
			{Name: "path2", Transport: "tcp", Source: netip.MustParseAddr("192.0.2.7"),
				Remote: HostPort{"198.51.100.1", 4726}, Congestion: "none", Direction: Both,
				Quota: 3 << 39, QuotaReset: 31},
			{Name: "path3", Transport: "udp", Remote: HostPort{"2001:db8::7", 4725},
				Congestion: "none", RateDown: 2.5e6, RateUp: 2.5e6, Direction: Both},
		},
	})
}

func TestParseRemote(t *testing.T) {
	text := "\ufeff[Interface]\r\nRole = remote\r\nKey = " + testKey + "\r\nRouting = portal\r\nPublicAddress = 203.0.113.9\r\n" +
		"[Listen]\r\nAddress = [::]:4725\r\nAllow = 198.51.100.7/24, 192.0.2.1\r\n" +
		"[Listen]\r\nTransport = tcp\r\nAddress = 0.0.0.0:4725\r\n"
	got, err := Parse("nc0.conf", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	compareConfigs(t, got, &Config{
		Interface: Interface{
			Role: Remote, Key: mustKey(t), Suite: "auto", Scheduler: "earliest", Routing: RoutingPortal, Egress: EgressAuto, Offload: true, MemoryLimit: DefaultMemoryLimit, Log: "text",
			PublicAddress: []netip.Addr{netip.MustParseAddr("203.0.113.9")}, KeepPorts: []uint16{22},
		},
		Listens: []Listen{
			{Transport: "udp", Address: netip.MustParseAddrPort("[::]:4725"),
				Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("192.0.2.1/32")}},
			{Transport: "tcp", Address: netip.MustParseAddrPort("0.0.0.0:4725")},
		},
	})
}

// A bad file is told whole: every error, in the order of the lines.
func TestEveryErrorAtOnce(t *testing.T) {
	const text = `Early = 1
[Interface]
Role = middle
Key = c2hvcnQ=
Kye = ` + testKey + `
MTU = 500
Suite = rot13
MTU = 1400
Address =
[Path]
Transport = upd
Bind = 10.0.0.300
Remote = vps.example.org
Rate = fast
Metric = 65536
Direction = sideways
just words
[Paht]
Name = x
[Path]
Transport = tcp
Congestion = newreno
[Path
Remote = nowhere
`
	_, err := Parse("nc0.conf", strings.NewReader(text))
	want := `nc0.conf:1: stands before the first section; allowed: [Interface], [Path], [Listen], [Bypass] above it
nc0.conf:3: Role = middle: not a role; allowed: local, remote
nc0.conf:4: Key: 5 bytes long; allowed: 32 bytes in base64, the same on both portals (netcombiner genkey makes one)
nc0.conf:5: Kye: unknown in [Interface]; allowed: Role, Key, KeyFile, Address, MTU, Suite, Scheduler, Routing, Egress, AuthenticateAddresses, Offload, MemoryLimit, Metrics, Log, Fallback, PublicAddress, ClientInterface, KeepPorts
nc0.conf:6: MTU = 500: not an MTU; allowed: auto, or 576 to 9000 bytes
nc0.conf:7: Suite = rot13: not a suite; allowed: auto, blake2s, chacha20poly1305, aes128gcm, none
nc0.conf:8: MTU: given twice, first on line 6; allowed: once in a section
nc0.conf:9: Address: no value; allowed: Key = Value, or leave the line out
nc0.conf:11: Transport = upd: not a transport; allowed: udp, tcp, ip
nc0.conf:12: Bind = 10.0.0.300: neither an interface name nor an address; allowed: an interface (eth1) or one of its addresses (192.0.2.7)
nc0.conf:13: Remote = vps.example.org: not a host and port; allowed: vps.example.org:4725, 192.0.2.7:4725, [2001:db8::7]:4725
nc0.conf:14: Rate = fast: not a rate; allowed: down/up or one for both, 8kbit to 1000gbit each, as in 40mbit/10mbit
nc0.conf:15: Metric = 65536: not a metric; allowed: 0 to 65535
nc0.conf:16: Direction = sideways: not a direction; allowed: both, send, receive
nc0.conf:17: neither a key nor a section; allowed: Key = Value, [Section], # comment
nc0.conf:18: [Paht]: unknown section; allowed: [Interface], [Path], [Listen], [Bypass]
nc0.conf:20: Remote: missing in [Path]; allowed: the remote portal's host:port; for ip its host
nc0.conf:22: Congestion = newreno: the kernel's TCP does this on a tcp path; allowed: none, or leave it out
nc0.conf:23: a section without its closing bracket; allowed: [Interface], [Path], [Listen], [Bypass]`
	if err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	var one *Error
	if !errors.As(err, &one) || one.Line != 1 {
		t.Errorf("errors.As gave %+v, want the error of line 1", one)
	}
}

// Each case is one thing wrong with an otherwise good file.
func TestRejected(t *testing.T) {
	local := "[Interface]\nRole=local\nKey=" + testKey + "\n"
	remote := "[Interface]\nRole=remote\nKey=" + testKey + "\n"
	path := "[Path]\nRemote=192.0.2.1:4725\n"
	listen := "[Listen]\nAddress=[::]:4725\n"
	for name, tc := range map[string]struct{ text, want string }{
		"empty":                 {"", "[Interface]: missing"},
		"no role":               {"[Interface]\nKey=" + testKey, "Role: missing"},
		"no key":                {"[Interface]\nRole=local\n" + path, "Key: missing"},
		"key not base64":        {"[Interface]\nRole=local\nKey=!!\n" + path, "not base64"},
		"key of zeros":          {"[Interface]\nRole=local\nKey=" + Key{}.Base64() + "\n" + path, "all zeros"},
		"key twice":             {local + "KeyFile=/x\n" + path, "given beside Key"},
		"two interfaces":        {local + path + local, "given twice"},
		"local without path":    {local, "[Path]: missing"},
		"local with listen":     {local + path + listen, "[Listen]: means nothing on a local"},
		"remote without listen": {remote, "[Listen]: missing"},
		"remote with path":      {remote + listen + path, "[Path]: means nothing on a remote"},
		"65 paths":              {local + strings.Repeat(path, 65), "too many; allowed: at most 64"},
		"names clash":           {local + path + "Name=Path2\n" + path, "too"},
		"bad name":              {local + path + "Name=a b\n", "not a path name"},
		"long bind":             {local + path + "Bind=abcdefghijklmnop\n", "neither an interface"},
		"versions differ":       {local + path + "Bind=2001:db8::1\n", "same IP version"},
		"none without rate":     {local + path + "Congestion=none\n", "without any limit"},
		"low rate":              {local + path + "Rate=7kbit\n", "not a rate"},
		"huge rate":             {local + path + "Rate=1e300gbit\n", "not a rate"},
		"rate without unit":     {local + path + "Rate=1000000\n", "not a rate"},
		"three rates":           {local + path + "Rate=1mbit/1mbit/1mbit\n", "not a rate"},
		"quota without unit":    {local + path + "Quota=50\n", "not a size"},
		"quota of bytes":        {local + path + "Quota=50B\n", "not a size"},
		"small quota":           {local + path + "Quota=0.9MB\n", "not a size"},
		"huge quota":            {local + path + "Quota=1001TB\n", "not a size"},
		"quota without number":  {local + path + "Quota=GB\n", "not a size"},
		"reset without quota":   {local + path + "QuotaReset=3\n", "without Quota"},
		"reset day 32":          {local + path + "Quota=50GB\nQuotaReset=32\n", "1 to 31"},
		"remote port 0":         {local + "[Path]\nRemote=192.0.2.1:0\n", "not a host"},
		"remote mistyped v4":    {local + "[Path]\nRemote=192.0.2.256:4725\n", "not a host"},
		"remote bare v6":        {local + "[Path]\nRemote=2001:db8::7:4725\n", "not a host"},
		"remote unspecified":    {local + "[Path]\nRemote=0.0.0.0:4725\n", "not a host"},
		"v6 and mtu":            {strings.Replace(local, "Role", "Address=fd00::1/64\nMTU=1279\nRole", 1) + path, "too small for the IPv6"},
		"address of none":       {local + "Address=224.0.0.1/4\n" + path, "not an interface address"},
		"address twice":         {local + "Address=10.0.0.1/24, 10.0.0.1/24\n" + path, "listed twice"},
		"hole in list":          {local + "Address=10.0.0.1/24,\n" + path, "an empty place"},
		"maybe":                 {local + "AuthenticateAddresses=maybe\n" + path, "neither yes nor no"},
		"offload on":            {local + "Offload=on\n" + path, "Offload = on: neither auto nor off; allowed: auto, off"},
		"no memory":             {local + "MemoryLimit=1MB\n" + path, "MemoryLimit = 1MB: not a size of memory; allowed: 16MB to 2GB"},
		"memory for 64 paths":   {local + "MemoryLimit=29.9MB\n" + strings.Repeat(path, 64), "MemoryLimit: too little for so many [Path]s or [Listen]s of this MTU; allowed: 30MB or more"},
		"default memory":        {local + "MTU=9000\n" + strings.Repeat(path, 64), "MemoryLimit: too little"},
		"metrics without port":  {local + "Metrics=127.0.0.1\n" + path, "Metrics = 127.0.0.1: not an address and port to listen on; allowed: 127.0.0.1:9487, [::1]:9487, 192.168.1.1:9487"},
		"metrics by name":       {local + "Metrics=localhost:9487\n" + path, "not an address and port"},
		"metrics on port 0":     {local + "Metrics=127.0.0.1:0\n" + path, "not an address and port"},
		"metrics on a listener": {remote + "Metrics=127.0.0.1:443\n[Listen]\nTransport=tcp\nAddress=[::]:443\n", "nc0.conf:4: Metrics = 127.0.0.1:443: taken by the [Listen] on line 5; allowed: another address or port"},
		"another log":           {local + "Log=xml\n" + path, "Log = xml: not a form of log; allowed: text, json"},
		"too much memory":       {local + "MemoryLimit=3GB\n" + path, "not a size of memory"},
		"memory without unit":   {local + "MemoryLimit=64000000\n" + path, "not a size of memory"},
		"addresses without mac": {local + "AuthenticateAddresses=yes\nSuite=none\n" + path, "needs a MAC"},
		"nat without address":   {local + "Routing=nat\n" + path, "Address: missing"},
		"portal keys elsewhere": {remote + "KeepPorts=22\n" + listen, "without Routing = portal"},
		"portal without client": {local + "Routing=portal\n" + path, "ClientInterface: missing"},
		"client on remote":      {remote + "Routing=portal\nClientInterface=eth0\n" + listen, "on a remote portal"},
		"ports on local":        {local + "Routing=portal\nClientInterface=eth0\nKeepPorts=22\n" + path, "on a local portal"},
		"listen port 0":         {remote + "[Listen]\nAddress=[::]:0\n", "listen on"},
		"listen name":           {remote + "[Listen]\nAddress=localhost:4725\n", "listen on"},
		"listen twice":          {remote + listen + listen, "taken by the [Listen] on line 4"},
		"listen overlaps":       {remote + listen + "[Listen]\nAddress=192.0.2.7:4725\n", "taken by"},
		"bad allow":             {remote + listen + "Allow=10.0.0.0/33\n", "not a network"},
		"later value":           {local + "Scheduler=fastest\n" + path, "allowed: earliest, greedy, proportional, redundant"},
		"control character":     {local + "Ro\x1ble=local\n" + path, "control characters"},
		"utf-16":                {"\xff\xfe[\x00", "UTF-16"},
		"endless":               {strings.Repeat("#\n", MaxSize), "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("nc0.conf", strings.NewReader(tc.text))
			var all Errors
			if !errors.As(err, &all) || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("got %v, want %q in it", err, tc.want)
			}
			if len(all) != 1 && name != "no role" {
				t.Errorf("one fault told as %d:\n%v", len(all), err)
			}
		})
	}
}

// One wildcard may stand beside another where the system keeps them apart.
func TestListenersSideBySide(t *testing.T) {
	text := "[Interface]\nRole=remote\nKey=" + testKey + "\n[Listen]\nAddress=0.0.0.0:1\n[Listen]\nAddress=[2001:db8::1]:1\n[Listen]\nTransport=tcp\nAddress=0.0.0.0:1\n"
	if _, err := Parse("x", strings.NewReader(text)); err != nil {
		t.Error(err)
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "nc0.conf")
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	const text = "[Interface]\nRole=local\nKeyFile=nc0.key\n[Path]\nRemote=192.0.2.1:4725\n"
	write(conf, text, 0o644)
	if _, err := Load(conf); err == nil || !strings.Contains(err.Error(), "nc0.conf:3: KeyFile: ") || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing KeyFile: got %v", err)
	}
	write(filepath.Join(dir, "nc0.key"), testKey+"\n", 0o604)
	c, err := Load(conf)
	if err != nil {
		t.Fatal(err)
	}
	if c.Interface.Key != mustKey(t) {
		t.Error("not the key of the file")
	}
	if w := Warnings(conf, c); len(w) != 1 || !strings.Contains(w[0], "chmod 600 "+c.Interface.KeyFile) {
		t.Errorf("warnings %q, want one about the readable key", w)
	}
	write(conf, strings.Replace(text, "nc0.key", testKey, 1), 0o600)
	if _, err := Load(conf); err == nil || !strings.Contains(err.Error(), "a key, not a file") || strings.Contains(err.Error(), testKey) {
		t.Errorf("a key as KeyFile: got %v", err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: got %v", err)
	}
}

func TestWarnings(t *testing.T) {
	text := "[Interface]\nRole=local\nSuite=none\nMetrics=0.0.0.0:9487\nMTU=1500\nKey=" + testKey + "\n[Path]\nDirection=send\nRemote=192.0.2.1:4725\n[Path]\nDirection=send\nRemote=192.0.2.1:4725\n"
	c, err := Parse("x", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(Warnings("/nonexistent", c), "\n")
	for _, want := range []string{"inside a VPN", "whoever reaches that address", "at most 1440", "the same way", "one way only"} {
		if !strings.Contains(got, want) {
			t.Errorf("no warning with %q in:\n%s", want, got)
		}
	}
}

func TestKeyNeverPrints(t *testing.T) {
	type holder struct{ Key Key }
	k := mustKey(t)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", k, "holder", holder{k})
	asJSON, err := json.Marshal(holder{k})
	if err != nil {
		t.Fatal(err)
	}
	texts := []string{log.String(), string(asJSON), k.String()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "% x"} {
		texts = append(texts, fmt.Sprintf(verb, k), fmt.Sprintf(verb, &k), fmt.Sprintf(verb, holder{k}), fmt.Sprintf(verb, []Key{k}))
	}
	for _, text := range texts {
		lower := strings.ToLower(text)
		if !strings.Contains(text, redacted) || strings.Contains(text, testKey) || strings.Contains(lower, "0102") || strings.Contains(lower, "1 2 3") || strings.Contains(lower, "0x1") {
			t.Errorf("printed as %q", text)
		}
	}
}

// A program is told where each error belongs, without the file at hand.
func TestErrorsForPrograms(t *testing.T) {
	_, err := Parse("-", strings.NewReader("[interface]\nRole = local\nKey = "+testKey+"\n[path]\nName = dsl\nRemote = a:1\nMetric = 70000\n[Path]\n[Color]\nPink\n"))
	object, _ := json.Marshal(err)
	const metric = `{"file":"-","line":7,"section":"Path","name":"dsl","key":"Metric","message":"not a metric","allowed":"0 to 65535","text":"[Path] dsl: Metric = 70000: not a metric; allowed: 0 to 65535"}`
	const remote = `"line":8,"section":"Path","key":"Remote","message":"missing in [Path]"`
	const color = `"section":"Color","key":"[Color]","message":"unknown section","allowed":"[Interface], [Path], [Listen], [Bypass]","text":"[Color]: unknown section; `
	const pink = `"line":10,"message":"neither a key nor a section"`
	for _, want := range []string{metric, remote, color, pink} {
		if !strings.Contains(string(object), want) {
			t.Errorf("%s does not hold %s", object, want)
		}
	}
}

// The longest file of nothing but errors is told of in the time that it takes to tell.
func TestManyErrors(t *testing.T) {
	for name, text := range map[string]string{
		"sections": strings.Repeat("[a]\n", MaxSize/4),
		"keys":     "[Path]\n" + strings.Repeat("k=\n", MaxSize/3-3),
	} {
		begun := time.Now()
		_, err := Parse("-", strings.NewReader(text))
		all, ok := err.(Errors)
		if !ok || len(all) < MaxSize/4 || all[len(all)-1].Section == "" {
			t.Errorf("%s: %d errors", name, len(all))
		}
		if took := time.Since(begun); took > 5*time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

// A key on the wrong line is not told either.
func TestMisplacedKeyNeverPrints(t *testing.T) {
	for _, line := range []string{"%s", "%s = 1", "[%s]", "Kye = %s", "Role = %s", "Address = %s", "Address = 10.0.0.1/8, %s", "KeyFile = %s"} {
		_, err := Parse("x", strings.NewReader("[Interface]\n"+fmt.Sprintf(line, testKey)))
		if err == nil || strings.Contains(err.Error(), testKey[:43]) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestGenerateKey(t *testing.T) {
	a, b := GenerateKey(), GenerateKey()
	if a == b || a.IsZero() {
		t.Error("keys are not random")
	}
	if back, err := ParseKey(a.Base64()); err != nil || back != a {
		t.Errorf("ParseKey(Base64()) failed: %v", err)
	}
}

func TestInterfaceNames(t *testing.T) {
	for _, good := range []string{"nc0", "pppoe-wan", "br-lan.1", "abcdefghijklmno", "6in4"} {
		if err := CheckInterfaceName(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "abcdefghijklmnop", "a/b", "a b", "nc%d", "-f", "all", "default", "a:1", "ä", "a\n", "../x"} {
		if CheckInterfaceName(bad) == nil {
			t.Errorf("%q accepted", bad)
		}
	}
}

// FuzzParse: whatever the file, there is either a config that keeps the rules
// or a list of errors that lie in the file; and the key is in none of them.
func FuzzParse(f *testing.F) {
	f.Add("[Interface]\nRole=local\nKey=" + testKey + "\nAddress=fd00::1/64\n[Path]\nBind=eth1\nRemote=[::1]:1\nRate=1gbit/8kbit\n")
	f.Add("[Interface]\nRole=remote\nKeyFile=x\nRouting=portal\n[Listen]\nAddress=[::]:1\nAllow=10.0.0.0/8\n")
	f.Add("[Interface]\nRole=local\nRouting=nat\nAddress=fd00::1\nFallback=direct\nKey=" + testKey + "\n[Path]\nRemote=[::1]:1\n[Bypass]\nSet=inet a b\nFrom=10.0.0.0/8\nVia=eth1\n[Bypass]\nMark=1/1\nVia=eth1\n")
	f.Add("[Interface]\nRole=local\nKey=" + testKey + "\n[Path]\nTransport=ip\nProtocol=200\nRemote=::1\n")
	f.Add("\ufeff[interface]\r\nMTU=auto#\n[\n=\n]")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseFor(runtime.GOOS, "x", []byte(text), func(string) ([]byte, error) { return []byte(testKey), nil })
		if strings.Contains(fmt.Sprint(err), testKey[:43]) {
			t.Fatalf("the key is told: %v", err)
		}
		if err == nil {
			local := c.Interface.Role == Local && len(c.Paths) > 0 && len(c.Listens) == 0
			remote := c.Interface.Role == Remote && len(c.Listens) > 0 && len(c.Paths) == 0
			if local == remote || c.Interface.Key.IsZero() || len(c.Paths) > MaxPaths {
				t.Fatalf("accepted %+v", c)
			}
			for _, p := range c.Paths {
				if (p.Remote.Port == 0) != (p.Transport == "ip") || (p.Protocol == 0) == (p.Transport == "ip") || p.Remote.Host == "" || p.Name == "" || p.Congestion == "none" && p.Transport != "tcp" && p.RateUp == 0 {
					t.Fatalf("accepted path %+v", p)
				}
			}
			return
		}
		var all Errors
		if !errors.As(err, &all) || len(all) == 0 {
			t.Fatalf("not a list of errors: %v", err)
		}
		last := strings.Count(text, "\n") + 1
		for i, e := range all {
			if e.Line < 0 || e.Line > last || e.Problem == "" || i > 0 && e.Line < all[i-1].Line {
				t.Fatalf("error %d of %d lines: %+v", i, last, e)
			}
			if strings.ContainsFunc(e.Error()+e.Text(), func(r rune) bool { return r < ' ' }) {
				t.Fatalf("not one line: %q", e.Error())
			}
			object, err := json.Marshal(e)
			if err != nil || strings.Contains(string(object), testKey[:43]) {
				t.Fatalf("for a program it is %s: %v", object, err)
			}
			if (e.Section == "") != (e.Key == "" || e.Key == "[]" || e.Line == 0) {
				t.Fatalf("is in section %q: %+v", e.Section, e)
			}
		}
	})
}

// Whoever may not read a configuration is told who may.
func TestReadErrorWithoutPermission(t *testing.T) {
	err := readError("nc0.conf", &fs.PathError{Op: "open", Path: "nc0.conf", Err: syscall.EACCES})
	if want := "nc0.conf: permission denied: run it as root"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
