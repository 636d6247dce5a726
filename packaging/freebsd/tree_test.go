package main

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// machines are what the headers of programs say, by ABI.
var machines = map[target]elf.Machine{
	{"amd64", "14"}: elf.EM_X86_64,
	{"arm64", "15"}: elf.EM_AARCH64,
}

// made are those of treeOf: programs take their time.
var made = map[tree][]*Package{}

// treeOf are the packages that freebsd/ says. They are not to be changed.
func treeOf(t *testing.T, repo string, to target) []*Package {
	t.Helper()
	from := tree{repo: repo, folder: filepath.Join(repo, "freebsd"), version: sampleVersion, target: to}
	if made[from] == nil {
		made[from] = packagesOf(t, from)
	}
	return made[from]
}

// Of each processor and version the tree makes all packages; what reads them back
// finds nothing wrong, their programs are for them, and their scripts are ones.
func TestPackagesOfTheTree(t *testing.T) {
	for to, machine := range machines {
		t.Run(to.abi(), func(t *testing.T) {
			var names []string
			for _, p := range treeOf(t, repo(t), to) {
				names = append(names, strings.TrimPrefix(p.Name, "os-"))
				if p.Maintainer != "maintainers@netcombiner.invalid" || p.WWW != "https://netcombiner.invalid/" || !slices.Equal(p.Licenses, []string{"MIT"}) {
					t.Errorf("%s is by %s, %s, %q", p.Name, p.Maintainer, p.WWW, p.Licenses)
				}
				r := readBack(t, p)
				programs := 0
				for name, e := range r.members {
					programs += checkMember(t, name, e.data, machine)
				}
				if anywhere := r.full["abi"] == anyABI; anywhere != (programs == 0) || !anywhere && r.full["abi"] != to.abi() {
					t.Errorf("%s: %d programs for %v", p.Name, programs, r.full["abi"])
				}
				for when, script := range p.Scripts {
					shell(t, p.Name+" "+when, script)
				}
			}
			same(t, "packages", names, folders(t))
		})
	}
}

// folders are those in which a package is described.
func folders(t *testing.T) (names []string) {
	t.Helper()
	for _, kind := range []string{"port", "pfsense", "opnsense"} {
		found, err := filepath.Glob(filepath.Join(repo(t), "freebsd", kind, "net/*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, folder := range found {
			names = append(names, filepath.Base(folder))
		}
	}
	return names
}

// checkMember looks at a file of a package, and says whether it is a program of the
// processor's (1) or not (0).
func checkMember(t *testing.T, name string, data []byte, machine elf.Machine) int {
	t.Helper()
	switch {
	case bytes.HasPrefix(data, []byte("\x7fELF")):
		file, err := elf.NewFile(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		if file.Machine != machine || file.OSABI != elf.ELFOSABI_FREEBSD || file.Class != elf.ELFCLASS64 {
			t.Errorf("%s is for %v %v %v", name, file.Machine, file.OSABI, file.Class)
		}
		if libraries, err := file.ImportedLibraries(); len(libraries) > 0 || file.Section(".interp") != nil {
			t.Errorf("%s wants libraries of the system: %q, %v", name, libraries, err)
		}
		if bytes.Contains(data, []byte(os.TempDir()+"/port")) || bytes.Contains(data, []byte("packaging/freebsd/")) {
			t.Errorf("%s tells where it was built", name)
		}
		return 1
	case strings.HasSuffix(name, ".gz"):
		r, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text, err := io.ReadAll(r); err != nil || !bytes.HasPrefix(text, []byte(".Dd ")) || !r.ModTime.IsZero() || r.Name != "" {
			t.Errorf("%s is no manual, or has a time or a name: %+v, %v", name, r.Header, err)
		}
	case bytes.HasPrefix(data, []byte("#!/bin/sh")):
		shell(t, name, string(data))
	}
	if i := bytes.Index(data, []byte("%%")); i >= 0 && bytes.Contains(data[i+2:min(i+40, len(data))], []byte("%%")) {
		t.Errorf("%s: %q is not filled in", name, data[i:min(i+40, len(data))])
	}
	return 0
}

// shell has a shell read a script, without running it.
func shell(t *testing.T, name, script string) {
	t.Helper()
	sh := exec.Command("sh", "-n")
	sh.Stdin = strings.NewReader(script)
	if out, err := sh.CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", name, err, out)
	}
}

// The same sources in another folder make the same bytes: programs, too.
func TestTreeMakesTheSameElsewhere(t *testing.T) {
	elsewhere := filepath.Join(t.TempDir(), "another", "folder")
	if err := os.MkdirAll(elsewhere, 0o755); err != nil {
		t.Fatal(err)
	}
	copied := exec.Command("sh", "-c", `cd "$1" && git ls-files -z -co --exclude-standard | tar -c --null -T - --ignore-failed-read | tar -x -C "$2"`, "sh", repo(t), elsewhere)
	if out, err := copied.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	to := target{"amd64", "14"}
	sum := func(all []*Package) (sums []string) {
		for _, p := range all {
			text, err := whole(p).text() // the sums of all files among the rest
			if err != nil {
				t.Fatal(err)
			}
			sums = append(sums, fmt.Sprintf("%s %s", p.file(), text))
		}
		return sums
	}
	same(t, "what is packed", sum(treeOf(t, elsewhere, to)), sum(treeOf(t, repo(t), to)))
}
