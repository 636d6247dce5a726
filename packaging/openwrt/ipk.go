package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// ipk is the package as a file that opkg installs: a compressed tar of the
// format's number and two more compressed tars, of the files and of what opkg
// is to know of them.
func ipk(p *Package) ([]byte, error) {
	data, err := tarball(p.Files, p.Built)
	if err != nil {
		return nil, err
	}
	control := []File{plain("control", 0o644, controlText(p, len(data)))}
	if names := p.packedConffiles(); len(names) > 0 {
		control = append(control, plain("conffiles", 0o644, strings.Join(names, "\n")+"\n"))
	}
	for name, text := range opkgScripts(p) {
		control = append(control, plain(name, 0o755, text))
	}
	slices.SortFunc(control, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	about, err := tarball(control, p.Built)
	if err != nil {
		return nil, err
	}
	var parts [2][]byte
	for i, tarball := range [][]byte{data, about} {
		if parts[i], err = gzipped(tarball); err != nil {
			return nil, err
		}
	}
	whole, err := tarball([]File{
		plain("debian-binary", 0o644, "2.0\n"),
		plain("data.tar.gz", 0o644, string(parts[0])),
		plain("control.tar.gz", 0o644, string(parts[1])),
	}, p.Built)
	if err != nil {
		return nil, err
	}
	// It is compressed already; opkg only wants it so.
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(whole); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

func plain(name string, mode fs.FileMode, text string) File {
	return File{Name: name, Mode: mode, Data: []byte(text)}
}

// tarball has names from ./ on, as opkg wants them, and root by its number.
func tarball(files []File, built time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range files {
		head := &tar.Header{
			Format: tar.FormatGNU, Typeflag: tar.TypeReg, Name: "./" + file.Name,
			Mode: int64(file.Mode.Perm()), ModTime: built, Size: int64(len(file.Data)),
		}
		switch {
		case file.Mode.IsDir():
			head.Typeflag, head.Name = tar.TypeDir, head.Name+"/"
		case !file.Mode.IsRegular():
			head.Typeflag, head.Linkname = tar.TypeSymlink, file.Link
		}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(file.Data); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

// controlText is what opkg is told of a package; the description comes last.
func controlText(p *Package, size int) string {
	var out strings.Builder
	for _, field := range [][2]string{
		{"Package", p.Name},
		{"Version", p.Version},
		{"Depends", strings.Join(p.Depends, ", ")},
		{"License", p.License},
		{"Section", p.Section},
		{"Require-User", p.User},
		{"SourceDateEpoch", fmt.Sprint(p.Built.Unix())},
		{"URL", p.URL},
		{"Maintainer", p.Maintainer},
		{"Architecture", p.Arch},
		{"Installed-Size", fmt.Sprint(size)},
		{"Description", p.Description},
	} {
		if field[1] != "" {
			fmt.Fprintf(&out, "%s: %s\n", field[0], field[1])
		}
	}
	return out.String()
}
