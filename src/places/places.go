// Package places knows where things are on this host: each system has its own
// customs, FreeBSD's in hier(7).
package places

import (
	"os"
	"path/filepath"
	"runtime"
)

const freebsd = runtime.GOOS == "freebsd"

// Config is the folder of the configurations, IFACE.conf.
var Config = config(freebsd)

func config(freebsd bool) string {
	if freebsd {
		return "/usr/local/etc/netcombiner"
	}
	return "/etc/netcombiner"
}

// Run is the folder of sockets and lock files, which a reboot empties. The
// environment variable NETCOMBINER_RUN_DIR moves it.
func Run() string {
	if dir := os.Getenv("NETCOMBINER_RUN_DIR"); dir != "" {
		return dir
	}
	return "/var/run/netcombiner"
}

// State is the folder of what must outlive a reboot. The environment variable
// NETCOMBINER_STATE_DIR moves it.
func State() string {
	if dir := os.Getenv("NETCOMBINER_STATE_DIR"); dir != "" {
		return dir
	}
	varDir, err := filepath.EvalSymlinks("/var")
	return state(freebsd, err == nil && varDir == "/tmp")
}

func state(freebsd, volatile bool) string {
	switch {
	case freebsd:
		return "/var/db/netcombiner"
	case volatile:
		return "/etc/netcombiner" // OpenWrt: what is in /var is in memory
	}
	return "/var/lib/netcombiner"
}
