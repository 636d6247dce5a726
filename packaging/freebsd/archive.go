package main

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"time"

	"github.com/klauspost/compress/zstd"
)

// makePkg is the package as a file that pkg installs: what it is to know, in
// short and in full, then all files and folders under the names that they will
// have. pkg itself reads no further than it must, hence the order.
func makePkg(p *Package) ([]byte, error) {
	short, err := compact(p).text()
	if err != nil {
		return nil, err
	}
	full, err := whole(p).text()
	if err != nil {
		return nil, err
	}
	members := []File{meta("+COMPACT_MANIFEST", short), meta("+MANIFEST", full)}
	return archive(append(append(members, p.Files...), p.Dirs...), p.Built)
}

func meta(name string, data []byte) File {
	return File{Name: name, Mode: 0o644, Owner: "root", Group: "wheel", Data: data}
}

// archive is a tar that is compressed as a whole.
func archive(members []File, built time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, file := range members {
		head := &tar.Header{
			Typeflag: tar.TypeReg, Name: file.Name, Mode: int64(file.Mode.Perm()), Uname: file.Owner, Gname: file.Group,
			ModTime: built, Size: int64(len(file.Data)),
		}
		switch {
		case file.Mode.IsDir():
			head.Typeflag, head.Name = tar.TypeDir, head.Name+"/"
		case file.Mode&fs.ModeSymlink != 0:
			head.Typeflag, head.Linkname = tar.TypeSymlink, file.Link
		}
		if err := w.WriteHeader(head); err != nil {
			return nil, err
		}
		if _, err := w.Write(file.Data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	// One worker: how the work is shared must not show in the bytes.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	return z.EncodeAll(out.Bytes(), nil), z.Close()
}
