package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/kardianos/service"
)

// Foreground runs a tunnel until a signal, "netcombiner down" or the end of
// its interface. It logs to stderr.
func Foreground(o Options) error {
	protectSecrets()
	ctx, release := signalContext(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer release()
	t := newTunnel(o, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	_, dev, err := t.prepare()
	if err != nil {
		return errors.Join(err, t.stop())
	}
	return t.run(ctx, dev, func() error { return nil })
}

// signalContext ends with the first of these signals. A closed stderr or a
// client that went away is no reason to die without undoing.
func signalContext(stop ...os.Signal) (context.Context, func()) {
	signal.Ignore(syscall.SIGPIPE)
	return signal.NotifyContext(context.Background(), stop...)
}

// run starts the tunnel on dev, calls ready, and stops it when it is time.
func (t *tunnel) run(ctx context.Context, dev TUN, ready func() error) error {
	var why error
	p := program{
		start: func() error {
			err := t.start(ctx, dev)
			if err == nil {
				t.log.Info("running", "interface", t.Interface, "version", t.Version)
				err = ready()
			}
			if err != nil {
				return errors.Join(err, t.stop())
			}
			return nil
		},
		stop: func() error { return errors.Join(why, t.stop()) },
	}
	// The library runs programs the way each system's service manager wants.
	// We bring our own wait: a tunnel ends for more reasons than signals.
	s, err := service.New(p, &service.Config{
		Name:   "netcombiner",
		Option: service.KeyValue{"RunWait": func() { why = t.wait(ctx) }},
	})
	if err != nil {
		return errors.Join(err, t.stop())
	}
	return s.Run()
}

// program is a service.Interface made of two functions.
type program struct{ start, stop func() error }

func (p program) Start(service.Service) error { return p.start() }
func (p program) Stop(service.Service) error  { return p.stop() }
