package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/scrape"
)

// listenAgain is how long after a failure the metrics' address is tried again:
// it may be an interface's that is not there yet.
const listenAgain = 10 * time.Second

// serveMetrics answers Prometheus at an address until it is undone. That the
// address cannot be had is logged, and no reason for the tunnel not to run.
func serveMetrics(at netip.AddrPort, status func() control.Status, log *slog.Logger) (undo func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l := listenPatiently(ctx, at, log)
		if l == nil {
			return
		}
		s := scrape.Serve(l, func() string {
			st := status()
			return control.MetricsText(&st)
		})
		<-ctx.Done()
		_ = s.Close()
	}()
	return func() error {
		cancel()
		<-ended
		return nil
	}
}

// listenPatiently returns nil when ctx ends before it can listen.
func listenPatiently(ctx context.Context, at netip.AddrPort, log *slog.Logger) net.Listener {
	complaint := ""
	for {
		var c net.ListenConfig
		l, err := c.Listen(ctx, "tcp", at.String())
		if err == nil {
			return l
		}
		if err.Error() != complaint && ctx.Err() == nil {
			complaint = err.Error()
			log.Warn("nobody can ask for the metrics yet; trying again", "why", err)
		}
		select {
		case <-time.After(listenAgain):
		case <-ctx.Done():
			return nil
		}
	}
}
