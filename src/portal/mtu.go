package portal

import (
	"netcombiner/src/path"
	"netcombiner/src/wire"
)

const (
	// initialMTU is the tunnel's MTU before any path has shown what it
	// carries, in bytes: a common size, so that it mostly stays.
	initialMTU = 1420
	// maxTunnelMTU is the most that auto chooses.
	maxTunnelMTU = 1500
	// innerRoom is how many bytes a message may add to an inner packet.
	innerRoom = wire.HeaderSize + wire.AckMaxSize + 64
)

// chooseMTU lets the tunnel's MTU follow the smallest of the paths that are
// up. A path whose search has shown nothing yet does not count: it would cut
// the MTU for the blink of an eye.
func (k *core) chooseMTU() {
	if k.fixedMTU != 0 {
		return
	}
	smallest := maxTunnelMTU
	known := false
	for _, p := range k.order {
		if s, _ := p.State(); s != path.Up {
			continue
		}
		mtu, settled := p.InnerMTU()
		if mtu == 0 {
			known = true
			continue
		}
		if settled || p.MTU() > path.BaseMTU {
			smallest = min(smallest, mtu)
			known = true
		}
	}
	if known {
		k.mtu = max(smallest, k.floorMTU)
	}
}
