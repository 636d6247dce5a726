//go:build profile

package main

import (
	"fmt"
	"os"
	"runtime/pprof"
)

// profile writes where the processor's time goes, from now to stop, into the file that the
// environment names: for `go tool pprof`. No release has this.
func profile() (stop func()) {
	name := os.Getenv("NETCOMBINER_CPUPROFILE")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(name)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "netcombiner: no profile:", err)
		return func() {}
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}
}
