package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"netcombiner/packaging/gitversion"
)

// changedTree is a copy of testdata/tree, one file of which is changed.
func changedTree(t *testing.T, file, from, to string) tree {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "tree")
	if err := os.CopyFS(folder, os.DirFS("testdata/tree")); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(folder, file)
	text := readFile(t, file)
	if !strings.Contains(text, from) {
		t.Fatalf("%s has no %q", file, from)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(text, from, to, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	return tree{repo: repo(t), folder: folder, version: sampleVersion, target: target{"amd64", "14"}}
}

// What a port says and this does not do is refused, as is what a maintainer's
// checks would find: nothing is lost in silence.
func TestBadPortsAreRefused(t *testing.T) {
	need(t, "bmake")
	const port, plist, pfsense, plugin = "port/net/sample/Makefile", "port/net/sample/pkg-plist", "pfsense/net/pfSense-pkg-sample/Makefile", "opnsense/net/sample/Makefile"
	for _, bad := range []struct{ file, from, to, want string }{
		{plist, "sbin/sample\n", "", "does not name /usr/local/sbin/sample"},
		{plist, "sbin/sample\n", "sbin/sample\nsbin/other\n", "sbin/other: it is not staged"},
		{plist, "sbin/sample\n", "sbin/sample\nsbin/sample\n", "twice"},
		{plist, "@mode 600", "@mode rw", "octal"},
		{plist, "@comment", "@unexec", "@unexec is not known"},
		{plist, "sample.conf.sample", "sample.conf.sample a b", "@sample FILE"},
		{plist, "@sample %%ETCDIR%%/sample.conf.sample", "@sample sbin/sample", "end in .sample"},
		{plist, "share/man/man8/sample.8.gz", "share/man/man8", "only files"},
		{plist, "@dir /var/db/sample", "@dir /var/db/größe", "the locale is C"},
		{port, "COMMENT=", "COMMENTS=", "no comment"},
		{port, "WWW=", "HOME=", "no WWW"},
		{port, "USES=\t\tgo:modules", "USES=\t\tpython", "bmake"},
		{port, "CATEGORIES=", "USERS=sample\nCATEGORIES=", "bmake"},
		{port, "sbin/sample\n", "sbin/other/sample\n", "bmake"},
		{"port/net/sample/pkg-message", "type: upgrade", "type: downgrade", `message 2: type "downgrade"`},
		{pfsense, "net/sample", "net/other", "needs sample>=0:net/other"},
		{plugin, "DEPENDS=\t\tsample", "DEPENDS=\t\tother", "needs other"},
		{plugin, "PLUGIN_NO_ABI", "PLUGIN_VARIANTS", "PLUGIN_VARIANTS"},
		{plugin, "PLUGIN_COMMENT=\t\tA sample's page", "", "no PLUGIN_COMMENT"},
	} {
		from := changedTree(t, bad.file, bad.from, bad.to)
		if all, err := from.packages(); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s with %q: %d packages, %v", bad.file, bad.to, len(all), err)
		}
	}
}

func TestMessages(t *testing.T) {
	for text, want := range map[string][]Message{
		"":           nil,
		"For all.\n": {{Message: "For all."}},
		"[ ]":        nil,
		"[{ message: <<EOM\nEOM is not alone here\n\nEOM\n}]":                         {{Message: "EOM is not alone here\n"}},
		"[\n{ type: \"remove\",\n message: <<X\na\nX\n},\n{ message: <<X\nb\nX\n}\n]": {{"a", "remove"}, {Message: "b"}},
		"[{ message: <<X\na\nX\n type: install\n}]":                                   {{"a", "install"}},
	} {
		if got, err := parseMessages(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"[{ message: <<X\na\nX\n}":              "does not end in ]",
		"[ message: <<X\na\nX\n]":               "not with {",
		"[{ message: \"a\" }]":                  "<<EOM",
		"[{ message: <<X\na\n}]":                "X does not end",
		"[{ type: install\n}]":                  "no message",
		"[{ type: sometimes\n}]":                "install, upgrade or remove",
		"[{ message: <<X\na\nX\n older: 1\n}]":  "only type: and message:",
		"[{ message: <<X\na\nX\n":               "does not end in ]",
		"[{ message: <<\na\n\n}]":               "<<EOM",
		"[{ type: install message: <<X\na\nX}]": "install, upgrade or remove",
	} {
		if got, err := parseMessages(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v, not %q", text, got, err, want)
		}
	}
}

func TestVersions(t *testing.T) {
	for v, want := range map[gitversion.Version]string{
		{Number: "1.2.3"}:                   "1.2.3",
		{Number: "1.2.3", After: 12}:        "1.2.3_12",
		{Number: "1.2.3~rc1"}:               "1.2.3.r1",
		{Number: "2.0~beta", After: 1}:      "2.0.b_1",
		{Number: "2.0~alpha3", After: 2}:    "2.0.a3_2",
		{Number: "1.2.3~rc1~pre", After: 2}: "1.2.3.r1.p_2",
		{Number: "0.0.0", After: 400}:       "0.0.0_400",
	} {
		if got := revised(number(v)); got != want {
			t.Errorf("%v is %s, not %s", v, got, want)
		}
	}
}

func TestTargets(t *testing.T) {
	for in, want := range map[[2]string]string{
		{"amd64", "14"}: "FreeBSD:14:amd64 freebsd:14:x86:64",
		{"arm64", "15"}: "FreeBSD:15:aarch64 freebsd:15:aarch64:64",
		{"386", "14"}:   "ARCH=386: amd64 or arm64",
		{"amd64", "9"}:  "ABI=9: 14 or 15",
	} {
		got, err := targetOf(in[0], in[1])
		if text := got.abi() + " " + got.legacy(); err == nil && text != want || err != nil && err.Error() != want {
			t.Errorf("%v: %s, %v", in, text, err)
		}
	}
}
