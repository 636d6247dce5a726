package main

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// What follows reads an ADB by apk-v3(5), with nothing of ours.

type adbBlock struct {
	kind int
	data []byte
}

type adbFile struct {
	schema string
	blocks []adbBlock
}

func readADB(t *testing.T, file []byte) (f adbFile) {
	t.Helper()
	if string(file[:4]) != "ADBd" {
		t.Fatalf("a file that begins with %q", file[:4])
	}
	data, err := io.ReadAll(flate.NewReader(bytes.NewReader(file[4:])))
	if err != nil {
		t.Fatal(err)
	}
	if string(data[:4]) != "ADB." {
		t.Fatalf("inside it begins with %q", data[:4])
	}
	f.schema = string(data[4:8])
	for at := 8; at < len(data); {
		word := binary.LittleEndian.Uint32(data[at:])
		size := int(word & 0x3fffffff)
		f.blocks = append(f.blocks, adbBlock{int(word >> 30), data[at+4 : at+size]})
		end := (size + 7) / 8 * 8
		if strings.Trim(string(data[at+size:at+end]), "\x00") != "" {
			t.Error("a block is not filled with zeros")
		}
		at += end
	}
	return f
}

// tree decodes a value into nil, uint64, string or []any, whose first item is
// that of field 1.
func (b adbBlock) tree(t *testing.T, v uint32) any {
	t.Helper()
	at, word := int(v&0x0fffffff), binary.LittleEndian
	switch v >> 28 {
	case 0:
		return nil
	case 1:
		return uint64(at)
	case 2:
		return uint64(word.Uint32(b.data[at:]))
	case 8:
		return string(b.data[at+1 : at+1+int(b.data[at])])
	case 9:
		return string(b.data[at+2 : at+2+int(word.Uint16(b.data[at:]))])
	case 0xa:
		return string(b.data[at+4 : at+4+int(word.Uint32(b.data[at:]))])
	case 0xd, 0xe:
		if at%4 != 0 {
			t.Errorf("an object at %d", at)
		}
		var all []any
		for i := 1; i < int(word.Uint32(b.data[at:])); i++ {
			all = append(all, b.tree(t, word.Uint32(b.data[at+4*i:])))
		}
		return all
	}
	t.Fatalf("a value of type %x", v>>28)
	return nil
}

func (b adbBlock) root(t *testing.T) []any {
	t.Helper()
	if !bytes.Equal(b.data[:4], make([]byte, 4)) {
		t.Errorf("a database of version %v", b.data[:4])
	}
	return b.tree(t, binary.LittleEndian.Uint32(b.data[4:])).([]any)
}

