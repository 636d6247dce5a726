package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netcombiner/packaging/gitversion"
)

// publishSamples makes a repository of all samples, in a folder.
func publishSamples(t *testing.T, v gitversion.Version, key *signer, folder string) {
	t.Helper()
	if err := publish(samplesOf(t, v), key, folder, io.Discard); err != nil {
		t.Fatal(err)
	}
}

// indexes reads what a repository says of itself, both ways: of each package, as
// text, and the members that came with it.
func indexes(t *testing.T, folder string) (packages []map[string]any, members map[string][]byte) {
	t.Helper()
	members = map[string][]byte{}
	for _, file := range []string{"packagesite.pkg", "data.pkg"} {
		all, err := unpack([]byte(readFile(t, filepath.Join(folder, file))))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			members[e.head.Name] = e.data
		}
	}
	var data struct {
		Packages []map[string]any
	}
	if bytes.Count(members["data"], []byte("\n")) != 1 {
		t.Error("data is not one line, all that pkg reads of it")
	}
	if err := json.Unmarshal(members["data"], &data); err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(members["packagesite.yaml"]) {
		var one map[string]any
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, one)
	}
	if fmt.Sprint(packages) != fmt.Sprint(data.Packages) {
		t.Errorf("packagesite says\n%v\nand data\n%v", packages, data.Packages)
	}
	return packages, members
}

func files(t *testing.T, folder string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// The index lists the packages that are there, with their sizes and sums, and no
// older ones.
func TestRepository(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "FreeBSD:14:amd64")
	older := sampleVersion
	older.Number = "1.2.2"
	publishSamples(t, older, nil, folder)
	publishSamples(t, sampleVersion, nil, folder)
	same(t, "the folder", files(t, folder), []string{
		"data.pkg", "meta.conf", "os-sample-1.2.3_4.pkg", "packagesite.pkg", "pfSense-pkg-sample-1.2.3_4.pkg", "sample-1.2.3_4.pkg",
	})
	if conf := readFile(t, filepath.Join(folder, "meta.conf")); !strings.HasPrefix(conf, "version = 2;\n") {
		t.Errorf("meta.conf is %s", conf)
	}
	listed, members := indexes(t, folder)
	if len(listed) != 3 || len(members) != 2 {
		t.Fatalf("%d packages, %d members", len(listed), len(members))
	}
	for _, p := range listed {
		file := []byte(readFile(t, filepath.Join(folder, fmt.Sprint(p["repopath"]))))
		if p["sum"] != fmt.Sprintf("%x", sha256.Sum256(file)) || p["pkgsize"] != float64(len(file)) || p["path"] != p["repopath"] {
			t.Errorf("%v: sum %v, %v bytes, at %v", p["name"], p["sum"], p["pkgsize"], p["path"])
		}
		r, err := readPackage(file)
		if err != nil {
			t.Error(err)
		}
		for name, value := range r.compact {
			if fmt.Sprint(p[name]) != fmt.Sprint(value) {
				t.Errorf("%v: %s is %v in the index, %v in the package", p["name"], name, p[name], value)
			}
		}
	}
}

// What cannot be made leaves the repository as it was.
func TestRepositoryStaysWhole(t *testing.T) {
	folder := t.TempDir()
	publishSamples(t, sampleVersion, nil, folder)
	before := files(t, folder)
	index := readFile(t, filepath.Join(folder, "data.pkg"))
	newer := sampleVersion
	newer.Number = "1.2.4"
	all := samplesOf(t, newer)
	all[1].Files[0].Name = "/with\x00zero"
	if err := publish(all, nil, folder, io.Discard); err == nil {
		t.Fatal("a package that cannot be is made")
	}
	same(t, "the folder", files(t, folder), before)
	if readFile(t, filepath.Join(folder, "data.pkg")) != index {
		t.Error("there is another index")
	}
}

// newKey is a file with a key that openssl made.
func newKey(t *testing.T, args ...string) string {
	t.Helper()
	need(t, "openssl")
	file := filepath.Join(t.TempDir(), "key.pem")
	if out, err := exec.Command("openssl", append(args, "-out", file)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// openssl verifies what pkg does: the signature of the sum in hex, by a key whose
// own sum the host knows.
func TestSignature(t *testing.T) {
	folder := t.TempDir()
	for _, file := range []string{
		newKey(t, "genrsa", "-traditional"), newKey(t, "genpkey", "-algorithm", "RSA"),
	} {
		key, err := readKey(file)
		if err != nil {
			t.Fatal(err)
		}
		publishSamples(t, sampleVersion, key, folder)
		_, members := indexes(t, folder)
		for _, name := range []string{"data", "packagesite.yaml"} {
			if err := verify(t, members[name], members[name+".sig"], members[name+".pub"]); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if err := verify(t, append(members[name], ' '), members[name+".sig"], members[name+".pub"]); err == nil {
				t.Errorf("another %s is verified", name)
			}
			print := readFile(t, filepath.Join(folder, "netcombiner.fingerprint"))
			if want := fmt.Sprintf("function: sha256\nfingerprint: %x\n", sha256.Sum256(members[name+".pub"])); print != want {
				t.Errorf("the fingerprint is %s, not %s", print, want)
			}
		}
	}
	publishSamples(t, sampleVersion, nil, folder)
	if slices.Contains(files(t, folder), "netcombiner.fingerprint") {
		t.Error("without a key the old fingerprint stays")
	}
	if _, members := indexes(t, folder); len(members) != 2 {
		t.Error("without a key the old signature stays")
	}
}

func verify(t *testing.T, data, signature, public []byte) error {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string][]byte{"sum": fmt.Appendf(nil, "%x", sha256.Sum256(data)), "sig": signature, "pub": public} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	openssl := exec.Command("openssl", "dgst", "-sha256", "-verify", "pub", "-signature", "sig", "sum")
	openssl.Dir = dir
	return openssl.Run()
}

func TestKeysThatAreNone(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"nothing":    "",
		"a text":     "secret\n",
		"elliptic":   string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"damaged":    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"a password": readFile(t, newKey(t, "genpkey", "-algorithm", "RSA", "-aes256", "-pass", "pass:x")),
		"public":     "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
	} {
		file := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readKey(file); err == nil || !strings.Contains(err.Error(), "openssl genrsa") || strings.Contains(err.Error(), "AAAA") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readKey("/nowhere/key.pem"); err == nil {
		t.Error("a key that is not there")
	}
}
