package pfsense

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
)

const (
	port  = "../net/pfSense-pkg-netcombiner"
	files = port + "/files/usr/local"
	pages = files + "/www/packages/netcombiner/"
)

// key is some tunnel's.
const key = "aGVsbG9oZWxsb2hlbGxvaGVsbG9oZWxsb2hlbGxvMDA="

// object is one of JSON.
type object = map[string]any

// firewall is one with pfSense, as far as the package sees it.
type firewall struct {
	t    *testing.T
	root string
	host object // what pfSense knows: see testdata/doubles/util.inc
}

// newFirewall returns one with two WANs and a LAN, and nothing configured.
func newFirewall(t *testing.T) *firewall {
	if _, err := exec.LookPath("php"); err != nil {
		t.Fatal("no php: apt-get install php-cli php-xml")
	}
	f := &firewall{t: t, root: t.TempDir(), host: object{
		"interfaces": object{
			"wan":  object{"descr": "WAN", "if": "em0"},
			"opt1": object{"descr": "LTE modem", "if": "ue0"},
			"lan":  object{"descr": "LAN", "if": "em1"},
		},
		"gateways": []object{
			{"name": "WAN_DHCP", "friendlyiface": "wan", "gateway": "192.0.2.1"},
			{"name": "WAN_DHCP6", "friendlyiface": "wan", "gateway": "fe80::1%em0"},
			{"name": "LTE_DHCP", "friendlyiface": "opt1", "gateway": "dynamic"},
		},
	}}
	self, err := os.Executable()
	f.ok(err)
	for _, program := range []string{"usr/local/sbin/netcombiner", "usr/local/etc/rc.d/netcombiner", "sbin/ifconfig"} {
		f.ok(os.MkdirAll(filepath.Dir(f.path(program)), 0o755))
		f.ok(os.Symlink(self, f.path(program)))
	}
	f.ok(os.MkdirAll(f.path("runs"), 0o755))
	f.ok(os.MkdirAll(f.path("var/run/netcombiner"), 0o755))
	return f
}

// newHome returns one that is the local end of a tunnel over both.
func newHome(t *testing.T) *firewall {
	f := newFirewall(t)
	f.configure(object{"enable": "on"},
		[]object{{"enabled": "yes", "name": "home", "instance": "0", "role": "local", "secret": key, "address": "172.19.152.3/31, fd19:152::3/127", "routing": "nat"}},
		[]object{
			{"enabled": "yes", "of": "nc0", "name": "dsl", "interface": "wan", "remote": "203.0.113.2:4725", "transport": "udp"},
			{"enabled": "yes", "of": "nc0", "name": "lte", "interface": "opt1", "remote": "203.0.113.2:4725", "transport": "udp"},
		}, nil)
	return f
}

func (f *firewall) ok(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *firewall) path(name string) string { return filepath.Join(f.root, name) }

func (f *firewall) text(name string) string { return double{f.root}.text(name) }

func (f *firewall) exists(name string) bool { return double{f.root}.exists(name) }

func (f *firewall) write(name, text string) { f.ok(os.WriteFile(f.path(name), []byte(text), 0o644)) }

// configure writes config.xml, whatever a form would say to it.
func (f *firewall) configure(general object, tunnels, paths, listens []object) {
	f.t.Helper()
	all, err := json.Marshal(object{
		"config": []object{general}, "tunnels": object{"item": tunnels}, "paths": object{"item": paths}, "listens": object{"item": listens},
	})
	f.ok(err)
	f.php("config_set_path('installedpackages/netcombiner', json_decode(<<<'END'\n" + string(all) + "\nEND, true));\nreturn write_config('test');")
}

// asks runs PHP with a request, and returns what it prints.
func (f *firewall) asks(request object, stdin string, script ...string) string {
	f.t.Helper()
	host, err := json.Marshal(f.host)
	f.ok(err)
	f.write("host.json", string(host))
	asked, err := json.Marshal(request)
	f.ok(err)
	doubles, err := filepath.Abs("testdata/doubles")
	f.ok(err)
	pkg, err := filepath.Abs(files + "/pkg")
	f.ok(err)
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "php", append([]string{"-n", "-d", "extension=xml", "-d", "extension=simplexml", "-d", "extension=ctype", "-d", "display_errors=stderr", "-d", "log_errors=0",
		"-d", "short_open_tag=1", "-d", "include_path=" + doubles + ":" + pkg, "-d", "auto_prepend_file=" + doubles + "/request.php"}, script...)...)
	cmd.Env = append(os.Environ(), "ROOT="+f.root, "REQUEST="+string(asked))
	cmd.Stdin = strings.NewReader(stdin)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		f.t.Fatalf("%v %v: %v\n%s%s", script, request, err, complaints.String(), out.String())
	}
	return out.String()
}

// php runs code with the package loaded, and returns what that returns, as JSON.
func (f *firewall) php(code string) string {
	f.t.Helper()
	return f.asks(nil, code, "testdata/doubles/run.php")
}

// get and post ask for a page.
func (f *firewall) get(page string, query object) string {
	f.t.Helper()
	return f.asks(object{"get": query}, "", pages+page)
}

func (f *firewall) post(page string, query, form object) string {
	f.t.Helper()
	return f.asks(object{"get": query, "post": form}, "", pages+page)
}

// items are those of a kind in config.xml.
func (f *firewall) items(kind string) []map[string]string {
	f.t.Helper()
	var all []map[string]string
	f.ok(json.Unmarshal([]byte(f.php("return netcombiner_items('"+kind+"');")), &all))
	return all
}

// problems are what applying finds wrong.
func (f *firewall) apply() (problems []string) {
	f.t.Helper()
	f.ok(json.Unmarshal([]byte(f.php("return netcombiner_apply();")), &problems))
	return problems
}

// ini is the daemon's configuration of a tunnel.
func (f *firewall) ini(device string) string {
	return f.text("usr/local/etc/netcombiner/" + device + ".conf")
}

// parsed is how the daemon understands it.
func (f *firewall) parsed(device string) *config.Config {
	f.t.Helper()
	c, err := config.ParseFor("freebsd", device, strings.NewReader(f.ini(device)))
	if err != nil {
		f.t.Fatalf("%v in\n%s", err, f.ini(device))
	}
	return c
}

// calls are those since the last time, without what only asks.
func (f *firewall) calls() (calls []string) {
	f.t.Helper()
	for line := range strings.Lines(f.text("calls")) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "netcombiner show") && !strings.HasPrefix(line, "netcombiner check") && !strings.HasPrefix(line, "write_config") {
			calls = append(calls, line)
		}
	}
	if err := os.Remove(f.path("calls")); err != nil && !errors.Is(err, os.ErrNotExist) {
		f.t.Fatal(err)
	}
	return calls
}

// with is a form with some fields changed.
func with(form, changed object) object {
	form = maps.Clone(form)
	maps.Copy(form, changed)
	return form
}

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	g, err := json.MarshalIndent(got, "", " ")
	w, err2 := json.MarshalIndent(want, "", " ")
	if err != nil || err2 != nil || !bytes.Equal(g, w) {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func contains(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %q:\n%.500s", what, part, text)
		}
	}
}

func lacks(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	if i := slices.IndexFunc(parts, func(part string) bool { return strings.Contains(text, part) }); i >= 0 {
		t.Errorf("%s has %q:\n%.500s", what, parts[i], text)
	}
}
