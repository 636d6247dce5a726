package path

import (
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// sent remembers one message until it is acknowledged, lost or rescued.
type sent struct {
	packet  *packet.Packet // an inner packet, one reference; nil: control
	at      mono.Time
	size    int32 // outer bytes, IP and transport headers included
	elicits bool  // the peer acknowledges it, so it counts as in flight
	done    bool  // acknowledged, or lost
	rescued bool  // its packet was given to another path too
	idle    bool  // sent after a time without anything to send
	join    bool  // tells the peer of changed settings: goes again if it is lost
	probe   bool  // padded, to see whether its size fits: its loss says nothing else
	// How much had been delivered when it was sent, in bytes, and when the last
	// of that was: see capacity.
	delivered   uint64
	deliveredAt mono.Time
	unused      time.Duration // see congestion.Acknowledgement.Unused
}

// waits says that the message is in flight.
func (e *sent) waits() bool { return e.elicits && !e.done }

// sentLog holds the messages first … next-1 of a path, in a ring. The first is
// in flight, or there is none: so the ring is as long as the congestion window,
// and what little else was sent meanwhile, made it.
type sentLog struct {
	entries     []sent // length a power of two
	first, next uint64
	inFlight    int              // entries that wait
	bytes       int              // of these
	eldest      uint64           // none before it makes the path suspect; see oldest
	settled     []*packet.Packet // to be given back, all at once
}

// newSentLog is empty, and numbers messages from next on, or from 1 if next is 0.
func newSentLog(next uint64) sentLog {
	next = max(next, 1)
	return sentLog{entries: make([]sent, 64), first: next, next: next}
}

func (l *sentLog) at(seq uint64) *sent { return &l.entries[seq&uint64(len(l.entries)-1)] }

// add appends e, whose sequence is the returned number.
func (l *sentLog) add(e sent) uint64 {
	if l.next-l.first == uint64(len(l.entries)) {
		bigger := make([]sent, 2*len(l.entries))
		for s := l.first; s < l.next; s++ {
			bigger[s&uint64(len(bigger)-1)] = *l.at(s)
		}
		l.entries = bigger
	}
	seq := l.next
	*l.at(seq) = e
	l.next++
	if e.elicits {
		l.inFlight++
		l.bytes += int(e.size)
	} else {
		l.trim()
	}
	return seq
}

// settle marks seq as acknowledged or lost. Its packet goes back with trim.
func (l *sentLog) settle(seq uint64) {
	e := l.at(seq)
	e.done = true
	if e.elicits {
		l.inFlight--
		l.bytes -= int(e.size)
	}
	if e.packet != nil {
		l.settled = append(l.settled, e.packet)
		e.packet = nil
	}
}

// trim drops the front that does not wait, and gives the packets back that were
// settled. Call it after settling.
func (l *sentLog) trim() {
	packet.Release(l.settled)
	l.settled = l.settled[:0]
	for l.first < l.next && !l.at(l.first).waits() {
		l.first++
	}
}

// oldest is when the oldest message still in flight was sent; 0: there is none.
// A probe does not count: it is meant to get lost. Nothing that was passed by
// once will count again, so all calls together look at each message once.
func (l *sentLog) oldest() mono.Time {
	for l.eldest = max(l.eldest, l.first); l.eldest < l.next; l.eldest++ {
		if e := l.at(l.eldest); e.waits() && !e.probe {
			return e.at
		}
	}
	return 0
}

// clear settles all.
func (l *sentLog) clear() {
	for s := l.first; s < l.next; s++ {
		if !l.at(s).done {
			l.settle(s)
		}
	}
	l.first = l.next
	l.trim()
}
