package daemon

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// Foreground runs a tunnel until a signal, "netcombiner down" or the end of
// its interface. It logs to stderr, and tells the service manager that started
// it, if one did and listens.
func Foreground(o Options) error {
	ProtectSecrets()
	ctx, release := signalContext(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer release()
	manager := newNotifier()
	t := newTunnel(o, foregroundLog(o))
	_, dev, err := t.prepare()
	if err != nil {
		return errors.Join(err, t.stop())
	}
	return t.run(ctx, dev, func() error {
		t.undoLater("what the service manager was told", manager.running(t.Status))
		return nil
	})
}

// signalContext ends with the first of these signals. A closed stderr or a
// client that went away is no reason to die without undoing.
func signalContext(stop ...os.Signal) (context.Context, func()) {
	signal.Ignore(syscall.SIGPIPE)
	return signal.NotifyContext(context.Background(), stop...)
}

// run starts the tunnel on dev, calls ready, and stops it when it is time.
func (t *tunnel) run(ctx context.Context, dev TUN, ready func() error) error {
	err := t.start(ctx, dev)
	if err == nil {
		t.log.Info("running", "interface", t.Interface, "version", t.Version)
		err = ready()
	}
	debug.FreeOSMemory() // the start needed more than the tunnel will, and a host may have a hundred
	if err == nil {
		err = t.wait(ctx)
	}
	return errors.Join(err, t.stop())
}
