package router

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// keep has the service keep a key, and returns what it prints.
func (r *router) keep(name, key string) (string, error) {
	r.write("typed", key)
	r.write("calls", "")
	run := r.run
	defer func() { r.run = run }()
	r.run = func(argv []string) (string, error) {
		return run(append([]string{"sh", "-c", `typed=$1; shift; exec "$@" <"$typed"`, "sh", r.path("typed")}, argv...))
	}
	out, err := r.script("service.sh", nil, "key", name)
	return strings.TrimSpace(out), err
}

// A key that is kept is root's alone, and the tunnel has it once UCI names its file: that of
// before stays as long as anything names it, so that there is a way back.
func TestKeepKey(t *testing.T) {
	r := newRouter(t)
	kept := func(key string) string {
		file, err := r.keep("nc0", key+"\n")
		if err != nil || filepath.Dir(file) != r.path("flash/keys") || !strings.HasPrefix(filepath.Base(file), "nc0.") {
			t.Fatalf("%q, %v", file, err)
		}
		for path, mode := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
				t.Fatalf("%s: %v, %v", path, info.Mode(), err)
			}
		}
		text, err := os.ReadFile(file)
		r.must(err)
		same(t, "key", string(text), key+"\n")
		if with(strings.Split(r.read("calls"), "\n"), "sync") == nil {
			t.Error("it may not be on disk once UCI names it")
		}
		return file
	}
	use := func(file string) { r.uci(strings.Replace(home, "option key "+key, "option key_file "+file, 1)) }

	first := kept(key)
	use(first)
	started := r.service("start")
	if len(with(started, "procd_open_instance nc0")) != 1 || r.parsed("nc0").Interface.Key.Base64() != key {
		t.Errorf("it does not run with its key: %v", started)
	}
	before := r.ini("nc0")

	const other = "bmV3IGtleSBuZXcga2V5IG5ldyBrZXkgbmV3IGtleSE="
	second := kept(other)
	same(t, "calls of a reload before it is applied", r.service("reload"), started)
	same(t, "INI before it is applied", r.ini("nc0"), before)
	r.must(os.MkdirAll(r.path("staged/uci-session"), 0o755))
	r.write("staged/uci-session/netcombiner", "netcombiner.nc0.key_file='"+second+"'\n")
	third := kept(other)
	for _, file := range []string{first, second} {
		if !exists(file) {
			t.Fatalf("%s is named, and gone", file)
		}
	}
	r.must(os.RemoveAll(r.path("staged"))) // reverted
	kept(other)
	if !exists(first) || exists(second) || exists(third) {
		t.Errorf("what nothing names stays (%v, %v), or what UCI names does not (%v)", exists(second), exists(third), exists(first))
	}
	for _, secret := range append(started, r.read("log"), r.read("config/netcombiner")) {
		if strings.Contains(secret, key) {
			t.Errorf("the key is in %q", secret)
		}
	}
}

func TestKeepNoKey(t *testing.T) {
	r := newRouter(t)
	for _, name := range []string{"", "../nc0", "a b", "nc0;id"} {
		if out, err := r.keep(name, key); err == nil || !strings.Contains(out, "netcombiner genkey | service netcombiner key nc0") {
			t.Errorf("%q: %q, %v", name, out, err)
		}
	}
	if out, err := r.keep("nc0", ""); err == nil || !strings.Contains(out, "have it on standard input") {
		t.Errorf("no key: %q, %v", out, err)
	}
	r.write("flash", "a file where the folder is to be: nobody can make it")
	if out, err := r.keep("nc0", key); err == nil || out != "cannot write to "+r.path("flash/keys")+"; is the flash full?" {
		t.Errorf("full flash: %q, %v", out, err)
	}
}
