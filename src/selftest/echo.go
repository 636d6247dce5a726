package selftest

import (
	"netcombiner/src/packet"
	"netcombiner/src/tundevice"
)

// protocol is the number of the IP packets that are tried: one for experiments (RFC
// 3692), and not the one that tunnels have.
const protocol = 254

const protoUDP = 17

// echo sends back what comes out of a TUN, until that is closed.
func echo(dev tundevice.Device) {
	bufs, sizes := make([][]byte, dev.BatchSize()), make([]int, dev.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, tundevice.Headroom+tunMTU)
	}
	for {
		n, err := dev.Read(bufs, sizes, tundevice.Headroom)
		if err != nil {
			return
		}
		for i := range n {
			p := bufs[i][:tundevice.Headroom+sizes[i]]
			if !turn(p[tundevice.Headroom:]) {
				continue
			}
			if _, err := dev.Write([][]byte{p}, tundevice.Headroom); err != nil {
				return
			}
		}
	}
}

// turn makes the answer of a packet that is ours: source and destination change
// places, addresses and ports. All checksums stay right, for they are sums.
func turn(p []byte) bool {
	var proto byte
	var addrs, upper, size int
	switch packet.Version(p) {
	case 4:
		proto, addrs, upper, size = p[9], 12, int(p[0]&15)*4, 4
	case 6:
		proto, addrs, upper, size = p[6], 8, 40, 16
	default:
		return false
	}
	switch {
	case proto == protoUDP && len(p) >= upper+8:
		swap(p[upper:], 2)
	case proto != protocol:
		return false
	}
	swap(p[addrs:], size)
	return true
}

// swap exchanges the first size bytes with the next.
func swap(b []byte, size int) {
	for i := range size {
		b[i], b[size+i] = b[size+i], b[i]
	}
}
