package portal

import (
	"context"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// fillAgain is how long a reader without any buffer waits for others to give
// some back.
const fillAgain = 10 * time.Millisecond

// readTUN takes inner packets from the TUN until it is closed or gone.
//
// It holds a full batch of buffers, once the pool had so many. What the exchange
// keeps is replaced from the pool; when that is exhausted the packets read are
// dropped, and their buffers used again.
func (p *Portal) readTUN(ctx context.Context) {
	full := p.Device.BatchSize()
	batch := make([]*packet.Packet, 0, full)
	defer func() {
		for _, b := range batch {
			b.Release()
		}
	}()
	bufs := make([][]byte, full)
	sizes := make([]int, full)
	read := make([]*packet.Packet, 0, full)
	spare := make([]*packet.Packet, full)
	var holder holder
	for {
		holder.repick(p, batch)
		if batch = p.fill(ctx, batch); len(batch) == 0 {
			return
		}
		for i, b := range batch {
			// The host may send longer packets than it was told to. Those that
			// leave too little room to be sealed the device drops, and counts.
			bufs[i] = b.Buffer()[:p.pool.Size()-innerRoom]
		}
		n, err := p.Device.Read(bufs[:len(batch)], sizes, packet.Headroom)
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
		clear(spare[:got])
		p.do(func(now mono.Time) {
			p.core.unread += uint64(n - len(read))
			p.core.ingress(now, read)
		})
		clear(read)
	}
}

// fill adds to the batch what the pool has, up to its capacity. It waits for the
// first one; an empty batch says that ctx ended before.
func (p *Portal) fill(ctx context.Context, batch []*packet.Packet) []*packet.Packet {
	for len(batch) < cap(batch) {
		n := len(batch)
		batch = batch[:n+p.pool.Get(batch[n:cap(batch)])]
		if len(batch) > 0 {
			break
		}
		select {
		case <-time.After(fillAgain):
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}
