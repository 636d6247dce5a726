package path

import (
	"slices"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/wire"
)

// Outgoing is one message to be sealed and sent. Its owner, a path's sender,
// hands the same array to Poll again and again, so nothing is allocated.
type Outgoing struct {
	To     Endpoint
	Header wire.Header // without epoch
	Ack    wire.Ack    // where Header.HasAck
	// Packet is the inner packet of a data message: a reference the sender
	// gives back under the portal's lock when it has read it.
	Packet *packet.Packet
	Frames []byte // of a control message
	// Pad is how many zero bytes follow the frames.
	Pad int
	// Raw is a whole message, to be sent as it is; all else is unset.
	Raw []byte
}

// turn is what a path sends next, the most urgent first.
type turn uint8

const (
	turnNone turn = iota
	turnRaw
	turnAnswer
	turnProof
	turnProbe
	turnJoin
	turnFrame
	turnAck
	turnData
	turnPing
)

// next chooses what goes now. Without a session (keyed is false) only raw
// messages go.
func (p *Path) next(now mono.Time, keyed bool) turn {
	up, due := p.state == Up, p.received.due(now)
	switch {
	case p.state == Down:
	case p.raw != nil:
		return turnRaw
	case !keyed:
	case len(p.answers) > 0:
		return turnAnswer
	case !p.leaving && (p.revival.isDue(now) || p.candidate.isDue(now)):
		return turnProof
	case up && p.Datagram && now >= p.mtu.deadline(now):
		return turnProbe
	case up && p.joinDue && !p.leaving:
		return turnJoin
	case len(p.frames) > 0:
		return turnFrame
	case up && p.outbox.Len() > 0:
		if due && !p.hasRoomFor(p.outer(len(p.outbox.At(0).Data))+p.received.ackSize()) {
			return turnAck // or a queue of long packets would keep it back
		}
		return turnData
	case up && p.pingDue:
		return turnPing
	case due:
		return turnAck
	}
	return turnNone
}

// HasOutput says that Poll would fill something.
func (p *Path) HasOutput(now mono.Time, keyed bool) bool { return p.next(now, keyed) != turnNone }

// Poll fills out with messages to send now, and returns how many there are.
// Each has its sequence and stands in the sentLog from here on. Without a
// session (keyed is false) only raw messages go.
func (p *Path) Poll(now mono.Time, keyed bool, out []Outgoing) (n int) {
	for n < len(out) {
		o := &out[n]
		o.To, o.Packet, o.Frames, o.Pad, o.Raw = p.Endpoint(), nil, o.Frames[:0], 0, nil
		o.Header = wire.Header{Type: wire.TypeControl, Path: p.ID}
		entry := sent{at: now, elicits: true, delivered: p.capacity.delivered, deliveredAt: p.capacity.at}
		switch p.next(now, keyed) {
		case turnNone:
			return n
		case turnRaw:
			o.Raw, p.raw = p.raw, nil
			n++
			continue
		case turnAnswer:
			p.answer(now, o)
		case turnProof:
			if p.revival.isDue(now) {
				p.ask(now, o, &p.revival)
			} else {
				p.ask(now, o, &p.candidate)
			}
		case turnProbe:
			size := p.mtu.next(now, p.rtt.timeout())
			if size == 0 {
				continue // the search is over
			}
			p.pad(o, size)
		case turnJoin:
			o.Frames = p.Join.Append(o.Frames)
			entry.join, p.joinDue = true, false
		case turnFrame:
			o.Frames = append(o.Frames, p.frames[0]...)
			p.frames = slices.Delete(p.frames, 0, 1)
		case turnAck:
			o.Header.Type = wire.TypeAck
			entry.elicits = false
		case turnData:
			o.Header.Type = wire.TypeData
			o.Packet = p.dequeue()
			entry.packet = o.Packet
			entry.idle, p.idle = p.idle, false
			o.Packet.Retain() // one for the log, one for the sender
		case turnPing: // a control message without frames
		}
		p.commit(now, o, entry)
		n++
	}
	return n
}

// commit gives o its sequence, puts an acknowledgement on it where one is due
// and fits, and notes it.
func (p *Path) commit(now mono.Time, o *Outgoing, entry sent) {
	size := p.overhead + wire.HeaderSize + len(o.Frames) + o.Pad + p.ControlTrailer
	if o.Packet != nil {
		size = p.outer(len(o.Packet.Data))
	}
	if p.received.ackAt != 0 && o.Pad == 0 && p.hasRoomFor(size+p.received.ackSize()) {
		p.received.ack(now, &o.Ack)
		o.Header.HasAck = true
		size += o.Ack.Size()
		p.received.ackAt, p.received.pending = 0, 0
	}
	entry.size = int32(size)
	entry.unused = p.wasted + p.unusedSince(now)
	entry.idle = entry.idle || entry.packet == nil && p.outbox.Len() == 0 && !p.held
	entry.probe = o.Pad > 0
	o.Header.Sequence = uint32(p.sent.add(entry))
	if entry.elicits {
		p.asked, p.pingDue = now, false
		p.control.Sent(now, size)
	}
	p.TxPackets++
	p.TxBytes += uint64(size)
}

// hasRoomFor says whether the path carries a message of size outer bytes.
func (p *Path) hasRoomFor(size int) bool {
	return !p.Datagram || size <= max(p.mtu.proved, SmallestMTU)
}

// answer sends a challenge back, and asks in turn where that is due too.
func (p *Path) answer(now mono.Time, o *Outgoing) {
	a := p.answers[0]
	p.answers = slices.Delete(p.answers, 0, 1)
	o.To = a.to
	o.Frames = wire.AppendFrame(o.Frames, wire.FrameResponse, a.nonce[:])
	for _, pr := range [...]*proof{&p.revival, &p.candidate} {
		if pr.isDue(now) && pr.to == a.to {
			p.ask(now, o, pr)
		}
	}
	if a.pad {
		p.pad(o, BaseMTU)
	}
}

// ask sends the challenge, with the Join where this is the local portal.
func (p *Path) ask(now mono.Time, o *Outgoing, pr *proof) {
	if p.state != Up {
		p.sent.clear() // or a path that is dead for days would remember every try
	}
	o.To = pr.to
	if p.Initiator {
		o.Frames = p.Join.Append(o.Frames)
	}
	pr.tries++
	pr.due = now.Add(min(proofAgain*time.Duration(pr.tries), proofAgainMax))
	// To an address that only claims to be the peer's goes no more than came.
	padded := p.Datagram && !pr.moved && (pr.tries <= paddedProofs || pr.tries%2 != 0)
	pr.nonce.setPadded(padded)
	o.Frames = wire.AppendFrame(o.Frames, wire.FrameChallenge, pr.nonce[:])
	if padded {
		p.pad(o, BaseMTU)
	}
}

// pad fills o up to an outer size, in bytes.
func (p *Path) pad(o *Outgoing, size int) {
	o.Pad = max(0, size-p.overhead-wire.HeaderSize-len(o.Frames)-p.ControlTrailer)
}
