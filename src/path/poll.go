package path

import (
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

// Poll fills out with messages to send now, and returns how many there are.
// Each has its sequence and stands in the sentLog from here on. Without a
// session (keyed is false) only raw messages go.
func (p *Path) Poll(now mono.Time, keyed bool, out []Outgoing) (n int) {
	if p.state == Down {
		return 0
	}
	for n < len(out) {
		o := &out[n]
		o.Packet, o.Frames, o.Pad, o.Raw = nil, o.Frames[:0], 0, nil
		o.To = p.Endpoint()
		if p.raw != nil {
			o.Raw, p.raw = p.raw, nil
			n++
			continue
		}
		if !keyed {
			return n
		}
		o.Header = wire.Header{Type: wire.TypeControl, Path: p.ID}
		entry := sent{at: now, elicits: true}
		switch {
		case len(p.answers) > 0:
			p.answer(now, o)
		case p.proof.wanted && now >= p.proof.due:
			p.ask(now, o)
		case p.state == Up && p.probeMTU(now, o, &entry):
		case len(p.frames) > 0:
			o.Frames = append(o.Frames, p.frames[0]...)
			p.frames = p.frames[1:]
		case p.state == Up && p.outbox.Len() > 0:
			o.Header.Type = wire.TypeData
			o.Packet = p.outbox.Pop()
			entry.packet = o.Packet
			o.Packet.Retain() // one for the log, one for the sender
		case p.state == Up && p.pingDue:
		case p.received.ackAt != 0 && (p.received.pending >= ackEvery || now >= p.received.ackAt):
			o.Header.Type = wire.TypeAck
			entry.elicits = false
		default:
			return n
		}
		p.seal(now, o, entry)
		n++
	}
	return n
}

// HasOutput says that Poll would fill something.
func (p *Path) HasOutput(now mono.Time, keyed bool) bool {
	switch {
	case p.state == Down:
		return false
	case p.raw != nil:
		return true
	case !keyed:
		return false
	}
	if len(p.answers) > 0 || len(p.frames) > 0 || p.proof.wanted && now >= p.proof.due ||
		p.received.ackAt != 0 && (p.received.pending >= ackEvery || now >= p.received.ackAt) {
		return true
	}
	return p.state == Up && (p.outbox.Len() > 0 || p.pingDue || p.Datagram && now >= p.mtu.deadline(now))
}

// seal gives o its sequence, puts an acknowledgement on it where one is due
// and fits, and notes it.
func (p *Path) seal(now mono.Time, o *Outgoing, entry sent) {
	size := p.overhead + wire.HeaderSize
	if o.Packet != nil {
		size += len(o.Packet.Data) + p.Trailer
	} else {
		size += len(o.Frames) + o.Pad + p.ControlTrailer
	}
	if p.received.ackAt != 0 && o.Pad == 0 {
		p.received.ack(now, &o.Ack)
		if !p.Datagram || size+o.Ack.Size() <= max(p.mtu.proved, SmallestMTU) {
			o.Header.HasAck = true
			size += o.Ack.Size()
			p.received.ackAt, p.received.pending = 0, 0
		}
	}
	entry.size = int32(size)
	o.Header.Sequence = uint32(p.sent.add(entry))
	if entry.elicits {
		p.asked, p.pingDue = now, false
	}
	p.TxPackets++
	p.TxBytes += uint64(size)
	p.control.Sent(now, size)
}

// answer sends a challenge back, and asks in turn where that is due too.
func (p *Path) answer(now mono.Time, o *Outgoing) {
	a := p.answers[0]
	p.answers = append(p.answers[:0], p.answers[1:]...)
	o.To = a.to
	o.Frames = wire.AppendFrame(o.Frames, wire.FrameResponse, a.nonce[:])
	if p.proof.wanted && now >= p.proof.due && a.to == p.candidate {
		p.ask(now, o)
	}
	if a.pad {
		p.pad(o, BaseMTU)
	}
}

// ask sends the challenge, with the Join where this is the local portal.
func (p *Path) ask(now mono.Time, o *Outgoing) {
	o.To = p.candidate
	if p.Initiator {
		o.Frames = p.Join.Append(o.Frames)
	}
	o.Frames = wire.AppendFrame(o.Frames, wire.FrameChallenge, p.proof.nonce[:])
	p.proof.tries++
	p.proof.due = now.Add(min(proofAgain*time.Duration(p.proof.tries), proofAgainMax))
	p.proof.padded = p.Datagram && (p.proof.tries <= paddedProofs || p.proof.tries%2 == 0)
	if p.proof.padded {
		p.pad(o, BaseMTU)
	}
}

// pad fills o up to an outer size, in bytes.
func (p *Path) pad(o *Outgoing, size int) {
	o.Pad = max(0, size-p.overhead-wire.HeaderSize-len(o.Frames)-p.ControlTrailer)
}

// probeMTU sends a probe where one is due.
func (p *Path) probeMTU(now mono.Time, o *Outgoing, entry *sent) bool {
	if !p.Datagram || now < p.mtu.deadline(now) {
		return false
	}
	size := p.mtu.next(now, p.rtt.timeout())
	if size == 0 {
		return false
	}
	entry.probe = true
	p.pad(o, size)
	return true
}
