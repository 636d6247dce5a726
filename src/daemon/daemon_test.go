package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/tundevice"
	"netcombiner/src/tundevice/tuntest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// host is a System that writes down what is done to it.
type host struct {
	mu      sync.Mutex
	log     []string
	fail    string       // this step fails
	ending  func() error // what a portal's Run returns of itself; nil: runs until told
	tun     *tuntest.TUN // made by CreateTUN
	busy    int          // so many times is the interface in use
	left    []string     // what CleanUp finds
	kept    bool         // what Inherit says
	applied []*config.Config
}

func (h *host) step(what string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if what == h.fail {
		return errors.New(what + " does not work")
	}
	h.log = append(h.log, what)
	return nil
}

func (h *host) steps() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.log)
}

// device is a TUN without a file.
type device struct {
	*tuntest.TUN
	host *host
	once sync.Once
}

func (d *device) File() *os.File { return nil }
func (d *device) Leave() error   { return nil }
func (d *device) Close() error {
	d.once.Do(func() { _ = d.host.step("close TUN") })
	return d.TUN.Close()
}

// engine is a Portal.
type engine struct{ host *host }

func (e engine) Run(ctx context.Context, ready func()) error {
	if err := e.host.step("portal"); err != nil {
		return err
	}
	ready()
	if e.host.ending != nil {
		return e.host.ending()
	}
	<-ctx.Done()
	return e.host.step("end portal")
}

func (e engine) Apply(c *config.Config) error {
	e.host.mu.Lock()
	e.host.applied = append(e.host.applied, c)
	e.host.mu.Unlock()
	return e.host.step("apply")
}

func (e engine) Status() control.Status { return control.Status{MTU: 1400} }

func (h *host) system() System {
	return System{
		CleanUp: func(string) ([]string, error) { return h.left, h.step("clean up") },
		Inherit: func(string, *config.Config) (bool, error) { return h.kept, h.step("inherit") },
		CreateTUN: func(iface string, o tundevice.Options) (TUN, error) {
			if h.busy > 0 {
				h.busy--
				return nil, fmt.Errorf("in use: %w", syscall.EBUSY)
			}
			h.tun = tuntest.New(iface, o.MTU, 1)
			return &device{TUN: h.tun, host: h}, h.step("TUN")
		},
		Configure: func(string, *config.Config) (func() error, error) {
			return func() error { return h.step("unconfigure") }, h.step("configure")
		},
		NewPortal: func(PortalOptions) (Portal, error) { return engine{h}, h.step("new portal") },
		Route: func(RouteOptions) (func() error, error) {
			return func() error { return h.step("unroute") }, h.step("route")
		},
	}
}

const conf = "[Interface]\nRole=local\nMTU=1337\nKey=AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n[Path]\nRemote=192.0.2.1:4725\n"

func options(t *testing.T, h *host) Options {
	t.Helper()
	dir, err := os.MkdirTemp("", "nc") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	old := control.Dir
	control.Dir = dir
	t.Cleanup(func() { control.Dir = old; os.RemoveAll(dir) })
	c, err := config.Parse("x", strings.NewReader(conf))
	if err != nil {
		t.Fatal(err)
	}
	return Options{Interface: "nc0", Config: c, ConfigFile: "/x", Version: "v1", System: h.system()}
}

// start runs a tunnel as Foreground does, but for the signals. It returns what
// the run will end with, once the tunnel is ready or has failed.
func start(t *testing.T, ctx context.Context, o Options) (ended <-chan error) {
	t.Helper()
	tun := newTunnel(o, slog.New(slog.DiscardHandler))
	result, ready := make(chan error, 1), make(chan struct{})
	go func() {
		_, dev, err := tun.prepare()
		if err != nil {
			result <- errors.Join(err, tun.stop())
			return
		}
		result <- tun.run(ctx, dev, func() error { close(ready); return nil })
	}()
	select {
	case <-ready:
	case err := <-result:
		result <- err
	}
	return result
}

func await(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the tunnel did not end")
		return nil
	}
}

// askDown asks the tunnel to stop, as "netcombiner down" does.
func askDown(t *testing.T) {
	t.Helper()
	c, err := control.Dial("nc0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Down(); err != nil {
		t.Error(err)
	}
}

func checkNothingLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(control.Dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

var (
	allDone   = []string{"inherit", "TUN", "configure", "new portal", "portal", "route"}
	allUndone = []string{"unroute", "end portal", "unconfigure", "close TUN"}
)

// However a tunnel is told to end, it undoes what it did, in reverse.
func TestOrder(t *testing.T) {
	for name, stop := range map[string]func(t *testing.T, signal func()){
		"signal": func(_ *testing.T, signal func()) { signal() },
		"down": func(t *testing.T, _ func()) {
			askDown(t)
			checkNothingLeft(t) // already when down returns
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := &host{}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := start(t, ctx, options(t, h))
			if got := h.steps(); !slices.Equal(got, allDone) {
				t.Fatalf("start: %q, want %q", got, allDone)
			}
			stop(t, cancel)
			if err := await(t, ended); err != nil {
				t.Error(err)
			}
			if got, want := h.steps(), slices.Concat(allDone, allUndone); !slices.Equal(got, want) {
				t.Errorf("whole run: %q, want %q", got, want)
			}
			checkNothingLeft(t)
		})
	}
}

