package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"netcombiner/src/durable"
)

// repoMeta tells pkg how the index is called and packed: as pkg repo does it.
const repoMeta = `version = 2;
packing_format = "tzst";
manifests = "packagesite.yaml";
data = "data";
manifests_archive = "packagesite";
data_archive = "data";
`

// publish makes a folder hold these packages and their index, and says on out
// what is there. Whoever reads it meanwhile finds each file whole, and what an index
// lists: packages come before it, and older ones go after. If one cannot be made,
// the folder stays what it was.
func publish(packages []*Package, key *signer, folder string, out io.Writer) error {
	made := map[string][]byte{}
	for _, p := range packages {
		data, err := makePkg(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		made[p.file()] = data
	}
	index, err := indexOf(packages, made, key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, p := range packages {
		if err := durable.Write(filepath.Join(folder, p.file()), made[p.file()], 0o644); err != nil {
			return err
		}
		fmt.Fprintln(out, filepath.Join(folder, p.file()), len(made[p.file()]), "bytes")
	}
	for _, file := range index {
		if err := durable.Write(filepath.Join(folder, file.Name), file.Data, 0o644); err != nil {
			return err
		}
	}
	return removeOthers(folder, made, index)
}

// removeOthers takes away what earlier runs left: other versions, and the
// fingerprint of a key that no longer signs.
func removeOthers(folder string, made map[string][]byte, index []File) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.pkg"))
	if err != nil {
		return err
	}
	for _, path := range append(files, filepath.Join(folder, fingerprintFile)) {
		name := filepath.Base(path)
		listed := slices.ContainsFunc(index, func(f File) bool { return f.Name == name })
		if made[name] != nil || listed {
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// indexOf makes what a repository has beside its packages: data is what pkg 2
// reads, packagesite what older ones do.
func indexOf(packages []*Package, made map[string][]byte, key *signer) ([]File, error) {
	var lines [][]byte
	var built time.Time
	for _, p := range packages {
		m := compact(p)
		m.Sum = fmt.Sprintf("%x", sha256.Sum256(made[p.file()]))
		m.Path, m.RepoPath, m.PkgSize = p.file(), p.file(), len(made[p.file()])
		line, err := m.text()
		if err != nil {
			return nil, err
		}
		lines, built = append(lines, line), p.Built
	}
	data := slices.Concat([]byte(`{"groups":[],"expired_packages":[],"packages":[`), bytes.Join(lines, []byte(",")), []byte("]}\n"))
	site := append(bytes.Join(lines, []byte("\n")), '\n')
	index := []File{meta("meta.conf", []byte(repoMeta))}
	for _, part := range []struct {
		file   string
		member File
	}{{"packagesite.pkg", meta("packagesite.yaml", site)}, {"data.pkg", meta("data", data)}} {
		members, err := key.signed(part.member)
		if err != nil {
			return nil, err
		}
		packed, err := archive(members, built)
		if err != nil {
			return nil, err
		}
		index = append(index, meta(part.file, packed))
	}
	if key != nil {
		index = append(index, meta(fingerprintFile, key.fingerprint()))
	}
	return index, nil
}
