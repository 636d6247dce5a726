package path

import (
	"math/bits"
	"slices"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

const (
	// receiveWindow is how far back a message may be and still be told from
	// a replay: 8 KiB of bits.
	receiveWindow = 1 << 16
	// maxHoles bounds how many gaps are watched; the oldest is given up first.
	maxHoles = 128
	// holeMemory is how long a gap is remembered after it was given up: what
	// fills it later teaches the link's disorder, and acknowledgements tell
	// which of the messages about it were received, in case one gets lost.
	holeMemory = 250 * time.Millisecond
	// lateMemory is how long disorder that does not come back is waited for.
	lateMemory = 5 * time.Second
	// ackEvery is how many messages may come before one acknowledgement goes.
	ackEvery = 4
	// maxAckDelay is how long a message may wait for its acknowledgement.
	maxAckDelay = 5 * time.Millisecond
	// minReorderWait, or a sixteenth of the RTT, is how long the missing message may
	// be late on a link that never changed the order yet; maxReorderWait on any. Messages later
	// than that are not worth the wait, and do not lengthen it.
	minReorderWait = 2 * time.Millisecond
	maxReorderWait = 250 * time.Millisecond
	// ackDelayUnit is the unit of wire.Ack.Delay, and maxDelay its highest
	// value: that, or more.
	ackDelayUnit = 16 * time.Microsecond
	maxDelay     = 1<<16 - 1
)

// hole is a run of messages from … to that were missing when a later one came.
type hole struct {
	from, to uint64
	opened   mono.Time
	givenUp  mono.Time // 0: still waited for
}

// receiveLog knows which messages of a path arrived. It makes the
// acknowledgements, and drops replays.
//
// A missing message is given up, which the paper calls NACK, when a later one
// has been here longer than the link's own disorder explains: the log measures
// by how much messages of this path are late, and waits a little longer.
type receiveLog struct {
	any       bool
	largest   uint64
	largestAt mono.Time
	nack      uint64
	received  []uint64      // a bit each, by sequence modulo receiveWindow
	holes     []hole        // by sequence, so by age too; those given up come first
	late      time.Duration // by how much messages of this path come late
	lateAt    mono.Time     // when that was last seen, or forgotten by half
	delivered uint32
	joined    uint64 // the last Join, or the peer's leaving: an older Join is of the time before

	pending int       // messages that ask for an acknowledgement
	ackAt   mono.Time // when it must go at the latest; 0: none pending
}

func newReceiveLog() receiveLog {
	return receiveLog{received: make([]uint64, receiveWindow/64), holes: make([]hole, 0, maxHoles)}
}

func (l *receiveLog) has(seq uint64) bool {
	i := seq % receiveWindow
	return l.received[i/64]>>(i%64)&1 != 0
}

func (l *receiveLog) mark(seq uint64) {
	i := seq % receiveWindow
	l.received[i/64] |= 1 << (i % 64)
}

// receive notes a message of size bytes. It returns false for one that was
// here before, or is too old to tell.
func (l *receiveLog) receive(now mono.Time, seq uint64, size int) bool {
	switch {
	case seq == 0:
		return false
	case !l.any: // what was sent before is not waited for
		l.any, l.largest, l.largestAt, l.nack = true, seq, now, seq-1
	case seq > l.largest:
		l.advance(now, seq)
	case l.largest-seq >= receiveWindow || l.has(seq):
		return false
	default:
		l.fill(now, seq)
	}
	l.mark(seq)
	l.delivered += uint32(size)
	return true
}

// advance moves the window up to seq.
func (l *receiveLog) advance(now mono.Time, seq uint64) {
	for s := max(l.largest+1, seq-min(seq, receiveWindow-1)); s <= seq; s++ {
		i := s % receiveWindow
		l.received[i/64] &^= 1 << (i % 64)
	}
	if seq > l.largest+1 {
		if len(l.holes) == maxHoles {
			l.giveUp(now, &l.holes[0])
			l.holes = slices.Delete(l.holes, 0, 1)
		}
		l.holes = append(l.holes, hole{from: l.largest + 1, to: seq - 1, opened: now})
	}
	l.largest, l.largestAt = seq, now
}

// fill takes seq, which arrived late, out of its hole.
func (l *receiveLog) fill(now mono.Time, seq uint64) {
	for i := len(l.holes) - 1; i >= 0; i-- {
		h := &l.holes[i]
		if seq < h.from || seq > h.to {
			continue
		}
		if by := now.Sub(h.opened); by > l.late/2 && by <= maxReorderWait {
			l.late, l.lateAt = max(l.late, by), now
		}
		switch {
		case h.from == h.to:
			l.holes = slices.Delete(l.holes, i, i+1)
		case seq == h.from:
			h.from++
		case seq == h.to:
			h.to--
		case len(l.holes) < maxHoles: // else the hole stays whole, which costs no more than a wait
			lower := *h
			lower.to, h.from = seq-1, seq+1
			l.holes = slices.Insert(l.holes, i, lower)
		}
		return
	}
}

func (l *receiveLog) giveUp(now mono.Time, h *hole) {
	if h.givenUp == 0 {
		h.givenUp = now
		l.nack = max(l.nack, h.to)
	}
}

// reorderWait is how long a missing message is waited for after a later one came.
func (l *receiveLog) reorderWait(rtt time.Duration) time.Duration {
	return min(max(l.late+l.late/4, rtt/16, minReorderWait), maxReorderWait)
}

// waiting is the index of the first hole that is not given up, or how many
// holes there are.
func (l *receiveLog) waiting() int {
	i := 0
	for i < len(l.holes) && l.holes[i].givenUp != 0 {
		i++
	}
	return i
}

// tick gives up what is overdue and reports whether there was any, which the
// sender should hear at once.
func (l *receiveLog) tick(now mono.Time, rtt time.Duration) (gaveUp bool) {
	if now.Sub(l.lateAt) > lateMemory {
		l.late, l.lateAt = l.late/2, now
	}
	if len(l.holes) == 0 {
		return false
	}
	wait := l.reorderWait(rtt)
	for i := l.waiting(); i < len(l.holes) && now.Sub(l.holes[i].opened) >= wait; i++ {
		l.giveUp(now, &l.holes[i])
		gaveUp = true
	}
	old := 0
	for old < len(l.holes) && l.holes[old].givenUp != 0 && now.Sub(l.holes[old].givenUp) > holeMemory {
		old++
	}
	l.holes = slices.Delete(l.holes, 0, old)
	return gaveUp
}

// deadline is when tick next has something to do.
func (l *receiveLog) deadline(rtt time.Duration) mono.Time {
	if i := l.waiting(); i < len(l.holes) {
		return l.holes[i].opened.Add(l.reorderWait(rtt))
	}
	return mono.Never
}

// due says that an acknowledgement is to go now, alone if need be.
func (l *receiveLog) due(now mono.Time) bool {
	return l.ackAt != 0 && (l.pending >= ackEvery || now >= l.ackAt)
}

// ack fills a with what is known now. Its bitmap reaches back to the oldest
// hole that is remembered: before that, all was received, or given up long ago.
func (l *receiveLog) ack(now mono.Time, a *wire.Ack) {
	ack, words := l.largest, l.ackWords()
	if i := l.waiting(); i < len(l.holes) {
		ack = l.holes[i].from - 1
	}
	*a = wire.Ack{
		Ack:        uint32(ack),
		Nack:       uint32(l.nack),
		Largest:    uint32(l.largest),
		ReceivedAt: uint32(int64(l.largestAt) / int64(time.Microsecond)),
		Delay:      uint16(min(now.Sub(l.largestAt)/ackDelayUnit, maxDelay)),
		Delivered:  l.delivered,
		Words:      words,
	}
	for w := range words {
		a.Received[w] = bits.Reverse64(l.window(l.largest - 64*uint64(w+1)))
	}
}

// ackWords is how long the bitmap of an acknowledgement would be now.
func (l *receiveLog) ackWords() int {
	if len(l.holes) == 0 {
		return 0
	}
	return int(min((l.largest-l.holes[0].from+63)/64, wire.MaxAckWords))
}

// ackSize is how many bytes an acknowledgement would take now.
func (l *receiveLog) ackSize() int { return wire.AckMinSize + 8*l.ackWords() }

// window returns the 64 bits of the sequences from on, the first lowest. Where
// from lies before the first sequence, modulo 2^64, those bits are not set.
func (l *receiveLog) window(from uint64) uint64 {
	i := from % receiveWindow
	low, high := l.received[i/64], l.received[(i/64+1)%uint64(len(l.received))]
	return low>>(i%64) | high<<(64-i%64)
}
