package freebsd

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const rcScript = "../../init/netcombiner.freebsd"

// shells are those that stand in for FreeBSD's sh, whose ancestor dash has, too.
var shells = []string{"dash", "mksh"}

// host is a FreeBSD host, as far as the rc.d script sees it.
type host struct {
	t           *testing.T
	root, shell string
}

// onEach runs a test on a new host under each shell.
func onEach(t *testing.T, test func(t *testing.T, h host)) {
	t.Helper()
	for i, shell := range shells {
		if testing.Short() && i > 0 {
			break
		}
		t.Run(shell, func(t *testing.T) {
			t.Parallel() // they wait most of the time
			test(t, newHost(t, shell))
		})
	}
}

func newHost(t *testing.T, shell string) host {
	t.Helper()
	if _, err := exec.LookPath(shell); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%v: apt-get install %s", err, shell)
		}
		t.Skip(err)
	}
	h := host{t, t.TempDir(), shell}
	for _, dir := range []string{"bin", "etc", "var/log", "var/run"} {
		h.must(os.MkdirAll(h.path(dir), 0o755))
	}
	self, err := os.Executable()
	h.must(err)
	for _, double := range []string{"daemon", "netcombiner", "newsyslog", "service", "sysrc"} {
		h.must(os.Symlink(self, h.path("bin/"+double)))
	}
	h.install("etc/rc.subr", "testdata/rc.subr", "@ROOT@", h.root)
	h.install("netcombiner", rcScript,
		"/etc/rc.subr", h.path("etc/rc.subr"), "/usr/local/sbin", h.path("bin"), "/usr/sbin", h.path("bin"), "/usr/local/etc", h.path("etc"),
		"/var/run", h.path("var/run"), "/var/log", h.path("var/log"), "/bin/sh", h.lookPath(shell))
	h.conf("netcombiner_enable=YES", `netcombiner_interfaces="nc0 nc1"`)
	t.Cleanup(func() { h.rc("forcestop") })
	return h
}

func (h host) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h host) lookPath(shell string) string {
	path, err := exec.LookPath(shell)
	h.must(err)
	return path
}

func (h host) path(name string) string { return filepath.Join(h.root, name) }

func (h host) write(name, text string) { h.must(os.WriteFile(h.path(name), []byte(text), 0o644)) }

// install copies a file with other places in it.
func (h host) install(name, from string, places ...string) {
	text, err := os.ReadFile(from)
	h.must(err)
	h.write(name, strings.NewReplacer(places...).Replace(string(text)))
}

func (h host) conf(lines ...string) { h.write("etc/rc.conf", strings.Join(lines, "\n")+"\n") }

func (h host) read(name string) string {
	text, err := os.ReadFile(h.path(name))
	if err != nil && !os.IsNotExist(err) {
		h.t.Fatal(err)
	}
	return string(text)
}

// rc runs the script as service(8) does, and returns what it says and whether it worked.
func (h host) rc(args ...string) (said string, ok bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, h.shell, append([]string{h.path("netcombiner")}, args...)...).CombinedOutput()
	if ctx.Err() != nil {
		h.t.Fatalf("netcombiner %q takes for ever: %s", args, out)
	}
	return string(out), err == nil
}

// says runs the script, which is to work or not, and to say this.
func (h host) says(want string, ok bool, args ...string) {
	h.t.Helper()
	if said, worked := h.rc(args...); said != want || worked != ok {
		h.t.Fatalf("service netcombiner %s: %v, says\n%swant %v\n%s", strings.Join(args, " "), worked, said, ok, want)
	}
}

// calls returns what was called since the last time, as if the root were /.
func (h host) calls() string {
	all := strings.ReplaceAll(h.read("calls"), h.root, "")
	_ = os.Remove(h.path("calls"))
	return all
}

// pid is the process of a tunnel.
func (h host) pid(tunnel string) int {
	h.t.Helper()
	pid, err := strconv.Atoi(h.read(tunnel + ".up"))
	if err != nil {
		h.t.Fatalf("%s does not run: %v", tunnel, err)
	}
	return pid
}

func (h host) await(what string, is func() bool) {
	h.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("still not %s; syslog: %s", what, h.read("syslog"))
		}
	}
}

// nothingRuns is what is to be after a stop.
func (h host) nothingRuns() {
	h.t.Helper()
	files, err := filepath.Glob(h.path("var/run/netcombiner/*"))
	h.must(err)
	more, err := filepath.Glob(h.path("*.up"))
	h.must(err)
	if files = append(files, more...); len(files) > 0 {
		h.t.Errorf("left behind: %q", files)
	}
}

