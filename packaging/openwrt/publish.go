package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// maker makes the packages of a format, and what makes their folder a feed.
type maker interface {
	name(*Package) string
	make(*Package) ([]byte, error)
	// index takes all files of the folder that others matches. Its own are in
	// the order in which they are to be put there; one of no data is to go.
	index(files map[string][]byte) ([]File, error)
	// others matches all versions of a package's file; of nil, all packages'.
	others(*Package) string
}

// publish puts packages into a folder, one version of each, and indexes it. If
// one cannot be made, the feed stays what it was. It may be served meanwhile:
// what an index names is there before it, and goes after it.
func publish(packages []*Package, m maker, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	files, err := readAll(filepath.Join(out, m.others(nil)))
	if err != nil {
		return err
	}
	var fresh []File
	var stale []string
	for _, p := range packages {
		data, err := m.make(p)
		if err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
		fresh = append(fresh, File{Name: m.name(p), Data: data})
		old, err := filepath.Glob(filepath.Join(out, m.others(p)))
		if err != nil {
			return err
		}
		for _, path := range old {
			delete(files, filepath.Base(path))
			stale = append(stale, path)
		}
	}
	for _, file := range fresh {
		files[file.Name] = file.Data
	}
	index, err := m.index(files)
	if err != nil {
		return err
	}
	if err := replace(out, append(fresh, index...)); err != nil {
		return err
	}
	for _, path := range stale {
		if _, packed := files[filepath.Base(path)]; !packed {
			if err := os.Remove(path); err != nil {
				return err
			}
		}
	}
	return nil
}

// replace puts files into a folder, each as a whole. All are written beside it
// before the first takes its place: an index and its signature are of two ages
// no longer than renaming takes.
func replace(folder string, files []File) error {
	beside, err := os.MkdirTemp(folder, ".new")
	if err != nil {
		return err
	}
	defer os.RemoveAll(beside)
	for _, file := range files {
		if err := os.WriteFile(filepath.Join(beside, file.Name), file.Data, 0o644); err != nil {
			return err
		}
	}
	for _, file := range files {
		place := filepath.Join(folder, file.Name)
		if file.Data != nil {
			err = os.Rename(filepath.Join(beside, file.Name), place)
		} else if err = os.Remove(place); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readAll reads the files that match, by name.
func readAll(pattern string) (map[string][]byte, error) {
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if files[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			return nil, err
		}
	}
	return files, nil
}
