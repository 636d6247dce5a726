package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"netcombiner/packaging/gitversion"
)

// anyArch is OpenWrt's architecture of what runs everywhere.
const anyArch = "all"

// processors are how Go builds for OpenWrt's architectures.
var processors = map[string][]string{
	anyArch:                    nil,
	"aarch64_cortex-a53":       {"GOARCH=arm64", "GOARM64=v8.0"},
	"aarch64_generic":          {"GOARCH=arm64", "GOARM64=v8.0"},
	"arm_cortex-a7_neon-vfpv4": {"GOARCH=arm", "GOARM=7"},
	"mipsel_24kc":              {"GOARCH=mipsle", "GOMIPS=softfloat"},
	"x86_64":                   {"GOARCH=amd64", "GOAMD64=v1"},
}

// cold are packages that see no frame, in which nothing is inlined: there a call
// costs nothing that can be measured, and copies of what is called cost a
// router's flash. What is big in the daemon is here; what is not here is hot.
var cold = []string{
	"bufio", "context", "crypto/ecdh", "crypto/internal/fips140/drbg", "crypto/internal/fips140/ecdh",
	"crypto/internal/fips140/nistec/...", "crypto/internal/fips140/sha256", "crypto/internal/fips140/sha3",
	"crypto/internal/fips140/sha512", "crypto/sha256", "crypto/sha512", "encoding/base64", "encoding/json", "flag", "fmt", "github.com/flynn/noise",
	"github.com/vishvananda/...", "golang.org/x/crypto/blake2b", "internal/bisect", "internal/filepathlite", "internal/fmtsort", "internal/godebug",
	"internal/nettrace", "internal/reflectlite", "internal/runtime/cgroup", "internal/strconv", "internal/syscall/...", "internal/testlog", "io/fs", "log",
	"log/...", "math/big", "net", "netcombiner/src/clients", "netcombiner/src/cmd/...", "netcombiner/src/config",
	"netcombiner/src/control", "netcombiner/src/daemon", "netcombiner/src/durable", "netcombiner/src/eventlog",
	"netcombiner/src/handshake", "netcombiner/src/kernels", "netcombiner/src/linkwatch", "netcombiner/src/quota", "netcombiner/src/routing", "netcombiner/src/rtsock",
	"netcombiner/src/scrape", "netcombiner/src/selftest", "netcombiner/src/service", "netcombiner/src/setup",
	"netcombiner/src/token", "os", "os/exec", "os/signal", "path/filepath", "reflect", "rsc.io/...", "runtime/debug", "sort",
	"strconv", "strings", "syscall", "unicode/...", "vendor/...",
}

// goFlags keep the daemon small.
func goFlags() string {
	var flags []string
	for _, name := range cold {
		flags = append(flags, "-gcflags="+name+"=-l")
	}
	return strings.Join(flags, " ")
}

// feed is what packages are made of.
type feed struct {
	repo    string // of the daemon
	folder  string // with a folder for each Makefile
	version gitversion.Version
}

// release is OpenWrt's count: that of a version is 1, and each commit adds one.
func release(v gitversion.Version) string { return strconv.Itoa(v.After + 1) }

// packages builds those of an architecture.
func (f feed) packages(arch string) ([]*Package, error) {
	if _, ok := processors[arch]; !ok {
		return nil, fmt.Errorf("ARCH=%s: one of %s", arch, strings.Join(architectures(), ", "))
	}
	makefiles, err := filepath.Glob(filepath.Join(f.folder, "*", "Makefile"))
	if err != nil {
		return nil, err
	}
	out, err := os.MkdirTemp("", "openwrt")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(out)
	var all []*Package
	for i, makefile := range makefiles {
		here := filepath.Join(out, fmt.Sprint(i))
		if err := f.build(filepath.Dir(makefile), here, arch); err != nil {
			return nil, err
		}
		made, err := f.read(here)
		if err != nil {
			return nil, err
		}
		all = append(all, made...)
	}
	return all, unique(all)
}

