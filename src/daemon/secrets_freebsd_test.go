package daemon

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The kernel itself says that nobody may trace us, and that no core file is written.
func TestSecretsAreProtected(t *testing.T) {
	const procTraceStatus, disabled = 8, -1
	status := func() (n int32) {
		_, _, errno := unix.Syscall6(unix.SYS_PROCCTL, pPID, uintptr(unix.Getpid()), procTraceStatus, uintptr(unsafe.Pointer(&n)), 0, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		return n
	}
	if before := status(); before == disabled {
		t.Skip("somebody has protected this process already")
	}
	ProtectSecrets()
	if n := status(); n != disabled {
		t.Errorf("traceable: %d", n)
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &limit); err != nil || limit.Cur != 0 || limit.Max != 0 {
		t.Errorf("core files of %d bytes, %v", limit.Cur, err)
	}
}
