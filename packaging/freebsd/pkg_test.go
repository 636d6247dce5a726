package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"netcombiner/packaging/gitversion"
)

// sampleVersion is that of the packages in testdata/tree.
var sampleVersion = gitversion.Version{
	Number: "1.2.3", After: 4, Commit: "0123456789abcdef0123456789abcdef01234567",
	Built: time.Unix(1700000000, 0),
}

func repo(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// samples are the packages of testdata/tree, by name.
func samples(t *testing.T) map[string]*Package {
	t.Helper()
	return byName(samplesOf(t, sampleVersion))
}

func samplesOf(t *testing.T, v gitversion.Version) []*Package {
	t.Helper()
	folder, err := filepath.Abs("testdata/tree")
	if err != nil {
		t.Fatal(err)
	}
	return packagesOf(t, tree{repo: repo(t), folder: folder, version: v, target: target{"amd64", "14"}})
}

func packagesOf(t *testing.T, from tree) []*Package {
	t.Helper()
	need(t, "bmake")
	need(t, "zstd")
	all, err := from.packages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func byName(all []*Package) map[string]*Package {
	m := map[string]*Package{}
	for _, p := range all {
		m[p.Name] = p
	}
	return m
}

// readBack makes a package, and reads it.
func readBack(t *testing.T, p *Package) *read {
	t.Helper()
	data, err := makePkg(p)
	if err != nil {
		t.Fatal(err)
	}
	r, err := readPackage(data)
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	return r
}

// list is what is in a package, as ls -l would say it.
func (r *read) list() (lines []string) {
	for _, name := range r.order {
		head := r.members[name].head
		line := fmt.Sprintf("%c %04o %s:%s %s", head.Typeflag, head.Mode, head.Uname, head.Gname, name)
		if head.Linkname != "" {
			line += " -> " + head.Linkname
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

// says compares fields of a manifest as JSON.
func says(t *testing.T, manifest map[string]any, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if got, err := json.Marshal(manifest[name]); err != nil || string(got) != text {
			t.Errorf("%s is %s, not %s: %v", name, got, text, err)
		}
	}
}

func TestPortSaysWhatIsPacked(t *testing.T) {
	r := readBack(t, samples(t)["sample"])
	same(t, "files", r.list(), []string{
		"2 0777 root:wheel /usr/local/bin/link -> ../sbin/sample",
		"0 0555 root:wheel /usr/local/etc/rc.d/sample",
		"0 0600 root:wheel /usr/local/etc/sample/sample.conf.sample",
		"0 0555 root:wheel /usr/local/sbin/sample",
		"0 0644 root:wheel /usr/local/share/licenses/sample-1.2.3_4/MIT",
		"0 0644 root:wheel /usr/local/share/man/man8/sample.8.gz",
		"0 0640 root:operator /usr/local/share/sample/100%-sure",
		"5 0700 root:wheel /usr/local/etc/sample/spoken",
		"5 0755 root:wheel /var/db/sample",
	})
	says(t, r.full, map[string]string{
		"name": `"sample"`, "origin": `"net/sample"`, "version": `"1.2.3_4"`, "prefix": `"/usr/local"`,
		"comment":    `"Nothing, in 100% of a line – and a quote's \"mark\""`,
		"desc":       `"A sample, of several lines:\n100%25 of %c3%bcnicode."`,
		"maintainer": `"somebody@example.org"`, "www": `"https://example.org/sample"`,
		"abi": `"FreeBSD:14:amd64"`, "arch": `"freebsd:14:x86:64"`,
		"categories": `["net","security"]`, "licenses": `["MIT"]`, "licenselogic": `"single"`,
		"messages": `[{"message":"Type this:\n    /usr/local/sbin/sample","type":"install"},{"message":"Type that.","type":"upgrade"}]`,
		"directories": `{"/usr/local/etc/sample/spoken":{"gname":"wheel","perm":"0700","uname":"root"},` +
			`"/var/db/sample":{"gname":"wheel","perm":"0755","uname":"root"}}`,
		"deps":    `null`,
		"scripts": `{"deinstall":"#!/bin/sh\necho \"$2 of $1: 100%25, spoken, ${PKG_UPGRADE:-no} upgrade\"\n"}`,
	})
	if rc := string(r.members["/usr/local/etc/rc.d/sample"].data); !strings.Contains(rc, "command=/usr/local/sbin/sample\n") {
		t.Errorf("rc.d: %s", rc)
	}
}

// The first of a version has no revision, whichever way it is packed.
func TestFirstOfAVersion(t *testing.T) {
	first := sampleVersion
	first.After = 0
	for _, p := range samplesOf(t, first) {
		if p.Version != "1.2.3" {
			t.Errorf("%s is %s", p.Name, p.Version)
		}
		for _, dep := range p.Deps {
			if dep.Version != "1.2.3" {
				t.Errorf("%s needs %s %s", p.Name, dep.Name, dep.Version)
			}
		}
	}
}

func TestPagesAreForEveryProcessor(t *testing.T) {
	all := samples(t)
	r := readBack(t, all["pfSense-pkg-sample"])
	same(t, "pfSense's", r.list(), []string{
		"0 0644 root:wheel /etc/inc/priv/sample.priv.inc", "0 0644 root:wheel /usr/local/pkg/sample.xml", "5 0755 root:wheel /etc/inc/priv",
	})
	says(t, r.full, map[string]string{
		"abi": `"FreeBSD:*:*"`, "arch": `"freebsd:*:*"`, "origin": `"net/pfSense-pkg-sample"`,
		"deps":    `{"sample":{"origin":"net/sample","version":"1.2.3_4"}}`,
		"scripts": `{"install":"#!/bin/sh\nif [ \"$2\" = POST-INSTALL ]; then echo \"installed pfSense-pkg-sample\"; fi\n"}`,
	})
	if xml := string(r.members["/usr/local/pkg/sample.xml"].data); !strings.Contains(xml, "<version>1.2.3_4<") {
		t.Error(xml)
	}

	r = readBack(t, all["os-sample"])
	same(t, "OPNsense's", r.list(), []string{
		"0 0755 root:wheel /usr/local/etc/rc.d/os-sample",
		"0 0644 root:wheel /usr/local/man/man8/os-sample.8.gz",
		"0 0644 root:wheel /usr/local/opnsense/mvc/app/models/OPNsense/Sample/Sample.xml",
		"0 0644 root:wheel /usr/local/opnsense/service/conf/actions.d/actions_sample.conf",
		"0 0644 root:wheel /usr/local/opnsense/service/templates/OPNsense/Sample/+TARGETS",
		"0 0644 root:wheel /usr/local/opnsense/version/sample",
	})
	says(t, r.full, map[string]string{
		"abi": `"FreeBSD:*:*"`, "arch": `"freebsd:*:*"`, "origin": `"opnsense/os-sample"`, "categories": `["net"]`,
		"deps": `{"sample":{"origin":"net/sample","version":"1.2.3_4"}}`, "licenses": `["MIT"]`,
		"annotations": `{"product_email":"somebody@example.org","product_hash":"012345678","product_id":"os-sample","product_name":"sample",` +
			`"product_tier":"3","product_version":"1.2.3_4","product_website":"https://opnsense.org/"}`,
	})
	scripts, _ := r.full["scripts"].(map[string]any)
	same(t, "scripts", slices.Sorted(maps.Keys(scripts)), []string{"post-deinstall", "post-install", "pre-deinstall"})
	same(t, "post-install", strings.Split(fmt.Sprint(scripts["post-install"]), "\n"), []string{
		"if [ -x /usr/local/etc/rc.d/configd ]; then /usr/local/etc/rc.d/configd restart; fi",
		"if [ -x /usr/local/opnsense/mvc/script/run_migrations.php ]; then /usr/local/opnsense/mvc/script/run_migrations.php OPNsense/Sample; fi",
		"if [ -x /usr/local/etc/rc.configure_plugins ]; then /usr/local/etc/rc.configure_plugins POST_INSTALL; fi",
		"if [ -x /usr/local/sbin/configctl ]; then /usr/local/sbin/configctl template reload OPNsense/Sample; fi",
		`echo "settled"`, "",
	})
	if got := scripts["pre-deinstall"]; got != "echo \"stopped sample\"\n" {
		t.Errorf("pre-deinstall is %q", got)
	}
	if rc := string(r.members["/usr/local/etc/rc.d/os-sample"].data); rc != "#!/bin/sh\necho 1.2.3_4\n" {
		t.Errorf("rc.d: %q", rc)
	}
}

// The same commit makes the same bytes, wherever, whenever and by whomever.
func TestSameBytesEverywhere(t *testing.T) {
	before := samples(t)
	elsewhere := t.TempDir()
	if out, err := exec.Command("cp", "-r", "testdata/tree", filepath.Join(elsewhere, "tree")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("TZ", "Pacific/Chatham")
	defer syscall.Umask(syscall.Umask(0o077))
	after := byName(packagesOf(t, tree{
		repo: repo(t), folder: filepath.Join(elsewhere, "tree"), version: sampleVersion, target: target{"amd64", "14"},
	}))
	for name, p := range before {
		one, err := makePkg(p)
		if err != nil {
			t.Fatal(err)
		}
		two, err := makePkg(after[name])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one, two) {
			t.Errorf("%s differs", name)
		}
	}
}

// The reader of these tests sees what pkg overlooks.
func TestBadPackagesAreSeen(t *testing.T) {
	data, err := makePkg(samples(t)["sample"])
	if err != nil {
		t.Fatal(err)
	}
	all, err := unpack(data)
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) int {
		return slices.IndexFunc(all, func(e entry) bool { return e.head.Name == name })
	}
	program := at("/usr/local/sbin/sample")
	changed := func(i int, change func(*entry)) []entry {
		bad := slices.Clone(all)
		head := *bad[i].head
		bad[i].head = &head
		change(&bad[i])
		return bad
	}
	swapped := slices.Clone(all)
	swapped[3], swapped[4] = swapped[4], swapped[3]
	for name, bad := range map[string]struct {
		entries []entry
		want    string
	}{
		"as it was":          {all, ""},
		"a wrong sum":        {changed(program, func(e *entry) { e.data = bytes.Replace(e.data, []byte("the"), []byte("a"), 1) }), "has the sum"},
		"a missing member":   {slices.Delete(slices.Clone(all), program, program+1), "missing"},
		"an unlisted member": {append(slices.Clone(all), entry{&tar.Header{Typeflag: tar.TypeReg, Name: "/zzz", Uname: "root", Gname: "wheel", ModTime: all[0].head.ModTime}, nil}), "not listed"},
		"a member twice":     {append(slices.Clone(all), all[program]), "twice"},
		"another order":      {swapped, "in no order"},
		"manifest first":     {append([]entry{all[1], all[0]}, all[2:]...), "begin"},
		"a relative name":    {changed(program, func(e *entry) { e.head.Name = e.head.Name[1:] }), "absolute"},
		"another owner":      {changed(program, func(e *entry) { e.head.Uid = 1000 }), "belongs"},
		"another time":       {changed(program, func(e *entry) { e.head.ModTime = time.Unix(1, 0) }), "is of"},
		"no folder":          {slices.Delete(slices.Clone(all), len(all)-1, len(all)), "folder"},
		"no origin":          {changed(0, func(e *entry) { e.data = bytes.Replace(e.data, []byte(`"origin"`), []byte(`"o"`), 1) }), "no origin"},
		"two truths":         {changed(0, func(e *entry) { e.data = bytes.Replace(e.data, []byte("1.2.3_4"), []byte("1.2.3_5"), 1) }), "differ"},
	} {
		_, err := readPackage(pack(t, bad.entries))
		if bad.want == "" && err != nil || bad.want != "" && (err == nil || !strings.Contains(err.Error(), bad.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pack makes a tar that the real zstd packs.
func pack(t *testing.T, entries []entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		e.head.Size = int64(len(e.data))
		if err := w.WriteHeader(e.head); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(e.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	zstd := exec.Command("zstd", "-c")
	zstd.Stdin = &out
	packed, err := zstd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return packed
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
