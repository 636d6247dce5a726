//go:build linux

package measure

import (
	"fmt"
	"os"
	"strings"
)

// Memory is a field of a process's status in /proc that says how much of the host's
// memory it holds (VmRSS) or held at most (VmHWM), in bytes; 0 if it does not run.
func Memory(pid int, field string) int64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, field+": %d kB", &kilobytes); n == 1 {
			return kilobytes << 10
		}
	}
	return 0
}
