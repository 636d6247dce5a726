// Package src holds the one test that is about all packages: which may import
// which.
package src

import (
	"fmt"
	"go/build"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers lists every package with the layer it is in. A package may import
// those of lower layers, and none of its own.
var layers = [][]string{
	{"superpacket", "kernels", "eventlog", "durable", "clients", "rtsock", "places"},
	{"mono", "wire", "replay", "auth", "config", "control", "transport", "linkwatch", "tundevice", "routing/nstest", "service", "scrape"},
	{"token", "packet", "congestion", "quota", "handshake", "udpsocket", "transport/transporttest", "tundevice/tuntest", "routing", "testbed/link", "testbed/netns"},
	{"path", "exchange", "session", "setup", "simnet", "transport/udp", "transport/tcp", "transport/ip", "daemon", "testbed/emulator", "testbed/measure"},
	{"portal", "testbed/lab"},
	{"testbed", "selftest"},
	{"cmd/netcombiner", "cmd/testbed"},
}

// pure packages have no socket, goroutine, file or clock of their own.
var pure = []string{"superpacket", "mono", "wire", "replay", "auth", "packet", "congestion", "handshake", "path", "exchange", "session", "token", "rtsock", "testbed/link"}

// onOS packages are the places where files for one system may stand; daemon
// and cmd keep secrets out of core dumps and wire things up.
var onOS = []string{"tundevice", "udpsocket", "linkwatch", "routing", "daemon"}

// tools are never part of the daemon.
var tools = []string{"simnet", "testbed", "transport/transporttest", "tundevice/tuntest", "routing/nstest"}

func TestImportsGoOneWay(t *testing.T) {
	layer := map[string]int{}
	for i, names := range layers {
		for _, n := range names {
			layer[n] = i
		}
	}
	for _, dir := range packages(t) {
		at, known := layer[dir]
		if !known {
			t.Errorf("package %s is in no layer: add it to this test", dir)
			continue
		}
		for _, imported := range imports(t, dir) {
			of, ours := strings.CutPrefix(imported, "netcombiner/src/")
			if ours && layer[of] >= at {
				t.Errorf("%s imports %s, which is not below it", dir, of)
			}
		}
	}
}

func TestPurePackagesTouchNothing(t *testing.T) {
	for _, dir := range pure {
		for _, imported := range imports(t, dir) {
			if slices.Contains([]string{"net", "os", "syscall", "sync/atomic", "context", "log", "log/slog", "os/exec", "golang.org/x/sys/unix"}, imported) {
				t.Errorf("%s is to be pure, and imports %s", dir, imported)
			}
		}
		for _, word := range []string{"time.Now(", "time.Since(", "time.Sleep(", "time.NewTimer(", "time.AfterFunc(", "\tgo func", "\tgo "} {
			if dir == "mono" {
				continue // the clock that the shell reads
			}
			if file := uses(t, dir, word); file != "" {
				t.Errorf("%s is to be pure, and says %q", file, strings.TrimSpace(word))
			}
		}
	}
}

func TestSystemsStandInTheirPlaces(t *testing.T) {
	for _, dir := range packages(t) {
		if slices.Contains(onOS, dir) || strings.HasPrefix(dir, "testbed") || dir == "routing/nstest" {
			continue
		}
		for _, pattern := range []string{"*_linux.go", "*_freebsd.go"} {
			if files, _ := filepath.Glob(filepath.Join(dir, pattern)); len(files) > 0 && !strings.HasPrefix(dir, "cmd") {
				t.Errorf("%v: only %v may have files for one system", files, onOS)
			}
		}
	}
}

func TestTheDaemonHasNoTestTools(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "./cmd/netcombiner").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		of, _ := strings.CutPrefix(dep, "netcombiner/src/")
		for _, tool := range tools {
			if of == tool || strings.HasPrefix(of, tool+"/") {
				t.Errorf("the daemon contains %s", of)
			}
		}
		if dep == "net/http" || strings.HasPrefix(dep, "testing") {
			t.Errorf("the daemon contains %s, which is large", dep)
		}
	}
}

// packages lists the folders below this one that hold Go files other than tests.
func packages(t *testing.T) (dirs []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if _, none := os.Stat(filepath.Join(path, "go.mod")); err == nil && d.IsDir() && none == nil {
			return filepath.SkipDir // a module of its own, which imports none of ours
		}
		if err == nil && d.IsDir() && path != "." && d.Name() != "testdata" {
			if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) > 0 {
				dirs = append(dirs, filepath.ToSlash(path))
			}
		}
		return err
	})
	if err != nil || len(dirs) < 20 {
		t.Fatalf("found %d packages: %v", len(dirs), err)
	}
	return dirs
}

// imports lists what a package's own files import, on Linux and FreeBSD.
func imports(t *testing.T, dir string) (all []string) {
	t.Helper()
	for _, system := range []string{"linux", "freebsd"} {
		c := build.Default
		c.GOOS, c.CgoEnabled = system, false
		p, err := c.ImportDir(dir, 0)
		if _, none := err.(*build.NoGoError); err != nil && !none {
			t.Fatal(fmt.Errorf("%s: %w", dir, err))
		}
		all = append(all, p.Imports...)
	}
	return all
}

// uses returns a file of the package, not a test, that contains text.
func uses(t *testing.T, dir, text string) string {
	t.Helper()
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), text) {
			return f
		}
	}
	return ""
}
