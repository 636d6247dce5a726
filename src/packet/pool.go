package packet

import (
	"slices"
	"sync"
)

// Pool is a bounded stock of packets. Its methods may be called by any
// goroutine; batches keep the lock's cost far under that of the copy.
type Pool struct {
	size, limit int

	mu    sync.Mutex
	free  []*Packet // the last one goes first
	slabs []*slab   // in the order in which they were made
	made  int       // packets
	idle  int       // the fewest that were free at any time since Shrink
}

// slab is some packets that were made at once, and are given back to the runtime
// at once.
type slab struct {
	pool    *Pool
	packets [slabPackets]Packet
	made    int // of these
}

// slabPackets is how many packets are made at once. Four buffers for the usual MTU
// are just as long as one of the sizes that the runtime has; one of them alone is not.
// More than a few would hardly ever be free all at once, and Shrink would do nothing.
const slabPackets = 4

// NewPool returns a pool whose packets have buffers of size bytes, and which
// makes limit of them at most: this bounds the portal's memory.
func NewPool(size, limit int) *Pool { return &Pool{size: size, limit: limit} }

// Size is the length of each buffer, in bytes.
func (pl *Pool) Size() int { return pl.size }

// Outstanding is how many packets are out of the pool.
func (pl *Pool) Outstanding() int {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	return pl.made - len(pl.free)
}

// Made is how many packets there are, in the pool and out of it.
func (pl *Pool) Made() int {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	return pl.made
}

// Get fills dst with fresh packets, one reference each, and returns how many
// there were: fewer than len(dst) when the pool is exhausted.
func (pl *Pool) Get(dst []*Packet) int {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for i := range dst {
		if len(pl.free) == 0 {
			pl.idle = 0
			if !pl.grow() {
				return i
			}
		}
		last := len(pl.free) - 1
		dst[i], pl.free = pl.free[last], pl.free[:last]
		dst[i].refs, dst[i].free = 1, false
	}
	pl.idle = min(pl.idle, len(pl.free))
	return len(dst)
}

// grow makes a slab of packets, and returns false at the limit. Under the lock.
func (pl *Pool) grow() bool {
	n := min(slabPackets, pl.limit-pl.made)
	if n <= 0 {
		return false
	}
	s, buffers := &slab{pool: pl, made: n}, make([]byte, n*pl.size)
	for i := range n {
		at := i * pl.size
		p := &s.packets[i]
		p.slab, p.buffer, p.free = s, buffers[at:at+pl.size:at+pl.size], true
		pl.free = append(pl.free, p)
	}
	pl.slabs = append(pl.slabs, s)
	pl.made += n
	return true
}

// Shrink forgets what nobody needed since it was last called, as far as whole slabs
// are free, so that a burst is not paid for ever. It returns how many packets that was.
//
// Of what is left the oldest are given out first. Whoever holds packets all the
// time is to Repick them afterwards, or a few of them would keep most slabs.
func (pl *Pool) Shrink() (forgotten int) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	before := pl.made
	pl.free = make([]*Packet, 0, len(pl.free))
	for i, s := range slices.Backward(pl.slabs) {
		free := len(pl.free)
		for j := range s.made {
			if p := &s.packets[j]; p.free {
				pl.free = append(pl.free, p)
			}
		}
		if whole := len(pl.free)-free == s.made; whole && s.made <= pl.idle {
			pl.idle -= s.made
			pl.made -= s.made
			clear(pl.free[free:])
			pl.free, pl.slabs[i] = pl.free[:free], nil
		}
	}
	pl.slabs = slices.Clone(slices.DeleteFunc(pl.slabs, func(s *slab) bool { return s == nil }))
	pl.free = slices.Clone(pl.free)
	pl.idle = len(pl.free)
	return before - pl.made
}

// Repick exchanges packets that nobody else has, and in which nothing is, for those
// that the pool prefers to give out.
func (pl *Pool) Repick(batch []*Packet) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	batch = batch[:min(len(batch), len(pl.free))]
	rest := len(pl.free) - len(batch)
	before := slices.Clone(batch)
	for i := range batch {
		batch[i] = pl.free[rest+i]
		batch[i].refs, batch[i].free = 1, false
	}
	for _, p := range before {
		p.reset()
		p.refs, p.free = 0, true
	}
	pl.free = slices.Insert(pl.free[:rest], 0, before...)
}

func (pl *Pool) put(p *Packet) {
	p.reset()
	pl.mu.Lock()
	p.free = true
	pl.free = append(pl.free, p)
	pl.mu.Unlock()
}

// Release gives back a reference to each packet of a batch, all of one pool, as
// their own Release does, and forgets them. It takes the pool's lock once.
func Release(batch []*Packet) {
	if len(batch) == 0 {
		return
	}
	pl := batch[0].slab.pool
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for i, p := range batch {
		batch[i] = nil
		switch p.refs--; {
		case p.refs == 0:
			p.reset()
			p.free = true
			pl.free = append(pl.free, p)
		case p.refs < 0:
			panic("packet: released twice")
		}
	}
}
