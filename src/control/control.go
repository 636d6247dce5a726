// Package control is the daemon's control socket: one JSON request a line,
// one JSON answer a line, on a Unix socket of mode 0600, and what its clients
// make of the answers.
//
//	{"command":"status"}  →  {"ok":true,"status":{…}}
//	{"command":"down"}    →  {"ok":true}, once all is undone
//	{"command":"set","path":"lte","settings":[{"key":"metric","value":"1"}]}
//	                      →  {"ok":true}, or {"ok":false,"error":"…","invalid":true}
//	{"command":"reload"}  →  {"ok":true,"notes":["…"]}; likewise add and remove
//	{"command":"dance"}   →  {"ok":false,"error":"…"}
package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"netcombiner/src/places"
)

// Dir is where sockets and lock files are. Two portals on one host (in network
// namespaces, say) that have folders of their own may both be called nc0.
var Dir = places.Run()

// StateDir is where tunnels keep what must outlive a reboot.
var StateDir = places.State()

// QuotaPath is where the quotas of an interface's paths are counted.
func QuotaPath(iface string) string { return filepath.Join(StateDir, iface+".quota") }

// SocketPath is the control socket of an interface.
func SocketPath(iface string) string { return filepath.Join(Dir, iface+".sock") }

func lockPath(iface string) string { return filepath.Join(Dir, iface+".lock") }

// Interfaces lists the tunnels that have a control socket, sorted by name. One
// whose daemon was killed may be among them: Dial tells.
func Interfaces() ([]string, error) {
	entries, err := os.ReadDir(Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".sock"); ok && e.Type()&os.ModeSocket != 0 {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Leftovers lists the files of iface here that are there: its socket, its lock.
// When no daemon runs, a killed one has left them.
func Leftovers(iface string) (files []string) {
	for _, path := range []string{SocketPath(iface), lockPath(iface)} {
		if _, err := os.Lstat(path); err == nil {
			files = append(files, path)
		}
	}
	return files
}

// makeDir makes Dir. Everyone may see which tunnels run; what is in it is
// root's alone.
func makeDir() error {
	if err := os.MkdirAll(Dir, 0o755); err != nil {
		if errors.Is(err, os.ErrPermission) {
			return fmt.Errorf("no permission to make %s: run it as root", Dir)
		}
		return err
	}
	return nil
}
