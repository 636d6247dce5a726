package daemon

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netcombiner/src/control"
)

// serviceManager listens where a tunnel is to tell how it fares.
func serviceManager(t *testing.T, name string) (next func() string) {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return func() string {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		b := make([]byte, 4096)
		n, err := c.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(b[:n]), "\n")
	}
}

func expect(t *testing.T, next func() string, want string) {
	t.Helper()
	if got := next(); got != want {
		t.Fatalf("the manager was told %q, want %q", got, want)
	}
}

func TestServiceManagerIsTold(t *testing.T) {
	for name, socket := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@netcombiner-test",
	} {
		t.Run(name, func(t *testing.T) {
			if len(socket) > 100 {
				t.Fatalf("%s is too long for a socket", socket)
			}
			next := serviceManager(t, socket)
			h, result := &host{}, make(chan error, 1)
			o := options(t, h)
			go func() { result <- Foreground(o) }()
			expect(t, next, "READY=1\nSTATUS=session , no path yet")
			if got := h.steps(); len(got) != len(allDone) {
				t.Errorf("ready after %q", got)
			}
			if left, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
				t.Errorf("the commands that we run are to speak to %s, too", left)
			}
			askDown(t)
			expect(t, next, "STOPPING=1\nSTATUS=stopping")
			if err := await(t, result); err != nil {
				t.Error(err)
			}
		})
	}
}

// A tunnel that never ran is not announced.
func TestServiceManagerIsNotToldOfAFailedStart(t *testing.T) {
	next := serviceManager(t, "@netcombiner-test")
	if err := Foreground(options(t, &host{fail: "route"})); err == nil {
		t.Fatal("it started")
	}
	(&notifier{socket: "@netcombiner-test"}).tell("the end")
	expect(t, next, "the end")
}

// The watchdog starves with the engine, and news come as they are.
func TestWatchdog(t *testing.T) {
	next := serviceManager(t, "@netcombiner-test")
	t.Setenv("WATCHDOG_USEC", "20000")
	var state atomic.Value
	state.Store("connecting")
	stuck := make(chan struct{})
	status := func() control.Status {
		if state.Load() == "stuck" {
			<-stuck
		}
		return control.Status{
			Session: control.Session{State: "established"},
			Paths:   []control.Path{{State: "up"}, {State: "standby"}, {State: state.Load().(string)}},
		}
	}
	stopping := newNotifier().running(status)
	expect(t, next, "READY=1\nSTATUS=session established, 2 of 3 paths up")
	expect(t, next, "WATCHDOG=1")
	state.Store("up")
	for line := next(); line != "STATUS=session established, 3 of 3 paths up\nWATCHDOG=1"; line = next() {
		if line != "WATCHDOG=1" {
			t.Fatalf("the manager was told %q", line)
		}
	}
	state.Store("stuck")
	time.Sleep(100 * time.Millisecond) // what was under way arrives
	fed := 0
	for (&notifier{socket: "@netcombiner-test"}).tell("now"); next() != "now"; {
		fed++
	}
	time.Sleep(100 * time.Millisecond) // five times the watchdog
	(&notifier{socket: "@netcombiner-test"}).tell("the end")
	expect(t, next, "the end")
	if fed > 5 {
		t.Errorf("fed %d times while the engine was stuck", fed)
	}
	close(stuck)
	if err := stopping(); err != nil {
		t.Error(err)
	}
}

func TestManagersWishes(t *testing.T) {
	for _, tc := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"30000000", "", 30 * time.Second},
		{"30000000", "1", 0}, // another process's
		{"-5", "", 0},
		{"soon", "", 0},
		{"", "", 0},
	} {
		t.Setenv("NOTIFY_SOCKET", "/nowhere")
		t.Setenv("WATCHDOG_USEC", tc.usec)
		t.Setenv("WATCHDOG_PID", tc.pid)
		n := newNotifier()
		if n.watchdog != tc.want {
			t.Errorf("%+v: the watchdog waits %v", tc, n.watchdog)
		}
		n.tell("READY=1") // to nobody: no panic, no error, no wait
	}
	t.Setenv("NOTIFY_SOCKET", "")
	if err := newNotifier().running(nil)(); err != nil {
		t.Error(err)
	}
}
