package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
)

// Package is what a port says of a package, with the files that it staged.
type Package struct {
	Name, Origin, Version string
	Comment, Desc         string // in a line; in several
	Maintainer, WWW       string
	Prefix                string
	ABI, Arch             string // FreeBSD:14:amd64 and freebsd:14:x86:64; stars for any
	Categories, Licenses  []string
	Deps                  []Dep
	Annotations           map[string]string
	Scripts               map[string]string   // for sh, by when they run
	Lua                   map[string][]string // for pkg's own interpreter, by when they run
	Messages              []Message
	Files                 []File // in order of their names
	Dirs                  []File // those that are there even if empty
	Built                 time.Time
}

// Dep is another package that is installed first.
type Dep struct{ Name, Origin, Version string }

// Message is shown to who installs, upgrades or removes; to all if it says none.
type Message struct {
	Message string `json:"message"`
	Type    string `json:"type,omitempty"`
}

// File is a file, folder or link of a package.
type File struct {
	Name         string // /usr/local/sbin/netcombiner
	Mode         fs.FileMode
	Owner, Group string
	Link         string
	Data         []byte
}

// complete says what is missing of that which pkg takes no package without.
func (p *Package) complete() error {
	for _, field := range []struct{ name, value string }{
		{"name", p.Name}, {"version", p.Version}, {"comment", p.Comment}, {"pkg-descr", p.Desc}, {"maintainer", p.Maintainer}, {"WWW", p.WWW},
		{"category", strings.Join(p.Categories, "")}, {"license", strings.Join(p.Licenses, "")},
	} {
		if field.value == "" {
			return fmt.Errorf("it says no %s, which pkg wants", field.name)
		}
	}
	if len(p.Files) == 0 {
		return errors.New("it installs no file")
	}
	for _, file := range slices.Concat(p.Files, p.Dirs) {
		if strings.ContainsFunc(file.Name, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("%q: pkg unpacks no such name where the locale is C", file.Name)
		}
	}
	return nil
}

// file is the name of the package's own file.
func (p *Package) file() string { return p.Name + "-" + p.Version + ".pkg" }

// size is that of all files' contents.
func (p *Package) size() (n int64) {
	for _, file := range p.Files {
		n += int64(len(file.Data))
	}
	return n
}

// add puts one more file of root's among the others.
func (p *Package) add(name string, mode fs.FileMode, data []byte) {
	p.Files = append(p.Files, File{Name: path.Clean(name), Mode: mode, Owner: "root", Group: "wheel", Data: data})
}

func (p *Package) sort() {
	byName := func(a, b File) int { return cmp.Compare(a.Name, b.Name) }
	slices.SortFunc(p.Files, byName)
	slices.SortFunc(p.Dirs, byName)
}

// sample has pkg copy a file to where a user edits it, if there is none yet, and
// take the copy away with the package as long as it is one. An upgrade goes both
// ways: so who has changed nothing has the new file.
func (p *Package) sample(file, copied string) {
	names := strings.NewReplacer("SAMPLE", luaString(file), "COPY", luaString(copied))
	p.Lua["post-install"] = append(p.Lua["post-install"], names.Replace(
		"if not pkg.stat(COPY) then pkg.copy(SAMPLE, COPY) end"))
	p.Lua["pre-deinstall"] = append(p.Lua["pre-deinstall"], names.Replace(
		"if pkg.stat(COPY) and pkg.filecmp(SAMPLE, COPY) == 0 then os.remove(COPY)\n"+
			"elseif pkg.stat(COPY) and not pkg_upgrade then pkg.print_msg(COPY .. \" was changed and stays\") end"))
}

func luaString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}
