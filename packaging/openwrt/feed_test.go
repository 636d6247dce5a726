package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/packaging/gitversion"
)

// sampleVersion is that of the packages in testdata/feed.
var sampleVersion = gitversion.Version{
	Number: "1.2.3", After: 3, Commit: "0123456789abcdef0123456789abcdef01234567",
	Built: time.Unix(1700000000, 0),
}

// need says that a tool is missing: where tests are made to count, that fails.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

func repo(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// samples are the packages that testdata/feed has for an architecture.
func samples(t *testing.T, arch string) map[string]*Package {
	t.Helper()
	need(t, "make")
	all, err := feed{repo: repo(t), folder: "testdata/feed", version: sampleVersion}.packages(arch)
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*Package{}
	for _, p := range all {
		byName[p.Name] = p
	}
	return byName
}

// outline is a package's files as ls would list them.
func outline(files []File) (lines []string) {
	for _, f := range files {
		line := f.Mode.String() + " " + f.Name
		if f.Link != "" {
			line += " -> " + f.Link
		}
		lines = append(lines, line)
	}
	return lines
}

func TestMakefilesSayWhatIsPacked(t *testing.T) {
	all := samples(t, "x86_64")
	p := all["sample"]
	if len(all) != 1 || p == nil {
		t.Fatalf("x86_64 has %v, not the sample alone", all)
	}
	if p.Version != "1.2.3-r4" || p.Arch != "x86_64" || p.License != "MIT" || p.Section != "net" || p.User != "sample=500:sample" ||
		p.URL != "https://example.org/sample" || p.Maintainer != "Somebody <somebody@example.org>" ||
		p.Description != "Of several parts, in two lines." {
		t.Errorf("%+v", p)
	}
	if !slices.Equal(p.Depends, []string{"kmod-tun", "ca-bundle"}) {
		t.Errorf("depends on %q", p.Depends)
	}
	if want := "#!/bin/sh\necho \"installed for ${IPKG_INSTROOT:-itself}\""; p.Scripts["postinst"] != want+"\n" {
		t.Errorf("postinst is %q", p.Scripts["postinst"])
	}
	want := []string{
		"drwxr-xr-x etc",
		"drwxr-xr-x etc/config",
		"-rw------- etc/config/sample",
		"drwxr-xr-x etc/init.d",
		"-rwxr-xr-x etc/init.d/sample",
		"drwxr-xr-x lib",
		"drwxr-xr-x lib/upgrade",
		"drwxr-xr-x lib/upgrade/keep.d",
		"-rw-r--r-- lib/upgrade/keep.d/sample",
		"drwxr-xr-x usr",
		"drwxr-xr-x usr/sbin",
		"Lrwxrwxrwx usr/sbin/sample -> ../../etc/init.d/sample",
		"drwxr-xr-x usr/share",
		"drwxr-xr-x usr/share/sample-parts",
		"-rwxrwxrwx usr/share/sample-parts/a",
		"-rw-r--r-- usr/share/sample-parts/b",
		"-rw-r--r-- usr/share/sample-parts/empty",
	}
	if got := outline(p.Files); !slices.Equal(got, want) {
		t.Errorf("packed\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if kept := string(p.find("lib/upgrade/keep.d/sample").Data); kept != "/etc/sample/\n" {
		t.Errorf("sysupgrade keeps %q", kept)
	}
	if part := p.find("usr/share/sample-parts/b").Data; !strings.HasSuffix(string(part), "\nb500\n") {
		t.Errorf("what the shell made ends in %q", part[len(part)-20:])
	}
}

func TestLuciPagesAreForAll(t *testing.T) {
	all := samples(t, anyArch)
	app, german := all["luci-app-sample"], all["luci-i18n-sample-de"]
	if len(all) != 2 || app == nil || german == nil {
		t.Fatalf("all has %v", all)
	}
	for _, name := range []string{"www/luci-static/resources/view/sample.js", "usr/share/rpcd/acl.d/luci-app-sample.json"} {
		if app.find(name) == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if !strings.Contains(app.Scripts["postinst"], "/etc/init.d/rpcd reload") || !strings.Contains(app.Scripts["postinst"], `"${IPKG_INSTROOT}"`) {
		t.Errorf("postinst is %q", app.Scripts["postinst"])
	}
	if !slices.Equal(german.Depends, []string{"luci-app-sample"}) {
		t.Errorf("the translation depends on %q", german.Depends)
	}
	want := "uci set luci.languages.de='Deutsch (German)'; uci commit luci\n"
	if f := german.find("etc/uci-defaults/luci-i18n-sample-de"); f == nil || string(f.Data) != want {
		t.Errorf("uci-defaults: %v", f)
	}
	if german.find("usr/lib/lua/luci/i18n/sample.de.lmo") == nil || german.find("usr/lib/lua/luci/i18n/sample.de.po") != nil {
		t.Errorf("the translation has %q", outline(german.Files))
	}
}

// refusal is what make says of a Makefile with a line of its own in the package
// and one before it; "" where it is packed.
func refusal(t *testing.T, inside, outside string) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "odd"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "include $(TOPDIR)/rules.mk\nPKG_NAME:=odd\n" + outside + "\ninclude $(INCLUDE_DIR)/package.mk\n" +
		"define Package/odd\n  TITLE:=Odd\n  " + inside + "\nendef\ndefine Package/odd/install\n\ttrue\nendef\n$(eval $(call BuildPackage,odd))\n"
	if err := os.WriteFile(filepath.Join(folder, "odd/Makefile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	said, err := os.Create(filepath.Join(folder, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	stderr := os.Stderr
	defer func() { os.Stderr = stderr }()
	os.Stderr = said
	if _, err := (feed{repo: repo(t), folder: folder, version: sampleVersion}).packages("x86_64"); err == nil {
		return ""
	}
	return readFile(t, said.Name())
}

// What OpenWrt's own build would do, and ours does not, is refused by its name.
func TestWhatIsNotKnownIsRefused(t *testing.T) {
	need(t, "make")
	for inside, says := range map[string]string{
		"PROVIDES:=even": "even", "CONFLICTS:=even": "even", "ALTERNATIVES:=300:/bin/odd:/bin/even": "300:/bin/odd", "DEPENDS:=+PACKAGE_even:even": ":",
		"FILE_MODES:=/etc/odd:root:root:0600": "FILE_MODES", "VARIANT:=even": "VARIANT", "DEPEND:=+even": "DEPEND",
	} {
		if got := refusal(t, inside, ""); !strings.Contains(got, "does not know: "+says) {
			t.Errorf("%s: %q", inside, got)
		}
	}
	for outside, says := range map[string]string{
		"PKG_SOURCE_URL:=https://example.org/": "PKG_SOURCE_URL", "GO_PKG_GCFLAGS:=-l": "GO_PKG_GCFLAGS", "LUCI_MINIFY_JS:=0": "LUCI_MINIFY_JS",
		"define Package/odd/postint\ntrue\nendef": "Package/odd/postint", "define Build/InstallDev\ntrue\nendef": "Build/InstallDev",
		"PKG_RELASE:=1": "PKG_RELASE",
	} {
		if got := refusal(t, "", outside); !strings.Contains(got, "does not know: "+says) {
			t.Errorf("%s: %q", outside, got)
		}
	}
	t.Setenv("PKG_CONFIG_PATH", "/usr/lib/pkgconfig")
	if got := refusal(t, "CATEGORY:=Odd", "OWN:=1"); got != "" {
		t.Errorf("what is the menu's, the Makefile's or the environment's: %s", got)
	}
	if _, err := (feed{repo: repo(t), folder: "testdata/feed"}).packages("amd64"); err == nil || !strings.Contains(err.Error(), "x86_64") {
		t.Errorf("amd64, which is no name of OpenWrt's: %v", err)
	}
}

// What Go builds for is the architecture's to say, not the environment's.
func TestProcessorIsTheArchitectures(t *testing.T) {
	need(t, "make")
	t.Setenv("GOAMD64", "v3")
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "odd"), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "include $(TOPDIR)/rules.mk\nPKG_NAME:=odd\ninclude $(INCLUDE_DIR)/package.mk\ndefine Package/odd/install\n" +
		"\techo $$$$GOARCH $$$$GOAMD64 > $(1)/processor\nendef\n$(eval $(call BuildPackage,odd))\n"
	if err := os.WriteFile(filepath.Join(folder, "odd/Makefile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := feed{repo: repo(t), folder: folder, version: sampleVersion}.packages("x86_64")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(all[0].find("processor").Data); got != "amd64 v1\n" {
		t.Errorf("built for %q", got)
	}
}

func TestLmoIsWhatLuciMakes(t *testing.T) {
	po, err := os.ReadFile("testdata/feed/luci-app-sample/po/de/sample.po")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/sample.de.lmo") // by po2lmo of LuCI 25.12
	if err != nil {
		t.Fatal(err)
	}
	got, err := lmo(po)
	if err != nil || string(got) != string(want) {
		t.Errorf("%v: %q, not %q", err, got, want)
	}
	for _, bad := range []string{"", "msgid \"a\"\nmsgstr \"\"\n", "msgid a\n", "\"lost\"\n", "msgid \"a\"\nmsgid_plural \"b\"\nmsgstr[1] \"c\"\n"} {
		if got, err := lmo([]byte(bad)); err == nil {
			t.Errorf("%q became %q", bad, got)
		}
	}
}

// goList are the daemon's packages, for a router.
func goList(t *testing.T) []string {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "./src/cmd/netcombiner")
	list.Dir, list.Env = repo(t), append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}
