package pfsense

import (
	"encoding/json"
	"strings"
	"testing"

	"netcombiner/src/config"
)

// notHere are the keys that pfSense has no field for; fields.inc says why.
var notHere = map[string]string{
	"[Interface] KeyFile": "the key is in config.xml", "[Interface] Log": "the page of the log takes text",
	"[Interface] Offload": "nothing to switch off", "[Interface] Fallback": "for Linux",
	"[Bypass] To": "for Linux", "[Bypass] From": "for Linux", "[Bypass] Mark": "for Linux", "[Bypass] Set": "for Linux", "[Bypass] Via": "for Linux", "[Bypass] IfDown": "for Linux",
}

// keysOfTheDaemon asks the daemon for the keys of each section.
func keysOfTheDaemon(t *testing.T) map[string]bool {
	known := map[string]bool{}
	for _, section := range []string{"[Interface]", "[Path]", "[Listen]", "[Bypass]"} {
		_, err := config.ParseFor("freebsd", "x", strings.NewReader(section+"\nNoSuchKey = x\n"))
		errs, _ := err.(config.Errors)
		for _, e := range errs {
			if strings.Contains(e.Problem, "unknown in") {
				for _, name := range strings.Split(e.Allowed, ", ") {
					known[section+" "+name] = true
				}
			}
		}
	}
	if len(known) < 30 {
		t.Fatalf("keys of the daemon: %v", known)
	}
	return known
}

// Every key that the daemon knows has its field, once, or a reason why not; every field is
// of a key that there is, and its name is none of those that mean a list in config.xml.
func TestEveryKey(t *testing.T) {
	f := newFirewall(t)
	var tables map[string]map[string]map[string]any
	f.ok(json.Unmarshal([]byte(f.php("return ['[Interface]' => netcombiner_fields('tunnel'), '[Path]' => netcombiner_fields('path'), '[Listen]' => netcombiner_fields('listen')];")), &tables))
	var lists []string
	f.ok(json.Unmarshal([]byte(f.php("return LISTS;")), &lists))
	known := keysOfTheDaemon(t)
	has := map[string]int{}
	for section, table := range tables {
		for id, field := range table {
			for _, list := range lists {
				if id == list {
					t.Errorf("%s %s: pfSense would read a list back", section, id)
				}
			}
			if name, ok := field["key"].(string); ok {
				has[section+" "+name]++
				if !known[section+" "+name] {
					t.Errorf("%s %s: the daemon knows no such key", section, name)
				}
			}
			if field["label"] == "" || field["help"] == "" {
				t.Errorf("%s %s: without words", section, id)
			}
		}
	}
	for name := range known {
		_, not := notHere[name]
		want := 1
		if name == "[Path] Bind" { // an interface, or an address of it
			want = 2
		}
		if !not && has[name] != want || not && has[name] > 0 {
			t.Errorf("%s has %d fields, and not here is %v", name, has[name], not)
		}
	}
	for name := range notHere {
		if !known[name] {
			t.Errorf("%s is none of the daemon's keys", name)
		}
	}
}

