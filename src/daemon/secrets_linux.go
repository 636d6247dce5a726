package daemon

import "golang.org/x/sys/unix"

// ProtectSecrets keeps the key out of core files, and other processes of the
// same user out of our memory (ptrace, /proc/PID/mem). Where the system
// refuses, the tunnel is no worse than without.
func ProtectSecrets() {
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	// The limit does not bind a core_pattern that is a pipe; this does.
	_ = unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)
}
