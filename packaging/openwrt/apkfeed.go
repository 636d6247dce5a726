package main

import (
	"bytes"
	"cmp"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// apkMaker makes a repository for apk.
type apkMaker struct{ key *apkKey }

func newApkMaker(key []byte) (m apkMaker, err error) {
	if key != nil {
		m.key, err = readApkKey(key)
	}
	return m, err
}

func (m apkMaker) make(p *Package) ([]byte, error) {
	p.addApkFiles()
	return apk(p, m.key)
}

// apkNames says how the files in the repository are called: those of all
// architectures share one folder, and each router takes its own.
const apkNames = "${name}-${version}.${arch}.apk"

func (apkMaker) name(p *Package) string {
	return strings.NewReplacer("${name}", p.Name, "${version}", apkVersion(p.Version), "${arch}", apkArch(p.Arch)).Replace(apkNames)
}

func (apkMaker) others(p *Package) string {
	if p == nil {
		return "*.apk"
	}
	return p.Name + "-[0-9]*." + apkArch(p.Arch) + ".apk"
}

func (m apkMaker) index(files map[string][]byte) ([]File, error) {
	var all [][]byte
	for _, name := range slices.Sorted(maps.Keys(files)) {
		all = append(all, files[name])
	}
	data, err := apkIndex(all, m.key)
	if err != nil {
		return nil, err
	}
	var public []byte
	if m.key != nil {
		public, err = m.key.public()
	}
	return []File{{Name: "key.pem", Data: public}, {Name: "packages.adb", Data: data}}, err
}

// readApk is the database of an apk that we made.
func readApk(file []byte) (*database, error) {
	packed, ok := bytes.CutPrefix(file, []byte(compressed))
	if !ok {
		return nil, fmt.Errorf("no apk of version 3")
	}
	data := flate.NewReader(bytes.NewReader(packed))
	head := make([]byte, 12)
	if _, err := io.ReadFull(data, head); err != nil {
		return nil, err
	}
	size := int64(binary.LittleEndian.Uint32(head[8:])) - 4
	if string(head[:8]) != "ADB."+schemaPackage || size < 8 || size >= 1<<30 {
		return nil, fmt.Errorf("no package")
	}
	d := newDatabase()
	var err error
	d.bytes, err = io.ReadAll(io.LimitReader(data, size))
	if int64(len(d.bytes)) < size && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return d, err
}

// apkIndex lists packages, given by file, so that a folder of them serves as a
// repository. They have the names of apkFile.
func apkIndex(files [][]byte, key *apkKey) ([]byte, error) {
	type entry struct {
		name string
		info value
	}
	d := newDatabase()
	var all []entry
	for _, file := range files {
		from, err := readApk(file)
		if err != nil {
			return nil, err
		}
		root, err := from.fields(from.root())
		if err != nil || len(root) == 0 {
			return nil, fmt.Errorf("a package without information: %v", err)
		}
		info, err := from.fields(root[0])
		if err != nil || len(info) < 12 {
			return nil, fmt.Errorf("a package without information: %v", err)
		}
		for len(info) < 13 {
			info = append(info, null)
		}
		for i, v := range info {
			if info[i], err = d.copyFrom(from, v, 8); err != nil {
				return nil, err
			}
		}
		identity := sha256.Sum256(from.bytes)
		info[12] = d.int(uint64(len(file)))
		info[2] = d.blob(identity[:])
		name, err := d.blobAt(info[0])
		if err != nil {
			return nil, err
		}
		version, _ := d.blobAt(info[1])
		all = append(all, entry{fmt.Sprintf("%s\x00%s\x00%s", name, version, identity), d.object(info...)})
	}
	slices.SortStableFunc(all, func(a, b entry) int { return cmp.Compare(a.name, b.name) })
	var packages []value
	for _, e := range all {
		packages = append(packages, e.info)
	}
	spec := d.text(apkNames)
	d.setRoot(d.object(null, d.object(packages...), spec))
	out, err := signed(schemaIndex, d, key)
	if err != nil {
		return nil, err
	}
	return compressADB(out)
}
