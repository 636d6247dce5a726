package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/daemon"
	"netcombiner/src/linkwatch"
	"netcombiner/src/routing"
	"netcombiner/src/selftest"
	"netcombiner/src/service"
	"netcombiner/src/setup"
	"netcombiner/src/transport"
	"netcombiner/src/tundevice"
	"netcombiner/src/tundevice/tuntest"
	"netcombiner/src/udpsocket"
)

// The scripts run this test binary as netcombiner. What they see of the host
// is a double (below); with NC_SYSTEM=tun the TUN is real, with NC_SYSTEM=real all is,
// in network namespaces of the script's own.
func TestMain(m *testing.M) {
	programs["netcombiner"] = func() {
		a := newApp()
		a.configDir = os.Getenv("NC_CONFIG_DIR")
		a.system = testSystem()
		a.host = testHost
		if os.Getenv("NC_SYSTEM") != "real" {
			a.setup = testSetup
			a.hostToTest = nothingToBeHad
		}
		os.Exit(a.main(os.Args[1:]))
	}
	testscript.Main(m, programs)
}

// programs are what scripts may run, and words what they may say, besides
// testscript's own. FreeBSD adds some.
var (
	programs = map[string]func(){}
	words    = map[string]func(*testscript.TestScript, bool, []string){
		"status": cmdStatus, "await": cmdAwait, "signal": cmdSignal, "sleep": cmdSleep, "device": cmdDevice,
	}
)

func TestScripts(t *testing.T) {
	defer goleak.VerifyNone(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			run := filepath.Join(e.WorkDir, "run")
			e.Setenv("NETCOMBINER_RUN_DIR", run)
			e.Setenv("NC_CONFIG_DIR", filepath.Join(e.WorkDir, "etc"))
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else every command takes a second
			e.Setenv("NC_LOG", filepath.Join(e.WorkDir, "log"))
			e.Defer(func() { killAll(run) })
			if err := os.MkdirAll(filepath.Join(e.WorkDir, "etc"), 0o755); err != nil {
				return err
			}
			return filepath.WalkDir(e.WorkDir, func(path string, _ fs.DirEntry, err error) error {
				if err == nil && filepath.Ext(path) == ".conf" { // they hold keys
					err = os.Chmod(path, 0o600)
				}
				return err
			})
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Getuid() == 0, nil
			case "freebsd":
				return runtime.GOOS == name, nil
			}
			if name == "namespaces" { // root that may make namespaces and TUNs
				_, err := os.Stat("/dev/net/tun")
				return os.Getuid() == 0 && err == nil, nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
		Cmds: words,
	})
}

// cmdStatus runs netcombiner and checks its exit status: status 2 check nc0.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: status N ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("netcombiner", args[1:]...)
	got := 0
	var exit interface{ ExitCode() int }
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// cmdAwait waits until a file is there, or with ! is not.
func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); (err == nil) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("waited too long for %s", args[0])
		}
	}
}

// cmdDevice looks for an interface that has all of these addresses: device nc0
// 192.0.2.1/24; with ! for none of that name.
func cmdDevice(ts *testscript.TestScript, neg bool, args []string) {
	device, err := net.InterfaceByName(args[0])
	if (err == nil) == neg {
		ts.Fatalf("interface %s: %v", args[0], err)
	}
	for _, want := range args[1:] {
		have, err := device.Addrs()
		if err != nil || !slices.ContainsFunc(have, func(a net.Addr) bool { return a.String() == want }) {
			ts.Fatalf("interface %s has %v, not %s: %v", args[0], have, want, err)
		}
	}
}

func cmdSleep(ts *testscript.TestScript, _ bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	time.Sleep(d)
}

// cmdSignal sends a signal to the daemon of an interface: signal KILL nc0.
func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP}
	pid, err := holder(filepath.Join(ts.Getenv("NETCOMBINER_RUN_DIR"), args[1]+".lock"))
	ts.Check(err)
	ts.Check(syscall.Kill(pid, signals[args[0]]))
}