func TestStartAndStop(t *testing.T) {
	onEach(t, func(t *testing.T, h host) {
		h.says("nc0 is running.\nnc1 is running.\n", true, "start")
		if calls, want := h.calls(), `netcombiner check nc0
daemon -f -P /var/run/netcombiner/nc0.pid -t netcombiner nc0 -S -T netcombiner -s err
netcombiner -f nc0 NETCOMBINER_LOG=syslog GOTRACEBACK=crash
netcombiner check nc1
daemon -f -P /var/run/netcombiner/nc1.pid -t netcombiner nc1 -S -T netcombiner -s err
netcombiner -f nc1 NETCOMBINER_LOG=syslog GOTRACEBACK=crash
`; calls != want {
			t.Errorf("calls:\n%swant\n%s", calls, want)
		}
		h.says("nc0 is running.\nnc1 is running.\n", true, "status")
		first := h.pid("nc0")
		h.says("nc0 runs already.\n", true, "start", "nc0")
		h.says("", true, "reload", "nc0")
		h.says("Stopping nc1.\n", true, "stop", "nc1")
		h.says("nc0 is running.\nnc1 is not running.\n", false, "status")
		h.says("netcombiner: nc1: it is not running\n", false, "reload")
		if h.pid("nc0") != first {
			t.Error("nc0 was started again")
		}
		h.says("Stopping nc0.\nnc0 is running.\n", true, "restart", "nc0")
		h.says("Stopping nc0.\n", true, "faststop") // as at shutdown
		h.says("", true, "stop")
		h.nothingRuns()
		if log := h.read("syslog"); log != "" {
			t.Errorf("in syslog: %s", log)
		}
	})
}

func TestOnlyWhereEnabled(t *testing.T) {
	onEach(t, func(t *testing.T, h host) {
		h.conf(`netcombiner_interfaces="nc0"`)
		h.says("Cannot 'start' netcombiner. Set netcombiner_enable to YES in /etc/rc.conf or use 'onestart' instead of 'start'.\n", true, "start")
		h.says("nc0 is running.\n", true, "onestart")
		h.says("Stopping nc0.\n", true, "forcestop")
		h.conf("netcombiner_enable=YES")
		if said, ok := h.rc("start"); !strings.Contains(said, "WARNING: no tunnel is named: sysrc netcombiner_interfaces+=nc0\n") || !ok {
			t.Errorf("without a list: %v, %s", ok, said)
		}
		h.says("nc7 is running.\n", true, "start", "nc7")
		// It is in no list, and is stopped with all others.
		h.says("Stopping nc7.\n", true, "stop")
		h.nothingRuns()
	})
}

// A crash, or a port that is still taken, is not the end.
func TestRunsAgain(t *testing.T) {
	onEach(t, func(t *testing.T, h host) {
		h.write("nc0.runs", "\n134 panic: out of luck\n1 netcombiner: nc0: address already in use\n")
		h.says("nc0 is running.\n", true, "start", "nc0")
		first := h.pid("nc0")
		h.must(syscall.Kill(first, syscall.SIGKILL)) // which is the crash of one that ran
		h.await("tried", func() bool { return strings.Contains(h.read("var/run/netcombiner/nc0.problem"), "out of luck") })
		h.says("nc0 is not running; it is tried again and again.\npanic: out of luck\n", false, "status", "nc0")
		h.await("running again", func() bool {
			said, ok := h.rc("status", "nc0")
			return ok && said == "nc0 is running.\n"
		})
		h.says("Stopping nc0.\n", true, "stop", "nc0")
		// Before it, the shell says "Killed".
		if log := h.read("syslog"); !strings.HasSuffix(log, "panic: out of luck\nnetcombiner: nc0: address already in use\n") {
			t.Errorf("in syslog: %s", log)
		}
		h.nothingRuns()
	})
}

