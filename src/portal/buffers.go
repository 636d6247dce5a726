package portal

// How the buffers that a burst took are given back.

import (
	"runtime/debug"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// shrinkEvery is how often that is, at most: a little less than totalsEvery, with
// whose ticks it comes. So what a burst took is given back two or three minutes later.
const shrinkEvery = 50 * time.Second

// shrinker makes a portal's pool smaller now and then.
type shrinker struct {
	portal *Portal
	due    mono.Time
}

// shrink gives back the buffers that nobody needed since it last did: to the runtime,
// and from there, while that keeps nobody waiting, to the system at once.
func (s *shrinker) shrink(now mono.Time) {
	if now < s.due {
		return
	}
	s.due = now.Add(shrinkEvery)
	p := s.portal
	forgotten := p.pool.Shrink()
	p.shrunk.Add(1)
	p.mu.Lock()
	active := p.core.active(now)
	p.mu.Unlock()
	if forgotten > 0 && !active {
		debug.FreeOSMemory()
	}
}

// holder is whoever holds a batch of packets all the time.
type holder struct{ picked uint32 } // Portal.shrunk, when that was

// repick has the pool choose them again where it was made smaller meanwhile.
func (h *holder) repick(p *Portal, batch []*packet.Packet) {
	if shrunk := p.shrunk.Load(); h.picked != shrunk {
		h.picked = shrunk
		p.pool.Repick(batch)
	}
}
