package portal

import (
	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// readTUN takes inner packets from the TUN until it is closed or gone.
//
// It always holds a full batch of buffers. What the exchange keeps is replaced
// from the pool; when that is exhausted the packets read are dropped, and
// their buffers used again.
func (p *Portal) readTUN() {
	batch := make([]*packet.Packet, p.Device.BatchSize())
	batch = batch[:p.pool.Get(batch)]
	defer func() {
		for _, b := range batch {
			b.Release()
		}
	}()
	bufs := make([][]byte, len(batch))
	sizes := make([]int, len(batch))
	read := make([]*packet.Packet, 0, len(batch))
	spare := make([]*packet.Packet, len(batch))
	for {
		for i, b := range batch {
			// The host may send longer packets than it was told to. Those that
			// leave too little room to be sealed the device drops, and counts.
			bufs[i] = b.Buffer()[:p.pool.Size()-innerRoom]
		}
		n, err := p.Device.Read(bufs, sizes, packet.Headroom)
		if err != nil {
			p.cancel(err)
			return
		}
		got := p.pool.Get(spare[:n])
		read = read[:0]
		now, mtu := p.clock.Now(), int(p.mtu.Load())
		kept := 0
		for i := range n {
			b := batch[i]
			b.Data = b.Buffer()[packet.Headroom : packet.Headroom+sizes[i]]
			if packet.Version(b.Data) == 0 || kept == got {
				continue // not IP, or no buffer to take its place
			}
			p.core.prepare(now, b, mtu)
			read = append(read, b)
			batch[i] = spare[kept]
			kept++
		}
		for _, s := range spare[kept:got] {
			s.Release()
		}
		p.do(func(now mono.Time) {
			p.core.unread += uint64(n - len(read))
			p.core.ingress(now, read)
		})
	}
}
