package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestDescribedVersions(t *testing.T) {
	for text, want := range map[string]string{
		"v1.2.3-0-gabcdef0":      "1.2.3 1",
		"v1.2.3-12-gabcdef0":     "1.2.3 13",
		"v1.2.3-rc1-0-gabcdef0":  "1.2.3~rc1 1",
		"v10.0-beta-3-g0000000":  "10.0~beta 4",
		"v1.2.3-hotfix-1-g00000": "",
		"v1.2.x-0-gabcdef0":      "",
	} {
		number, release, err := parseDescribed(text)
		if got := strings.TrimSpace(number + " " + release); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

// A version says which commit was packed, or that none was.
func TestVersions(t *testing.T) {
	dir := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		command := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.org"}, args...)...)
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v: %s", args, err, out)
		}
	}
	is := func(given, want string, committed bool) {
		t.Helper()
		v, err := versionOf(dir, given)
		if got := v.number + "-r" + v.release; err != nil || got != want || v.changed == committed || (len(v.commit) == 40) != committed {
			t.Errorf("%s, of commit %q, changed: %v; %v", got, v.commit, v.changed, err)
		}
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git("init", "-q")
	write("tracked", "one")
	write(".gitignore", "build\n")
	git("add", ".")
	git("commit", "-q", "-m", "one")
	is("", "0.0.0-r1", true)
	git("tag", "v1.2.3-rc1")
	write("build", "is not packed")
	is("", "1.2.3~rc1-r1", true)
	is("1.2.4~rc1", "1.2.4~rc1-r1", true)
	write("new", "is packed")
	is("", "1.2.3~rc1~pre-r1", false)
	git("tag", "v1.2.3")
	git("add", ".")
	git("commit", "-q", "-m", "two")
	write("tracked", "two")
	is("", "1.2.3~pre-r2", false)
	is("1.2.4", "1.2.4-r1", false) // whose number it is says what it means

	t.Setenv("SOURCE_DATE_EPOCH", "1600000000")
	if v, err := versionOf(dir, ""); err != nil || v.built.Unix() != 1600000000 {
		t.Errorf("%v, %v", v.built, err)
	}
	for _, bad := range []string{"v1.2.3", "1.2.3-r1", "newest", "1.2.3+4"} {
		if _, err := versionOf(dir, bad); err == nil {
			t.Errorf("VERSION=%s is taken", bad)
		}
	}
}
