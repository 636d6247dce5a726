package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"netcombiner/packaging/gitversion"
)

// tree is what packages are made of.
type tree struct {
	repo    string // of the daemon
	folder  string // with port/, opnsense/ and pfsense/
	version gitversion.Version
	target  target
}

// packages builds all: what ports say, OPNsense's plugins last. Each may depend on
// those before it.
func (t tree) packages() ([]*Package, error) {
	var all []*Package
	for _, kind := range []struct {
		pattern string
		read    func(dir string, made []*Package) (*Package, error)
	}{
		{"port/*/*/Makefile", t.port}, {"pfsense/*/*/Makefile", t.port}, {"opnsense/*/*/Makefile", t.plugin},
	} {
		makefiles, err := filepath.Glob(filepath.Join(t.folder, kind.pattern))
		if err != nil {
			return nil, err
		}
		for _, makefile := range makefiles {
			p, err := kind.read(filepath.Dir(makefile), all)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", makefile, err)
			}
			if err := p.complete(); err != nil {
				return nil, fmt.Errorf("%s: %w", makefile, err)
			}
			p.Built = t.version.Built
			all = append(all, p)
		}
	}
	return all, nil
}

// number is the version as ports write it: 1.2.3~rc1 is 1.2.3.r1, 1.2.3~pre is
// 1.2.3.p, and the commits after it are revisions, 1.2.3_4. So is the order of pkg version -t.
func number(v gitversion.Version) (version, revision string) {
	for word, letter := range map[string]string{"~alpha": ".a", "~beta": ".b", "~rc": ".r", "~pre": ".p"} {
		v.Number = strings.Replace(v.Number, word, letter, 1)
	}
	return v.Number, fmt.Sprint(v.After)
}

// port has bmake follow a port's Makefile, with sdk/bsd.port.mk for the ports
// tree's, and reads what it leaves.
func (t tree) port(dir string, made []*Package) (*Package, error) {
	work, err := os.MkdirTemp("", "port")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(work)
	if _, err := t.bmake(dir, work, "stage"); err != nil {
		return nil, err
	}
	said, err := t.variables(dir, work)
	if err != nil {
		return nil, err
	}
	left := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(work, name)) // what is not there is empty
		return string(text)
	}
	p := &Package{
		Name: said["PORTNAME"], Origin: said["PKGORIGIN"], Version: said["PKGVERSION"], Comment: said["COMMENT"], Desc: strings.TrimSpace(left("pkg-descr")),
		Maintainer: said["MAINTAINER"], WWW: said["WWW"], Prefix: said["PREFIX"], ABI: t.target.abi(), Arch: t.target.legacy(),
		Categories: strings.Fields(said["CATEGORIES"]), Licenses: strings.Fields(said["LICENSE"]),
		Scripts: map[string]string{}, Lua: map[string][]string{},
	}
	if said["NO_BUILD"] != "" { // nothing of a processor's in it
		p.ABI, p.Arch = anyABI, anyArch
	}
	// pkg calls these both before and after, and says when.
	for name, when := range map[string]string{"pkg-install": "install", "pkg-deinstall": "deinstall"} {
		if text := left(name); text != "" {
			p.Scripts[when] = text
		}
	}
	for _, name := range strings.Fields(said["RUN_DEPENDS"]) { // netcombiner>=0:net/netcombiner
		_, origin, _ := strings.Cut(name, ":")
		if err := p.depend(made, name, func(other *Package) bool { return other.Origin == origin }); err != nil {
			return nil, err
		}
	}
	if p.Messages, err = parseMessages(left("pkg-message")); err != nil {
		return nil, err
	}
	return p, readPlist(p, left("pkg-plist"), filepath.Join(work, "stage"))
}

// variables are what a port's Makefile says of the package.
func (t tree) variables(dir, work string) (map[string]string, error) {
	names := []string{
		"PORTNAME", "PKGORIGIN", "PKGVERSION", "COMMENT", "MAINTAINER", "WWW", "PREFIX", "CATEGORIES", "LICENSE", "RUN_DEPENDS", "NO_BUILD",
	}
	var ask []string
	for _, name := range names {
		ask = append(ask, "-V", "${"+name+"}")
	}
	out, err := t.bmake(dir, work, ask...)
	if err != nil {
		return nil, err
	}
	values := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(values) != len(names) {
		return nil, fmt.Errorf("bmake tells %d variables of %d: one that has a line's end in it?", len(values), len(names))
	}
	said := map[string]string{}
	for i, name := range names {
		said[name] = values[i]
	}
	return said, nil
}

// depend adds the one of those made so far that is meant.
func (p *Package) depend(made []*Package, name string, meant func(*Package) bool) error {
	i := slices.IndexFunc(made, meant)
	if i < 0 {
		return fmt.Errorf("it needs %s, which no port here makes", name)
	}
	p.Deps = append(p.Deps, Dep{made[i].Name, made[i].Origin, made[i].Version})
	return nil
}

// bmake runs it in a port's folder, and returns what it prints.
func (t tree) bmake(dir, work string, args ...string) (string, error) {
	version, revision := number(t.version)
	// What a recipe's shell writes is to be read by all, whoever builds.
	command := exec.Command("sh", append([]string{"-c", `umask 022 && exec bmake "$@"`, "bmake", "-r",
		"-m", filepath.Join(t.repo, "packaging/freebsd/sdk"), "-C", dir, "REPO=" + t.repo, "WRKDIR=" + work,
		"PORTVERSION=" + version, "DISTVERSION=" + version, "PORTREVISION=" + revision}, args...)...)
	for _, one := range os.Environ() {
		// What our own make was told is not for this one.
		if !strings.HasPrefix(one, "MAKE") && !strings.HasPrefix(one, "MFLAGS") {
			command.Env = append(command.Env, one)
		}
	}
	// Of two of one name the last counts: a GOAMD64=v3 that was meant for here is none of theirs.
	command.Env = append(command.Env, "LC_ALL=C", "CGO_ENABLED=0", "GOOS=freebsd", "GOARCH="+t.target.processor,
		"GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=")
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("bmake: %w\n%s", err, out)
	}
	return string(out), nil
}