func architectures() (names []string) {
	for name := range processors {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// build has make follow a Makefile, into out.
func (f feed) build(dir, out, arch string) error {
	// What a recipe's shell writes is to be read by all, whoever builds.
	command := exec.Command("sh", "-c", `umask 022 && exec make "$@"`, "make", "-s", "--no-print-directory", "-C", dir, "pack",
		"TOPDIR="+filepath.Join(f.repo, "packaging/openwrt/sdk"), "REPO="+f.repo, "OUT="+out, "ARCH="+arch,
		"PKG_VERSION="+f.version.Number, "PKG_RELEASE="+release(f.version), "GO_FLAGS="+goFlags())
	for _, one := range os.Environ() {
		// What our own make was told is not for this one.
		if !strings.HasPrefix(one, "MAKE") && !strings.HasPrefix(one, "MFLAGS") {
			command.Env = append(command.Env, one)
		}
	}
	// Of two of one name the last counts: a GOAMD64=v3 that was meant for here is none of a router's.
	command.Env = append(append(command.Env, processors[arch]...), "LC_ALL=C")
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return fmt.Errorf("%s: make: %w", dir, err)
	}
	return nil
}

// read takes the packages that sdk/include/package.mk left in a folder.
func (f feed) read(out string) ([]*Package, error) {
	controls, err := filepath.Glob(filepath.Join(out, "*", "control"))
	if err != nil {
		return nil, err
	}
	var all []*Package
	for _, control := range controls {
		p, err := readPackage(filepath.Dir(control))
		if err != nil {
			return nil, err
		}
		p.Built, p.Commit = f.version.Built, f.version.Commit
		all = append(all, p)
	}
	return all, nil
}

func readPackage(dir string) (*Package, error) {
	said := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(dir, "control", name)) // what is not said is empty
		return string(text)
	}
	line := func(name string) string { return strings.Join(strings.Fields(said(name)), " ") }
	p := &Package{
		Name: filepath.Base(dir), Version: line("version"), Arch: line("arch"), Section: line("section"), License: line("license"),
		URL: line("url"), Maintainer: line("maintainer"), Description: line("description"), User: line("user"),
		Depends: strings.Fields(said("depends")), Conffiles: strings.Fields(said("conffiles")),
		Scripts: map[string]string{},
	}
	for _, name := range []string{"preinst", "postinst", "prerm", "postrm"} {
		if text := said(name); text != "" {
			p.Scripts[name] = text
		}
	}
	var err error
	if p.Files, err = readTree(filepath.Join(dir, "root")); err != nil {
		return nil, err
	}
	for i := range p.Files {
		if err := p.Files[i].shrink(); err != nil {
			return nil, err
		}
	}
	p.keep()
	return p, nil
}

// shrink compiles what is a catalogue and makes a program smaller.
func (f *File) shrink() (err error) {
	name, catalogue := strings.CutSuffix(f.Name, ".po")
	switch {
	case catalogue && strings.HasPrefix(name, "usr/lib/lua/luci/i18n/"):
		f.Name = name + ".lmo"
		f.Data, err = lmo(f.Data)
	case f.Mode.Perm()&0o111 != 0:
		if err = forgetLines(f.Data); errors.Is(err, errUnknownGo) {
			fmt.Fprintf(os.Stderr, "%s keeps its tables of lines, and is an eighth bigger: %v\n", f.Name, err)
			err = nil
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	return nil
}

// unique says whether two Makefiles define one package.
func unique(all []*Package) error {
	slices.SortFunc(all, func(a, b *Package) int { return cmp.Compare(a.Name, b.Name) })
	for i := 1; i < len(all); i++ {
		if all[i].Name == all[i-1].Name {
			return fmt.Errorf("%s: two Makefiles define it", all[i].Name)
		}
	}
	return nil
}
