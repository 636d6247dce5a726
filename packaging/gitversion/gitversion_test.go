package gitversion

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestDescribedVersions(t *testing.T) {
	for text, want := range map[string]string{
		"v1.2.3-0-gabcdef0":      "1.2.3 0",
		"v1.2.3-12-gabcdef0":     "1.2.3 12",
		"v1.2.3-rc1-0-gabcdef0":  "1.2.3~rc1 0",
		"v10.0-beta-3-g0000000":  "10.0~beta 3",
		"v1.2.3-hotfix-1-g00000": "",
		"v1.2.x-0-gabcdef0":      "",
	} {
		number, after, err := parseDescribed(text)
		if got := fmt.Sprint(number, " ", after); err == nil && got != want || (err == nil) != (want != "") {
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
		v, err := Of(dir, given)
		if got := fmt.Sprint(v.Number, " ", v.After); err != nil || got != want || v.Changed == committed || (len(v.Commit) == 40) != committed {
			t.Errorf("%s, of commit %q, changed: %v; %v", got, v.Commit, v.Changed, err)
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
	is("", "0.0.0 0", true)
	git("tag", "v1.2.3-rc1")
	write("build", "is not packed")
	is("", "1.2.3~rc1 0", true)
	is("1.2.4~rc1", "1.2.4~rc1 0", true)
	write("new", "is packed")
	is("", "1.2.3~rc1~pre 0", false)
	git("tag", "v1.2.3")
	git("add", ".")
	git("commit", "-q", "-m", "two")
	write("tracked", "two")
	is("", "1.2.3~pre 1", false)
	is("1.2.4", "1.2.4 0", false) // whose number it is says what it means

	t.Setenv("SOURCE_DATE_EPOCH", "1600000000")
	if v, err := Of(dir, ""); err != nil || v.Built.Unix() != 1600000000 {
		t.Errorf("%v, %v", v.Built, err)
	}
	for _, bad := range []string{"v1.2.3", "1.2.3-r1", "newest", "1.2.3+4"} {
		if _, err := Of(dir, bad); err == nil {
			t.Errorf("VERSION=%s is taken", bad)
		}
	}
}
