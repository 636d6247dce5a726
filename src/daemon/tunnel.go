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
	"sync/atomic"
	"syscall"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/tundevice"
)

// portalPatience is how long a portal may take to end.
const portalPatience = 5 * time.Second

// tunnel is a running tunnel and what there is to undo of it.
type tunnel struct {
	Options
	log     *slog.Logger
	started time.Time

	changing sync.Mutex                    // held by Change
	current  atomic.Pointer[config.Config] // what runs
	changed  chan chan<- struct{}          // to the routing: current changed
	beside   atomic.Pointer[Beside]        // what goes beside the tunnel
	egress   *Egress
	scraped  scraped

	undos  []undo // in the order in which they were made
	portal Portal
	server *control.Server

	portalEnded chan struct{} // closed when Run has returned…
	portalErr   error         // …this

	downOnce  sync.Once
	downAsked chan struct{} // closed when a client wants the tunnel to stop
	stopped   chan struct{} // closed when all is undone…
	stopErr   error         // …with this
}

// undo takes back one step of the start.
type undo struct {
	what string
	do   func() error
}

func newTunnel(o Options, log *slog.Logger) *tunnel {
	t := &tunnel{
		Options: o, log: log, started: time.Now(), changed: make(chan chan<- struct{}), egress: newEgress(),
		portalEnded: make(chan struct{}), downAsked: make(chan struct{}), stopped: make(chan struct{}),
	}
	t.current.Store(o.Config)
	return t
}

func (t *tunnel) undoLater(what string, do func() error) { t.undos = append(t.undos, undo{what, do}) }

// prepare is what must happen before a detached child takes over: the lock
// and the interface. A second start fails here, before it disturbs the first.
func (t *tunnel) prepare() (*control.Lock, TUN, error) {
	lock, err := control.AcquireLock(t.Interface)
	if err != nil {
		return nil, nil, err
	}
	t.undoLater("the lock", lock.Release)
	kept, err := t.System.Inherit(t.Interface, t.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("cleaning up after the last run: %w", err)
	}
	if kept {
		t.undoLater("what the last run left", func() error {
			_, err := t.System.CleanUp(t.Interface)
			return err
		})
	}
	dev, err := t.createTUN()
	if err != nil {
		return nil, nil, err
	}
	t.undoLater("the interface", dev.Close)
	return lock, dev, nil
}

// createTUN is patient for a moment with an interface in use: a process that
// was killed gives up its lock before its TUN.
func (t *tunnel) createTUN() (TUN, error) {
	for deadline := time.Now().Add(500 * time.Millisecond); ; time.Sleep(20 * time.Millisecond) {
		dev, err := t.System.CreateTUN(t.Interface, t.deviceOptions())
		if err == nil || !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			return dev, err
		}
	}
}

// deviceOptions is the same for a parent, which has no log, and its child.
func (t *tunnel) deviceOptions() tundevice.Options {
	return tundevice.Options{MTU: startMTU(t.Config), Offload: t.Config.Interface.Offload, Log: t.log}
}

// start does the rest, on an interface that exists. Whatever it returns,
// stop undoes what was done.
func (t *tunnel) start(ctx context.Context, dev TUN) error {
	if limit := t.Config.Interface.MemoryLimit; limit > 0 {
		debug.SetMemoryLimit(limit)
	}
	unconfigure, err := t.System.Configure(t.Interface, t.Config)
	if err != nil {
		return err
	}
	t.undoLater("the addresses", unconfigure)
	portal, err := t.System.NewPortal(PortalOptions{t.Interface, t.Config, t.Version, dev, t.egress, t.log})
	if err != nil {
		return err
	}
	t.portal = portal
	if err := t.runPortal(ctx); err != nil {
		return err
	}
	unroute, err := t.System.Route(RouteOptions{
		Interface: t.Interface, Config: t.Config, Current: t.config, Changed: t.changed, Status: portal.Status, Settle: t.egress.settle,
		Beside: func(b Beside) { t.beside.Store(&b) }, Log: t.log,
	})
	if err != nil {
		return fmt.Errorf("routing: %w", err)
	}
	t.undoLater("the routing", unroute)
	t.egress.settle(nil) // where nothing is routed

	if t.server, err = control.Serve(t.Interface, t); err != nil {
		return err
	}
	t.undoLater("the control socket", t.server.Unlisten)
	if at := t.Config.Interface.Metrics; at.IsValid() {
		t.undoLater("the metrics", t.scraped.serve(at, t.Status, t.log))
	}
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	return nil
}

// runPortal returns once the portal is ready, or has failed. The portal does
// not end with ctx but when it is its turn among the steps to undo.
func (t *tunnel) runPortal(ctx context.Context) error {
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ready := make(chan struct{})
	go func() {
		t.portalErr = t.portal.Run(running, func() { close(ready) })
		close(t.portalEnded) // not deferred: a panic is no end of the portal's own
	}()
	t.undoLater("the portal", func() error {
		cancel()
		select {
		case <-t.portalEnded:
			return nil
		case <-time.After(portalPatience):
			return fmt.Errorf("still busy after %v", portalPatience)
		}
	})
	select {
	case <-ready:
		return nil
	case <-t.portalEnded:
		select {
		case <-ready: // it was, and ended since: wait tells why
			return nil
		default:
			return t.endOfPortal()
		}
	case <-ctx.Done():
		return errors.New("interrupted")
	}
}

// endOfPortal is why the portal ended by itself.
func (t *tunnel) endOfPortal() error {
	if t.portalErr == nil {
		return errors.New("the portal ended by itself")
	}
	return t.portalErr
}

// wait returns when the tunnel is to stop: ctx ended (a signal), a client
// asked for it, or the portal has ended by itself.
func (t *tunnel) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		t.log.Info("stopping", "reason", "signal")
	case <-t.downAsked:
		t.log.Info("stopping", "reason", "netcombiner down")
	case <-t.portalEnded:
		if errors.Is(t.portalErr, tundevice.ErrGone) {
			t.log.Info("stopping", "reason", "the interface was deleted")
			return nil // as good a way as any to end a tunnel
		}
		return t.endOfPortal()
	}
	return nil
}

// stop undoes every step of the start, the last one first, and only then lets
// "down" be answered.
func (t *tunnel) stop() error {
	var failed []string
	for _, u := range slices.Backward(t.undos) {
		if err := u.do(); err != nil && !errors.Is(err, os.ErrClosed) {
			failed = append(failed, fmt.Sprintf("undoing %s: %v", u.what, err))
		}
	}
	t.undos = nil
	if len(failed) > 0 {
		t.stopErr = errors.New(strings.Join(failed, "; "))
	}
	close(t.stopped)
	if t.server != nil {
		_ = t.server.Close()
	}
	return t.stopErr
}

// Status implements control.Handler.
func (t *tunnel) Status() control.Status {
	s := t.portal.Status()
	s.Interface = t.Interface
	s.Role = string(t.Config.Interface.Role)
	s.Version = t.Version
	s.UptimeS = time.Since(t.started).Seconds()
	s.Hints = slices.Concat(s.Hints, t.scraped.hints())
	if b := t.beside.Load(); b != nil {
		b.addTo(&s)
	}
	if s.Paths == nil {
		s.Paths = []control.Path{} // [] in JSON, not null
	}
	return s
}

// Down implements control.Handler.
func (t *tunnel) Down() error {
	t.downOnce.Do(func() { close(t.downAsked) })
	<-t.stopped
	return t.stopErr
}
