// Package router runs what the package installs on OpenWrt under busybox's
// ash, as rc.common, procd and netifd would: they are stood in for by words that
// record how they were called (testdata). The daemon is the real one.
package router

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
)

// bin holds the daemon, and what stands in for programs of OpenWrt.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "openwrt"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(bin)
		build := exec.Command("go", "build", "-o", bin+"/netcombiner", "netcombiner/src/cmd/netcombiner")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			panic(string(out))
		}
		return m.Run()
	}())
}

// key is some tunnel's.
const key = "aGVsbG9oZWxsb2hlbGxvaGVsbG9oZWxsb2hlbGxvMDA="

// home is the UCI of a local portal with two WANs.
const home = `
config globals globals
	option enabled 1

config tunnel nc0
	option role local
	option key ` + key + `
	list address 172.19.152.3/31
	list address fd19:152::3/127
	option routing nat

config path dsl
	option tunnel nc0
	option name dsl
	option interface wan
	option remote 203.0.113.2:4725

config path lte
	option tunnel nc0
	option name lte
	option interface wanb
	option remote 203.0.113.2:4725
`

// router is an OpenWrt router, as far as the scripts see it.
type router struct {
	t   *testing.T
	dir string
	run func(argv []string) (output string, err error) // a command on it
}

func newRouter(t *testing.T) *router {
	if _, err := exec.LookPath("busybox"); err != nil {
		t.Fatal("no busybox: apt-get install busybox-static")
	}
	r := &router{t: t, dir: t.TempDir(), run: func(argv []string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
		return string(out), err
	}}
	for _, dir := range []string{"config", "run", "etc", "root/lib/functions", "root/lib/netcombiner"} {
		r.must(os.MkdirAll(r.path(dir), 0o755))
	}
	for file, of := range map[string]string{
		"root/lib/functions/network.sh": "testdata/root/lib/functions/network.sh",
		"root/lib/netcombiner/ini.sh":   "../../netcombiner/files/lib/netcombiner/ini.sh",
		"root/lib/netcombiner/keys.sh":  "../../netcombiner/files/lib/netcombiner/keys.sh",
		"user":                          os.DevNull,
	} {
		of, err := filepath.Abs(of)
		r.must(err)
		r.must(os.Symlink(of, r.path(file)))
	}
	r.must(os.WriteFile(r.path("ujail"), nil, 0o755))
	r.write("uid", "65533\n")
	r.write("handlers", `{ "netcombiner": {} }`)
	r.netifd("wan eth1 10 192.0.2.53", "wanb wwan0 20 192.0.2.54")
	return r
}

func (r *router) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *router) path(name string) string { return filepath.Join(r.dir, name) }

func (r *router) write(name, text string) { r.must(os.WriteFile(r.path(name), []byte(text), 0o644)) }

// read returns a file's text, "" where there is none.
func (r *router) read(name string) string {
	text, err := os.ReadFile(r.path(name))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	return string(text)
}

// netifd is what netifd says of interfaces that are up: name, device, metric,
// name server.
func (r *router) netifd(lines ...string) { r.write("netifd", strings.Join(lines, "\n")+"\n") }

// uci is /etc/config/netcombiner.
func (r *router) uci(text string) { r.write("config/netcombiner", text) }

// script runs one of testdata, with more of the environment if need be.
func (r *router) script(name string, env []string, args ...string) (string, error) {
	data, err := filepath.Abs("testdata")
	r.must(err)
	files, err := filepath.Abs("../../netcombiner/files")
	r.must(err)
	argv := slices.Concat([]string{"env", "T=" + r.dir, "DATA=" + data, "FILES=" + files, "NETCOMBINER_RUN_DIR=" + r.path("run"),
		"PATH=" + bin + ":" + data + "/bin:" + os.Getenv("PATH")}, env, []string{"busybox", "ash", data + "/" + name}, args)
	return r.run(argv)
}

// service is /etc/init.d/netcombiner with these arguments. It returns the calls
// that it made.
func (r *router) service(args ...string) (calls []string) {
	r.t.Helper()
	r.write("calls", "")
	out, err := r.script("service.sh", nil, args...)
	if err != nil || out != "" {
		r.t.Fatalf("netcombiner %v: %v\n%s", args, err, out)
	}
	return strings.Split(strings.TrimSpace(r.read("calls")), "\n")
}

// ini is the INI of which a tunnel runs.
func (r *router) ini(name string) string { return r.read("etc/" + name + ".conf") }

// parsed is that INI as the daemon reads it.
func (r *router) parsed(name string) *config.Config {
	r.t.Helper()
	c, err := config.Parse(name, bytes.NewReader([]byte(r.ini(name))))
	if err != nil {
		r.t.Fatalf("%v\n%s", err, r.ini(name))
	}
	return c
}

// problem is what LuCI shows of a tunnel; "": all is well.
func (r *router) problem(name string) string {
	return strings.TrimSpace(r.read("etc/" + name + ".problem"))
}

// with returns those of lines that begin with one of these.
func with(lines []string, begin ...string) (those []string) {
	for _, l := range lines {
		if slices.ContainsFunc(begin, func(b string) bool { return strings.HasPrefix(l, b) }) {
			those = append(those, l)
		}
	}
	return those
}

// instances is what procd is told of those.
func instances(calls []string) []string {
	return with(calls, "procd_open_instance", "procd_set_param", "procd_add_jail", "procd_open_data", "json", "procd_close")
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	lines := func(v any) string {
		if all, ok := v.([]string); ok {
			return strings.Join(all, "\n")
		}
		return v.(string)
	}
	if lines(got) != lines(want) {
		t.Errorf("%s:\n%s\nwant:\n%s", what, lines(got), lines(want))
	}
}
