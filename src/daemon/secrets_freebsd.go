package daemon

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Of sys/wait.h and sys/procctl.h.
const (
	pPID             = 0
	procTraceCtl     = 7
	procTraceDisable = 2 // of this program; one that it starts may be traced
)

// ProtectSecrets keeps the key out of core files, and other processes of the
// same user out of our memory (ptrace(2), procstat(1), ktrace(1)). Where the
// system refuses, the tunnel is no worse than without.
func ProtectSecrets() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	how := int32(procTraceDisable)
	_, _, _ = unix.Syscall6(unix.SYS_PROCCTL, pPID, uintptr(unix.Getpid()), procTraceCtl, uintptr(unsafe.Pointer(&how)), 0, 0)
}