func holder(lock string) (int, error) {
	text, err := os.ReadFile(lock)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// killAll ends the daemons that a failed script left.
func killAll(run string) {
	locks, _ := filepath.Glob(filepath.Join(run, "*.lock"))
	for _, lock := range locks {
		if pid, err := holder(lock); err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// testSystem is a host of which every step is a line in the file NC_LOG;
// NC_FAIL names the one that fails.
func testSystem() daemon.System {
	s := daemon.System{
		CleanUp: func(string) ([]string, error) { return nil, step("clean up") },
		Inherit: func(string, *config.Config) (bool, error) { return false, step("inherit") },
		Configure: func(string, *config.Config) (func() error, error) {
			return func() error { return step("unconfigure") }, step("configure")
		},
		CreateTUN: func(iface string, o tundevice.Options) (daemon.TUN, error) {
			f, err := os.Open(os.DevNull)
			if err != nil {
				return nil, err
			}
			return fileTUN{tuntest.New(iface, o.MTU, 1), f}, step("create")
		},
		AdoptTUN: func(f *os.File, iface string, o tundevice.Options) (daemon.TUN, error) {
			return fileTUN{tuntest.New(iface, o.MTU, 1), f}, step("adopt")
		},
		NewPortal: func(o daemon.PortalOptions) (daemon.Portal, error) { return testPortal{o}, nil },
		Route: func(daemon.RouteOptions) (func() error, error) {
			return func() error { return step("unroute") }, step("route")
		},
	}
	real := system()
	switch os.Getenv("NC_SYSTEM") {
	case "real":
		return real
	case "tun":
		s.CreateTUN, s.AdoptTUN, s.Configure = real.CreateTUN, real.AdoptTUN, real.Configure
	}
	return s
}

// testHost is a host in the folder NC_ROOT, whose service manager only has what
// it is told written down.
func testHost() (service.Host, error) {
	return service.Host{Root: os.Getenv("NC_ROOT"), Program: os.Getenv("NC_PROGRAM"), Run: func(name string, args ...string) error {
		return step(strings.Join(append([]string{name}, args...), " "))
	}}, nil
}

// testSetup is a host with two links, for init to set up: its daemons are doubles, too.
func testSetup(a *app, out io.Writer) *setup.Host {
	h := a.setupHost(out)
	h.Sources = func() []netip.Addr {
		return []netip.Addr{netip.MustParseAddr(cmp.Or(os.Getenv("NC_SOURCE"), "203.0.113.2"))}
	}
	h.DeviceOf = func(netip.Addr) (string, error) { return "eth0", nil }
	h.WaysOut = func() ([]string, error) { return []string{"eth1", "wwan0"}, nil }
	h.Link = func(device string) (bool, bool, error) { return device == "eth1" || device == "wwan0", true, nil }
	h.AddressesOf = func(string) ([]netip.Addr, error) { return h.Sources(), nil }
	h.Taken = func(string, uint16) bool { return false }
	h.Command = func(string, ...string) (string, error) { return "", nil }
	h.Patience = 100 * time.Millisecond
	if now, err := time.Parse(time.DateOnly, os.Getenv("NC_DATE")); err == nil {
		h.Now = func() time.Time { return now }
	}
	return h
}

// nothingToBeHad is a host on which a selftest finds all missing.
func nothingToBeHad(configurations string) *selftest.Host {
	h := selftest.This(configurations)
	h.Watch = func(context.Context) (<-chan linkwatch.Event, error) { return nil, errors.ErrUnsupported }
	h.CreateTUN = func(name string, _ int) (tundevice.Device, error) {
		return nil, fmt.Errorf("no privilege to create interface %s: run as root: %w", name, syscall.EPERM)
	}
	h.Addresses = func() []netip.Prefix { return nil }
	h.Buffers = func(context.Context) (udpsocket.Buffers, error) { return udpsocket.Buffers{}, errors.ErrUnsupported }
	h.Means = func() []routing.Mean {
		return []routing.Mean{{Name: "pf", Missing: fmt.Errorf("pfctl is not here: %w", os.ErrNotExist)}}
	}
	h.Transports = func() []transport.Transport { return nil }
	h.Dial = func(_ context.Context, bind transport.Bind, _ netip.AddrPort, _ udpsocket.FIB) (transport.Flow, error) {
		return nil, fmt.Errorf("no interface %q", bind.Device)
	}
	h.Free = func(string) error { return nil }
	h.Try = func(routing.Spec) ([]routing.Step, []string, error) {
		return nil, nil, errors.New("Egress = fib: one FIB")
	}
	return h
}

func step(what string) error {
	if os.Getenv("NC_FAIL") == what {
		return errors.New(what + " does not work")
	}
	f, err := os.OpenFile(os.Getenv("NC_LOG"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintln(f, what)
	return err
}

type fileTUN struct {
	*tuntest.TUN
	file *os.File
}

func (t fileTUN) File() *os.File { return t.file }
func (t fileTUN) Leave() error   { return t.file.Close() }

func (p testPortal) Apply(*config.Config) error { return step("apply") }

// testPortal reads its device and shows what came.
type testPortal struct{ daemon.PortalOptions }

func (p testPortal) Run(ctx context.Context, ready func()) error {
	switch os.Getenv("NC_FAIL") {
	case "portal":
		return errors.New("cannot listen on udp [::]:4725: address already in use")
	case "panic":
		panic("a fault of ours")
	case "die":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "hang":
		_ = step("hang")
		<-ctx.Done()
		return nil
	}
	if err := step("portal"); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { p.Device.Close() })()
	ready()
	bufs, sizes := [][]byte{make([]byte, 65536)}, make([]int, 1)
	for {
		if _, err := p.Device.Read(bufs, sizes, tundevice.Headroom); err != nil {
			_ = step("end portal")
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
	}
}

func (p testPortal) Status() control.Status {
	s := control.Status{MTU: 1280, Session: control.Session{State: "none"}}
	for _, c := range p.Config.Paths {
		s.Paths = append(s.Paths, control.Path{Name: c.Name, Transport: c.Transport, State: cmp.Or(os.Getenv("NC_STATE"), "connecting"), Congestion: c.Congestion, RTTMinMs: 24, MTU: 1500})
	}
	return s
}
