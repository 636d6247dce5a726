package freebsd

import (
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/config"
)

const port = "../port/net/netcombiner/"

// staged is what the port installs, without its program, by the ports tree's stand-in.
func staged(t *testing.T) (folder string) {
	t.Helper()
	if _, err := exec.LookPath("bmake"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: apt-get install bmake", err)
		}
		t.Skip(err)
	}
	repo, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	out, err := exec.Command("bmake", "-r", "-m", filepath.Join(repo, "packaging/freebsd/sdk"), "-C", port,
		"REPO="+repo, "WRKDIR="+work, "DISTVERSION=1.2.3", "PREFIX=/opt", "GO_TARGET=", "stage").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return work
}

// What is installed says where it is installed, and the examples are configurations
// that FreeBSD's daemon takes, but for the key.
func TestPortsPlaces(t *testing.T) {
	work := staged(t)
	for _, file := range []string{"stage/opt/etc/rc.d/netcombiner", "pkg-deinstall"} {
		text := read(t, filepath.Join(work, file))
		if strings.Contains(text, "/usr/local") || !strings.Contains(text, "/opt/sbin/netcombiner") {
			t.Errorf("%s is not for the prefix /opt", file)
		}
	}
	for _, end := range []string{"local", "remote"} {
		file := filepath.Join(work, "stage/opt/share/examples/netcombiner", end+".conf")
		text := read(t, file)
		if !strings.Contains(text, "/opt/etc/netcombiner/nc0.key") || strings.Contains(text, "eth1") {
			t.Errorf("%s is not for FreeBSD:\n%s", file, text)
		}
		text = regexp.MustCompile(`(?m)^KeyFile.*$`).ReplaceAllString(text, "Key = "+config.GenerateKey().Base64())
		if _, err := config.ParseFor("freebsd", file, strings.NewReader(text)); err != nil {
			t.Error(err)
		}
	}
}

// What goes into a ports tree: the sources build without a proxy, their sums are those of
// distinfo, and a second run makes the same.
func TestPortsTree(t *testing.T) {
	if testing.Short() {
		t.Skip("it packs all sources, twice")
	}
	t.Parallel()
	const file = "netcombiner-1.2.3.tar.gz"
	out := t.TempDir()
	run := func(dir, name string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS=freebsd", "GOFLAGS=-mod=vendor")
		if name == "ci/freebsd-port" {
			cmd.Env = os.Environ()
		}
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, said)
		}
		return string(said)
	}
	run("../..", "ci/freebsd-port", "1.2.3", out+"/a")
	run("../..", "ci/freebsd-port", "1.2.3", out+"/b")
	sources := read(t, out+"/a/"+file)
	if sources != read(t, out+"/b/"+file) {
		t.Error("the same commit makes other sources")
	}
	for _, name := range []string{"netcombiner", "netcombiner-exporter"} {
		folder := out + "/a/net/" + name
		want := fmt.Sprintf("SHA256 (%s) = %x\nSIZE (%s) = %d\n", file, sha256.Sum256([]byte(sources)), file, len(sources))
		if got := read(t, folder+"/distinfo"); !strings.HasPrefix(got, "TIMESTAMP = ") || !strings.HasSuffix(got, "\n"+want) {
			t.Errorf("%s: distinfo is\n%swant\n%s", name, got, want)
		}
		if !strings.Contains(read(t, folder+"/Makefile"), "\nDISTVERSION=\t1.2.3\n") {
			t.Errorf("%s has another version", name)
		}
	}
	run(out, "tar", "-xzf", "a/"+file)
	for dir, program := range map[string]string{"": "./src/cmd/netcombiner", "src/exporter": "."} {
		for imported := range strings.Lines(run(filepath.Join(out, "netcombiner-1.2.3", dir), "go", "list", "-deps", "-f", "{{.Dir}}", program)) {
			if strings.Contains(imported, "/pkg/mod/") {
				t.Errorf("%s is not among the sources", imported)
			}
		}
	}
	if out, err := exec.Command("../../ci/freebsd-port", "", out+"/c").CombinedOutput(); err == nil || !strings.Contains(string(out), "VERSION=: say which") {
		t.Errorf("without a version: %v, %s", err, out)
	}
}

