package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// exporter is the package of the exporter, with what its port installs but its program.
func exporter(t *testing.T) *Package {
	t.Helper()
	for _, p := range treeOf(t, repo(t), target{"amd64", "14"}) {
		if p.Name == "netcombiner-exporter" {
			return p
		}
	}
	t.Fatal("no exporter")
	return nil
}

// The exporter's service starts what is installed, with the options that rc.conf
// says, under daemon(8); removing the package stops it, an upgrade does not.
func TestExportersService(t *testing.T) {
	p := exporter(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		return file
	}
	run := func(file string, env []string, args ...string) (string, bool) {
		t.Helper()
		sh := exec.Command("sh", append([]string{"-eu", file}, args...)...)
		sh.Env = append(os.Environ(), env...)
		out, err := sh.CombinedOutput()
		return string(out), err == nil
	}
	subr := write("rc.subr", `load_rc_config() { . "$(dirname "$0")/rc.conf"; }
run_rc_command() { eval "echo $1 \$$rcvar $pidfile $procname $command $command_args"; $start_postcmd; }
check_pidfile() { echo $running; }
warn() { echo "$@"; }
sleep() { :; }
`)
	var rc string
	for _, file := range p.Files {
		if file.Name == "/usr/local/etc/rc.d/netcombiner_exporter" {
			rc = write("rc", strings.Replace(string(file.Data), "/etc/rc.subr", subr, 1))
		}
	}
	const pidfile, program = "/var/run/netcombiner_exporter.pid", "/usr/local/sbin/netcombiner-exporter"
	const daemon = pidfile + " " + program + " /usr/sbin/daemon -f -S -T netcombiner-exporter -p " + pidfile + " " + program
	for conf, want := range map[string]string{
		"running=1\n": "start NO " + daemon,
		"running=1\nnetcombiner_exporter_enable=YES\nnetcombiner_exporter_args='--listen 192.168.1.1:9487'\n": "start YES " + daemon + " --listen 192.168.1.1:9487",
	} {
		write("rc.conf", conf)
		if got, ok := run(rc, nil, "start"); !ok || strings.TrimSpace(got) != want {
			t.Errorf("with %q: %s", conf, got)
		}
	}
	write("rc.conf", "running=\n")
	if got, ok := run(rc, nil, "start"); ok || !strings.Contains(got, "it has ended again: /var/log/messages says why") {
		t.Errorf("of one that ends at once: %s", got)
	}

	stopped := filepath.Join(dir, "stopped")
	write("service", "#!/bin/sh\necho \"$@\" >> "+stopped+"\n")
	script := write("pkg-deinstall", strings.ReplaceAll(p.Scripts["deinstall"], "/usr/local/etc/rc.d/netcombiner_exporter", dir+"/service"))
	for _, no := range []struct{ env, when string }{
		{"PKG_UPGRADE=true", "DEINSTALL"}, {"PKG_ROOTDIR=/jail", "DEINSTALL"}, {"PKG_ROOTDIR=/", "POST-DEINSTALL"},
	} {
		out, ok := run(script, []string{no.env}, "netcombiner-exporter-1.0", no.when)
		if _, err := os.Stat(stopped); err == nil || !ok {
			t.Errorf("%s with %s stops it, or fails: %s", no.when, no.env, out)
		}
	}
	if out, ok := run(script, []string{"PKG_ROOTDIR=/"}, "netcombiner-exporter-1.0", "DEINSTALL"); !ok {
		t.Error(out)
	}
	if got := readFile(t, stopped); got != "onestop\n" {
		t.Errorf("the service is told %q", got)
	}
}
