package durable

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk: the file stays the old one, whole, and nothing is left that takes room.
func TestAFullDiskKeepsTheOld(t *testing.T) {
	path := filepath.Join(smallDisk(t), "file")
	if err := Write(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, bytes.Repeat([]byte("x"), 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("writing to a full disk: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "old" {
		t.Errorf("the file holds %q", b)
	}
	if err := Write(path, []byte("new"), 0o600); err != nil {
		t.Errorf("the failed write left no room: %v", err)
	}
}

// A disk that is mounted for reading says so once.
func TestAReadOnlyDisk(t *testing.T) {
	dir := smallDisk(t)
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	err := Write(filepath.Join(dir, "file"), []byte("text"), 0o600)
	if !errors.Is(err, unix.EROFS) || strings.Count(err.Error(), dir) != 1 {
		t.Errorf("%v", err)
	}
}

// smallDisk mounts one of some pages, which only this test's thread sees.
func smallDisk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	runtime.LockOSThread() // and never back: the thread ends with the test, and the mount with it
	if err := errors.Join(unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS), unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}
