package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"netcombiner/packaging/gitversion"
)

// The real pkg builds on Linux, too. Whoever has it, tries before a release:
//
//	FREEBSD_PKG=/path/to/pkg go test -run RealPkg -v .

// host is a FreeBSD's root, without a system in it, that the real pkg installs into.
type host struct {
	t    *testing.T
	abi  string
	root string
}

func newHost(t *testing.T, abi string) host {
	t.Helper()
	if os.Getenv("FREEBSD_PKG") == "" {
		t.Skip("FREEBSD_PKG names no pkg")
	}
	h := host{t, abi, t.TempDir()}
	for _, dir := range []string{"etc", "var/db/pkg", "usr/local/etc/pkg/repos", "tmp"} {
		if err := os.MkdirAll(filepath.Join(h.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// try runs pkg for this root.
func (h host) try(args ...string) (string, error) {
	h.t.Helper()
	args = append([]string{"-r", h.root, "-o", "ABI=" + h.abi, "-o", "OSVERSION=" + strings.Split(h.abi, ":")[1] + "00000"}, args...)
	pkg := exec.Command(os.Getenv("FREEBSD_PKG"), args...)
	pkg.Env = append(os.Environ(), "ASSUME_ALWAYS_YES=yes", "IGNORE_OSVERSION=yes", "REPOS_DIR="+filepath.Join(h.root, "usr/local/etc/pkg/repos"))
	out, err := pkg.CombinedOutput()
	h.t.Logf("pkg %s: %v\n%s", strings.Join(args[6:], " "), err, out)
	return string(out), err
}

func (h host) pkg(args ...string) string {
	h.t.Helper()
	out, err := h.try(args...)
	if err != nil {
		h.t.Fatalf("pkg %q: %v\n%s", args, err, out)
	}
	return out
}

// refused runs pkg, which is to say no.
func (h host) refused(why string, args ...string) {
	h.t.Helper()
	if out, err := h.try(args...); err == nil || !strings.Contains(out, why) {
		h.t.Errorf("pkg %q: %v, not %q\n%s", args, err, why, out)
	}
}

// check has pkg sum up what it installed. Before version 2 it looked for that
// outside of this root.
func (h host) check() bool {
	h.t.Helper()
	v, err := exec.Command(os.Getenv("FREEBSD_PKG"), "-v").Output()
	if err != nil {
		h.t.Fatal(err)
	}
	if strings.HasPrefix(string(v), "1.") {
		return false
	}
	h.pkg("check", "-sda")
	return true
}

func (h host) write(name, text string) {
	h.t.Helper()
	file := filepath.Join(h.root, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h host) holds(name, want string) {
	h.t.Helper()
	if text, err := os.ReadFile(filepath.Join(h.root, name)); err != nil || string(text) != want {
		h.t.Errorf("%s: %q, %v, not %q", name, text, err, want)
	}
}

func (h host) gone(names ...string) {
	h.t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(filepath.Join(h.root, name)); err == nil {
			h.t.Errorf("%s is still there", name)
		}
	}
}

// sampleFolder is a repository with the sample's packages of a version, with one line
// of its configuration.
func sampleFolder(t *testing.T, number, abi, line string, key *signer) string {
	t.Helper()
	from := changedTree(t, "port/net/sample/files/sample.conf", "key = one", line)
	from.version.Number = number
	from.target = target{map[string]string{"amd64": "amd64", "aarch64": "arm64"}[strings.Split(abi, ":")[2]], strings.Split(abi, ":")[1]}
	folder := filepath.Join(t.TempDir(), abi)
	if err := publish(packagesOf(t, from), key, folder, io.Discard); err != nil {
		t.Fatal(err)
	}
	return folder
}

const conf, changedConf = "usr/local/etc/sample/sample.conf", "key = mine\n"

// serve has the host take packages from a folder, by HTTP: of a folder of its own
// pkg believes the files. What it knew of the one before it forgets.
func (h host) serve(folder, fingerprint string) {
	h.t.Helper()
	server := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(folder))))
	h.t.Cleanup(server.Close)
	signature := `signature_type: "none"`
	if fingerprint != "" {
		h.write("usr/local/etc/pkg/fingerprints/netcombiner/trusted/netcombiner", fingerprint)
		signature = `signature_type: "fingerprints", fingerprints: "/usr/local/etc/pkg/fingerprints/netcombiner"`
	}
	h.write("usr/local/etc/pkg/repos/netcombiner.conf", `netcombiner: { url: "`+server.URL+`/${ABI}", `+signature+`, enabled: yes }`)
}

func TestRealPkgInstalls(t *testing.T) {
	for _, abi := range []string{"FreeBSD:14:amd64", "FreeBSD:15:aarch64"} {
		t.Run(abi, func(t *testing.T) {
			h := newHost(t, abi)
			folder := sampleFolder(t, "1.2.3", abi, "key = one", nil)
			if out := h.pkg("add", filepath.Join(folder, "os-sample-1.2.3_4.pkg")); !strings.Contains(out, "Type this:\n    /usr/local/sbin/sample") || strings.Contains(out, "Type that") {
				t.Error("the message for who installs is not shown, or that for who upgrades is")
			}
			checked := h.check()
			h.holds(conf, "key = one\nother = two\n")
			if out := h.pkg("info", "sample"); !strings.Contains(out, "sample-1.2.3_4") || !strings.Contains(out, "100% of ünicode") {
				t.Error("info does not tell what it is")
			}
			h.write("usr/local/sbin/sample", "something else")
			if checked {
				h.refused("checksum mismatch", "check", "-sa")
			}
			h.pkg("delete", "-a")
			h.gone(conf, "usr/local/sbin", "usr/local/share", "usr/local/opnsense", "usr/local/etc/sample", "var/db/sample")
		})
	}
}

// An upgrade brings the new configuration to who has not changed the old one.
func TestRealPkgUpgrades(t *testing.T) {
	const abi = "FreeBSD:15:amd64"
	older, newer := sampleFolder(t, "1.2.3", abi, "key = one", nil), sampleFolder(t, "1.2.4~rc1", abi, "key = new", nil)
	for _, edited := range []bool{false, true} {
		t.Run(fmt.Sprintf("edited %v", edited), func(t *testing.T) {
			h := newHost(t, abi)
			h.serve(older, "")
			h.pkg("install", "os-sample")
			want := "key = new\nother = two\n"
			if edited {
				want = changedConf
				h.write(conf, changedConf)
			}
			h.serve(newer, "")
			out := h.pkg("upgrade")
			if !strings.Contains(out, "Type that.") || strings.Contains(out, "Type this") || !strings.Contains(out, "true upgrade") {
				t.Error("the message for who upgrades is not shown, that for who installs is, or the script is not told")
			}
			h.check()
			h.holds(conf, want)
			h.holds(conf+".sample", "key = new\nother = two\n")
			if out := h.pkg("delete", "-a"); strings.Contains(out, "was changed and stays") != edited {
				t.Error("it does not say what stays, or says it of what does not")
			}
			h.gone("usr/local/sbin", "usr/local/share", conf+".sample")
			if edited {
				h.holds(conf, changedConf)
			} else {
				h.gone(conf)
			}
		})
	}
}

func TestRealPkgRefusesAnotherABI(t *testing.T) {
	folder := sampleFolder(t, "1.2.3", "FreeBSD:14:amd64", "key = one", nil)
	for _, abi := range []string{"FreeBSD:15:amd64", "FreeBSD:14:aarch64"} {
		newHost(t, abi).refused("wrong architecture", "add", filepath.Join(folder, "sample-1.2.3_4.pkg"))
	}
	// Pages are for all; what they need is not here.
	const pages = "os-sample-1.2.3_4.pkg"
	h := newHost(t, "FreeBSD:15:aarch64")
	h.write("tmp/"+pages, readFile(t, filepath.Join(folder, pages)))
	h.refused("Missing dependency", "add", filepath.Join(h.root, "tmp", pages))
	h.pkg("add", "-M", filepath.Join(h.root, "tmp", pages))
}

func TestRealPkgTrustsTheRepository(t *testing.T) {
	const abi = "FreeBSD:14:amd64"
	key, err := readKey(newKey(t, "genrsa"))
	if err != nil {
		t.Fatal(err)
	}
	forger, err := readKey(newKey(t, "genrsa"))
	if err != nil {
		t.Fatal(err)
	}
	good := sampleFolder(t, "1.2.3", abi, "key = one", key)
	fingerprint := readFile(t, filepath.Join(good, fingerprintFile))
	h := newHost(t, abi)
	h.serve(good, fingerprint)
	h.pkg("install", "os-sample", "pfSense-pkg-sample")
	h.check()
	newer := sampleFolder(t, "1.2.4", abi, "key = new", key)
	h.serve(newer, fingerprint)
	h.pkg("upgrade")
	h.holds(conf, "key = new\nother = two\n")

	// What another key signed, what none did, and what is not what was signed. pkg
	// says so, exits 0, and knows of no package.
	changed := sampleFolder(t, "1.2.5", abi, "key = forged", key)
	for _, file := range []string{"data.pkg", "packagesite.pkg"} {
		all, err := unpack([]byte(readFile(t, filepath.Join(changed, file))))
		if err != nil {
			t.Fatal(err)
		}
		last := &all[len(all)-1]
		last.data = []byte(strings.Replace(string(last.data), "somebody@", "anybody@", 1))
		if err := os.WriteFile(filepath.Join(changed, file), pack(t, all), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for folder, why := range map[string]string{
		sampleFolder(t, "1.2.5", abi, "key = forged", forger): "No trusted public keys",
		sampleFolder(t, "1.2.5", abi, "key = forged", nil):    "No signature found",
		changed: "signature verification failure",
	} {
		h.serve(folder, fingerprint)
		if out, _ := h.try("update", "-f"); !strings.Contains(out, why) {
			t.Errorf("not %q: %s", why, out)
		}
		if out, _ := h.try("upgrade"); strings.Contains(out, "1.2.5") {
			t.Errorf("an upgrade to what %q: %s", why, out)
		}
		h.holds(conf, "key = new\nother = two\n")
	}

	// A package that is not the one of the index, by one bit.
	swapped := sampleFolder(t, "1.2.6", abi, "key = one", key)
	file := filepath.Join(swapped, "sample-1.2.6_4.pkg")
	data := []byte(readFile(t, file))
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o644); err != nil {
		t.Fatal(err)
	}
	h.serve(swapped, fingerprint)
	h.refused("failed checksum from repository", "upgrade")
	h.holds(conf, "key = new\nother = two\n")
}

// pkg knows which of our versions is newer.
func TestRealPkgKnowsTheOrder(t *testing.T) {
	h := newHost(t, "FreeBSD:14:amd64")
	order := []gitversion.Version{
		{Number: "0.0.0", After: 400}, {Number: "0.0.0", After: 1001},
		{Number: "1.0~alpha1~pre", After: 7}, {Number: "1.0~alpha1"}, {Number: "1.0~alpha1", After: 3}, {Number: "1.0~beta"}, {Number: "1.0~pre", After: 9}, {Number: "1.0~rc1"},
		{Number: "1.0~rc2", After: 12}, {Number: "1.0"}, {Number: "1.0", After: 1}, {Number: "1.0", After: 12}, {Number: "1.0.1"}, {Number: "1.10"},
	}
	for i := 1; i < len(order); i++ {
		if out := h.pkg("version", "-t", revised(number(order[i-1])), revised(number(order[i]))); strings.TrimSpace(out) != "<" {
			t.Errorf("%v is not older than %v: %s", order[i-1], order[i], out)
		}
	}
}

// What the tree makes installs, checks and goes, and leaves nothing but the folder
// that was there.
func TestRealPkgTakesTheTree(t *testing.T) {
	for to := range machines {
		t.Run(to.abi(), func(t *testing.T) {
			h := newHost(t, to.abi())
			folder := filepath.Join(t.TempDir(), to.abi())
			all := treeOf(t, repo(t), to)
			if err := publish(all, nil, folder, io.Discard); err != nil {
				t.Fatal(err)
			}
			for _, p := range all {
				// What the scripts say is for a FreeBSD, and they would run here.
				h.pkg("-o", "RUN_SCRIPTS=no", "add", filepath.Join(folder, p.file()))
			}
			h.check()
			h.pkg("info", "-a")
			h.pkg("-o", "RUN_SCRIPTS=no", "delete", "-a")
			left := filepath.Join(h.root, "usr/local")
			entries, err := os.ReadDir(left)
			if err != nil || len(entries) != 1 {
				t.Errorf("%s: %v, %v", left, entries, err)
			}
		})
	}
}
