package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// entry is a tar's, read with nothing of ours.
type entry struct {
	head *tar.Header
	data string
}

func untar(t *testing.T, packed []byte) (all []entry) {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if !unzipped.ModTime.IsZero() || unzipped.Header.Name != "" {
		t.Errorf("gzip's head has a time or a name: %+v", unzipped.Header)
	}
	for r := tar.NewReader(unzipped); ; {
		head, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if head.Uid != 0 || head.Gid != 0 || head.Uname != "" || head.Gname != "" || !head.ModTime.Equal(sampleVersion.Built) {
			t.Errorf("%s belongs to %d:%d (%q:%q), of %v", head.Name, head.Uid, head.Gid, head.Uname, head.Gname, head.ModTime)
		}
		all = append(all, entry{head, string(data)})
	}
	if rest, err := io.ReadAll(unzipped); err != nil || strings.Trim(string(rest), "\x00") != "" {
		t.Errorf("after the tar: %q, %v", rest, err)
	}
	return all
}

// list is tar -t with modes, and links.
func list(all []entry) (lines []string) {
	for _, e := range all {
		line := fmt.Sprintf("%c %04o %s", e.head.Typeflag, e.head.Mode, e.head.Name)
		if e.head.Linkname != "" {
			line += " -> " + e.head.Linkname
		}
		lines = append(lines, line)
	}
	return lines
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n%s\nnot\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestIpkHoldsWhatOpkgWants(t *testing.T) {
	need(t, "zopfli")
	data, err := ipk(samples(t, "aarch64_generic")["sample"])
	if err != nil {
		t.Fatal(err)
	}
	whole := untar(t, data)
	same(t, "an ipk", list(whole), []string{"0 0644 ./debian-binary", "0 0644 ./data.tar.gz", "0 0644 ./control.tar.gz"})
	if whole[0].data != "2.0\n" {
		t.Errorf("debian-binary is %q", whole[0].data)
	}
	same(t, "data", list(untar(t, []byte(whole[1].data))), []string{
		"5 0755 ./etc/", "5 0755 ./etc/config/", "0 0600 ./etc/config/sample", "5 0755 ./etc/init.d/", "0 0755 ./etc/init.d/sample",
		"5 0755 ./lib/", "5 0755 ./lib/upgrade/", "5 0755 ./lib/upgrade/keep.d/", "0 0644 ./lib/upgrade/keep.d/sample",
		"5 0755 ./usr/", "5 0755 ./usr/sbin/", "2 0777 ./usr/sbin/sample -> ../../etc/init.d/sample",
		"5 0755 ./usr/share/", "5 0755 ./usr/share/sample-parts/",
		"0 0777 ./usr/share/sample-parts/a", "0 0644 ./usr/share/sample-parts/b", "0 0644 ./usr/share/sample-parts/empty",
	})
	control := untar(t, []byte(whole[2].data))
	same(t, "control", list(control), []string{"0 0644 ./conffiles", "0 0644 ./control", "0 0755 ./postinst", "0 0755 ./postinst-pkg", "0 0755 ./prerm"})
	if control[0].data != "/etc/config/sample\n" {
		t.Errorf("conffiles are %q", control[0].data)
	}
	same(t, "fields", strings.Split(control[1].data, "\n"), []string{
		"Package: sample", "Version: 1.2.3-r4", "Depends: kmod-tun, ca-bundle", "License: MIT", "Section: net", "Require-User: sample=500:sample",
		"SourceDateEpoch: 1700000000", "URL: https://example.org/sample", "Maintainer: Somebody <somebody@example.org>",
		"Architecture: aarch64_generic", "Installed-Size: 16384", "Description: Of several parts, in two lines.", "",
	})
	root := t.TempDir()
	if got := script(t, root, control[2].data, "NAME.postinst", "configure"); got != "default_postinst NAME.postinst configure\n" {
		t.Errorf("postinst calls %q", got)
	}
	if got := script(t, root, control[4].data, "NAME.prerm", "remove"); got != "default_prerm NAME.prerm remove\n" {
		t.Errorf("prerm calls %q", got)
	}
}

// script runs one in a root whose functions.sh says what is called, if there is one.
func script(t *testing.T, root, text string, args ...string) string {
	t.Helper()
	need(t, "busybox")
	run := func(env ...string) string {
		file := filepath.Join(t.TempDir(), args[0])
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		command := exec.Command("busybox", append([]string{"ash", args[0]}, args[1:]...)...)
		command.Dir, command.Env = filepath.Dir(file), append(os.Environ(), append(env, "IPKG_INSTROOT="+root)...)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return string(out)
	}
	if err := os.RemoveAll(filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	if out := run(); out != "" {
		t.Errorf("without functions.sh: %q", out)
	}
	functions := ""
	for _, name := range []string{"default_postinst", "default_prerm", "add_group_and_user"} {
		functions += name + "() { echo " + name + ` "$@" ${pkgname:+as "$pkgname" in "${root#"$IPKG_INSTROOT"}"} ${PKG_UPGRADE:+upgrading}; }` + "\n"
	}
	if err := os.MkdirAll(filepath.Join(root, "lib"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "lib/functions.sh"), []byte(functions), 0o644); err != nil {
		t.Fatal(err)
	}
	if out := run("IPKG_NO_SCRIPT=1"); strings.Contains(out, "postinst") {
		t.Errorf("although told not to: %q", out)
	}
	return run()
}

// publishSamples makes a feed of all samples, in a folder.
func publishSamples(t *testing.T, m maker, out string) {
	t.Helper()
	for _, arch := range []string{anyArch, "x86_64", "aarch64_generic"} {
		var all []*Package
		for _, p := range samples(t, arch) {
			all = append(all, p)
		}
		if err := publish(all, m, out); err != nil {
			t.Fatal(err)
		}
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestIpkFeed(t *testing.T) {
	need(t, "zopfli")
	out := t.TempDir()
	old := samples(t, "x86_64")["sample"]
	old.Version = "1.0-r1"
	if err := publish([]*Package{old}, ipkMaker{}, out); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(out, "sample_1.0-r1_x86_64.ipk")
	publishSamples(t, ipkMaker{}, out)
	if _, err := os.Stat(stale); err == nil {
		t.Error("an old version is still there")
	}
	text := readFile(t, filepath.Join(out, "Packages"))
	var names []string
	for block := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		fields := map[string]string{}
		for line := range strings.SplitSeq(block, "\n") {
			key, value, _ := strings.Cut(line, ": ")
			fields[key] = value
		}
		file := readFile(t, filepath.Join(out, fields["Filename"]))
		if fields["Size"] != fmt.Sprint(len(file)) || fields["SHA256sum"] != fmt.Sprintf("%x", sha256.Sum256([]byte(file))) {
			t.Errorf("%s is not what the index says: %q", fields["Filename"], fields)
		}
		if fields["Version"] != "1.2.3-r4" || fields["Architecture"] == "" || fields["Description"] == "" {
			t.Errorf("%q", fields)
		}
		names = append(names, fields["Filename"])
	}
	same(t, "the index", names, []string{
		"luci-app-sample_1.2.3-r4_all.ipk", "luci-i18n-sample-de_1.2.3-r4_all.ipk",
		"sample_1.2.3-r4_aarch64_generic.ipk", "sample_1.2.3-r4_x86_64.ipk",
	})
	packed, err := gzip.NewReader(strings.NewReader(readFile(t, filepath.Join(out, "Packages.gz"))))
	if err != nil {
		t.Fatal(err)
	}
	if unpacked, err := io.ReadAll(packed); err != nil || string(unpacked) != text {
		t.Errorf("Packages.gz is not Packages: %v", err)
	}
}

// The same sources make the same bytes, wherever, whenever and by whom.
func TestFeedsAreReproducible(t *testing.T) {
	need(t, "zopfli")
	for format, newMaker := range map[string]func() (maker, error){
		"ipk": func() (maker, error) { return newIpkMaker(newUsignKey(t)) },
		"apk": func() (maker, error) { return newApkMaker(ecKey(t)) },
	} {
		m, err := newMaker()
		if err != nil {
			t.Fatal(err)
		}
		one, two := t.TempDir(), t.TempDir()
		publishSamples(t, m, one)
		t.Setenv("TMPDIR", t.TempDir())
		t.Setenv("TZ", "Asia/Kathmandu")
		withUmask(0o077, func() { publishSamples(t, m, two) })
		names, err := os.ReadDir(one)
		if err != nil || len(names) < 6 {
			t.Fatalf("%v: %v", names, err)
		}
		for _, name := range names {
			if readFile(t, filepath.Join(one, name.Name())) != readFile(t, filepath.Join(two, name.Name())) {
				t.Errorf("%s: %s differs", format, name.Name())
			}
		}
	}
}
