// Package freebsd tries what the port installs on FreeBSD on a machine that is none: the
// rc.d script under dash and mksh, with doubles of rc.subr, daemon(8) and netcombiner
// that record how they were called; the port's files; the examples for pf.
package freebsd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A double is this program by another name, in ROOT/bin. It finds its files by that.
func TestMain(m *testing.M) {
	self, err := exec.LookPath(os.Args[0])
	if err != nil {
		panic(err)
	}
	d := double{filepath.Dir(filepath.Dir(self)), filepath.Base(self)}
	switch d.name {
	case "daemon":
		os.Exit(d.daemon(os.Args[1:]))
	case "netcombiner":
		os.Exit(d.netcombiner(os.Args[1:]))
	case "service":
		os.Exit(d.service(os.Args[1:]))
	case "sysrc":
		os.Exit(d.sysrc(os.Args[1:]))
	case "newsyslog":
		d.record(os.Args[1:])
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type double struct{ root, name string }

func (d double) file(name string) string { return filepath.Join(d.root, name) }

// record writes down how we were called: a line of ROOT/calls.
func (d double) record(args []string) {
	appendTo(d.file("calls"), d.name+" "+strings.Join(args, " ")+"\n")
}

func appendTo(file, text string) {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, text); err != nil {
		panic(err)
	}
}

// service runs our rc.d script under $SHELL, and no other.
func (d double) service(args []string) int {
	if args[0] != "netcombiner" {
		d.record(args)
		return 0
	}
	cmd := exec.Command(os.Getenv("SHELL"), append([]string{d.file("netcombiner")}, args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if cmd.Run() != nil {
		return 1
	}
	return 0
}

// sysrc writes NAME=VALUE and NAME+=VALUE into rc.conf.
func (d double) sysrc(args []string) int {
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return 1
		}
		if name, ok = strings.CutSuffix(name, "+"); ok {
			value = strings.TrimSpace("${" + name + "-} " + value)
		}
		conf := d.file("etc/rc.conf")
		was, err := exec.Command("sh", "-c", ". "+conf+"; echo \""+value+"\"").Output()
		if err != nil {
			return 1
		}
		appendTo(conf, name+"=\""+strings.TrimSpace(string(was))+"\"\n")
	}
	return 0
}

// daemon does what daemon(8) does by -f, -P, -t, -S, -T and -s: it runs a command in
// the background, its output a line of ROOT/syslog each, hands SIGTERM on, and ends once
// nothing has that output open any more.
func (d double) daemon(args []string) int {
	if os.Getenv("DAEMON_DETACHED") == "" {
		d.record(args[:10])
		return d.detach(args)
	}
	os.Unsetenv("DAEMON_DETACHED")
	pidfile, command := args[2], args[10:]
	if err := os.WriteFile(pidfile, []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return 2
	}
	defer os.Remove(pidfile)
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM)
	reader, writer, err := os.Pipe()
	if err != nil {
		return 1
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		return 1
	}
	writer.Close()
	go func() {
		<-terminate
		_ = cmd.Process.Signal(syscall.SIGTERM)
	}()
	said, _ := io.ReadAll(reader)
	appendTo(d.file("syslog"), string(said))
	_ = cmd.Wait()
	return 1
}

func (d double) detach(args []string) int {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "DAEMON_DETACHED=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 1
	}
	_ = cmd.Process.Release()
	return 0
}

// netcombiner runs tunnels that carry nothing. How a run of nc0 goes is a line of
// ROOT/nc0.runs, "1 no luck" say: it exits with 1 and these words; without a line it
// runs until it is told to stop. ROOT/nc0.up holds its process while it does.
func (d double) netcombiner(args []string) int {
	if len(args) != 2 {
		return 2
	}
	tunnel := args[1]
	up := d.file(tunnel + ".up")
	switch args[0] {
	case "show":
		return status(d.runs(up) != 0)
	case "check":
		d.record(args)
		if wrong, err := os.ReadFile(d.file(tunnel + ".wrong")); err == nil {
			fmt.Fprint(os.Stderr, string(wrong))
			return 2
		}
		fmt.Println("ok")
		return 0
	case "reload":
		d.record(args)
		if d.runs(up) == 0 {
			fmt.Fprintf(os.Stderr, "netcombiner: %s: it is not running\n", tunnel)
			return 1
		}
		return 0
	case "down":
		return d.down(tunnel, up)
	case "-f":
		d.record(append(args, "NETCOMBINER_LOG="+os.Getenv("NETCOMBINER_LOG"), "GOTRACEBACK="+os.Getenv("GOTRACEBACK")))
		return d.runTunnel(tunnel, up)
	}
	return 2
}

func status(ok bool) int {
	if ok {
		return 0
	}
	return 1
}

// runs returns the process of a tunnel that runs, else 0.
func (d double) runs(up string) int {
	text, err := os.ReadFile(up)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil || syscall.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

func (d double) runTunnel(tunnel, up string) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	if code, words, ok := strings.Cut(d.nextRun(tunnel), " "); ok {
		fmt.Fprintln(os.Stderr, words)
		n, _ := strconv.Atoi(code)
		return n
	}
	if err := os.WriteFile(up+".new", []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
		return 1
	}
	if err := os.Rename(up+".new", up); err != nil {
		return 1
	}
	<-stop
	os.Remove(up)
	return 0
}

// nextRun takes the first line of what the runs of a tunnel shall be.
func (d double) nextRun(tunnel string) string {
	file := d.file(tunnel + ".runs")
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	line, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(file, []byte(rest), 0o600); err != nil {
		panic(err)
	}
	return line
}

func (d double) down(tunnel, up string) int {
	d.record([]string{"down", tunnel})
	pid := d.runs(up)
	if pid == 0 {
		if err := os.Remove(up); err == nil {
			fmt.Printf("%s: it did not run; a killed run had left this, now undone\n", tunnel)
			return 0
		}
		fmt.Fprintf(os.Stderr, "netcombiner: %s: it is not running\n", tunnel)
		return 1
	}
	_ = syscall.Kill(pid, syscall.SIGTERM)
	for range 500 {
		if _, err := os.Stat(up); errors.Is(err, os.ErrNotExist) {
			return 0
		}
		time.Sleep(10 * time.Millisecond)
	}
	return 1
}
