package path

import (
	"netcombiner/src/wire"
)

// Past is what outlives a path: its numbers. With the path's ID they are the
// nonces of its messages, so whichever path gets that ID next must go on with
// them, and know which of the peer's it has had. The zero Past is of none.
type Past struct {
	// Next is the sequence of the next message to be sent; 0: 1.
	Next     uint64
	received receiveLog
}

// Past returns the path's, which is not used any more.
func (p *Path) Past() Past {
	past := Past{Next: p.sent.next, received: p.received}
	past.received.ackAt, past.received.pending = 0, 0
	return past
}

// NewPeer forgets what came: another peer numbers anew.
func (p *Past) NewPeer() { p.received = receiveLog{} }

// Known says that there was a path, which the present peer used.
func (p *Past) Known() bool { return p.received.any }

// Left notes that the peer's path left before it sent the message with that
// sequence, or returns false if it joined again after that.
func (p *Past) Left(sequence uint32) bool { return p.received.left(sequence) }

// Left is as Past.Left, for a path that is still there.
func (p *Path) Left(sequence uint32) bool { return p.received.left(sequence) }

func (l *receiveLog) left(sequence uint32) bool {
	next := wire.Expand(sequence, l.largest)
	if next <= l.joined {
		return false
	}
	l.joined = next
	return true
}

// MayJoin says whether a message with that sequence is new enough to make a
// path.
func (p *Past) MayJoin(sequence uint32) bool { return p.received.mayJoin(sequence) }

// MayJoin says whether a message with that sequence is new enough to make
// another path of this one.
func (p *Path) MayJoin(sequence uint32) bool { return p.received.mayJoin(sequence) }

func (l *receiveLog) mayJoin(sequence uint32) bool {
	seq := wire.Expand(sequence, l.largest)
	return !l.any || seq >= l.joined && (seq > l.largest || l.largest-seq < receiveWindow && !l.has(seq))
}

// Leave begins the end of a path of the local portal: it carries no more data
// from here, and tells no more what it is to be; what comes is welcome still. What
// it has not had acknowledged is to be rescued.
func (p *Path) Leave() {
	p.leaving, p.Send = true, false
	p.joinDue = false
}

// Leaving says that Leave was called.
func (p *Path) Leaving() bool { return p.leaving }