// What keeps a tunnel from running is told where somebody reads it: at the terminal.
func TestStartThatFails(t *testing.T) {
	onEach(t, func(t *testing.T, h host) {
		h.write("nc0.runs", strings.Repeat("1 netcombiner: nc0: no permission\n", 100))
		began := time.Now()
		h.says("nc0 is not running; it is tried again and again.\nnetcombiner: nc0: no permission\n", false, "start", "nc0")
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("it took %v to say so", took)
		}
		h.says("nc0 is not running; it is tried again and again.\nnetcombiner: nc0: no permission\n", false, "start", "nc0")
		h.says("", true, "stop", "nc0") // while none runs that could be told
		h.nothingRuns()

		// Waiting does not mend a configuration.
		h.write("nc1.runs", "2 nc1.conf:3: Role: missing\n")
		h.says("nc1 is not running.\nnc1.conf:3: Role: missing\n", false, "start", "nc1")
		h.says("nc1 is not running.\nnc1.conf:3: Role: missing\n", false, "status", "nc1")
		h.must(os.Remove(h.path("nc1.runs")))
		h.says("nc1 is running.\n", true, "start", "nc1")
		h.says("Stopping nc1.\n", true, "stop", "nc1")
		h.nothingRuns()
	})
}

// A mistake in a file costs neither the other tunnels nor the one that runs.
func TestFileWithAMistake(t *testing.T) {
	onEach(t, func(t *testing.T, h host) {
		const words = "/usr/local/etc/netcombiner/nc0.conf:7: Metric = x: not a metric\n"
		h.write("nc0.wrong", words)
		h.says(words+"nc1 is running.\n", false, "start")
		if strings.Contains(h.calls(), "-f nc0") {
			t.Error("a file with a mistake was run")
		}
		h.must(os.Remove(h.path("nc0.wrong")))
		h.says("nc0 is running.\nnc1 runs already.\n", true, "start")
		first := h.pid("nc0")
		h.write("nc0.wrong", words)
		h.says(words, false, "restart", "nc0")
		if h.pid("nc0") != first {
			t.Error("the tunnel that ran is gone")
		}
		h.must(os.Remove(h.path("nc0.wrong")))
	})
}

// "netcombiner down" is the last word, and a kill -9 of all leaves nothing that stop
// does not clean.
func TestStoppedFromOutside(t *testing.T) {
	onEach(t, func(t *testing.T, h host) {
		h.says("nc0 is running.\n", true, "start", "nc0")
		h.must(exec.Command(h.path("bin/netcombiner"), "down", "nc0").Run())
		h.await("over", func() bool { return h.read("var/run/netcombiner/nc0.pid") == "" })
		h.says("nc0 is not running.\n", false, "status", "nc0")
		h.nothingRuns()

		h.says("nc0 is running.\n", true, "start", "nc0")
		keeper, err := strconv.Atoi(h.read("var/run/netcombiner/nc0.pid"))
		h.must(err)
		kept, err := os.ReadFile("/proc/" + strconv.Itoa(h.pid("nc0")) + "/stat")
		h.must(err)
		loop, err := strconv.Atoi(strings.Fields(string(kept))[3])
		h.must(err)
		for _, pid := range []int{keeper, loop, h.pid("nc0")} {
			h.must(syscall.Kill(pid, syscall.SIGKILL))
		}
		h.await("dead", func() bool { return syscall.Kill(loop, 0) != nil })
		h.says("nc0: it did not run; a killed run had left this, now undone\n", true, "stop", "nc0")
		h.must(os.Remove(h.path("var/run/netcombiner/nc0.pid"))) // daemon(8) takes it over by its lock
		h.says("nc0 is running.\n", true, "start", "nc0")
	})
}

// The log has a file of its own from the first start, where it is to have one.
func TestLogFile(t *testing.T) {
	onEach(t, func(t *testing.T, h host) {
		const calls = "newsyslog -CN -f /etc/newsyslog.conf.d/netcombiner.conf\nservice syslogd onereload\n"
		h.rc("start", "nc0")
		h.must(os.Mkdir(h.path("etc/syslog.d"), 0o755))
		h.write("etc/syslog.d/netcombiner.conf", "")
		if strings.Contains(h.calls(), "newsyslog") {
			t.Error("a log that nobody wants is made")
		}
		h.rc("restart", "nc0")
		if got := h.calls(); !strings.Contains(got, calls) {
			t.Errorf("no log is made:\n%s", got)
		}
		h.write("var/log/netcombiner.log", "")
		h.rc("restart", "nc0")
		if strings.Contains(h.calls(), "newsyslog") {
			t.Error("a log that is there is made again")
		}
	})
}

// rcorder(8) reads these.
func TestOrderAtBoot(t *testing.T) {
	text, err := os.ReadFile(rcScript)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"# PROVIDE: netcombiner\n", "# REQUIRE: NETWORKING pf syslogd\n", "# BEFORE: SERVERS\n", "# KEYWORD: shutdown\n"} {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("it does not say %q", line)
		}
	}
}
