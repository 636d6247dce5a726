// Package opnsense runs what the plugin installs on OPNsense: its templates, its scripts,
// its PHP and its pages, with stand-ins for what OPNsense has around them (testdata). The
// daemon is the real one.
//
// With OPNSENSE_CORE, the folder of a copy of OPNsense's own sources (opnsense/core), the
// templates, the model and the API are run by that, too.
package opnsense

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	plugin      = "../net/netcombiner/src/"
	app         = plugin + "opnsense/mvc/app/"
	models      = app + "models/OPNsense/Netcombiner/"
	controllers = app + "controllers/OPNsense/Netcombiner/"
	views       = app + "views/OPNsense/Netcombiner/"
	service     = plugin + "opnsense/service/"
	scripts     = plugin + "opnsense/scripts/netcombiner/"

	key = "aGVsbG9oZWxsb2hlbGxvaGVsbG9oZWxsb2hlbGxvMDA="
)

// bin holds the daemon.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "opnsense"); err != nil {
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

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	return string(text)
}

func write(t *testing.T, file, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(t, os.WriteFile(file, []byte(text), 0o600))
}

func exists(file string) bool {
	_, err := os.Lstat(file)
	return err == nil
}

// command runs a program for a minute at most, and returns what it prints.
func command(t *testing.T, env []string, argv ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Base(argv[0]), err)
	}
	return string(out), err
}

// files of the plugin that end in one of these.
func files(t *testing.T, endings ...string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(plugin, func(path string, entry os.DirEntry, err error) error {
		for _, ending := range endings {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, ending) {
				all = append(all, path)
			}
		}
		return err
	}))
	if len(all) == 0 {
		t.Fatalf("no file ends in %v", endings)
	}
	return all
}

func TestPHPParses(t *testing.T) {
	for _, file := range files(t, ".php", ".inc") {
		if out, err := command(t, nil, "php", "-d", "display_errors=1", "-d", "error_reporting=-1", "-l", file); err != nil || !strings.HasPrefix(out, "No syntax errors") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// What configd and the hooks of the system run has to be executable, and to be there.
func TestScriptsAreThere(t *testing.T) {
	for _, file := range files(t, ".sh", "/20-netcombiner") {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o111 != 0o111 {
			t.Errorf("%s: %v", file, info.Mode())
		}
	}
	actions := read(t, service+"conf/actions.d/actions_netcombiner.conf")
	for line := range strings.SplitSeq(actions, "\n") {
		program, ok := strings.CutPrefix(line, "command:/usr/local/")
		if program, _, _ = strings.Cut(program, " "); ok && program != "sbin/netcombiner" && !exists(plugin+program) {
			t.Errorf("%s: no such file", line)
		}
	}
}

// Everybody may write to configd's socket: each action says who may have it done.
func TestActionsAreNotForAll(t *testing.T) {
	actions := strings.Split(read(t, service+"conf/actions.d/actions_netcombiner.conf"), "\n[")[1:]
	if len(actions) < 9 {
		t.Fatalf("%d actions", len(actions))
	}
	for _, action := range actions {
		if !strings.Contains(action, "\nallowed_groups:wheel,wwwonly\n") {
			t.Errorf("anybody may: [%s", action)
		}
	}
}

// An upgrade, or an image of another system, leaves what runs here.
func TestDeinstall(t *testing.T) {
	const script = "../net/netcombiner/+PRE_DEINSTALL.pre"
	changed := filepath.Join(t.TempDir(), "script")
	const control = "/usr/local/opnsense/scripts/netcombiner/control.sh"
	write(t, changed, strings.ReplaceAll(read(t, script), control, "echo"))
	for _, tc := range []struct{ env, want string }{{"PKG_ROOTDIR=/", "remove\n"}, {"PKG_ROOTDIR=/image", ""}, {"PKG_UPGRADE=true", ""}} {
		if out, err := command(t, []string{tc.env}, "dash", "-eu", changed); err != nil || out != tc.want {
			t.Errorf("%s: %q, %v", tc.env, out, err)
		}
	}
}

// The folder that the key goes through is nobody else's from the first template on, also
// where pkg installs into an image of another system.
func TestInstallMakesTheFolder(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(root+"/usr/local/etc", 0o755))
	if out, err := command(t, []string{"PKG_ROOTDIR=" + root + "/"}, "dash", "-eu", "../net/netcombiner/+POST_INSTALL.pre"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, folder := range []string{"/usr/local/etc/netcombiner", newConf} {
		if info, err := os.Stat(root + folder); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", folder, info, err)
		}
	}
}
