package exchange

import (
	"math/bits"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/wire"
)

const (
	// passedBits is how many sequences the resequencer remembers: twice the
	// longest distance a packet can name.
	passedBits = 1 << 17
	// maxGaps bounds the packets that wait, and by how many sequences they may
	// be apart: beyond it the oldest goes on.
	maxGaps = 1 << 13
	// minHold and maxHold bound the wait for a missing packet. One that comes
	// later than that is not worth the wait, and does not lengthen it.
	minHold = 3 * time.Millisecond
	maxHold = 400 * time.Millisecond
	// maxRecovery bounds the wait for one that is sent again.
	maxRecovery = 800 * time.Millisecond
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

	highest  uint64              // sequence seen
	passed   []uint64            // a bit each, by sequence modulo passedBits
	gaps     []gap               // by the missing sequence modulo maxGaps
	order    packet.Ring[uint64] // missing sequences, oldest gap first; some closed meanwhile
	here     []*packet.Packet    // that wait, by their own sequence modulo maxGaps
	held     int
	spread   time.Duration // what the paths' delays explain
	late     lateness      // of packets that came on their own
	again    lateness      // of packets that were sent again
	recovery time.Duration // what that takes at least

	paths    uint64                // those that may bring packets, a bit each
	disorder time.Duration         // by how much one of them alone changes the order
	front    [wire.MaxPaths]uint64 // highest sequence that came on each
}

// lateness is by how much packets come late that others wait for.
type lateness struct {
	by time.Duration
	at mono.Time // when that was seen, or last halved
}

func (l *lateness) see(now mono.Time, by time.Duration) {
	if by > l.by/2 && by <= maxHold {
		l.by, l.at = max(l.by, by), now
	}
}

func (l *lateness) fade(now mono.Time) {
	if now.Sub(l.at) > lateMemory {
		if l.by, l.at = l.by/2, now; l.by < time.Millisecond {
			l.by = 0
		}
	}
}

// wait is how long to wait for the next such packet.
func (l *lateness) wait() time.Duration {
	if l.by == 0 {
		return 0
	}
	return min(l.by+l.by/4+time.Millisecond, maxHold)
}

// gap is a missing packet. When it is given up it stays, without a successor,
// until the place is needed: how late the packet comes in the end teaches how
// long to wait for others.
type gap struct {
	missing   uint64 // 0: none
	opened    mono.Time
	successor *packet.Packet // waits for it
}

func newResequencer() Resequencer {
	return Resequencer{passed: make([]uint64, passedBits/64), gaps: make([]gap, maxGaps),
		here: make([]*packet.Packet, maxGaps)}
}

// at is the place for the gap that seq leaves.
func (r *Resequencer) at(seq uint64) *gap { return &r.gaps[seq%maxGaps] }

// Reset forgets all sequences: the peer is a new one. It appends to dst what
// waits: it passes.
func (r *Resequencer) Reset(dst []*packet.Packet) []*packet.Packet {
	for g := r.oldest(); g != nil; g = r.oldest() {
		dst = r.giveUp(g, dst)
	}
	clear(r.front[:])
	r.highest = 0 // what has passed is cleared on the way up again
	clear(r.gaps)
	return dst
}

// SetPaths tells which paths may bring packets, a bit each, and how long the
// most disorderly of them lets a packet come after a later one.
func (r *Resequencer) SetPaths(paths uint64, disorder time.Duration) {
	r.paths, r.disorder = paths, disorder
}

// SetRecovery tells how long it takes until a packet is here that a link lost
// and the other portal sent again.
func (r *Resequencer) SetRecovery(d time.Duration) { r.recovery = min(d, maxRecovery) }

// SetSpread tells by how much the paths' one-way delays differ, as far as is
// known without waiting for it.
func (r *Resequencer) SetSpread(d time.Duration) { r.spread = d }

// Hold is how long a packet may wait now for one that is under way.
func (r *Resequencer) Hold() time.Duration {
	return min(max(r.late.wait(), r.spread, minHold), maxHold)
}

// Recovery is how long a packet may wait now for one that is sent again.
func (r *Resequencer) Recovery() time.Duration { return max(r.recovery, r.again.wait()) }

// lost says that every path that could bring a missing packet has passed it,
// so that it comes only if it is sent again.
func (r *Resequencer) lost(now mono.Time, g *gap) bool {
	for rest := r.paths; rest != 0; rest &= rest - 1 {
		if r.front[bits.TrailingZeros64(rest)] <= g.missing {
			return false
		}
	}
	return r.paths != 0 && now.Sub(g.opened) >= r.disorder
}

// due is when to give up a gap.
func (r *Resequencer) due(now mono.Time, g *gap) mono.Time {
	if r.lost(now, g) {
		return g.opened.Add(r.Recovery())
	}
	return g.opened.Add(max(r.Hold(), r.Recovery()))
}

// Held is how many packets wait.
func (r *Resequencer) Held() int { return r.held }

// Waited is how long the one has that waits longest.
func (r *Resequencer) Waited(now mono.Time) time.Duration {
	if g := r.oldest(); g != nil {
		return now.Sub(g.opened)
	}
	return 0
}

