package router

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"netcombiner/src/config"
)

// all is a UCI that uses every option, of a tunnel that may have each.
var all = map[string]string{
	"local": `
config tunnel nc0
	option role local
	option key ` + key + `
	list address 172.19.152.3/31
	list address fd19:152::3/127
	option mtu 1400
	option suite chacha20poly1305
	option scheduler redundant
	option routing portal
	option authenticate_addresses 1
	option offload off
	option memory_limit 32MB
	option metrics 127.0.0.1:9487
	option log json
	option fallback direct
	list public_address 203.0.113.9
	option client_interface lan

config path
	option tunnel nc0
	option name dsl
	option interface wan
	option transport ip
	option protocol 254
	option remote vps.example.org
	option congestion newreno
	option rate 40mbit/10mbit
	option metric 3
	option direction send
	option quota 50GB
	option quota_reset 7

config path
	option tunnel nc0
	option name wired
	option bind 192.0.2.7
	option remote 203.0.113.2:4725

config path
	option tunnel nc0
	option enabled 0
	option interface wanb

config bypass
	option tunnel nc0
	list to 192.0.2.64/26
	list to 198.51.100.0/24
	list from 192.168.1.20
	option mark 0x20/0xff
	option interface wan
	option if_down block

config bypass
	option tunnel nc0
	option set 'inet fw4 banks'
	option via wired
`,
	"remote": `
config tunnel nc0
	option role remote
	option key_file KEYFILE
	list address 172.19.152.2/31
	option routing portal
	list keep_ports 22
	list keep_ports 80

config listen
	option tunnel nc0
	option transport udp
	option address [::]:4725
	list allow 198.51.100.0/24
	list allow 2001:db8::/32

config listen
	option tunnel nc0
	option transport ip
	option protocol 254
	option address 0.0.0.0
`,
}

// Every key that the daemon knows has its option, and says the same.
func TestEveryKey(t *testing.T) {
	used := map[string]bool{}
	inis := map[string]string{}
	for role, uci := range all {
		r := newRouter(t)
		r.netifd("wan eth1 10", "lan br-lan 0")
		r.write("key", key+"\n")
		r.uci(strings.Replace(uci, "KEYFILE", r.path("key"), 1))
		r.service("start")
		same(t, "problem of "+role, r.problem("nc0"), "")
		r.parsed("nc0")
		inis[role] = r.ini("nc0")
		section := ""
		for line := range strings.Lines(inis[role]) {
			if strings.HasPrefix(line, "[") {
				section = strings.TrimSpace(line)
			}
			if name, _, ok := strings.Cut(line, " = "); ok {
				used[section+" "+name] = true
			}
		}
	}
	used["[Interface] KeyFile"] = true                              // the daemon gets what is in it
	used["[Interface] Egress"], used["[Path] Gateway"] = true, true // for FreeBSD
	for section, known := range keysOfTheDaemon(t) {
		for _, name := range known {
			if !used[section+" "+name] {
				t.Errorf("%s %s has no option %s", section, name, snake(name))
			}
		}
	}
	same(t, "local INI", inis["local"], `[Interface]
Role = local
Key = `+key+`
Address = 172.19.152.3/31, fd19:152::3/127
MTU = 1400
Suite = chacha20poly1305
Scheduler = redundant
Routing = portal
AuthenticateAddresses = yes
Offload = off
MemoryLimit = 32MB
Metrics = 127.0.0.1:9487
Log = json
Fallback = direct
PublicAddress = 203.0.113.9
ClientInterface = br-lan

[Path]
Name = dsl
Transport = ip
Protocol = 254
Bind = eth1 # interface wan
Remote = vps.example.org
Congestion = newreno
Rate = 40mbit/10mbit
Metric = 3
Direction = send
Quota = 50GB
QuotaReset = 7

[Path]
Name = wired
Bind = 192.0.2.7
Remote = 203.0.113.2:4725

[Bypass]
To = 192.0.2.64/26, 198.51.100.0/24
From = 192.168.1.20
Mark = 0x20/0xff
Via = eth1
IfDown = block

[Bypass]
Set = inet fw4 banks
Via = wired
`)
	same(t, "remote INI", inis["remote"], `[Interface]
Role = remote
Key = `+key+`
Address = 172.19.152.2/31
Routing = portal
KeepPorts = 22, 80

[Listen]
Transport = udp
Address = [::]:4725
Allow = 198.51.100.0/24, 2001:db8::/32

[Listen]
Transport = ip
Protocol = 254
Address = 0.0.0.0
`)
}

