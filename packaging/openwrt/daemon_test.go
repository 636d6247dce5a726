package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// machines are what the headers of programs say, by architecture.
var machines = map[string]elf.FileHeader{
	"aarch64_cortex-a53":       {Class: elf.ELFCLASS64, Data: elf.ELFDATA2LSB, Machine: elf.EM_AARCH64},
	"aarch64_generic":          {Class: elf.ELFCLASS64, Data: elf.ELFDATA2LSB, Machine: elf.EM_AARCH64},
	"arm_cortex-a7_neon-vfpv4": {Class: elf.ELFCLASS32, Data: elf.ELFDATA2LSB, Machine: elf.EM_ARM},
	"mipsel_24kc":              {Class: elf.ELFCLASS32, Data: elf.ELFDATA2LSB, Machine: elf.EM_MIPS},
	"x86_64":                   {Class: elf.ELFCLASS64, Data: elf.ELFDATA2LSB, Machine: elf.EM_X86_64},
}

// daemonPackage is the one that openwrt/netcombiner says, without its files' compression.
func daemonPackage(t *testing.T, arch string) *Package {
	t.Helper()
	return packageOf(t, repo(t), arch)
}

// packageOf is the daemon's package of the sources in a folder.
func packageOf(t *testing.T, sources, arch string) *Package {
	t.Helper()
	need(t, "make")
	all, err := feed{repo: sources, folder: filepath.Join(sources, "openwrt"), version: sampleVersion}.packages(arch)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Name != "netcombiner" {
		t.Fatalf("%s has %v", arch, all)
	}
	return all[0]
}

// The daemon of each architecture is one for it, and runs.
func TestDaemonRunsEverywhere(t *testing.T) {
	for _, arch := range architectures() {
		if arch == anyArch {
			continue
		}
		t.Run(arch, func(t *testing.T) {
			p := daemonPackage(t, arch)
			program := p.find("usr/sbin/netcombiner")
			if program == nil || program.Mode.Perm() != 0o755 {
				t.Fatalf("no program among %q", outline(p.Files))
			}
			file, err := elf.NewFile(bytes.NewReader(program.Data))
			if err != nil {
				t.Fatal(err)
			}
			if got := (elf.FileHeader{Class: file.Class, Data: file.Data, Machine: file.Machine}); got != machines[arch] {
				t.Errorf("a program for %+v", got)
			}
			if libraries, err := file.ImportedLibraries(); len(libraries) > 0 || file.Section(".interp") != nil {
				t.Errorf("wants libraries of the system: %q, %v", libraries, err)
			}
			if kept := p.find("lib/upgrade/keep.d/netcombiner"); kept == nil || string(kept.Data) != "/etc/netcombiner/\n" {
				t.Errorf("beside its conffiles sysupgrade keeps %q", kept)
			}
			out, status := emulate(t, arch, program.Data, "--version")
			if status != 0 || !strings.HasPrefix(out, "netcombiner 1.2.3") {
				t.Errorf("--version says %q and exits %d", out, status)
			}
		})
	}
}

// The same sources make the same daemon, wherever they lie and whoever builds it.
// That the same package makes the same file, TestFeedsAreReproducible says.
func TestDaemonIsReproducible(t *testing.T) {
	one := daemonPackage(t, "x86_64")
	elsewhere := t.TempDir()
	copying := exec.Command("cp", "-R", "--parents", "go.mod", "go.sum", "init", "src", "openwrt/netcombiner", "packaging/openwrt/sdk", elsewhere)
	copying.Dir = repo(t)
	if out, err := copying.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, value := range map[string]string{
		"TMPDIR": t.TempDir(), "TZ": "Asia/Kathmandu", "HOSTNAME": "another", "USER": "somebody",
		"GOAMD64": "v3", "GOFLAGS": "-trimpath=false -buildvcs=true", "LC_ALL": "de_DE.UTF-8",
	} {
		t.Setenv(name, value)
	}
	var two *Package
	withUmask(0o077, func() { two = packageOf(t, elsewhere, "x86_64") })
	if !slices.Equal(outline(one.Files), outline(two.Files)) {
		t.Fatalf("packed\n%q\nand\n%q", outline(one.Files), outline(two.Files))
	}
	for i, file := range one.Files {
		if !bytes.Equal(file.Data, two.Files[i].Data) {
			t.Errorf("%s differs", file.Name)
		}
	}
	one.Files, two.Files = nil, nil
	if !reflect.DeepEqual(one, two) {
		t.Errorf("%+v\nis not\n%+v", two, one)
	}
}

// A router of 16 MB has room for less than two.
func TestDaemonIsSmall(t *testing.T) {
	need(t, "zopfli")
	data, err := ipk(daemonPackage(t, "aarch64_generic"))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes", len(data))
	if len(data) > 1_900_000 {
		t.Errorf("the ipk for aarch64_generic has %d bytes: what is new in it, and is it cold?", len(data))
	}
}

// All that is in openwrt/ for a router is in a package.
func TestNothingOfTheFeedIsLost(t *testing.T) {
	need(t, "make")
	packed := map[string]bool{}
	for _, arch := range []string{anyArch, "aarch64_generic"} {
		all, err := feed{repo: repo(t), folder: filepath.Join(repo(t), "openwrt"), version: sampleVersion}.packages(arch)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range all {
			for _, file := range p.Files {
				packed[file.Name] = true
			}
		}
	}
	for _, tree := range []struct{ pattern, as string }{
		{"netcombiner/files", ""}, {"luci-*/root", ""}, {"luci-*/htdocs", "www/"},
	} {
		folders, err := filepath.Glob(filepath.Join(repo(t), "openwrt", tree.pattern))
		if err != nil || len(folders) == 0 {
			t.Fatalf("no %s: %v", tree.pattern, err)
		}
		for _, folder := range folders {
			files, err := readTree(folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				if !file.Mode.IsDir() && !packed[tree.as+file.Name] {
					t.Errorf("%s/%s is in no package", folder, file.Name)
				}
			}
		}
	}
	if _, err := os.Stat(filepath.Join(repo(t), "openwrt/netcombiner/Makefile")); err != nil {
		t.Error(err)
	}
}
