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
// our own: the rate in each of the test's spans, bit/s of payload. Nothing else crosses the links: over some that lose and reorder
// much, iperf3 lost its own control connection in one test of ten.
func Flows(ctx context.Context, client, server *netns.Namespace, addr netip.Addr, t TCPTest) ([]float64, error) {
	rates, err := flows(ctx, client, server, addr, t)
	if err != nil {
		return nil, err
	}
	return rates, sleep(ctx, flowsRest)
}

// flows connects all before the first of them begins, so that they begin at once.
func flows(ctx context.Context, client, server *netns.Namespace, addr netip.Addr, t TCPTest) (rates []float64, err error) {
	var streams []*Stream
	defer func() {
		for _, s := range streams {
			s.Close()
		}
	}()
	for i := range max(1, t.Flows) {
		s, err := connect(ctx, client, server, netip.AddrPortFrom(addr, uint16(5220+i)), t)
		if err != nil {
			return nil, err
		}
		streams = append(streams, s)
	}
	for _, s := range streams {
		s.begin()
	}
	rates = make([]float64, max(1, t.Spans))
	if err := sleep(ctx, t.Lasts()); err != nil {
		return nil, err
	}
	for _, s := range streams {
		if err := s.Broken(); err != nil {
			return nil, err
		}
		for i := range rates {
			rates[i] += s.Rate(time.Duration(i)*t.For, time.Duration(i+1)*t.For)
		}
	}
	return rates, nil
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
