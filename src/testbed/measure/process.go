//go:build linux

package measure

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Ran is what the threads of a process have done so far.
type Ran struct {
	For   time.Duration // on a processor, its own work and the kernel's for it, to the nanosecond
	Times int64         // they were put on a processor: how often something woke them, or nearly
}

// RanSoFar is what a process has done; nothing if it does not run. Threads that
// have ended are not in it.
func RanSoFar(pid int) (r Ran) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, file := range files {
		text, _ := os.ReadFile(file)
		var ran, waited, times int64
		if n, _ := fmt.Sscan(string(text), &ran, &waited, &times); n == 3 {
			r.For += time.Duration(ran)
			r.Times += times
		}
	}
	return r
}

// Share is the memory that a process holds, in bytes: Pss counts a page that it shares with n
// others, such as one of the program's own text, as 1/n; Rss counts all.
func Share(pid int) (pss, rss int64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(text)) {
		var kilobytes int64
		if n, _ := fmt.Sscanf(line, "Pss: %d kB", &kilobytes); n == 1 {
			pss = kilobytes << 10
		}
		if n, _ := fmt.Sscanf(line, "Rss: %d kB", &kilobytes); n == 1 {
			rss = kilobytes << 10
		}
	}
	return pss, rss
}
