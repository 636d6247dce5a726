package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// An apk is an ADB, that says all about the package and its files, its
// signature, and a block with the contents of each file; all of it compressed.
const (
	schemaPackage = "pckg"
	schemaIndex   = "indx"

	blockADB       = 0
	blockSignature = 1
	blockData      = 2

	compressed = "ADBd" // with deflate
)

// apkScriptFields are the scripts by their place in the database, from 1 on.
var apkScriptFields = []string{"trigger", "pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade", "post-upgrade"}

// apkArch is what apk calls an architecture.
func apkArch(arch string) string {
	if arch == anyArch {
		return "noarch"
	}
	return arch
}

// apkVersion writes a preview as apk does: 1.2.0-rc1 is 1.2.0_rc1.
func apkVersion(version string) string { return strings.ReplaceAll(version, "~", "_") }

// addApkFiles puts in what opkg keeps by itself, and functions.sh and LuCI look
// for on systems with apk: what is installed, and which of it is the user's.
func (p *Package) addApkFiles() {
	var list, conffiles, sums strings.Builder
	for _, file := range p.Files {
		if !file.Mode.IsDir() {
			fmt.Fprintf(&list, "/%s\n", file.Name)
		}
	}
	for _, name := range p.Conffiles {
		fmt.Fprintln(&conffiles, name)
	}
	for _, name := range p.packedConffiles() {
		fmt.Fprintf(&sums, "%s %x\n", name, sha256.Sum256(p.find(name[1:]).Data))
	}
	if p.User != "" {
		p.add("lib/apk/packages/"+p.Name+".rusers", p.User+"\n")
	}
	p.add("lib/apk/packages/"+p.Name+".list", list.String())
	if len(p.Conffiles) > 0 {
		p.add("lib/apk/packages/"+p.Name+".conffiles", conffiles.String())
	}
	if sums.Len() > 0 {
		p.add("lib/apk/packages/"+p.Name+".conffiles_static", sums.String())
	}
}

// folder is one with the files in it, as a package's database lists them.
type folder struct {
	name  string
	files []File
}

func folders(files []File) []folder {
	all := []folder{{}}
	for _, file := range files {
		if file.Mode.IsDir() {
			all = append(all, folder{name: file.Name})
		}
	}
	slices.SortFunc(all, func(a, b folder) int { return cmp.Compare(a.name, b.name) })
	for _, file := range files {
		dir := path.Dir(file.Name)
		if dir == "." {
			dir = ""
		}
		i, ok := slices.BinarySearchFunc(all, dir, func(f folder, name string) int { return cmp.Compare(f.name, name) })
		if ok && !file.Mode.IsDir() {
			all[i].files = append(all[i].files, file)
		}
	}
	for _, f := range all {
		slices.SortFunc(f.files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	}
	return all
}

// apk is the package as a file that apk installs.
func apk(p *Package, key *apkKey) ([]byte, error) {
	commit, err := hex.DecodeString(p.Commit)
	if err != nil {
		return nil, err
	}
	d := newDatabase()
	info := []value{
		d.text(p.Name), d.text(apkVersion(p.Version)), null, d.text(p.Description), d.text(apkArch(p.Arch)),
		d.text(p.License), null, d.text(p.Maintainer), d.text(p.URL), d.blob(commit),
		d.int(uint64(p.Built.Unix())), null, null, null, d.dependencies(p.Depends),
	}
	tree := folders(p.Files)
	dirs := d.folders(tree, p.Built.Unix())
	info[11] = d.int(max(p.size(), 1))
	id, idAt := d.own(make([]byte, 20))
	info[2] = id
	pkginfo, paths := d.object(info...), d.object(dirs...)
	var scripts []value
	given := apkScripts(p)
	for _, name := range apkScriptFields {
		scripts = append(scripts, d.text(given[name]))
	}
	d.setRoot(d.object(pkginfo, paths, d.object(scripts...)))
	// The package's own name of itself is the sum of all else.
	sum := sha256.Sum256(d.bytes)
	copy(d.bytes[idAt:idAt+20], sum[:])

	out, err := signed(schemaPackage, d, key)
	if err != nil {
		return nil, err
	}
	for i, dir := range tree {
		for j, file := range dir.files {
			if len(file.Data) == 0 || !file.Mode.IsRegular() {
				continue
			}
			head := binary.LittleEndian.AppendUint32(nil, uint32(i+1))
			head = binary.LittleEndian.AppendUint32(head, uint32(j+1))
			out = appendBlock(out, blockData, append(head, file.Data...))
		}
	}
	return compressADB(out)
}

// dependencies writes the names of other packages.
func (d *database) dependencies(names []string) value {
	var items []value
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		items = append(items, d.object(d.text(name)))
	}
	return d.object(items...)
}

// folders writes each folder and its files. The root is one without a name.
func (d *database) folders(tree []folder, built int64) (dirs []value) {
	acl := func(mode fs.FileMode) value {
		return d.object(d.int(uint64(mode.Perm())), d.text("root"), d.text("root"))
	}
	for _, dir := range tree {
		var files []value
		for _, file := range dir.files {
			fields := make([]value, 6)
			fields[0] = d.text(path.Base(file.Name))
			size := uint64(len(file.Data))
			if file.Mode.IsRegular() {
				sum := sha256.Sum256(file.Data)
				fields[4] = d.blob(sum[:])
			} else {
				fields[5] = d.blob(append(binary.LittleEndian.AppendUint16(nil, 0o120000), file.Link...))
				size = uint64(len(file.Link))
			}
			fields[3], fields[2] = d.int(uint64(built)), d.int(size)
			fields[1] = acl(file.Mode)
			files = append(files, d.object(fields...))
		}
		name := d.text(dir.name)
		access := acl(0o755)
		dirs = append(dirs, d.object(name, access, d.object(files...)))
	}
	return dirs
}

// signed is the head of a file: the database, and its signature if there is a key.
func signed(schema string, d *database, key *apkKey) ([]byte, error) {
	out := appendBlock([]byte("ADB."+schema), blockADB, d.bytes)
	if key == nil {
		return out, nil
	}
	signature, err := key.sign(schema, d.bytes)
	return appendBlock(out, blockSignature, signature), err
}

// appendBlock writes a block: its kind and its length with its own head, and
// zeros to a multiple of 8.
func appendBlock(out []byte, kind uint32, data []byte) []byte {
	out = binary.LittleEndian.AppendUint32(out, kind<<30|uint32(4+len(data)))
	out = append(out, data...)
	return append(out, make([]byte, -(4+len(data))&7)...)
}

func compressADB(data []byte) ([]byte, error) {
	packed, err := deflate(data)
	return append([]byte(compressed), packed...), err
}
