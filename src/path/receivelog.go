package path

import (
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
	// holeMemory is how long a gap is remembered after it opened: a message
	// later than that says nothing about the link's order.
	holeMemory = time.Second
	// lateMemory is how long disorder that does not come back is waited for.
	lateMemory = 5 * time.Second
	// ackEvery is how many messages may come before one acknowledgement goes.
	ackEvery = 4
	// maxAckDelay is how long a message may wait for its acknowledgement.
	maxAckDelay = 5 * time.Millisecond
	// minReorderWait is how long the missing message may be late on a link
	// that never changed the order yet.
	minReorderWait = 2 * time.Millisecond
	maxReorderWait = 250 * time.Millisecond
)

// hole is a run of messages from … to that were missing when a later one came.
type hole struct {
	from, to uint64
	opened   mono.Time
	givenUp  bool
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
	bits      []uint64      // received, by sequence modulo receiveWindow
	holes     []hole        // by sequence; the given up ones stay for holeMemory
	late      time.Duration // by how much messages of this path come late
	lateAt    mono.Time     // when that was last seen, or forgotten by half
	delivered uint32

	pending int       // messages that ask for an acknowledgement
	ackAt   mono.Time // when it must go at the latest; 0: none pending
}

func newReceiveLog() receiveLog {
	return receiveLog{bits: make([]uint64, receiveWindow/64), holes: make([]hole, 0, maxHoles)}
}

func (l *receiveLog) has(seq uint64) bool {
	i := seq % receiveWindow
	return l.bits[i/64]>>(i%64)&1 != 0
}

func (l *receiveLog) mark(seq uint64) {
	i := seq % receiveWindow
	l.bits[i/64] |= 1 << (i % 64)
}

// receive notes a message of size bytes. It returns false for one that was
// here before, or is too old to tell.
func (l *receiveLog) receive(now mono.Time, seq uint64, size int) bool {
	switch {
	case seq == 0:
		return false
	case !l.any:
		l.any, l.largest, l.largestAt = true, seq, now
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
		l.bits[i/64] &^= 1 << (i % 64)
	}
	if seq > l.largest+1 {
		if len(l.holes) == maxHoles {
			l.giveUp(&l.holes[0])
			l.holes = append(l.holes[:0], l.holes[1:]...)
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
		if by := now.Sub(h.opened); by > l.late/2 {
			l.late, l.lateAt = max(l.late, by), now
		}
		switch {
		case h.from == h.to:
			l.holes = append(l.holes[:i], l.holes[i+1:]...)
		case seq == h.from:
			h.from++
		case seq == h.to:
			h.to--
		case len(l.holes) < maxHoles:
			upper := hole{from: seq + 1, to: h.to, opened: h.opened, givenUp: h.givenUp}
			h.to = seq - 1
			l.holes = append(l.holes, hole{})
			copy(l.holes[i+2:], l.holes[i+1:])
			l.holes[i+1] = upper
		}
		return
	}
}

func (l *receiveLog) giveUp(h *hole) {
	if !h.givenUp {
		h.givenUp = true
		l.nack = max(l.nack, h.to)
	}
}

// reorderWait is how long a missing message is waited for after a later one came.
func (l *receiveLog) reorderWait(rtt time.Duration) time.Duration {
	return min(max(l.late+l.late/4, rtt/4, minReorderWait), maxReorderWait)
}

// tick gives up what is overdue and reports whether there was any, which the
// sender should hear at once.
func (l *receiveLog) tick(now mono.Time, rtt time.Duration) (gaveUp bool) {
	wait := l.reorderWait(rtt)
	for len(l.holes) > 0 && now.Sub(l.holes[0].opened) > holeMemory {
		l.giveUp(&l.holes[0])
		l.holes = append(l.holes[:0], l.holes[1:]...)
	}
	if now.Sub(l.lateAt) > lateMemory {
		l.late, l.lateAt = l.late/2, now
	}
	for i := range l.holes {
		h := &l.holes[i]
		if h.givenUp {
			continue
		}
		if now.Sub(h.opened) < wait {
			break
		}
		l.giveUp(h)
		gaveUp = true
	}
	return gaveUp
}

// deadline is when tick next has something to do.
func (l *receiveLog) deadline(rtt time.Duration) mono.Time {
	for _, h := range l.holes {
		if !h.givenUp {
			return h.opened.Add(l.reorderWait(rtt))
		}
	}
	return mono.Never
}

// ack fills a with what is known now.
func (l *receiveLog) ack(now mono.Time, a *wire.Ack) {
	ack, covered := l.largest, l.largest
	for i := len(l.holes) - 1; i >= 0; i-- {
		h := &l.holes[i]
		covered = h.from
		if !h.givenUp {
			ack = h.from - 1
		}
	}
	*a = wire.Ack{
		Ack:        uint32(ack),
		Nack:       uint32(l.nack),
		Largest:    uint32(l.largest),
		ReceivedAt: uint32(int64(l.largestAt) / int64(time.Microsecond)),
		Delay:      uint16(min(now.Sub(l.largestAt)/ackDelayUnit, 1<<16-1)),
		Delivered:  l.delivered,
		Words:      min(int(l.largest-covered+63)/64, wire.MaxAckWords),
	}
	for w := range a.Words {
		for i := range 64 {
			if back := uint64(64*w + i + 1); back < l.largest && l.has(l.largest-back) {
				a.Received[w] |= 1 << i
			}
		}
	}
}

// ackDelayUnit is the unit of wire.Ack.Delay.
const ackDelayUnit = 16 * time.Microsecond
