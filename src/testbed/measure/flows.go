//go:build linux

package measure

import (
	"context"
	"net/netip"
	"time"

	"netcombiner/src/testbed/netns"
)

// flowsRest is how long after a test it takes until nothing of it is left in
// queues of 300 ms on links of 320 ms.
const flowsRest = time.Second

// Flows measures what Iperf.TCP does, between two machines and with flows of
// our own. Nothing else crosses the links: over some that lose and reorder
// much, iperf3 lost its own control connection in one test of ten.
func Flows(ctx context.Context, client, server *netns.Namespace, addr netip.Addr, t TCPTest) (float64, error) {
	rate, err := flows(ctx, client, server, addr, t)
	if err != nil {
		return 0, err
	}
	return rate, sleep(ctx, flowsRest)
}

// flows connects all before the first of them begins, so that they begin at once.
func flows(ctx context.Context, client, server *netns.Namespace, addr netip.Addr, t TCPTest) (rate float64, err error) {
	var streams []*Stream
	defer func() {
		for _, s := range streams {
			s.Close()
		}
	}()
	for i := range max(1, t.Flows) {
		s, err := connect(ctx, client, server, netip.AddrPortFrom(addr, uint16(5220+i)), t)
		if err != nil {
			return 0, err
		}
		streams = append(streams, s)
	}
	for _, s := range streams {
		s.begin()
	}
	if err := sleep(ctx, t.For); err != nil {
		return 0, err
	}
	for _, s := range streams {
		if err := s.Broken(); err != nil {
			return 0, err
		}
		rate += s.Rate(0, t.For)
	}
	return rate, nil
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