func TestStatusIsCompleted(t *testing.T) {
	h := &host{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := start(t, ctx, options(t, h))
	c, err := control.Dial("nc0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	raw, err := c.StatusJSON()
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Status()
	if err != nil || s.Interface != "nc0" || s.Role != "local" || s.Version != "v1" || s.MTU != 1400 || s.UptimeS <= 0 {
		t.Errorf("status %+v, %v", s, err)
	}
	if !strings.Contains(string(raw), `"paths":[]`) {
		t.Errorf("no paths must be [], not null: %s", raw)
	}
	cancel()
	if err := await(t, ended); err != nil {
		t.Error(err)
	}
}

// A step that fails is told, and the steps before it are undone.
func TestFailedStart(t *testing.T) {
	for fail, undone := range map[string][]string{
		"inherit":    {},
		"TUN":        {},
		"configure":  {"close TUN"},
		"new portal": {"unconfigure", "close TUN"},
		"portal":     {"unconfigure", "close TUN"},
		"route":      {"end portal", "unconfigure", "close TUN"},
	} {
		t.Run(fail, func(t *testing.T) {
			h := &host{fail: fail}
			err := await(t, start(t, t.Context(), options(t, h)))
			if err == nil || !strings.Contains(err.Error(), fail+" does not work") || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v", err)
			}
			want := slices.Concat(allDone[:slices.Index(allDone, fail)], undone)
			if got := h.steps(); !slices.Equal(got, want) {
				t.Errorf("steps %q, want %q", got, want)
			}
			checkNothingLeft(t)
		})
	}
}

// What the start took over from a killed run goes with it when it fails.
func TestFailedStartUndoesWhatItInherited(t *testing.T) {
	h := &host{kept: true, fail: "portal"}
	if err := await(t, start(t, t.Context(), options(t, h))); err == nil {
		t.Error("it started")
	}
	want := []string{"inherit", "TUN", "configure", "new portal", "unconfigure", "close TUN", "clean up"}
	if got := h.steps(); !slices.Equal(got, want) {
		t.Errorf("steps %q, want %q", got, want)
	}
	checkNothingLeft(t)
}

// What cannot be undone is told, and the rest is undone all the same.
func TestFailedUndo(t *testing.T) {
	h := &host{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := start(t, ctx, options(t, h))
	h.mu.Lock()
	h.fail = "unroute"
	h.mu.Unlock()
	cancel()
	if err := await(t, ended); err == nil || err.Error() != "undoing the routing: unroute does not work" {
		t.Errorf("error %v", err)
	}
	if got := h.steps(); got[len(got)-1] != "close TUN" {
		t.Errorf("steps %q", got)
	}
	checkNothingLeft(t)
}

func TestPortalEndsByItself(t *testing.T) {
	for name, tc := range map[string]struct {
		ending error
		want   string
	}{
		"broken":  {errors.New("out of luck"), "out of luck"},
		"silent":  {nil, "the portal ended by itself"},
		"deleted": {fmt.Errorf("interface nc0: %w", tundevice.ErrGone), ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := &host{ending: func() error { return tc.ending }}
			err := await(t, start(t, t.Context(), options(t, h)))
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if got := h.steps(); got[len(got)-1] != "close TUN" || !slices.Contains(got, "unroute") {
				t.Errorf("steps %q", got)
			}
			checkNothingLeft(t)
		})
	}
}

func TestSecondStartIsRefused(t *testing.T) {
	h := &host{}
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t, h)
	ended := start(t, ctx, o)
	before := len(h.steps())
	if err := await(t, start(t, t.Context(), o)); err == nil || !strings.Contains(err.Error(), "it runs already") {
		t.Errorf("second start: %v", err)
	}
	if got := h.steps(); len(got) != before {
		t.Errorf("the second start did %q", got[before:])
	}
	cancel()
	if err := await(t, ended); err != nil {
		t.Error(err)
	}
}

// A killed predecessor gives up its lock a moment before its TUN.
func TestInterfaceInUseForAMoment(t *testing.T) {
	h := &host{busy: 2}
	ctx, cancel := context.WithCancel(t.Context())
	ended := start(t, ctx, options(t, h))
	cancel()
	if err := await(t, ended); err != nil {
		t.Error(err)
	}
	if err := await(t, start(t, t.Context(), options(t, &host{busy: 1000}))); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("in use for ever: %v", err)
	}
}

func TestSignalDuringStart(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := await(t, start(t, ctx, options(t, &host{}))); err == nil || err.Error() != "interrupted" {
		t.Errorf("error %v", err)
	}
	checkNothingLeft(t)
}

func TestStartValues(t *testing.T) {
	h := &host{}
	ctx, cancel := context.WithCancel(t.Context())
	ended := start(t, ctx, options(t, h))
	cancel()
	_ = await(t, ended)
	if got := debug.SetMemoryLimit(-1); got != config.DefaultMemoryLimit {
		t.Errorf("the runtime may use %d bytes", got)
	}
	if got := startMTU(&config.Config{}); got != StartMTU {
		t.Errorf("auto starts with %d", got)
	}
	if got := startMTU(&config.Config{Interface: config.Interface{MTU: 1337}}); got != 1337 {
		t.Errorf("1337 starts with %d", got)
	}
}
