package daemon

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/control"
)

// leave makes the files that a killed daemon of nc0 leaves.
func leave(t *testing.T) (socket, lock string) {
	t.Helper()
	socket = control.SocketPath("nc0")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	lock = strings.TrimSuffix(socket, "sock") + "lock"
	if err := os.WriteFile(lock, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return socket, lock
}

func TestCleanUpAfterKill(t *testing.T) {
	h := &host{left: []string{"ip rule del pref 19"}}
	o := options(t, h)
	socket, lock := leave(t)
	undone, err := CleanUp("nc0", o.System)
	if want := []string{"ip rule del pref 19", "rm " + socket, "rm " + lock}; err != nil || !slices.Equal(undone, want) {
		t.Errorf("undone %q, %v, want %q", undone, err, want)
	}
	checkNothingLeft(t)

	h.left = nil
	if undone, err := CleanUp("nc0", o.System); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("the second time: %q, %v", undone, err)
	}
	checkNothingLeft(t)
	os.Remove(control.Dir)
	if _, err := CleanUp("nc0", o.System); !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("without a folder: %v", err)
	}
	if _, err := os.Stat(control.Dir); err == nil {
		t.Error("it made a folder for nothing")
	}
}

// What cannot be undone is told, and stays for the next try.
func TestFailedCleanUp(t *testing.T) {
	h := &host{fail: "clean up"}
	o := options(t, h)
	socket, _ := leave(t)
	if _, err := CleanUp("nc0", o.System); err == nil || err.Error() != "cleaning up after the last run: clean up does not work" {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(socket); err != nil {
		t.Errorf("nothing is left to show that there is something to undo: %v", err)
	}
	h.fail = ""
	if undone, err := CleanUp("nc0", o.System); err != nil || !slices.Equal(undone, []string{"rm " + socket}) {
		t.Errorf("then: %q, %v", undone, err)
	}
}

// A daemon that holds the lock and has no socket yet is none to clean up after.
func TestCleanUpLeavesOneThatStarts(t *testing.T) {
	h := &host{}
	o := options(t, h)
	lock, err := control.AcquireLock("nc0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := CleanUp("nc0", o.System); err == nil || !strings.Contains(err.Error(), "just starting or stopping") {
		t.Errorf("error %v", err)
	}
	if got := h.steps(); len(got) > 0 {
		t.Errorf("it did %q", got)
	}
	if err := lock.Release(); err != nil {
		t.Errorf("the lock was disturbed: %v", err)
	}
}
