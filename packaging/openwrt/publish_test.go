package main

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// failing makes all packages but one.
type failing struct{ ipkMaker }

func (f failing) make(p *Package) ([]byte, error) {
	if p.Name == "luci-i18n-sample-de" {
		return nil, errors.New("no room")
	}
	return f.ipkMaker.make(p)
}

// A feed that is served stays whole while the next one fails.
func TestFailureLeavesTheFeed(t *testing.T) {
	need(t, "zopfli")
	out := t.TempDir()
	publishSamples(t, ipkMaker{}, out)
	before, err := readAll(filepath.Join(out, "*"))
	if err != nil {
		t.Fatal(err)
	}
	all := samples(t, anyArch)
	newer := []*Package{all["luci-app-sample"], all["luci-i18n-sample-de"]}
	for _, p := range newer {
		p.Version = "1.2.4-r1"
	}
	if err := publish(newer, failing{}, out); err == nil || !strings.Contains(err.Error(), "luci-i18n-sample-de: no room") {
		t.Errorf("what cannot be made: %v", err)
	}
	// What is no package, and is not to be indexed.
	if err := os.WriteFile(filepath.Join(out, "broken.ipk"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := publish(newer, ipkMaker{}, out); err == nil || !strings.Contains(err.Error(), "broken.ipk") {
		t.Errorf("what cannot be indexed: %v", err)
	}
	if err := os.Remove(filepath.Join(out, "broken.ipk")); err != nil {
		t.Fatal(err)
	}
	if after, err := readAll(filepath.Join(out, "*")); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("the feed is another: %v, %q", err, slices.Sorted(maps.Keys(after)))
	}
}

// Who reads a feed while it is made anew reads the old or the new one.
func TestFeedIsReplacedWhole(t *testing.T) {
	need(t, "zopfli")
	m, err := newIpkMaker(newUsignKey(t))
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	sample := samples(t, "x86_64")["sample"]
	remake := func(version string) error {
		sample.Version = version
		return publish([]*Package{sample}, m, out)
	}
	if err := remake("1-r1"); err != nil {
		t.Fatal(err)
	}
	served := map[string]*os.File{}
	for _, name := range []string{"Packages", "Packages.gz", "Packages.sig", "key.pub", "sample_1-r1_x86_64.ipk"} {
		file, err := os.Open(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		served[name] = file
	}
	before, err := readAll(filepath.Join(out, "*"))
	if err != nil {
		t.Fatal(err)
	}
	sample.Description = "of the same name and version, and another"
	for _, version := range []string{"1-r1", "1-r2"} {
		if err := remake(version); err != nil {
			t.Fatal(err)
		}
	}
	for name, file := range served {
		if got, err := io.ReadAll(file); err != nil || string(got) != string(before[name]) {
			t.Errorf("%s changed while it was read: %v", name, err)
		}
	}
	after, err := readAll(filepath.Join(out, "*"))
	if err != nil || len(after) != len(before) || after["sample_1-r2_x86_64.ipk"] == nil {
		t.Errorf("the folder has %q: %v", slices.Sorted(maps.Keys(after)), err)
	}

	// It ends half way: what either index names is there.
	sig := filepath.Join(out, "Packages.gz")
	if err := errors.Join(os.Remove(sig), os.MkdirAll(filepath.Join(sig, "in the way"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := remake("1-r3"); err == nil {
		t.Error("a folder was replaced by a file")
	}
	for _, index := range []string{string(after["Packages"]), readFile(t, filepath.Join(out, "Packages"))} {
		name := regexp.MustCompile(`(?m)^Filename: (.*)$`).FindStringSubmatch(index)
		if _, err := os.Stat(filepath.Join(out, name[1])); err != nil {
			t.Error(err)
		}
	}
	if beside, _ := filepath.Glob(filepath.Join(out, ".new*")); len(beside) > 0 {
		t.Errorf("left behind: %q", beside)
	}
}
