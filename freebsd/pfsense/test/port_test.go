package pfsense

import (
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/token"
)

func source(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sources are all files of the port.
func sources(t *testing.T) (names []string) {
	t.Helper()
	err := filepath.WalkDir(port, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func phpPages(t *testing.T) (names []string) {
	t.Helper()
	for _, name := range sources(t) {
		if filepath.Ext(name) == ".php" {
			names = append(names, filepath.Base(name))
		}
	}
	return names
}

// PHP, XML and sh read every file that is theirs.
func TestSyntax(t *testing.T) {
	read := 0
	for _, name := range sources(t) {
		var cmd *exec.Cmd
		switch filepath.Ext(name) {
		case ".php", ".inc":
			cmd = exec.Command("php", "-n", "-l", name)
		case ".xml":
			cmd = exec.Command("xmllint", "--noout", "--nonet", name)
		case ".sh", ".in":
			cmd = exec.Command("sh", "-n", name)
		default:
			continue
		}
		read++
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s", name, out)
		}
		if text := source(t, name); strings.HasSuffix(text, "?>") || strings.HasSuffix(text, "?>\n") {
			t.Errorf("%s: what follows ?> would come before a header", name)
		}
	}
	if read < 20 {
		t.Errorf("only %d files were read", read)
	}
}

// The list of what is installed names each file, and no other.
func TestPlist(t *testing.T) {
	var listed, there []string
	for line := range strings.Lines(source(t, port+"/pkg-plist")) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "@") {
			listed = append(listed, strings.Replace(line, "%%DATADIR%%", "share/pfSense-pkg-netcombiner", 1))
		}
	}
	for _, name := range sources(t) {
		if name, ok := strings.CutPrefix(name, port+"/files"); ok && filepath.Ext(name) != ".in" {
			there = append(there, strings.TrimPrefix(name, "/usr/local/"))
		}
	}
	slices.Sort(listed)
	slices.Sort(there)
	same(t, "pkg-plist", listed, there)
}

// A page is one that pfSense gives to nobody without a privilege: it asks who it is before
// anything else.
func TestPagesAsk(t *testing.T) {
	for _, name := range phpPages(t) {
		text := source(t, pages+name)
		contains(t, name, text, "##|*MATCH=packages/netcombiner/"+name+"*", "require_once('guiconfig.inc');\nrequire_once('netcombiner/netcombiner.inc');\n")
		before, _, _ := strings.Cut(text, "require_once")
		lacks(t, name, before, "$_", "function", "echo", "$nocsrf")
	}
}

// At boot each assigned tunnel gets a device that stands in for it, once.
func TestEarly(t *testing.T) {
	f := newHome(t)
	f.apply()
	script := strings.ReplaceAll(source(t, files+"/pkg/netcombiner/early.sh"), "/usr/local/etc", f.path("usr/local/etc"))
	f.write("ifconfig", "#!/bin/sh\necho \"$@\" >>"+f.path("asked")+"\n[ \"$1\" != nc0 ] || exit 1\n")
	f.ok(os.Chmod(f.path("ifconfig"), 0o755))
	script = strings.ReplaceAll(script, "/sbin/ifconfig", f.path("ifconfig"))
	f.write("early.sh", script)
	out, err := exec.Command("dash", f.path("early.sh")).CombinedOutput()
	f.ok(err)
	same(t, "said", string(out), "")
	same(t, "ifconfig", f.text("asked"), "nc0\ntun create name nc0 group netcombiner\n")
}

// newToken is one that netcombiner init remote would print.
func newToken(t *testing.T) string {
	t.Helper()
	k, err := config.ParseKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := (&token.Token{Key: k, Host: "203.0.113.2", Ways: []token.Way{{Transport: "udp", Port: 4725}, {Transport: "tcp", Port: 443}}, Address: []netip.Prefix{netip.MustParsePrefix("172.19.152.3/31")}, Suite: "auto",
		Routing: config.RoutingNAT, Made: time.Now().Truncate(time.Second), Expires: time.Now().Add(time.Hour).Truncate(time.Second)}).Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}
