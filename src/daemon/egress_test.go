package daemon

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A path that dials before the routing is in force waits, and leaves by its WAN.
func TestDialsWaitForTheRouting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := egressOn("freebsd")
		if e.Settled() {
			t.Fatal("settled before the routing is")
		}
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if table, ok := e.FIB(hasty, "em1", netip.Addr{}); ok {
			t.Errorf("FIB %d without a routing", table)
		}
		if hasty.Err() == nil {
			t.Error("it did not wait")
		}
		answered := make(chan int)
		go func() {
			table, _ := e.FIB(t.Context(), "em1", netip.Addr{})
			answered <- table
		}()
		synctest.Wait()
		e.settle(func(device string, _ netip.Addr) (int, bool) { return 3, device == "em1" })
		if table := <-answered; table != 3 {
			t.Errorf("FIB %d", table)
		}
		e.settle(nil) // does nothing
		if _, ok := e.FIB(t.Context(), "em0", netip.Addr{}); ok || !e.Settled() {
			t.Error("em0 has none")
		}
		if table, ok := e.FIB(t.Context(), "em1", netip.Addr{}); table != 3 || !ok {
			t.Errorf("FIB %d, %v", table, ok)
		}
	})
}

// Without a routing, and on Linux, nobody waits.
func TestNobodyWaitsForNothing(t *testing.T) {
	unrouted := egressOn("freebsd")
	unrouted.settle(nil)
	for what, e := range map[string]*Egress{"nothing to route": unrouted, "Linux": egressOn("linux")} {
		if _, ok := e.FIB(t.Context(), "em1", netip.Addr{}); ok || !e.Settled() {
			t.Errorf("%s: a FIB, or not settled", what)
		}
	}
}
