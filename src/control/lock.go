package control

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Lock keeps a second daemon off an interface: flock(2) on a file that holds
// the daemon's process id. It belongs to the open file, so it can be handed to
// a child process, and ends with the last process that has it, killed or not.
type Lock struct {
	file *os.File
	path string
}

// patience is how long AcquireLock waits for a process that is just dying:
// kill(1) returns before its victim has let go.
const patience = 300 * time.Millisecond

// ErrRuns says that another process runs the interface.
var ErrRuns = errors.New("it runs already")

// AcquireLock makes this process the only one that runs iface. Where another
// one does, the error wraps ErrRuns.
func AcquireLock(iface string) (*Lock, error) {
	if err := makeDir(); err != nil {
		return nil, err
	}
	path := lockPath(iface)
	for deadline := time.Now().Add(patience); ; time.Sleep(patience / 10) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			if errors.Is(err, os.ErrPermission) {
				return nil, fmt.Errorf("no permission for %s: run it as root", path)
			}
			return nil, err
		}
		l := &Lock{f, path}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && l.current() {
			l.writePID()
			return l, nil
		}
		if time.Now().After(deadline) {
			defer f.Close()
			if err != nil && !errors.Is(err, unix.EWOULDBLOCK) {
				return nil, fmt.Errorf("locking %s: %w", path, err)
			}
			return nil, fmt.Errorf("%w%s; \"netcombiner down %s\" stops it", ErrRuns, l.holder(), iface)
		}
		f.Close()
	}
}

// AdoptLock takes over the file of a lock that the parent process acquired.
func AdoptLock(f *os.File, iface string) (*Lock, error) {
	l := &Lock{f, lockPath(iface)}
	if !l.current() {
		return nil, fmt.Errorf("the lock handed over is not %s", l.path)
	}
	l.writePID()
	return l, nil
}

// Locked says whether iface is a tunnel's: one that runs, or was killed.
func Locked(iface string) bool {
	_, err := os.Lstat(lockPath(iface))
	return err == nil
}

// File is the locked file, for a child process to inherit.
func (l *Lock) File() *os.File { return l.file }

// Leave closes the file and leaves the lock to the child that inherited it.
func (l *Lock) Leave() error { return l.file.Close() }

// Release removes the file and ends the lock, also for a child or parent that
// shares it.
func (l *Lock) Release() error {
	// Only while it is still ours: the other process may have been here first,
	// and a new daemon after it.
	if l.current() {
		if err := os.Remove(l.path); err != nil {
			return err
		}
	}
	return l.file.Close()
}

// current says whether path still is the file that we hold.
func (l *Lock) current() bool {
	ours, err := l.file.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(l.path)
	return err == nil && os.SameFile(ours, there)
}

// writePID notes whose the lock is, for people. It is held all the same where the
// disk is full: "netcombiner down" must clean up there, too.
func (l *Lock) writePID() {
	if l.file.Truncate(0) == nil {
		_, _ = l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
}

// holder is " (process 123)", as far as the file tells.
func (l *Lock) holder() string {
	text := make([]byte, 16)
	n, err := l.file.ReadAt(text, 0)
	if err != nil && err != io.EOF {
		return ""
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(text[:n])))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(" (process %d)", pid)
}
