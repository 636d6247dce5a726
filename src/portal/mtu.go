package portal

import (
	"netcombiner/src/mono"
	"netcombiner/src/path"
	"netcombiner/src/wire"
)

const (
	// initialMTU is the tunnel's MTU before any path has shown what it
	// carries, in bytes: a common size, so that it mostly stays.
	initialMTU = 1420
	// maxTunnelMTU is the most that auto chooses.
	maxTunnelMTU = 1500
	// ackRoom is what the longest inner packet leaves free for the
	// acknowledgement of what comes the other way, in bytes: a message of its own
	// takes three times as much, and on a link of 8 Mbit/s 1 % of the rate.
	ackRoom = wire.AckMinSize + 8
	// innerRoom is how many bytes a message may add to an inner packet.
	innerRoom = wire.HeaderSize + wire.AckMaxSize + 64
)

// chooseMTU lets the tunnel's MTU follow the smallest of the paths that are
// up. A path whose search is not over does not lower it, while another carries
// packets as long as they are: a dip for the blink of an eye would cost every
// packet in it. An MTU from the configuration is a ceiling: were the interface
// to take what no path carries, nobody would tell the sender.
func (k *core) chooseMTU(now mono.Time) {
	settled, searching := maxTunnelMTU+1, 0
	for _, p := range k.order {
		if s, _ := p.State(); s != path.Up {
			continue
		}
		mtu, done := p.InnerMTU()
		if p.Datagram && k.fixedMTU == 0 {
			mtu -= ackRoom
		}
		switch {
		case done || mtu >= k.mtu:
			settled = min(settled, mtu)
		case p.MTU() > path.BaseMTU:
			searching = max(searching, mtu)
		}
	}
	carried := searching
	if settled <= maxTunnelMTU {
		carried = settled
	}
	if carried == 0 {
		return
	}
	k.mtu = max(carried, k.floorMTU)
	if k.fixedMTU != 0 {
		if k.fixedMTU > k.mtu && settled <= maxTunnelMTU {
			k.complain(now, mtuTooLong, "the paths carry less than the MTU in the configuration: using less", "MTU", k.fixedMTU, "used", k.mtu)
		}
		k.mtu = min(k.mtu, k.fixedMTU)
	}
}
