// Command openwrt makes the packages for OpenWrt, of what the Makefiles in
// openwrt/ say: ipk for 24.10 and older, apk for 25.12 and newer, each with the
// index that makes their folder a feed. The same commit makes the same bytes.
//
// It is a module of its own: nothing of it is in the daemon.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	repo := flag.String("repo", "../..", "the daemon's `folder`")
	arch := flag.String("arch", "", "the `architecture`, as OpenWrt names it; all for LuCI's pages")
	number := flag.String("version", "", "stands for git's")
	key := flag.String("key", "", "signs: a `file` of signify for ipk, one of openssl for apk")
	out := flag.String("out", "", "the `folder` for what is made")
	flag.Parse()
	if err := run(flag.Arg(0), *repo, *arch, *number, *key, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(format, repo, arch, number, key, out string) error {
	maker, err := newMaker(format, key)
	if err != nil {
		return err
	}
	if repo, err = filepath.Abs(repo); err != nil {
		return err
	}
	v, err := versionOf(repo, number)
	if err != nil {
		return err
	}
	packages, err := feed{repo: repo, folder: filepath.Join(repo, "openwrt"), version: v}.packages(arch)
	if err != nil {
		return err
	}
	if len(packages) == 0 {
		return fmt.Errorf("no Makefile in openwrt/ makes a package for ARCH=%s", arch)
	}
	if err := publish(packages, maker, out); err != nil {
		return err
	}
	for _, p := range packages {
		info, err := os.Stat(filepath.Join(out, maker.name(p)))
		if err != nil {
			return err
		}
		fmt.Println(filepath.Join(out, info.Name()), info.Size(), "bytes")
	}
	return nil
}

// newMaker is that of a format, with the key of a file, if there is one.
func newMaker(format, key string) (maker, error) {
	var text []byte
	if key != "" {
		var err error
		if text, err = os.ReadFile(key); err != nil {
			return nil, err
		}
	}
	switch format {
	case "ipk":
		return newIpkMaker(text)
	case "apk":
		return newApkMaker(text)
	}
	return nil, errors.New("which format? ipk or apk")
}

// maker makes the packages of a format, and what makes their folder a feed.
type maker interface {
	name(*Package) string
	make(*Package) ([]byte, error)
	// index takes all files of the folder that others matches.
	index(files map[string][]byte) (map[string][]byte, error)
	// others matches all versions of a package's file; of nil, all packages'.
	others(*Package) string
}

// publish puts packages into a folder, one version of each, and indexes it. If
// one cannot be made, the feed stays what it was.
func publish(packages []*Package, m maker, out string) error {
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	made := make([][]byte, len(packages))
	for i, p := range packages {
		var err error
		if made[i], err = m.make(p); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	for i, p := range packages {
		old, err := filepath.Glob(filepath.Join(out, m.others(p)))
		if err != nil {
			return err
		}
		for _, name := range old {
			if err := os.Remove(name); err != nil {
				return err
			}
		}
		if err := write(out, m.name(p), made[i]); err != nil {
			return err
		}
	}
	files, err := readAll(filepath.Join(out, m.others(nil)))
	if err != nil {
		return err
	}
	index, err := m.index(files)
	if err != nil {
		return err
	}
	for name, data := range index {
		if data == nil { // a signature of what was here before
			if err := os.Remove(filepath.Join(out, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		} else if err := write(out, name, data); err != nil {
			return err
		}
	}
	return nil
}

func write(folder, name string, data []byte) error {
	return os.WriteFile(filepath.Join(folder, name), data, 0o644)
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
