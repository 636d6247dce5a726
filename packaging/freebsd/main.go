// Command freebsd makes the packages for FreeBSD, OPNsense and pfSense, of what
// the ports in freebsd/ say, and the index that makes their folder a repository
// that pkg can be pointed to. The same commit makes the same bytes.
//
// It is a module of its own: nothing of it is in the daemon.
//
// The words of FreeBSD: a port says how a package is made; its plist lists what
// is in it; the stage is a folder that stands for the root of the system while
// the port installs into it; the manifest is what pkg is to know of a package;
// the ABI is the system, its major version and the processor, as
// FreeBSD:14:amd64.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"netcombiner/packaging/gitversion"
)

func main() {
	repo := flag.String("repo", "../..", "the daemon's `folder`")
	arch := flag.String("arch", "amd64", "the `processor`: amd64 or arm64")
	major := flag.String("abi", "14", "FreeBSD's `major version`: 14 or 15")
	number := flag.String("version", "", "stands for git's")
	key := flag.String("key", "", "signs: a `file` with an RSA key of openssl's")
	out := flag.String("out", "", "the `folder` for the repositories, one for each ABI")
	flag.Parse()
	if err := run(*repo, *arch, *major, *number, *key, *out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(repo, arch, major, given, keyFile, out string) error {
	t, err := targetOf(arch, major)
	if err != nil {
		return err
	}
	key, err := readKey(keyFile)
	if err != nil {
		return err
	}
	if repo, err = filepath.Abs(repo); err != nil {
		return err
	}
	v, err := gitversion.Of(repo, given)
	if err != nil {
		return err
	}
	v.Warn(os.Stderr, revised(number(v)))
	packages, err := tree{repo: repo, folder: filepath.Join(repo, "freebsd"), version: v, target: t}.packages()
	if err != nil {
		return err
	}
	return publish(packages, key, filepath.Join(out, t.abi()), os.Stdout)
}

// target is what packages are made for.
type target struct{ processor, major string }

// processors are FreeBSD's names for Go's, and those from before pkg 1.17.
var processors = map[string]struct{ abi, legacy string }{
	"amd64": {"amd64", "x86:64"},
	"arm64": {"aarch64", "aarch64:64"},
}

func targetOf(arch, major string) (target, error) {
	if _, ok := processors[arch]; !ok {
		return target{}, fmt.Errorf("ARCH=%s: amd64 or arm64", arch)
	}
	if major != "14" && major != "15" {
		return target{}, fmt.Errorf("ABI=%s: 14 or 15", major)
	}
	return target{arch, major}, nil
}

func (t target) abi() string { return "FreeBSD:" + t.major + ":" + processors[t.processor].abi }

func (t target) legacy() string { return "freebsd:" + t.major + ":" + processors[t.processor].legacy }
