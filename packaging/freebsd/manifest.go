package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
)

// manifest is what pkg reads: JSON, which is part of its own language.
type manifest struct {
	Name        string               `json:"name"`
	Origin      string               `json:"origin"`
	Version     string               `json:"version"`
	Comment     string               `json:"comment"`
	Maintainer  string               `json:"maintainer"`
	WWW         string               `json:"www"`
	ABI         string               `json:"abi"`
	Arch        string               `json:"arch"`
	Prefix      string               `json:"prefix"`
	Sum         string               `json:"sum,omitempty"` // of the package's file, in an index
	FlatSize    int64                `json:"flatsize"`
	Path        string               `json:"path,omitempty"`
	RepoPath    string               `json:"repopath,omitempty"`
	Logic       string               `json:"licenselogic"`
	Licenses    []string             `json:"licenses"`
	PkgSize     int                  `json:"pkgsize,omitempty"`
	Desc        string               `json:"desc"`
	Deps        map[string]depends   `json:"deps,omitempty"`
	Categories  []string             `json:"categories"`
	Annotations map[string]string    `json:"annotations,omitempty"`
	Files       map[string]string    `json:"files,omitempty"`
	Directories map[string]directory `json:"directories,omitempty"`
	Scripts     map[string]string    `json:"scripts,omitempty"`
	Lua         map[string][]string  `json:"lua_scripts,omitempty"`
	Messages    []Message            `json:"messages,omitempty"`
}

type depends struct {
	Origin  string `json:"origin"`
	Version string `json:"version"`
}

type directory struct {
	Owner string `json:"uname"`
	Group string `json:"gname"`
	Perm  string `json:"perm"`
}

// compact says of a package what a list of many has.
func compact(p *Package) manifest {
	m := manifest{
		Name: p.Name, Origin: p.Origin, Version: p.Version, Comment: p.Comment, Maintainer: p.Maintainer, WWW: p.WWW,
		ABI: p.ABI, Arch: p.Arch, Prefix: p.Prefix, FlatSize: p.size(), Logic: "single", Licenses: p.Licenses,
		Desc: escape(p.Desc), Categories: p.Categories, Annotations: p.Annotations, Messages: p.Messages,
		Deps: map[string]depends{},
	}
	if len(p.Licenses) > 1 {
		m.Logic = "and"
	}
	for _, dep := range p.Deps {
		m.Deps[dep.Name] = depends{dep.Origin, dep.Version}
	}
	return m
}

// whole says all.
func whole(p *Package) manifest {
	m := compact(p)
	m.Files, m.Directories, m.Scripts, m.Lua = map[string]string{}, map[string]directory{}, map[string]string{}, p.Lua
	for _, file := range p.Files {
		m.Files[escape(file.Name)] = sumOf(file)
	}
	for _, dir := range p.Dirs {
		m.Directories[escape(dir.Name)] = directory{dir.Owner, dir.Group, fmt.Sprintf("0%o", dir.Mode.Perm())}
	}
	for when, script := range p.Scripts {
		m.Scripts[when] = escape(script)
	}
	return m
}

// sumOf is a file's sum as pkg check wants it: 1 is SHA-256, and a link's is that
// of what it points to.
func sumOf(f File) string {
	data := f.Data
	if f.Link != "" {
		data = []byte(f.Link)
	}
	return fmt.Sprintf("1$%x", sha256.Sum256(data))
}

// escape writes as pkg unescapes: a percent sign, and what is not ASCII.
func escape(text string) string {
	var out strings.Builder
	for _, b := range []byte(text) {
		if b == '%' || b >= 0x80 {
			fmt.Fprintf(&out, "%%%02x", b)
		} else {
			out.WriteByte(b)
		}
	}
	return out.String()
}

// text is JSON in one line.
func (m manifest) text() ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(m)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}
