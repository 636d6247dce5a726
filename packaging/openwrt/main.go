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
	"os"
	"path/filepath"

	"netcombiner/packaging/gitversion"
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
	v, err := gitversion.Of(repo, number)
	if err != nil {
		return err
	}
	v.Warn(os.Stderr, v.Number+"-r"+release(v))
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
