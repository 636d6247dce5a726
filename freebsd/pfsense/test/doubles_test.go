// Package pfsense tries the package for pfSense on a machine that is none: its PHP runs
// under php-cli with doubles of pfSense's functions (testdata/doubles), the programs that it
// calls are doubles that record how, and what it writes for the daemon is read by the
// daemon's own configuration for FreeBSD.
package pfsense

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"netcombiner/src/config"
)

// real is where the doubles find the daemon's program, for what it does on Linux, too.
const real = "REAL_NETCOMBINER"

// A double is this program by another name, in the file system of a firewall.
func TestMain(m *testing.M) {
	switch self := os.Args[0]; {
	case strings.HasSuffix(self, "/usr/local/sbin/netcombiner"):
		os.Exit(double{strings.TrimSuffix(self, "/usr/local/sbin/netcombiner")}.netcombiner(os.Args[1:]))
	case strings.HasSuffix(self, "/usr/local/etc/rc.d/netcombiner"):
		os.Exit(double{strings.TrimSuffix(self, "/usr/local/etc/rc.d/netcombiner")}.rc(os.Args[1], os.Args[2]))
	case strings.HasSuffix(self, "/sbin/ifconfig"):
		double{strings.TrimSuffix(self, "/sbin/ifconfig")}.record("ifconfig", os.Args[1:])
		os.Exit(0)
	}
	os.Exit(withDaemon(m))
}

// withDaemon runs the tests with the daemon's program built.
func withDaemon(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pfsense")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/netcombiner", "netcombiner/src/cmd/netcombiner")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	os.Setenv(real, dir+"/netcombiner")
	return m.Run()
}

type double struct{ root string }

func (d double) file(name string) string { return filepath.Join(d.root, name) }

func (d double) text(name string) string {
	text, _ := os.ReadFile(d.file(name)) // what is not there is empty
	return string(text)
}

func (d double) exists(name string) bool {
	_, err := os.Stat(d.file(name))
	return err == nil
}

// record writes down how we were called: a line of ROOT/calls.
func (d double) record(name string, args []string) {
	f, err := os.OpenFile(d.file("calls"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	fmt.Fprintln(f, name, strings.Join(args, " "))
}

// netcombiner is the program as on FreeBSD: a tunnel runs where there is ROOT/runs/IFACE.
func (d double) netcombiner(args []string) int {
	d.record("netcombiner", args)
	switch {
	case args[0] == "check":
		return check(args[2:])
	case args[0] == "genkey", args[0] == "init":
		return daemon(args)
	case args[0] == "show" && args[1] == "--json":
		fmt.Print(d.shown())
	case args[0] == "show":
		if !d.exists("runs/" + args[1]) {
			return 1
		}
	case args[0] == "reload":
		fmt.Print(d.text("reload-says"))
	}
	return 0
}

// shown is what the daemon says of all tunnels that run.
func (d double) shown() string {
	all, _ := filepath.Glob(d.file("runs/*"))
	for i, name := range all {
		all[i] = d.text("runs/" + filepath.Base(name))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// rc is the script of rc.d: a tunnel starts, but for what is in ROOT/broken-IFACE.
func (d double) rc(action, device string) int {
	d.record("rc.d/netcombiner", []string{action, device})
	os.Remove(d.file("runs/" + device))
	if action == "onestop" {
		return 0
	}
	if problem := d.text("broken-" + device); problem != "" {
		must(os.WriteFile(d.file("var/run/netcombiner/"+device+".problem"), []byte(problem), 0o644))
		fmt.Println(device + " is not running.")
		return 1
	}
	must(os.WriteFile(d.file("runs/"+device), []byte(fmt.Sprintf(`{"interface":%q,"mtu":1412,"paths":[]}`, device)), 0o644))
	return 0
}

// check is netcombiner check --json on FreeBSD.
func check(files []string) int {
	var problems config.Errors
	var good []config.Instance
	for _, name := range files {
		file := os.Stdin
		if name != config.Stdin {
			var err error
			file, err = os.Open(name)
			must(err)
		}
		c, err := config.ParseFor("freebsd", name, file)
		if err == nil {
			good = append(good, config.Named(name, c))
		} else {
			problems = append(problems, err.(config.Errors)...)
		}
	}
	problems = append(problems, config.Clashes(good)...)
	must(json.NewEncoder(os.Stdout).Encode(map[string]any{"ok": problems == nil, "problems": append(config.Errors{}, problems...), "warnings": []string{}}))
	if problems != nil {
		return 2
	}
	return 0
}

// daemon has the real program do it.
func daemon(args []string) int {
	cmd := exec.Command(os.Getenv(real), args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	_ = cmd.Run()
	return cmd.ProcessState.ExitCode()
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
