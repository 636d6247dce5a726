package daemon

import (
	"context"
	"net/netip"
	"runtime"
)

// Egress knows by which FIB the sockets of a path leave, on FreeBSD. Only the
// routing tells, which is set up for a portal that runs: so whoever dials by a WAN
// waits for it. On Linux, where sockets are bound to devices, nobody asks.
type Egress struct {
	settled chan struct{} // closed once the routing is in force…
	fib     func(device string, source netip.Addr) (table int, ok bool)
}

func newEgress() *Egress { return egressOn(runtime.GOOS) }

func egressOn(system string) *Egress {
	e := &Egress{settled: make(chan struct{})}
	if system != "freebsd" {
		close(e.settled)
	}
	return e
}

// settle tells how sockets leave: fib is routing.Routing.FIB, nil where no WAN has a
// way of its own. What it answers may change; once it was called, further calls do nothing.
func (e *Egress) settle(fib func(device string, source netip.Addr) (int, bool)) {
	if e.Settled() {
		return
	}
	e.fib = fib
	close(e.settled)
}

// Settled says that the routing is in force. Until then what is bound to no WAN
// leaves as everybody's packets do.
func (e *Egress) Settled() bool {
	select {
	case <-e.settled:
		return true
	default:
		return false
	}
}

// FIB implements udpsocket.FIB: it waits until that is settled, or ctx ends.
func (e *Egress) FIB(ctx context.Context, device string, source netip.Addr) (table int, ok bool) {
	select {
	case <-e.settled:
	case <-ctx.Done():
		return 0, false
	}
	if e.fib == nil {
		return 0, false
	}
	return e.fib(device, source)
}
