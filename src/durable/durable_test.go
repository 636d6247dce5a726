package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteReplaces(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, text := range []string{"old and long", "new"} {
		if err := Write(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); string(b) != text {
			t.Errorf("the file holds %q, not %q", b, text)
		}
	}
	info, _ := os.Stat(path)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", info.Mode())
	}
	if _, err := os.Lstat(path + ".new"); err == nil {
		t.Error("the new file was left behind")
	}
}

// Somebody who opened a half-written file of before does not read what comes now.
func TestWriteUsesAFileNobodyHas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path+".new", []byte("half"), 0o666); err != nil {
		t.Fatal(err)
	}
	spy, err := os.Open(path + ".new")
	if err != nil {
		t.Fatal(err)
	}
	defer spy.Close()
	if err := Write(path, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 10)
	if n, _ := spy.Read(b); string(b[:n]) != "half" {
		t.Errorf("it could read %q", b[:n])
	}
}

func TestAFailedWriteKeepsTheOld(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	// A folder that is not empty stands where the new one has to be made.
	if err := os.MkdirAll(filepath.Join(path+".new", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("new"), 0o600); err == nil {
		t.Error("no error")
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Errorf("the file holds %q", b)
	}
}