// Receive takes a packet that was never here before, with its one reference,
// and appends to dst what may go to the TUN now, in order.
func (r *Resequencer) Receive(now mono.Time, path uint8, p *packet.Packet, dst []*packet.Packet) []*packet.Packet {
	r.note(p.Sequence)
	r.learn(now, p.Sequence)
	r.front[path] = max(r.front[path], p.Sequence)
	dst = r.receive(now, p, dst)
	if r.held > 0 && r.paths != 0 {
		dst = r.release(now, dst)
	}
	return dst
}

func (r *Resequencer) receive(now mono.Time, p *packet.Packet, dst []*packet.Packet) []*packet.Packet {
	if p.Previous == 0 || uint64(p.Previous) >= p.Sequence {
		return r.pass(p, dst)
	}
	before := p.Sequence - uint64(p.Previous)
	if r.hasPassed(before) {
		return r.pass(p, dst)
	}
	g := r.at(before)
	if g.successor != nil && g.missing != before { // an older gap in the same place
		dst = r.giveUp(g, dst)
	}
	if g.successor != nil || r.hasPassed(before) { // named twice, by no honest peer; or just given up
		return r.pass(p, dst)
	}
	*g = gap{missing: before, opened: now, successor: p}
	r.order.Push(before)
	r.held++
	r.here[p.Sequence%maxGaps] = p
	return dst
}

// Tick appends to dst what has waited long enough.
func (r *Resequencer) Tick(now mono.Time, dst []*packet.Packet) []*packet.Packet {
	r.late.fade(now)
	r.again.fade(now)
	return r.release(now, dst)
}

func (r *Resequencer) release(now mono.Time, dst []*packet.Packet) []*packet.Packet {
	for g := r.oldest(); g != nil && now >= r.due(now, g); g = r.oldest() {
		dst = r.giveUp(g, dst)
	}
	return dst
}

// Deadline is when Tick next has something to do.
func (r *Resequencer) Deadline(now mono.Time) mono.Time {
	if g := r.oldest(); g != nil {
		due := r.due(now, g)
		if settled := g.opened.Add(r.disorder); now < settled {
			due = min(due, settled) // by then it may count as lost
		}
		return due
	}
	return mono.Never
}

// oldest is the gap that a packet has waited for longest, or nil.
func (r *Resequencer) oldest() *gap {
	for r.order.Len() > 0 {
		missing := r.order.At(0)
		if g := r.at(missing); g.missing == missing && g.successor != nil {
			return g
		}
		r.order.Pop() // closed
	}
	return nil
}

// giveUp lets go what waits for g. Where the missing packet is here, and waits
// itself, that goes first: the wait is over for the whole row, in order.
func (r *Resequencer) giveUp(g *gap, dst []*packet.Packet) []*packet.Packet {
	for p := r.here[g.missing%maxGaps]; p != nil && p.Sequence == g.missing; p = r.here[g.missing%maxGaps] {
		g = r.at(p.Sequence - uint64(p.Previous))
	}
	p := g.successor
	g.successor = nil
	r.held--
	r.ReleasedLate++
	return r.pass(p, dst)
}

// learn measures how late a packet is that another waits for, or did.
func (r *Resequencer) learn(now mono.Time, seq uint64) {
	g := r.at(seq)
	if g.missing != seq {
		return
	}
	if by := now.Sub(g.opened); r.lost(now, g) {
		r.again.see(now, by)
	} else {
		r.late.see(now, by)
	}
}

// pass lets p go, and then what waited for it.
func (r *Resequencer) pass(p *packet.Packet, dst []*packet.Packet) []*packet.Packet {
	for p != nil {
		seq := p.Sequence
		if seq+passedBits > r.highest {
			i := seq % passedBits
			r.passed[i/64] |= 1 << (i % 64)
		}
		if r.here[seq%maxGaps] == p {
			r.here[seq%maxGaps] = nil
		}
		dst = append(dst, p)
		p = nil
		if g := r.at(seq); g.missing == seq {
			if p = g.successor; p != nil {
				r.held--
			}
			*g = gap{}
		}
	}
	return dst
}

// note moves the memory of what passed up to seq.
func (r *Resequencer) note(seq uint64) {
	if seq <= r.highest {
		return
	}
	if seq-r.highest >= passedBits {
		clear(r.passed)
	} else {
		for s := r.highest + 1; s <= seq; s++ {
			i := s % passedBits
			r.passed[i/64] &^= 1 << (i % 64)
		}
	}
	r.highest = seq
}

// hasPassed says that seq went on, or is too long ago to tell.
func (r *Resequencer) hasPassed(seq uint64) bool {
	if seq+passedBits <= r.highest {
		return true
	}
	i := seq % passedBits
	return seq <= r.highest && r.passed[i/64]>>(i%64)&1 != 0
}

// Close gives all packets back.
func (r *Resequencer) Close() {
	for i := range r.gaps {
		if p := r.gaps[i].successor; p != nil {
			p.Release()
		}
	}
	clear(r.gaps)
	clear(r.here)
	r.held = 0
}