// keysOfTheDaemon asks the daemon for the keys of each section.
func keysOfTheDaemon(t *testing.T) map[string][]string {
	known := map[string][]string{}
	for _, section := range []string{"[Interface]", "[Path]", "[Listen]", "[Bypass]"} {
		_, err := config.Parse("x", strings.NewReader(section+"\nNoSuchKey = x\n"))
		errs, _ := err.(config.Errors)
		for _, e := range errs {
			if strings.Contains(e.Problem, "unknown in") {
				known[section] = strings.Split(e.Allowed, ", ")
			}
		}
		if len(known[section]) < 4 {
			t.Fatalf("keys of %s: %v", section, known[section])
		}
	}
	return known
}

// snake is a key as UCI has it.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && !unicode.IsUpper(rune(name[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// procd is told of every option, by the same name.
func TestValidation(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	told := strings.Join(with(r.service("start"), "uci_load_validate"), "\n") + " "
	for _, uci := range all {
		section := ""
		for line := range strings.Lines(uci) {
			switch w := strings.Fields(line); {
			case len(w) > 1 && w[0] == "config":
				section = w[1]
			case len(w) > 1:
				if !regexp.MustCompile(`netcombiner ` + section + ` .* ` + w[1] + `:`).MatchString(told) {
					t.Errorf("option %s of %s is not told", w[1], section)
				}
			}
		}
	}
}

// Names that cannot be an interface's are told of.
func TestNames(t *testing.T) {
	for name, problem := range map[string]string{
		"a_very_long_name": "'a_very_long_name' is too long for an interface's name: at most 15 letters",
		"":                 "the tunnel has no name: config tunnel 'nc0'",
	} {
		r := newRouter(t)
		r.uci(strings.NewReplacer("config tunnel nc0", "config tunnel "+name, "tunnel nc0", "tunnel "+name).Replace(home))
		r.service("start")
		if name == "" {
			name = "cfg000002"
		}
		if !strings.HasPrefix(r.problem(name), problem) {
			t.Errorf("%q: %q", name, r.problem(name))
		}
	}
}

// What an option says is text: it runs no command and names no file, and the
// tunnel goes on.
func TestHostileValues(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	r.service("start")
	before := r.ini("nc0")
	for _, line := range []string{
		"list address 172.19.152.3/31", "option remote 203.0.113.2:4725", "option name dsl", "option routing nat", "option role local", "option interface wan",
	} {
		for _, value := range []string{"$(>$T/executed)", "`>$T/executed`", `";>$T/executed;"`, "';>$T/executed;'", "/*", "x\n[Bypass]"} {
			words := strings.Fields(line)
			r.uci(strings.Replace(home, line+"\n", words[0]+" "+words[1]+" '"+strings.ReplaceAll(value, "'", `'\''`)+"'\n", 1))
			r.service("reload")
			if p := r.problem("nc0"); p == "" || strings.Contains(p, "/bin") {
				t.Errorf("%s %q: %q is told", words[1], value, p)
			}
			if _, err := os.Stat(r.path("executed")); err == nil {
				t.Fatalf("%s %q was executed", words[1], value)
			}
			if words[1] != "interface" { // the last: a WAN of that name is waited for
				same(t, words[1]+" "+value, r.ini("nc0"), before)
			}
		}
	}
}

// A key file that only root reads serves a daemon that is not root.
func TestKeyFile(t *testing.T) {
	r := newRouter(t)
	r.write("key", key+"\n")
	r.must(os.Chmod(r.path("key"), 0o600))
	r.uci(strings.Replace(home, "option key "+key, "option key_file "+r.path("key"), 1))
	r.service("start")
	if c := r.parsed("nc0"); c.Interface.KeyFile != "" || c.Interface.Key.Base64() != key {
		t.Errorf("KeyFile = %q", c.Interface.KeyFile)
	}
}