func TestApkHoldsWhatApkWants(t *testing.T) {
	need(t, "zopfli")
	data, err := newApk(t, "aarch64_generic", "sample")
	if err != nil {
		t.Fatal(err)
	}
	f := readADB(t, data)
	if f.schema != "pckg" || f.blocks[0].kind != 0 {
		t.Fatalf("schema %q, first block %d", f.schema, f.blocks[0].kind)
	}
	root := f.blocks[0].root(t)
	info := root[0].([]any)
	id := info[2].(string)
	info[2] = nil
	commit := "\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67\x89\xab\xcd\xef\x01\x23\x45\x67"
	want := []any{"sample", "1.2.3-r4", nil, "Of several parts, in two lines.", "aarch64_generic", "MIT", nil,
		"Somebody <somebody@example.org>", "https://example.org/sample", commit, uint64(1700000000), uint64(5185), nil, nil,
		[]any{[]any{"ca-bundle"}, []any{"kmod-tun"}}}
	if !reflect.DeepEqual(info, want) {
		t.Errorf("info is %v, not %v", info, want)
	}
	if raw := bytes.Replace(f.blocks[0].data, []byte(id), make([]byte, 20), 1); id != string(sum(raw)[:20]) {
		t.Errorf("the name of itself is %x", id)
	}
	contents := f.blocks[1:]
	var lines []string
	for i, dir := range root[1].([]any) {
		dir := dir.([]any)
		name, _ := dir[0].(string)
		lines = append(lines, fmt.Sprintf("%v %s/", dir[1], name))
		if len(dir) < 3 {
			continue
		}
		for j, file := range dir[2].([]any) {
			file := file.([]any)
			line := fmt.Sprintf("%v %s/%s %d", file[1], name, file[0], file[2])
			if file[3] != uint64(1700000000) {
				t.Errorf("%s is of %d", file[0], file[3])
			}
			if len(file) > 5 {
				line += fmt.Sprintf(" %q", file[5])
			} else if file[2] != uint64(0) {
				// The contents come in the same order, each with its place.
				head := binary.LittleEndian.AppendUint32(nil, uint32(i+1))
				head = binary.LittleEndian.AppendUint32(head, uint32(j+1))
				if len(contents) == 0 || contents[0].kind != 2 || !bytes.Equal(contents[0].data[:8], head) ||
					file[4] != string(sum(contents[0].data[8:])) || file[2] != uint64(len(contents[0].data)-8) {
					t.Fatalf("the contents of %s are not next, or others", file[0])
				}
				contents = contents[1:]
			}
			lines = append(lines, line)
		}
	}
	if len(contents) > 0 {
		t.Errorf("%d blocks of no file", len(contents))
	}
	same(t, "paths", lines, []string{
		"[493 root root] /",
		"[493 root root] etc/", "[493 root root] etc/config/", "[384 root root] etc/config/sample 41",
		"[493 root root] etc/init.d/", "[493 root root] etc/init.d/sample 49",
		"[493 root root] lib/", "[493 root root] lib/apk/", "[493 root root] lib/apk/packages/",
		"[420 root root] lib/apk/packages/sample.conffiles 32", "[420 root root] lib/apk/packages/sample.conffiles_static 84",
		"[420 root root] lib/apk/packages/sample.list 164", "[420 root root] lib/apk/packages/sample.rusers 18",
		"[493 root root] lib/upgrade/", "[493 root root] lib/upgrade/keep.d/", "[420 root root] lib/upgrade/keep.d/sample 13",
		"[493 root root] usr/", "[493 root root] usr/sbin/", `[511 root root] usr/sbin/sample 23 "\x00\xa0../../etc/init.d/sample"`,
		"[493 root root] usr/share/", "[493 root root] usr/share/sample-parts/",
		"[511 root root] usr/share/sample-parts/a 2392", "[420 root root] usr/share/sample-parts/b 2392",
		"[420 root root] usr/share/sample-parts/empty 0",
	})
	scripts := root[2].([]any)
	if len(scripts) != 7 || scripts[0] != nil || scripts[1] != nil || scripts[4] != nil || scripts[5] != nil {
		t.Fatalf("scripts are %q", scripts)
	}
	dir := t.TempDir()
	for i, want := range map[int]string{
		2: "add_group_and_user as sample in\ndefault_postinst as sample in\ninstalled for " + dir + "\n",
		6: "add_group_and_user as sample in upgrading\ndefault_postinst as sample in upgrading\ninstalled for " + dir + "\n",
		3: "default_prerm as sample in\n",
	} {
		got := strings.NewReplacer("  ", " ", " \n", "\n").Replace(script(t, dir, scripts[i].(string), "script", "1.2.3-r4"))
		if got != want {
			t.Errorf("script %d says %q, not %q", i, got, want)
		}
	}
}

func sum(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}

// newApk is a sample as a file.
func newApk(t *testing.T, arch, name string) ([]byte, error) {
	t.Helper()
	return apkMaker{}.make(samples(t, arch)[name])
}

