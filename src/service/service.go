// Package service makes tunnels services of the host: started at boot, kept
// running, stopped at shutdown. It is for hosts without a package of
// netcombiner, and installs the very files that the packages do (netcombiner/init).
//
// Words: a manager is what runs a host's services: systemd, OpenRC, SysV init
// or FreeBSD's rc(8). A tunnel's service is its instance of the one service file.
//
// There is no library here: github.com/kardianos/service would add 390 KB to
// the daemon, and would write unit files of its own.
package service

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	initfiles "netcombiner/init"
	"netcombiner/src/durable"
)

// Host is where services are installed.
type Host struct {
	Root    string // stands for /, in tests; else empty
	Program string // the path of netcombiner, absolute
	// Run runs a command. Its error holds what the command has said.
	Run func(name string, args ...string) error
}

// This is the host that we run on.
func This() (Host, error) {
	program, err := os.Executable()
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	return Host{Program: program, Run: run}, err
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err == nil {
		return nil
	}
	words := strings.Join(append([]string{filepath.Base(name)}, args...), " ")
	if said := strings.TrimSpace(string(out)); said != "" {
		return fmt.Errorf("%s: %s (%w)", words, said, err)
	}
	return fmt.Errorf("%s: %w", words, err)
}

// Service is the service of one tunnel on a host.
type Service struct {
	Interface string
	Manager   string // which one runs it, for people

	host    Host
	file    string // the service file that we write
	text    string // and what is in it
	mode    os.FileMode
	vendor  []string // where a package has its own: then we write none
	own     bool     // the file is for this tunnel alone
	rotate  string   // what shortens its log; none where empty
	link    string   // to the file of all, by the tunnel's name; none where empty
	enabled string   // a pattern of what shows that a tunnel starts at boot…
	listed  command  // …or, where no file does, what succeeds then
	shared  command  // and what succeeds where another one does

	reread, enable, disable, forget, start, stop, probe command // nil: not needed; forget follows the last one's disable
}

type command []string

// errUnknown says that no known manager runs this host's services.
var errUnknown = errors.New("neither systemd nor OpenRC nor SysV init nor FreeBSD's rc runs this host's services")

// Find returns the service of iface, which need not be installed, under the
// manager that runs this host.
func (h Host) Find(iface string) (*Service, error) {
	if runtime.GOOS == "freebsd" {
		return h.freeBSD(iface)
	}
	switch {
	case h.has("/run/systemd/system"): // as sd_booted(3) finds out
		return h.systemd(iface), nil
	case h.has("/run/openrc"):
		return h.openRC(iface), nil
	case h.has("/etc/openwrt_release"):
		return nil, fmt.Errorf("%w: on OpenWrt procd runs what /etc/config/netcombiner says, if its package is installed: LuCI, Services, Netcombiner", errUnknown)
	case h.has("/etc/init.d") && h.has("/etc/rc2.d"):
		return h.sysV(iface), nil
	}
	return nil, fmt.Errorf("%w: let what does run \"netcombiner -f %s\"", errUnknown, iface)
}

func (h Host) systemd(iface string) *Service {
	unit := "netcombiner@" + iface + ".service"
	return &Service{
		Manager: "systemd", host: h, Interface: iface,
		file: "/etc/systemd/system/netcombiner@.service", text: initfiles.Systemd, mode: 0o644,
		vendor:  []string{"/usr/lib/systemd/system/netcombiner@.service", "/lib/systemd/system/netcombiner@.service"},
		enabled: "/etc/systemd/system/*.wants/netcombiner@%s.service",
		reread:  command{"systemctl", "daemon-reload"},
		enable:  command{"systemctl", "--quiet", "enable", unit},
		disable: command{"systemctl", "--quiet", "disable", unit},
		start:   command{"systemctl", "start", unit},
		stop:    command{"systemctl", "stop", unit},
		probe:   command{"systemctl", "--quiet", "is-active", unit},
	}
}

func (h Host) openRC(iface string) *Service {
	name := "netcombiner." + iface
	s := &Service{
		Manager: "OpenRC", host: h, Interface: iface,
		file: "/etc/init.d/netcombiner", text: initfiles.OpenRC, mode: 0o755,
		link: "/etc/init.d/" + name, enabled: "/etc/runlevels/*/netcombiner.%s",
		enable:  command{"rc-update", "--quiet", "add", name, "default"},
		disable: command{"rc-update", "--quiet", "del", name, "default"},
		start:   command{"rc-service", name, "start"},
		stop:    command{"rc-service", "--ifstarted", name, "stop"},
		probe:   command{"rc-service", "--quiet", name, "status"},
	}
	if h.has("/etc/logrotate.d") {
		s.rotate = "/etc/logrotate.d/netcombiner"
	}
	return s
}

