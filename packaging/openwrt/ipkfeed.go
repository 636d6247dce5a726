package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
)

// ipkMaker makes a feed for opkg. Names of files say the architecture, so all
// are in one folder, and each router takes its own.
type ipkMaker struct{ key *usignKey }

func newIpkMaker(key []byte) (m ipkMaker, err error) {
	if key != nil {
		m.key, err = readUsignKey(key)
	}
	return m, err
}

func (ipkMaker) make(p *Package) ([]byte, error) { return ipk(p) }

func (ipkMaker) name(p *Package) string { return p.Name + "_" + p.Version + "_" + p.Arch + ".ipk" }

func (ipkMaker) others(p *Package) string {
	if p == nil {
		return "*.ipk"
	}
	return p.Name + "_*_" + p.Arch + ".ipk"
}

func (m ipkMaker) index(files map[string][]byte) ([]File, error) {
	text, err := ipkIndex(files)
	if err != nil {
		return nil, err
	}
	packed, err := gzipped([]byte(text))
	var public, signature []byte
	if m.key != nil {
		public, signature = m.key.public(), m.key.sign([]byte(text))
	}
	return []File{
		{Name: "key.pub", Data: public}, {Name: "Packages", Data: []byte(text)},
		{Name: "Packages.gz", Data: packed}, {Name: "Packages.sig", Data: signature},
	}, err
}

// readControl is the control text of an ipk that we made.
func readControl(file []byte) (string, error) {
	about, err := readTar(file, "control.tar.gz")
	if err != nil {
		return "", err
	}
	text, err := readTar(about, "control")
	return string(text), err
}

// readTar is one file of a compressed tar.
func readTar(packed []byte, name string) ([]byte, error) {
	data, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	for r := tar.NewReader(data); ; {
		head, err := r.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("no %s in it", name)
		}
		if err != nil {
			return nil, err
		}
		if path.Clean(head.Name) == name {
			return io.ReadAll(r)
		}
	}
}

// ipkIndex lists the ipks of a folder, given by name, so that it serves as a feed.
func ipkIndex(files map[string][]byte) (string, error) {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		control, err := readControl(files[name])
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		about, description, _ := strings.Cut(control, "Description:")
		fmt.Fprintf(&out, "%sFilename: %s\nSize: %d\nSHA256sum: %x\nDescription:%s\n",
			about, name, len(files[name]), sha256.Sum256(files[name]), description)
	}
	return out.String(), nil
}
