package exchange

import (
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

const (
	// passedBits is how many sequences the resequencer remembers: twice the
	// longest distance a packet can name.
	passedBits = 1 << 17
	// maxHeld bounds the packets that wait; beyond it the oldest goes on.
	maxHeld = 4096
	// minHold and maxHold bound the wait for a missing packet.
	minHold = 3 * time.Millisecond
	maxHold = 250 * time.Millisecond
	// lateMemory is how long lateness that does not come back is waited for.
	lateMemory = 3 * time.Second
)

// Resequencer puts the packets of each flow back in order.
//
// A packet names its predecessor in its flow. If that has passed, or was given
// up, the packet passes at once; else it waits, for no longer than other paths
// were seen to be behind. A packet of another flow never waits for it.
type Resequencer struct {
	ReleasedLate uint64 // packets that went on without their predecessor

	first, highest uint64 // sequences: the first seen, the highest seen
	passed         []uint64
	waiting        map[uint64]*packet.Packet // by the predecessor's sequence
	gaps           packet.Ring[gap]          // oldest first; some closed meanwhile
	spread         time.Duration             // what the paths' delays explain
	late           time.Duration             // what was seen
	lateAt         mono.Time
	late64         [64]gap // gaps given up lately, to see by how much too soon
}

// gap is a missing packet that another waits for.
type gap struct {
	missing uint64
	opened  mono.Time
}

func newResequencer() Resequencer {
	return Resequencer{passed: make([]uint64, passedBits/64), waiting: make(map[uint64]*packet.Packet)}
}

// Reset forgets all sequences: the peer is a new one. What waits passes.
func (r *Resequencer) Reset(dst []*packet.Packet) []*packet.Packet {
	for r.gaps.Len() > 0 {
		dst = r.giveUp(r.gaps.Pop(), dst)
	}
	r.first, r.highest = 0, 0
	clear(r.passed)
	return dst
}

// SetSpread tells by how much the paths' one-way delays differ, as far as is
// known without waiting for it.
func (r *Resequencer) SetSpread(d time.Duration) { r.spread = d }

// Hold is how long a packet may wait now.
func (r *Resequencer) Hold() time.Duration {
	return min(max(r.late+r.late/4+time.Millisecond, r.spread, minHold), maxHold)
}

// Held is how many packets wait.
func (r *Resequencer) Held() int { return len(r.waiting) }

// Receive takes a packet that was never here before, with its one reference,
// and appends to dst what may go to the TUN now, in order.
func (r *Resequencer) Receive(now mono.Time, p *packet.Packet, dst []*packet.Packet) []*packet.Packet {
	r.note(p.Sequence)
	before := p.Sequence - uint64(p.Previous)
	if p.Previous == 0 || r.hasPassed(before) {
		r.learn(now, p.Sequence)
		return r.pass(p, dst)
	}
	if _, taken := r.waiting[before]; taken { // an honest peer names each but once
		return r.pass(p, dst)
	}
	r.waiting[before] = p
	r.gaps.Push(gap{before, now})
	for len(r.waiting) > maxHeld {
		dst = r.giveUp(r.gaps.Pop(), dst)
	}
	return dst
}

// Tick appends to dst what has waited long enough.
func (r *Resequencer) Tick(now mono.Time, dst []*packet.Packet) []*packet.Packet {
	if now.Sub(r.lateAt) > lateMemory {
		r.late, r.lateAt = r.late/2, now
	}
	for r.gaps.Len() > 0 {
		g := r.gaps.At(0)
		if r.waiting[g.missing] != nil && now.Sub(g.opened) < r.Hold() {
			break
		}
		dst = r.giveUp(r.gaps.Pop(), dst)
	}
	return dst
}

// Deadline is when Tick next has something to do.
func (r *Resequencer) Deadline() mono.Time {
	if r.gaps.Len() == 0 {
		return mono.Never
	}
	return r.gaps.At(0).opened.Add(r.Hold())
}

// giveUp lets go what waits for g, if it still does.
func (r *Resequencer) giveUp(g gap, dst []*packet.Packet) []*packet.Packet {
	p := r.waiting[g.missing]
	if p == nil {
		return dst
	}
	delete(r.waiting, g.missing)
	r.late64[g.missing%64] = g
	r.ReleasedLate++
	return r.pass(p, dst)
}

// learn measures how late a packet is that others waited for.
func (r *Resequencer) learn(now mono.Time, seq uint64) {
	opened := mono.Time(0)
	if g := r.late64[seq%64]; g.missing == seq {
		opened = g.opened
		r.late64[seq%64] = gap{}
	} else if _, ok := r.waiting[seq]; ok {
		for i := 0; i < r.gaps.Len(); i++ {
			if g := r.gaps.At(i); g.missing == seq {
				opened = g.opened
				break
			}
		}
	}
	if by := now.Sub(opened); opened != 0 && by > r.late/2 {
		r.late, r.lateAt = max(r.late, by), now
	}
}

// pass lets p go, and then what waited for it.
func (r *Resequencer) pass(p *packet.Packet, dst []*packet.Packet) []*packet.Packet {
	for p != nil {
		seq := p.Sequence
		i := seq % passedBits
		r.passed[i/64] |= 1 << (i % 64)
		dst = append(dst, p)
		p = r.waiting[seq]
		if p != nil {
			delete(r.waiting, seq)
		}
	}
	return dst
}

// note moves the memory of what passed up to seq.
func (r *Resequencer) note(seq uint64) {
	if r.first == 0 {
		r.first, r.highest = seq, seq-1
	}
	if seq <= r.highest {
		return
	}
	for s := max(r.highest+1, seq-min(seq, passedBits-1)); s <= seq; s++ {
		i := s % passedBits
		r.passed[i/64] &^= 1 << (i % 64)
	}
	r.highest = seq
}

func (r *Resequencer) hasPassed(seq uint64) bool {
	if seq < r.first || seq+passedBits <= r.highest {
		return true
	}
	if seq > r.highest {
		return false
	}
	i := seq % passedBits
	return r.passed[i/64]>>(i%64)&1 != 0
}

// Close gives all packets back.
func (r *Resequencer) Close() {
	for _, p := range r.waiting {
		p.Release()
	}
	clear(r.waiting)
}
