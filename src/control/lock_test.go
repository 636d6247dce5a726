package control

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSecondLockIsRefused(t *testing.T) {
	inTempDir(t)
	first, err := AcquireLock("nc0")
	if err != nil {
		t.Fatal(err)
	}
	_, err = AcquireLock("nc0")
	if want := fmt.Sprintf("it runs already (process %d); \"netcombiner down nc0\" stops it", os.Getpid()); err == nil || err.Error() != want {
		t.Errorf("second lock: %v, want %s", err, want)
	}
	other, err := AcquireLock("nc1")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Lock{first, other} {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(lockPath("nc0")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock file is left: %v", err)
	}
	again, err := AcquireLock("nc0")
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Release()
}

// Of many that start at once exactly one gets the lock, over and over.
func TestLockRace(t *testing.T) {
	inTempDir(t)
	for range 3 {
		var mu sync.Mutex
		var held []*Lock
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if l, err := AcquireLock("nc0"); err == nil {
					mu.Lock()
					held = append(held, l)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		if len(held) != 1 {
			t.Fatalf("%d hold the lock", len(held))
		}
		if err := held[0].Release(); err != nil {
			t.Fatal(err)
		}
	}
}

// A lock on which nobody can write whose it is holds all the same: on a full disk, say.
func TestLockWithoutRoom(t *testing.T) {
	inTempDir(t)
	parents, err := AcquireLock("nc0")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(parents.path) // for reading
	if err != nil {
		t.Fatal(err)
	}
	childs, err := AdoptLock(f, "nc0")
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Lock{childs, parents} {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
}

// A lock that changed hands is not taken away by its former holder.
func TestReleaseSparesASuccessor(t *testing.T) {
	inTempDir(t)
	first, err := AcquireLock("nc0")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(first.path); err != nil { // as its child's Release does
		t.Fatal(err)
	}
	second, err := AcquireLock("nc0")
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Release(); err != nil {
		t.Error(err)
	}
	if !second.current() {
		t.Error("the successor's file was removed")
	}
	_ = second.Release()
}

func TestLockDiesWithItsHolder(t *testing.T) {
	inTempDir(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "LOCK_AND_WAIT=nc0", "NETCOMBINER_RUN_DIR="+Dir)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "locked\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if _, err := AcquireLock("nc0"); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(process %d)", cmd.Process.Pid)) {
		t.Errorf("beside a living holder: %v", err)
	}
	// No Wait before the next start: it is patient with a dying holder.
	_ = cmd.Process.Kill()
	l, err := AcquireLock("nc0")
	if err != nil {
		t.Errorf("after kill -9: %v", err)
	} else {
		_ = l.Release()
	}
	_ = cmd.Wait()
}

// A lock handed to another process stays when the first one leaves it.
func TestLockIsHandedOver(t *testing.T) {
	inTempDir(t)
	parent, err := AcquireLock("nc0")
	if err != nil {
		t.Fatal(err)
	}
	inherited := dup(t, parent.File())
	child, err := AdoptLock(inherited, "nc0")
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Leave(); err != nil {
		t.Fatal(err)
	}
	if _, err := AcquireLock("nc0"); err == nil {
		t.Error("the lock went with the parent")
	}
	if err := child.Release(); err != nil {
		t.Error(err)
	}
	if _, err := AdoptLock(inherited, "nc0"); err == nil {
		t.Error("a closed file was adopted")
	}
}

// dup makes a second file of the same open file, as a child inherits it.
func dup(t *testing.T, f *os.File) *os.File {
	t.Helper()
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), f.Name())
}