// portlint(1) wants the variables in this order.
func TestPortsOrder(t *testing.T) {
	order := []string{
		"PORTNAME", "DISTVERSION", "CATEGORIES", "MASTER_SITES", "MAINTAINER", "COMMENT", "WWW", "LICENSE", "LICENSE_FILE", "USES",
		"CGO_ENABLED", "GO_TARGET", "GO_BUILDFLAGS", "SUB_FILES",
	}
	var found []string
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.)`).FindAllStringSubmatch(read(t, port+"Makefile"), -1) {
		found = append(found, m[1])
		if m[2] != "\t" {
			t.Errorf("%s is followed by no tab", m[1])
		}
	}
	if !slices.Equal(found, order) {
		t.Errorf("the Makefile has %q, want %q", found, order)
	}
	comment := regexp.MustCompile(`(?m)^COMMENT=\t(.*)$`).FindStringSubmatch(read(t, port+"Makefile"))[1]
	if len(comment) > 70 || strings.HasSuffix(comment, ".") || regexp.MustCompile(`^(A|An|The) `).MatchString(comment) {
		t.Errorf("COMMENT=%s", comment)
	}
	for _, file := range []string{"pkg-descr", "pkg-message"} {
		for i, line := range strings.Split(read(t, port+file), "\n") {
			if width := len(strings.ReplaceAll(line, "\t", "        ")); width > 80 {
				t.Errorf("%s:%d has %d columns", file, i+1, width)
			}
		}
	}
}

// Removing stops everything; an upgrade, and another root than this, nothing.
func TestDeinstall(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env   string
		when  string
		stops bool
	}{
		"remove":       {"", "DEINSTALL", true},
		"removed":      {"", "POST-DEINSTALL", false},
		"upgrade":      {"PKG_UPGRADE=1", "DEINSTALL", false},
		"another root": {"PKG_ROOTDIR=/mnt", "DEINSTALL", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t, shells[0])
			h.must(os.MkdirAll(h.path("var/run/netcombiner"), 0o755))
			h.must(os.MkdirAll(h.path("etc/rc.d"), 0o755))
			h.write("etc/rc.d/netcombiner", h.read("netcombiner"))
			h.must(os.Chmod(h.path("etc/rc.d/netcombiner"), 0o755))
			h.must(os.Symlink("bin", h.path("sbin")))
			h.install("deinstall", port+"files/pkg-deinstall.in", "%%PREFIX%%", h.root, "/var/run", h.path("var/run"))
			h.conf(`netcombiner_interfaces="nc0"`) // and not enabled any more
			h.says("nc0 is running.\n", true, "onestart")
			byHand := exec.Command(h.path("bin/netcombiner"), "-f", "nc5")
			h.must(byHand.Start())
			defer func() { _ = byHand.Process.Kill(); _ = byHand.Wait() }()
			h.await("running", func() bool { return h.read("nc5.up") != "" })
			socket(t, h.path("var/run/netcombiner/nc5.sock"))

			cmd := exec.Command("sh", h.path("deinstall"), "netcombiner-1.2.3", tc.when)
			cmd.Env = append(os.Environ(), tc.env)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			for _, tunnel := range []string{"nc0", "nc5"} {
				if stopped := h.read(tunnel+".up") == ""; stopped != tc.stops {
					t.Errorf("%s stopped: %v, want %v", tunnel, stopped, tc.stops)
				}
			}
		})
	}
}

// socket makes a file of that kind, whose path may be longer than one's of a socket.
func socket(t *testing.T, path string) {
	t.Helper()
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	l, err := net.Listen("unix", fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}
