package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Package is what a Makefile in openwrt/ says of a package, with the files
// that its install made.
type Package struct {
	Name, Version, Arch string // Arch as OpenWrt names it; all for any
	Description         string
	Section, License    string
	URL, Maintainer     string
	User                string // name:group of those to be there, of their own numbers or any
	Depends             []string
	Conffiles           []string // files and folders that are the user's; they need not be packed
	Scripts             map[string]string
	Files               []File // in order of their names, folders before what is in them
	Built               time.Time
	Commit              string // in hex, where it is one's
}

// File is a file, folder or link of a package. All belong to root.
type File struct {
	Name string // etc/config/netcombiner
	Mode fs.FileMode
	Link string
	Data []byte
}

// modeOf is what of a tree's modes goes into a package: who built it had a
// umask of their own.
func modeOf(info fs.FileInfo) fs.FileMode {
	mode := info.Mode().Type() | info.Mode().Perm()
	switch {
	case mode.IsDir():
		return fs.ModeDir | 0o755
	case mode&fs.ModeSymlink != 0:
		return fs.ModeSymlink | 0o777
	}
	return mode
}

// readTree reads all below root.
func readTree(root string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(root, path)
		file := File{Name: filepath.ToSlash(name), Mode: modeOf(info)}
		switch {
		case file.Mode&fs.ModeSymlink != 0:
			file.Link, err = os.Readlink(path)
		case file.Mode.IsRegular():
			file.Data, err = os.ReadFile(path)
		case !file.Mode.IsDir():
			err = fmt.Errorf("%s: only files, folders and links go into a package", path)
		}
		files = append(files, file)
		return err
	})
	return files, err
}

// add puts one more file among the others, and the folders that it needs.
func (p *Package) add(name string, text string) {
	for i, c := range name {
		if c == '/' && p.find(name[:i]) == nil {
			p.Files = append(p.Files, File{Name: name[:i], Mode: fs.ModeDir | 0o755})
		}
	}
	if old := p.find(name); old != nil {
		old.Data = append(old.Data, text...)
	} else {
		p.Files = append(p.Files, File{Name: name, Mode: 0o644, Data: []byte(text)})
	}
	p.sort()
}

func (p *Package) find(name string) *File {
	for i := range p.Files {
		if p.Files[i].Name == name {
			return &p.Files[i]
		}
	}
	return nil
}

// sort orders by name, each folder's names together.
func (p *Package) sort() {
	slices.SortFunc(p.Files, func(a, b File) int {
		return slices.Compare(strings.Split(a.Name, "/"), strings.Split(b.Name, "/"))
	})
}

// keep has sysupgrade keep what is the user's and not in the package. What is
// packed is kept as a conffile.
func (p *Package) keep() {
	for _, name := range p.Conffiles {
		if file := p.find(strings.Trim(name, "/")); file == nil || !file.Mode.IsRegular() {
			p.add("lib/upgrade/keep.d/"+p.Name, name+"\n")
		}
	}
}

// packedConffiles are the conffiles that the package brings, by path.
func (p *Package) packedConffiles() (names []string) {
	for _, file := range p.Files {
		path := "/" + file.Name
		under := func(conffile string) bool {
			return path == conffile || strings.HasPrefix(path, strings.TrimSuffix(conffile, "/")+"/")
		}
		if file.Mode.IsRegular() && slices.ContainsFunc(p.Conffiles, under) {
			names = append(names, path)
		}
	}
	return names
}

// size is that of all files' contents.
func (p *Package) size() (n uint64) {
	for _, file := range p.Files {
		n += uint64(len(file.Data))
	}
	return n
}
