package daemon

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/scrape"
)

// listenAgain is how long after a failure the metrics' address is tried again:
// it may be an interface's that is not there yet.
const listenAgain = 10 * time.Second

// scraped is the metrics' listener as Status tells of it.
type scraped struct{ trouble atomic.Pointer[string] }

// hints says why nobody can ask, if so.
func (s *scraped) hints() []string {
	if why := s.trouble.Load(); why != nil {
		return []string{"nobody can ask for the metrics: " + *why}
	}
	return nil
}

// serve answers Prometheus at an address until it is undone. That the address
// cannot be had is told, and no reason for the tunnel not to run.
func (s *scraped) serve(at netip.AddrPort, status func() control.Status, log *slog.Logger) (undo func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l := s.listen(ctx, at, log)
		if l == nil {
			return
		}
		server := scrape.Serve(l, func() string {
			st := status()
			return control.MetricsText(&st)
		})
		<-ctx.Done()
		_ = server.Close()
	}()
	return func() error {
		cancel()
		<-ended
		return nil
	}
}

// listen is patient. It returns nil when ctx ends before it can listen.
func (s *scraped) listen(ctx context.Context, at netip.AddrPort, log *slog.Logger) net.Listener {
	complaint := ""
	for {
		var c net.ListenConfig
		l, err := c.Listen(ctx, "tcp", at.String())
		if err == nil {
			s.trouble.Store(nil)
			return l
		}
		if why := err.Error(); why != complaint && ctx.Err() == nil {
			complaint = why
			s.trouble.Store(&why)
			log.Warn("nobody can ask for the metrics yet; trying again", "why", err)
		}
		select {
		case <-time.After(listenAgain):
		case <-ctx.Done():
			return nil
		}
	}
}
