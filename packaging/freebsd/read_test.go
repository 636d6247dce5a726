package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// What follows reads packages with nothing of what writes them, and more strictly
// than pkg does, which installs wrong and missing files without complaint.

// need says that a tool is missing: where tests are made to count, that fails.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// entry is a tar's.
type entry struct {
	head *tar.Header
	data []byte
}

// unpack reads a tar that the real zstd unpacked.
func unpack(packed []byte) ([]entry, error) {
	zstd := exec.Command("zstd", "-dc")
	zstd.Stdin = bytes.NewReader(packed)
	unpacked, err := zstd.Output()
	if err != nil {
		return nil, fmt.Errorf("zstd: %w", err)
	}
	var all []entry
	for r := tar.NewReader(bytes.NewReader(unpacked)); ; {
		head, err := r.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		all = append(all, entry{head, data})
	}
}

// read is a package as a reader sees it.
type read struct {
	compact, full map[string]any
	members       map[string]entry // the payload, by the names in it
	order         []string
}

// readPackage reads a package, and says all that is wrong with it.
func readPackage(packed []byte) (*read, error) {
	all, err := unpack(packed)
	if err != nil {
		return nil, err
	}
	if len(all) < 2 || all[0].head.Name != "+COMPACT_MANIFEST" || all[1].head.Name != "+MANIFEST" {
		return nil, errors.New("it does not begin with its two manifests")
	}
	r := &read{members: map[string]entry{}}
	if err := json.Unmarshal(all[0].data, &r.compact); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(all[1].data, &r.full); err != nil {
		return nil, err
	}
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, e := range all[2:] {
		name := strings.TrimSuffix(e.head.Name, "/")
		if !path.IsAbs(name) || path.Clean(name) != name {
			wrong("%s is no absolute name", name)
		}
		if _, twice := r.members[name]; twice {
			wrong("%s is there twice", name)
		}
		if e.head.Uid != 0 || e.head.Gid != 0 || e.head.Uname != "root" || e.head.Gname == "" {
			wrong("%s belongs to %d:%d, %s:%s", name, e.head.Uid, e.head.Gid, e.head.Uname, e.head.Gname)
		}
		if !e.head.ModTime.Equal(all[0].head.ModTime) {
			wrong("%s is of %v", name, e.head.ModTime)
		}
		r.members[name] = e
		r.order = append(r.order, name)
	}
	r.checkFields(wrong)
	r.checkFiles(wrong)
	return r, errors.Join(errs...)
}

// required is what pkg refuses to go without, and what it warns of.
var required = []string{
	"name", "origin", "version", "comment", "maintainer", "www", "abi", "arch", "prefix", "desc", "categories", "licenselogic", "licenses", "flatsize",
}

func (r *read) checkFields(wrong func(string, ...any)) {
	for _, field := range required {
		if r.compact[field] == nil || r.compact[field] == "" {
			wrong("the compact manifest has no %s", field)
		}
	}
	for name, value := range r.compact {
		if slices.Contains([]string{"files", "directories", "scripts", "lua_scripts", "config"}, name) {
			wrong("the compact manifest has %s", name)
		}
		if fmt.Sprint(r.full[name]) != fmt.Sprint(value) {
			wrong("the manifests differ in %s: %v and %v", name, value, r.full[name])
		}
	}
}

// checkFiles holds the list against what is there, both ways.
func (r *read) checkFiles(wrong func(string, ...any)) {
	files, _ := r.full["files"].(map[string]any)
	dirs, _ := r.full["directories"].(map[string]any)
	left := maps.Clone(r.members)
	var size int
	for name, sum := range files {
		e, ok := left[unescape(name)]
		if !ok {
			wrong("%s is listed and missing", name)
			continue
		}
		delete(left, unescape(name))
		data := e.data
		switch e.head.Typeflag {
		case tar.TypeSymlink:
			data = []byte(e.head.Linkname)
		case tar.TypeReg:
			size += len(data)
		default:
			wrong("%s is listed as a file", name)
		}
		if want := fmt.Sprintf("1$%x", sha256.Sum256(data)); sum != want {
			wrong("%s has the sum %s, not %v", name, want, sum)
		}
	}
	for name := range dirs {
		if e, ok := left[unescape(name)]; !ok || e.head.Typeflag != tar.TypeDir {
			wrong("the folder %s is listed and missing", name)
		}
		delete(left, unescape(name))
	}
	for name := range left {
		wrong("%s is there and not listed", name)
	}
	if r.full["flatsize"] != float64(size) {
		wrong("flatsize is %v, not %d", r.full["flatsize"], size)
	}
	isDir := func(name string) bool { return r.members[name].head.Typeflag == tar.TypeDir }
	n := slices.IndexFunc(r.order, isDir)
	if n < 0 {
		n = len(r.order)
	}
	if slices.ContainsFunc(r.order[n:], func(name string) bool { return !isDir(name) }) || !slices.IsSorted(r.order[:n]) || !slices.IsSorted(r.order[n:]) {
		wrong("it is in no order: %q", r.order)
	}
}

// unescape undoes %25 and the like.
func unescape(text string) string {
	var out []byte
	for i := 0; i < len(text); i++ {
		var b byte
		if text[i] == '%' && i+2 < len(text) {
			if n, _ := fmt.Sscanf(text[i+1:i+3], "%02x", &b); n == 1 {
				out = append(out, b)
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return string(out)
}
