//go:build linux

package testbed

import (
	"context"
	"fmt"
	"io"
	"os"

	"netcombiner/src/testbed/lab"
)

// Hold raises the demonstration's lab with a tunnel and keeps it until ctx
// ends, for looking around in it.
func Hold(ctx context.Context, c DemoConfig, out io.Writer) error {
	l, err := lab.New(lab.Config{Links: demoLinks})
	if err != nil {
		return err
	}
	defer l.Close()
	t, err := l.StartTunnel(lab.TunnelConfig{Program: c.Program, Transport: c.Transport, Routing: c.Routing, LogDir: c.Dir})
	if err != nil {
		return err
	}
	defer t.Close()
	fmt.Fprintln(out, "The lab stands until ^C. To enter a machine (network and /run):")
	for _, m := range l.Machines() {
		fmt.Fprintf(out, "  %-9s nsenter --net=%s --mount=%s\n", m.Name, m.Path(), m.Mounts())
	}
	if err := waitUp(ctx, t); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}
