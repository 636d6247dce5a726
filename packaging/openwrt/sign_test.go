package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func withUmask(mask int, do func()) {
	defer syscall.Umask(syscall.Umask(mask))
	do()
}

// newUsignKey is a secret key that OpenBSD's signify made.
func newUsignKey(t *testing.T) []byte {
	t.Helper()
	need(t, "signify-openbsd")
	secret := filepath.Join(t.TempDir(), "key.sec")
	if out, err := exec.Command("signify-openbsd", "-G", "-n", "-p", filepath.Join(t.TempDir(), "key.pub"), "-s", secret).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return []byte(readFile(t, secret))
}

func pemOf(t *testing.T, kind string, der []byte, err error) []byte {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// ecKey is an elliptic key as openssl ecparam -genkey writes it, with its parameters before it.
func ecKey(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	return append(pemOf(t, "EC PARAMETERS", []byte("\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"), nil), pemOf(t, "EC PRIVATE KEY", der, err)...)
}

func TestSignifyVerifiesTheIndex(t *testing.T) {
	need(t, "zopfli")
	m, err := newIpkMaker(newUsignKey(t))
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	publishSamples(t, m, out)
	verify := func() (string, error) {
		command := exec.Command("signify-openbsd", "-V", "-p", "key.pub", "-m", "Packages", "-x", "Packages.sig")
		command.Dir = out
		said, err := command.CombinedOutput()
		return string(said), err
	}
	if said, err := verify(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	index := filepath.Join(out, "Packages")
	if err := os.WriteFile(index, []byte(strings.Replace(readFile(t, index), "Size: ", "Size: 1", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if said, err := verify(); err == nil {
		t.Errorf("another index is verified: %s", said)
	}
	// A signature of what was here before is none of what is here now.
	publishSamples(t, ipkMaker{}, out)
	if _, err := os.Stat(filepath.Join(out, "Packages.sig")); err == nil {
		t.Error("without a key the old signature stays")
	}
}

func TestKeysThatAreNone(t *testing.T) {
	good := newUsignKey(t)
	lines := strings.SplitAfter(string(good), "\n")
	for name, bad := range map[string]string{
		"nothing":      "",
		"no comment":   lines[1],
		"cut short":    lines[0] + lines[1][:40] + "\n",
		"another byte": lines[0] + strings.Replace(lines[1], lines[1][60:64], "abcd", 1),
		"a password":   lines[0] + lines[1][:4] + "SwAAACo" + lines[1][11:],
		"of apk":       string(ecKey(t)),
	} {
		if _, err := newIpkMaker([]byte(bad)); err == nil {
			t.Errorf("%s is taken for a key of usign", name)
		}
	}
	for name, bad := range map[string]string{"nothing": "", "of usign": string(good), "damaged": "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"} {
		if _, err := newApkMaker([]byte(bad)); err == nil {
			t.Errorf("%s is taken for a key of apk", name)
		}
	}
}

// openssl verifies what apk would: its version, hash and key before the sum.
func TestApkSignature(t *testing.T) {
	need(t, "openssl")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	for name, text := range map[string][]byte{"elliptic": ecKey(t), "RSA": pemOf(t, "PRIVATE KEY", pkcs8, err)} {
		m, err := newApkMaker(text)
		if err != nil {
			t.Fatal(err)
		}
		data, err := apk(samples(t, "x86_64")["sample"], m.key)
		if err != nil {
			t.Fatal(err)
		}
		blocks := readADB(t, data).blocks
		if len(blocks) < 2 || blocks[1].kind != 1 || !bytes.Equal(blocks[1].data[:2], []byte{0, 4}) {
			t.Fatalf("%s: no signature after the database", name)
		}
		dir := t.TempDir()
		public, err := m.key.public()
		if err != nil {
			t.Fatal(err)
		}
		sum := exec.Command("openssl", "dgst", "-sha512", "-binary")
		sum.Stdin = bytes.NewReader(blocks[0].data)
		digest, err := sum.Output()
		if err != nil {
			t.Fatal(err)
		}
		for file, text := range map[string][]byte{"key.pem": public, "sig": blocks[1].data[18:]} {
			if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		verify := exec.Command("openssl", "dgst", "-sha512", "-verify", "key.pem", "-signature", "sig")
		verify.Dir, verify.Stdin = dir, bytes.NewReader(append(append([]byte("pckg"), blocks[1].data[:18]...), digest...))
		if out, err := verify.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		// The number of a key is the sum of its public half, in the form of its kind.
		id := exec.Command("sh", "-c", map[string]string{
			"RSA":      "openssl rsa -pubin -in key.pem -RSAPublicKey_out -outform DER",
			"elliptic": "openssl pkey -pubin -in key.pem -outform DER | tail -c 65",
		}[name]+" 2>/dev/null | openssl dgst -sha512 -binary | head -c 16")
		id.Dir = dir
		if want, err := id.Output(); err != nil || !bytes.Equal(want, blocks[1].data[2:18]) {
			t.Errorf("%s: the key's number is %x, not %x: %v", name, blocks[1].data[2:18], want, err)
		}
	}
}
