package service

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	initfiles "netcombiner/init"
)

// double is a host in a folder, whose service manager enables by files, as the
// real ones do, and runs nothing.
type double struct {
	Host
	t      *testing.T
	ran    []string
	rcConf map[string]string // what sysrc has written
}

func newDouble(t *testing.T, directories ...string) *double {
	d := &double{t: t, rcConf: map[string]string{}}
	d.Host = Host{Root: t.TempDir(), Program: "/opt/netcombiner", Run: d.run}
	for _, dir := range append(directories, "/etc/systemd/system/multi-user.target.wants", "/etc/init.d", "/etc/runlevels/default") {
		if err := os.MkdirAll(d.path(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// enabling and disabling are how commands begin that make, and take away, the trace
// of a service that starts at boot; the service's name follows.
var (
	enabling = map[string]string{
		"systemctl --quiet enable ": "/etc/systemd/system/multi-user.target.wants/",
		"rc-update --quiet add ":    "/etc/runlevels/default/",
		"update-rc.d netcombiner":   "/etc/rc2.d/S01netcombiner",
		"chkconfig --add ":          "/etc/rc3.d/S01",
	}
	disabling = map[string]string{
		"systemctl --quiet disable ": "/etc/systemd/system/multi-user.target.wants/",
		"rc-update --quiet del ":     "/etc/runlevels/default/",
		"update-rc.d -f ":            "/etc/rc2.d/S01",
		"chkconfig --del ":           "/etc/rc3.d/S01",
	}
)

func (d *double) run(name string, args ...string) error {
	if name == "/bin/sh" {
		return d.shell(args)
	}
	if name == "sysrc" {
		d.sysrc(args)
	}
	line := strings.TrimPrefix(strings.Join(append([]string{name}, args...), " "), d.Root)
	d.ran = append(d.ran, line)
	trace := func(of map[string]string) string {
		for begin, place := range of {
			if rest, ok := strings.CutPrefix(line, begin); ok {
				service, _, _ := strings.Cut(rest, " ")
				return d.path(place + service)
			}
		}
		return ""
	}
	if made := trace(enabling); made != "" {
		return os.WriteFile(made, nil, 0o600)
	}
	if gone := trace(disabling); gone != "" {
		return os.Remove(gone)
	}
	return nil
}

// sysrc is what sysrc(8) does to lists, and the rest.
func (d *double) sysrc(args []string) {
	if args[0] == "-x" {
		for _, name := range args[1:] {
			delete(d.rcConf, name)
		}
		return
	}
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		list, add := strings.CutSuffix(name, "+")
		if add && !slices.Contains(strings.Fields(d.rcConf[list]), value) {
			d.rcConf[list] += " " + value
		}
		if list, remove := strings.CutSuffix(name, "-"); remove {
			d.rcConf[list] = strings.Join(slices.DeleteFunc(strings.Fields(d.rcConf[list]), func(w string) bool { return w == value }), " ")
		} else if !add {
			d.rcConf[name] = value
		}
	}
}

// shell runs a question to sysrc by a real shell.
func (d *double) shell(args []string) error {
	const sysrc = `sysrc() { case $2 in netcombiner_enable) echo "$ENABLE" ;; netcombiner_interfaces) echo "$LIST" ;; *) exit 9 ;; esac; }` + "\n"
	cmd := exec.Command("/bin/sh", "-c", sysrc+args[1], args[2])
	cmd.Env = append(os.Environ(), "ENABLE="+d.rcConf["netcombiner_enable"], "LIST="+d.rcConf["netcombiner_interfaces"])
	return cmd.Run()
}

func (d *double) find(iface string) *Service {
	d.t.Helper()
	find := d.Find
	if d.has("/etc/rc.subr") {
		find = d.freeBSD
	}
	s, err := find(iface)
	if err != nil {
		d.t.Fatal(err)
	}
	return s
}

func (d *double) files() (all []string) {
	_ = filepath.WalkDir(d.Root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			all = append(all, strings.TrimPrefix(path, d.Root))
		}
		return err
	})
	return all
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Under each manager: what install makes, uninstall takes away, and the file
// that tunnels share goes with the last of them.
func TestInstallAndUninstall(t *testing.T) {
	sysV := strings.Replace(initfiles.SysV, "Provides:          netcombiner\n", "Provides:          netcombiner.nc0\n", 1)
	for name, tc := range map[string]struct {
		directories []string
		file, text  string
		commands    []string
	}{
		"systemd": {
			[]string{"/run/systemd/system"}, "/etc/systemd/system/netcombiner@.service", initfiles.Systemd,
			[]string{
				"systemctl daemon-reload", "systemctl --quiet enable netcombiner@nc0.service",
				"systemctl start netcombiner@nc0.service", "systemctl --quiet is-active netcombiner@nc0.service",
				"systemctl stop netcombiner@nc0.service", "systemctl --quiet disable netcombiner@nc0.service", "systemctl daemon-reload",
			},
		},
		"OpenRC": {
			[]string{"/run/openrc"}, "/etc/init.d/netcombiner", initfiles.OpenRC,
			[]string{
				"rc-update --quiet add netcombiner.nc0 default",
				"rc-service netcombiner.nc0 start", "rc-service --quiet netcombiner.nc0 status",
				"rc-service --ifstarted netcombiner.nc0 stop", "rc-update --quiet del netcombiner.nc0 default",
			},
		},
		"SysV init": {
			[]string{"/etc/rc2.d", "/usr/sbin/update-rc.d"}, "/etc/init.d/netcombiner.nc0", sysV,
			[]string{
				"update-rc.d netcombiner.nc0 defaults",
				"/etc/init.d/netcombiner.nc0 start", "/etc/init.d/netcombiner.nc0 status",
				"/etc/init.d/netcombiner.nc0 stop", "update-rc.d -f netcombiner.nc0 remove",
			},
		},
		"SysV init without update-rc.d": {
			[]string{"/etc/rc2.d", "/etc/rc3.d"}, "/etc/init.d/netcombiner.nc0", sysV,
			[]string{
				"chkconfig --add netcombiner.nc0",
				"/etc/init.d/netcombiner.nc0 start", "/etc/init.d/netcombiner.nc0 status",
				"/etc/init.d/netcombiner.nc0 stop", "chkconfig --del netcombiner.nc0",
			},
		},
		"rc(8)": {
			[]string{"/etc/rc.subr", "/usr/sbin/sysrc"}, "/usr/local/etc/rc.d/netcombiner",
			strings.ReplaceAll(initfiles.FreeBSD, "/usr/local/sbin/netcombiner", "/usr/sbin/netcombiner"),
			[]string{
				"sysrc netcombiner_enable=YES netcombiner_interfaces+=nc0",
				"service netcombiner start nc0", "service netcombiner status nc0",
				"service netcombiner stop nc0", "sysrc netcombiner_interfaces-=nc0", "sysrc -x netcombiner_enable netcombiner_interfaces",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDouble(t, tc.directories...)
			s := d.find("nc0")
			if !strings.HasPrefix(name, s.Manager) {
				t.Fatalf("%s runs this host", s.Manager)
			}
			check(t, s.Install())
			check(t, s.Start())
			if !s.Installed() || !s.Running() {
				t.Error("installed and started, and not there")
			}
			got, err := os.ReadFile(d.path(tc.file))
			want := strings.ReplaceAll(tc.text, "/usr/sbin/netcombiner", "/opt/netcombiner")
			if err != nil || string(got) != want || want == tc.text {
				t.Errorf("the service file: %v\n%s", err, got)
			}
			check(t, s.Uninstall())
			if len(d.rcConf) > 0 {
				t.Errorf("left in rc.conf: %v", d.rcConf)
			}
			if !slices.Equal(d.ran, tc.commands) {
				t.Errorf("ran    %q\nwanted %q", d.ran, tc.commands)
			}
			if left := d.files(); len(left) > 0 {
				t.Errorf("left behind: %q", left)
			}

			other := d.find("nc1")
			check(t, s.Install())
			check(t, s.Install())
			check(t, other.Install())
			check(t, s.Uninstall())
			if s.Installed() || !other.Installed() || !d.has(other.file) {
				t.Errorf("one of two was uninstalled: %q is left", d.files())
			}
			check(t, other.Uninstall())
			if left := d.files(); len(left) > 0 {
				t.Errorf("left behind by the last: %q", left)
			}
		})
	}
}

// OpenRC's log does not grow for ever where there is logrotate, as its owner wants it.
func TestOpenRCsLogIsRotated(t *testing.T) {
	d := newDouble(t, "/run/openrc", "/etc/logrotate.d")
	s := d.find("nc0")
	check(t, s.Install())
	rotation := d.path("/etc/logrotate.d/netcombiner")
	if got, err := os.ReadFile(rotation); err != nil || string(got) != initfiles.Logrotate {
		t.Errorf("%q, %v", got, err)
	}
	check(t, os.WriteFile(rotation, []byte("mine"), 0o600))
	check(t, s.Install())
	if got, _ := os.ReadFile(rotation); string(got) != "mine" {
		t.Errorf("%q is the owner's no more", got)
	}
	check(t, d.find("nc1").Install())
	check(t, s.Uninstall())
	if !d.has("/etc/logrotate.d/netcombiner") {
		t.Error("nc1's log is not rotated any more")
	}
	check(t, d.find("nc1").Uninstall())
	if left := d.files(); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	d = newDouble(t, "/run/openrc")
	check(t, d.find("nc0").Install())
	if d.has("/etc/logrotate.d") {
		t.Error("made for a logrotate that is not there")
	}
}

// A service file that somebody has edited is not lost.
func TestEditedServiceFileIsKept(t *testing.T) {
	d := newDouble(t, "/run/systemd/system")
	s := d.find("nc0")
	check(t, os.WriteFile(d.path(s.file), []byte("mine"), 0o600))
	check(t, s.Install())
	if old, err := os.ReadFile(d.path(s.file + ".old")); err != nil || string(old) != "mine" {
		t.Errorf("%q, %v", old, err)
	}
}

// Where a package brought the unit, that one is used, and left.
func TestPackagesUnit(t *testing.T) {
	d := newDouble(t, "/run/systemd/system", "/usr/lib/systemd/system/netcombiner@.service")
	s := d.find("nc0")
	check(t, s.Install())
	if d.has(s.file) {
		t.Errorf("%s hides the package's", s.file)
	}
	check(t, s.Uninstall())
}

func TestHostsThatAreNotKnown(t *testing.T) {
	for _, directory := range []string{"/etc/openwrt_release", "/etc/nothing"} {
		if s, err := newDouble(t, directory).Find("nc0"); err == nil {
			t.Errorf("%s: %s", directory, s.Manager)
		}
	}
}

func TestNoProgramThatIsHidden(t *testing.T) {
	d := newDouble(t, "/run/systemd/system")
	d.Program = "/root/build/netcombiner"
	if err := d.find("nc0").Install(); err == nil || len(d.files()) > 0 {
		t.Errorf("%v, %q", err, d.files())
	}
}

// A full disk, or a directory that cannot be written, leaves the old file whole.
func TestServiceFileThatCannotBeWritten(t *testing.T) {
	d := newDouble(t, "/run/systemd/system", "/etc/systemd/system/netcombiner@.service.new/x")
	s := d.find("nc0")
	if err := s.Install(); err == nil || len(d.ran) > 0 {
		t.Errorf("%v, %q", err, d.ran)
	}
}

func TestRun(t *testing.T) {
	if err := run("true"); err != nil {
		t.Error(err)
	}
	err := run("sh", "-c", "echo out of luck; exit 3")
	if err == nil || err.Error() != "sh -c echo out of luck; exit 3: out of luck (exit status 3)" {
		t.Error(err)
	}
	if err := run("/no/such"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// Where a system's own page runs tunnels, that is said, and nothing is made beside it.
func TestSystemsWithAPageOfTheirOwn(t *testing.T) {
	for dir, want := range map[string]string{"/usr/local/opnsense": "os-netcombiner", "/usr/local/share/pfSense": "pfSense-pkg-netcombiner"} {
		d := newDouble(t, "/etc/rc.subr", "/usr/sbin/sysrc", dir)
		if _, err := d.freeBSD("nc0"); !errors.Is(err, errUnknown) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}