// sysV enables by update-rc.d (Debian) or chkconfig (the others). Each tunnel
// has a script of its own, since insserv wants each to provide something else.
func (h Host) sysV(iface string) *Service {
	name := "netcombiner." + iface
	const provides = "# Provides:          netcombiner"
	s := &Service{
		Manager: "SysV init", host: h, Interface: iface,
		file: "/etc/init.d/" + name, text: strings.Replace(initfiles.SysV, provides, provides+"."+iface, 1), mode: 0o755,
		own: true, enabled: "/etc/rc[2-5].d/S[0-9][0-9]netcombiner.%s",
		enable:  command{"update-rc.d", name, "defaults"},
		disable: command{"update-rc.d", "-f", name, "remove"},
	}
	if !h.has("/usr/sbin/update-rc.d") {
		s.enable, s.disable = command{"chkconfig", "--add", name}, command{"chkconfig", "--del", name}
	}
	script := h.path(s.file)
	s.start, s.stop, s.probe = command{script, "start"}, command{script, "stop"}, command{script, "status"}
	return s
}

// hidden are directories that the sandbox of the systemd unit hides.
var hidden = []string{"/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/"}

// Install makes the tunnel a service that starts at boot, not now. It may be
// installed already.
func (s *Service) Install() error {
	for _, dir := range hidden {
		if strings.HasPrefix(s.host.Program, dir) {
			return fmt.Errorf("%s is no place for a service's program: copy it to /usr/local/sbin, and run that", s.host.Program)
		}
	}
	if !s.packaged() {
		if err := s.write(); err != nil {
			return err
		}
	}
	if s.rotate != "" && !s.host.has(s.rotate) {
		if err := durable.Write(s.host.path(s.rotate), []byte(initfiles.Logrotate), 0o644); err != nil {
			return err
		}
	}
	if s.link != "" {
		err := os.Symlink(filepath.Base(s.file), s.host.path(s.link))
		if err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return s.all(s.reread, s.enable)
}

// write puts the service file in its place. One that differs was edited, or
// comes from another version: it stays, as FILE.old.
func (s *Service) write() error {
	path, text := s.host.path(s.file), []byte(strings.ReplaceAll(s.text, initfiles.Program, s.host.Program))
	old, err := os.ReadFile(path)
	switch {
	case err == nil && bytes.Equal(old, text):
		return nil
	case err == nil:
		err = durable.Write(path+".old", old, 0o644)
	case errors.Is(err, os.ErrNotExist):
		err = nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { // FreeBSD has none before its first package
		return err
	}
	return durable.Write(path, text, s.mode)
}

// Uninstall stops the tunnel, and undoes what Install did. The service file
// stays as long as another tunnel needs it, too.
func (s *Service) Uninstall() error {
	if !s.Installed() {
		return fmt.Errorf("it is no service of %s", s.Manager)
	}
	if err := s.all(s.stop, s.disable); err != nil {
		return err
	}
	if s.link != "" {
		if err := durable.Remove(s.host.path(s.link)); err != nil {
			return err
		}
	}
	last := s.own || !s.isShared()
	if last {
		if err := s.all(s.forget); err != nil {
			return err
		}
	}
	if last && !s.packaged() {
		files := []string{s.file, s.file + ".old"}
		if s.rotate != "" {
			files = append(files, s.rotate)
		}
		for _, file := range files {
			if err := durable.Remove(s.host.path(file)); err != nil {
				return err
			}
		}
	}
	return s.all(s.reread)
}

// Installed says that the tunnel starts at boot.
func (s *Service) Installed() bool {
	if s.listed != nil {
		return s.all(s.listed) == nil
	}
	return len(s.find(s.Interface)) > 0
}

// isShared says that another tunnel starts at boot, too.
func (s *Service) isShared() bool {
	if s.shared != nil {
		return s.all(s.shared) == nil
	}
	return len(s.others()) > 0
}

// Start starts the installed tunnel, and returns when it runs.
func (s *Service) Start() error {
	if !s.Installed() {
		return fmt.Errorf("it is no service yet: netcombiner service install %s", s.Interface)
	}
	return s.all(s.start)
}

// Stop stops the tunnel until the next boot. It need not be running.
func (s *Service) Stop() error {
	if !s.Installed() {
		return fmt.Errorf("it is no service of %s", s.Manager)
	}
	return s.all(s.stop)
}

// Running says that the manager runs the tunnel.
func (s *Service) Running() bool { return s.Installed() && s.all(s.probe) == nil }

// packaged says that a package brought the service file.
func (s *Service) packaged() bool {
	for _, file := range s.vendor {
		if s.host.has(file) {
			return true
		}
	}
	return false
}

// others are the traces of other tunnels that start at boot.
func (s *Service) others() (traces []string) {
	for _, trace := range s.find("*") {
		if of, _ := filepath.Match(s.host.path(fmt.Sprintf(s.enabled, s.Interface)), trace); !of {
			traces = append(traces, trace)
		}
	}
	return traces
}

func (s *Service) find(iface string) []string {
	traces, _ := filepath.Glob(s.host.path(fmt.Sprintf(s.enabled, iface)))
	return traces
}

func (s *Service) all(commands ...command) error {
	for _, c := range commands {
		if len(c) == 0 {
			continue
		}
		if err := s.host.Run(c[0], c[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func (h Host) path(name string) string { return h.Root + name }

func (h Host) has(name string) bool {
	_, err := os.Stat(h.path(name))
	return err == nil
}
