package portal

import (
	"sync"

	"netcombiner/src/packet"
	"netcombiner/src/tundevice"
)

// egress writes packets to the TUN in the order in which the core let them go,
// whichever reader brought them. The reader that finds nobody writing writes
// for all, so that a lone packet passes without waking anybody.
type egress struct {
	device tundevice.Device

	mu      sync.Mutex
	pending []*packet.Packet
	writing bool

	batch []*packet.Packet // the writer's own
	bufs  [][]byte
}

// add takes packets, with their references, to be written. The caller holds
// the portal's lock, which makes the order.
func (e *egress) add(packets []*packet.Packet) {
	if len(packets) == 0 {
		return
	}
	e.mu.Lock()
	e.pending = append(e.pending, packets...)
	e.mu.Unlock()
}

// flush writes what was added, unless somebody else is at it already.
func (e *egress) flush() {
	e.mu.Lock()
	if e.writing {
		e.mu.Unlock()
		return
	}
	e.writing = true
	for len(e.pending) > 0 {
		e.batch, e.pending = e.pending, e.batch[:0]
		e.mu.Unlock()
		e.bufs = e.bufs[:0]
		for _, p := range e.batch {
			e.bufs = append(e.bufs, p.WithHeadroom(tundevice.Headroom))
		}
		_, _ = e.device.Write(e.bufs, tundevice.Headroom) // what ends it ends the TUN's reader too
		packet.Release(e.batch)
		clear(e.bufs)
		e.mu.Lock()
	}
	e.writing = false
	e.mu.Unlock()
}

func (e *egress) close() {
	for _, p := range e.pending {
		p.Release()
	}
	e.pending = nil
}