// Everything that can be configured comes to the daemon as it is.
func TestINI(t *testing.T) {
	f := newFirewall(t)
	f.configure(object{"enable": "on"}, []object{
		{"enabled": "yes", "name": "home", "instance": "0", "role": "local", "secret": key, "address": "172.19.152.3/31, fd19:152::3/127", "routing": "portal",
			"suite": "chacha20poly1305", "scheduler": "redundant", "mtu": "1400", "egress": "pf", "authenticateaddresses": "yes", "memorylimit": "32MB",
			"metrics": "127.0.0.1:9487", "publicaddress": "203.0.113.9", "clientinterface": "lan"},
		{"enabled": "yes", "name": "far", "instance": "12", "role": "remote", "secret": strings.Replace(key, "aGVs", "bGVs", 1), "address": "172.19.152.4/31", "routing": "portal", "keepports": "22, 443"},
		{"enabled": "no", "name": "off", "instance": "3", "role": "local"},
	}, []object{
		{"enabled": "yes", "of": "nc0", "name": "dsl", "interface": "wan", "remote": "vps.example.org", "transport": "ip", "metric": "3", "quota": "50GB", "quotareset": "7",
			"protocol": "254", "rate": "40mbit/10mbit", "congestion": "newreno", "direction": "send"},
		{"enabled": "no", "of": "nc0", "name": "off", "interface": "wan", "remote": "vps.example.org:1"},
		{"enabled": "yes", "of": "nc0", "name": "six", "interface": "wan", "source": "2001:db8::7", "remote": "[2001:db8::2]:4725"},
		{"enabled": "yes", "of": "nc0", "name": "lte", "interface": "opt1", "remote": "vps.example.org:4725"},
		{"enabled": "yes", "of": "nc0", "name": "own", "interface": "opt1", "gateway": "198.51.100.1", "remote": "vps.example.org:4726"},
		{"enabled": "yes", "of": "nc0", "name": "gone", "interface": "opt9", "remote": "vps.example.org:4725"},
		{"enabled": "yes", "of": "nc12", "name": "stray", "remote": "vps.example.org:1"},
	}, []object{
		{"enabled": "yes", "of": "nc12", "transport": "udp", "address": "[::]:4725", "allow": "198.51.100.0/24, 2001:db8::/32"},
		{"enabled": "yes", "of": "nc12", "transport": "ip", "address": "0.0.0.0", "protocol": "254"},
	})
	same(t, "problems", f.apply(), []string{})
	f.parsed("nc0")
	f.parsed("nc12")
	same(t, "nc0.conf", f.ini("nc0"), `# pfSense writes this file from config.xml.
[Interface]
Role = local
Key = `+key+`
Address = 172.19.152.3/31, fd19:152::3/127
Routing = portal
Suite = chacha20poly1305
Scheduler = redundant
MTU = 1400
Egress = pf
AuthenticateAddresses = yes
MemoryLimit = 32MB
Metrics = 127.0.0.1:9487
PublicAddress = 203.0.113.9
ClientInterface = em1
[Path]
Name = dsl
Bind = em0
Remote = vps.example.org
Transport = ip
Metric = 3
Quota = 50GB
QuotaReset = 7
Protocol = 254
Rate = 40mbit/10mbit
Congestion = newreno
Direction = send
Gateway = 192.0.2.1, fe80::1
[Path]
Name = six
Bind = 2001:db8::7
Remote = [2001:db8::2]:4725
Gateway = fe80::1
[Path]
Name = lte
Bind = ue0
Remote = vps.example.org:4725
[Path]
Name = own
Bind = ue0
Remote = vps.example.org:4726
Gateway = 198.51.100.1
[Path]
Name = gone
Bind = opt9
Remote = vps.example.org:4725
`)
	contains(t, "nc12.conf", f.ini("nc12"), "Role = remote\n", "KeepPorts = 22, 443\n", `[Listen]
Transport = udp
Address = [::]:4725
Allow = 198.51.100.0/24, 2001:db8::/32
[Listen]
Transport = ip
Address = 0.0.0.0
Protocol = 254
`)
	lacks(t, "nc12.conf", f.ini("nc12"), "[Path]")
}

// hostile are values that a backup or another firewall may have put into config.xml.
var hostile = []string{
	"x\n[Listen]\nAddress = [::]:1", "x\r\n[Path]", "x\r[Path]\rRemote = a:1", "[Path]", "\"'`$(touch executed)", "a # b", "x\x00\n", "ключ ✓ é", "\u2028[Path]\u2029", "\u0085[Path]",
	strings.Repeat("x", 5000), "</name></item><item>", "= = =", "\\n[Path]",
}

// No value gets out of its line: whatever one of them is, there are the same two sections,
// and nothing in them but keys.
func TestHostileValues(t *testing.T) {
	f := newHome(t)
	values, err := json.Marshal(hostile)
	f.ok(err)
	var texts map[string]string
	f.ok(json.Unmarshal([]byte(f.php("$values = json_decode(<<<'END'\n"+string(values)+"\nEND);"+`
		[$tunnel, $path, $texts] = [netcombiner_items('tunnel')[0], netcombiner_items('path')[0], []];
		foreach ($values as $i => $value) {
			foreach (['role', 'secret', 'address', 'routing', 'mtu', 'clientinterface'] as $id) {
				$texts["{$id} {$i}"] = netcombiner_ini([$id => $value] + $tunnel, [$path], [])[0];
			}
			foreach (['name', 'remote', 'interface', 'source', 'gateway', 'transport', 'quota'] as $id) {
				$texts["{$id} {$i}"] = netcombiner_ini($tunnel, [[$id => $value] + $path], [])[0];
			}
		}
		return $texts;`)), &texts))
	same(t, "configurations", len(texts), 13*len(hostile))
	for what, text := range texts {
		f.hostile(what, text)
	}
}

func (f *firewall) hostile(what, text string) {
	f.t.Helper()
	sections := 0
	for n, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		switch {
		case line == "[Interface]", line == "[Path]":
			sections++
		case n > 0 && !keyLine(line):
			f.t.Errorf("%s: line %q of\n%s", what, line, text)
		}
	}
	if sections != 2 || strings.ContainsAny(text, "\x00\x7f") {
		f.t.Errorf("%s: %d sections, or control characters, in\n%q", what, sections, text)
	}
}

// keyLine says whether a line gives one of the daemon's keys a value.
func keyLine(line string) bool {
	name, _, ok := strings.Cut(line, " = ")
	return ok && strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") == ""
}
