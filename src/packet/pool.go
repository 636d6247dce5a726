package packet

import "sync"

// Pool is a bounded stock of packets. Its methods may be called by any
// goroutine; batches keep the lock's cost far under that of the copy.
type Pool struct {
	size, limit int

	mu   sync.Mutex
	free []*Packet // the last one goes first
	made int
	idle int // the fewest that were free at any time since Shrink
}

// slab is some packets that were made at once, and are given back to the runtime
// at once.
type slab struct {
	pool    *Pool
	packets [slabPackets]Packet
	made    int // of these
	free    int // counted by Shrink; 0 between two calls
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
		dst[i].refs = 1
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
		s.packets[i].slab, s.packets[i].buffer = s, buffers[at:at+pl.size:at+pl.size]
		pl.free = append(pl.free, &s.packets[i])
	}
	pl.made += n
	return true
}

// Shrink forgets what nobody needed since it was last called, as far as whole slabs
// are free, so that a burst is not paid for ever. It returns how many packets that was.
func (pl *Pool) Shrink() (forgotten int) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	for _, p := range pl.free {
		p.slab.free++
	}
	var kept []*Packet
	for _, p := range pl.free {
		switch s := p.slab; {
		case s.free == s.made && s.made <= pl.idle: // the first of a slab that goes
			pl.idle -= s.made
			pl.made -= s.made
			s.free = gone
		case s.free != gone:
			kept = append(kept, p)
		}
	}
	for _, p := range kept {
		p.slab.free = 0
	}
	forgotten = len(pl.free) - len(kept)
	pl.free, pl.idle = kept, len(kept)
	return forgotten
}

// gone marks a slab whose packets are forgotten.
const gone = -1

func (pl *Pool) put(p *Packet) {
	p.reset()
	pl.mu.Lock()
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
			pl.free = append(pl.free, p)
		case p.refs < 0:
			panic("packet: released twice")
		}
	}
}