func TestApkLists(t *testing.T) {
	p := samples(t, "x86_64")["sample"]
	p.addApkFiles()
	for name, want := range map[string]string{
		"rusers": "sample=500:sample\n",
		"list": "/etc/config/sample\n/etc/init.d/sample\n/lib/upgrade/keep.d/sample\n/usr/sbin/sample\n" +
			"/usr/share/sample-parts/a\n/usr/share/sample-parts/b\n/usr/share/sample-parts/empty\n",
		"conffiles":        "/etc/config/sample\n/etc/sample/\n",
		"conffiles_static": fmt.Sprintf("/etc/config/sample %x\n", sum([]byte(readFile(t, "testdata/feed/sample/files/sample.conf")))),
	} {
		if got := string(p.find("lib/apk/packages/sample." + name).Data); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
}

// apk's own mkpkg and mkndx, of apk-tools 3.0.6, made testdata/*.adb, of the same
// files and fields.
func TestApkBytesAreThoseOfApk(t *testing.T) {
	need(t, "zopfli")
	var files [][]byte
	for _, name := range []string{"luci-app-sample", "luci-i18n-sample-de", "sample"} {
		arch := anyArch
		if name == "sample" {
			arch = "aarch64_generic"
		}
		file, err := newApk(t, arch, name)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := string(readADB(t, file).blocks[0].data), readFile(t, "testdata/"+name+".adb"); got != want {
			t.Errorf("%s: %d bytes are not the %d of apk", name, len(got), len(want))
		}
		files = append(files, stored(t, file))
	}
	index, err := apkIndex(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(readADB(t, index).blocks[0].data); got != readFile(t, "testdata/packages.adb") {
		t.Errorf("the index of %d bytes is not that of apk", len(got))
	}
}

// stored is an apk without compression, and so of a size that no zopfli decides.
func stored(t *testing.T, file []byte) []byte {
	t.Helper()
	data, err := io.ReadAll(flate.NewReader(bytes.NewReader(file[4:])))
	if err != nil {
		t.Fatal(err)
	}
	out := bytes.NewBufferString("ADBd")
	for len(data) > 0 {
		n := min(len(data), 0xffff)
		last := byte(0)
		if n == len(data) {
			last = 1
		}
		out.Write([]byte{last, byte(n), byte(n >> 8), ^byte(n), ^byte(n >> 8)})
		out.Write(data[:n])
		data = data[n:]
	}
	return out.Bytes()
}

func TestApkRepository(t *testing.T) {
	need(t, "zopfli")
	out := t.TempDir()
	publishSamples(t, apkMaker{}, out)
	f := readADB(t, []byte(readFile(t, filepath.Join(out, "packages.adb"))))
	root := f.blocks[0].root(t)
	if f.schema != "indx" || root[2] != "${name}-${version}.${arch}.apk" {
		t.Errorf("schema %q, names %q", f.schema, root[2])
	}
	var names []string
	for _, info := range root[1].([]any) {
		info := info.([]any)
		name := fmt.Sprintf("%s-%s.%s.apk", info[0], info[1], info[4])
		file := readFile(t, filepath.Join(out, name))
		if info[12] != uint64(len(file)) || info[2] != string(sum(readADB(t, []byte(file)).blocks[0].data)) {
			t.Errorf("%s is not what the index says", name)
		}
		names = append(names, name)
	}
	slices.Sort(names) // those of one name are in order of their sums
	same(t, "the index", names, []string{
		"luci-app-sample-1.2.3-r4.noarch.apk", "luci-i18n-sample-de-1.2.3-r4.noarch.apk",
		"sample-1.2.3-r4.aarch64_generic.apk", "sample-1.2.3-r4.x86_64.apk",
	})
	// What is no package is not indexed in silence.
	for name, bad := range map[string]string{"none": "no package", "cut": readFile(t, filepath.Join(out, names[0]))[:200]} {
		if err := os.WriteFile(filepath.Join(out, name+"-1.noarch.apk"), []byte(bad), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := publish(nil, apkMaker{}, out); err == nil {
			t.Errorf("%s is indexed", name)
		}
		os.Remove(filepath.Join(out, name+"-1.noarch.apk"))
	}
}
