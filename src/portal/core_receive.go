package portal

// What the core does with what came on a path.

import (
	"log/slog"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/wire"
)

// received is one message, opened: its MAC was right, or it is a handshake
// message, which the session checks.
type received struct {
	from      path.Endpoint
	overhead  int
	datagram  bool
	transport string // its name
	size      int    // bytes of message
	header    wire.Header
	ack       wire.Ack
	epoch     *session.Epoch
	meta      auth.Meta
	payload   []byte         // inner packet or frames; a part of packet's buffer
	packet    *packet.Packet // the buffer; nil once the core keeps it
	index     int            // the buffer's place in its reader's batch
	raw       bool           // a handshake message, and nothing of the above
	shake     handshake.Message
	fresh     bool // the core believed it: no recording
}

// receive takes one opened message. Where it keeps the buffer it sets
// r.packet to nil.
func (k *core) receive(now mono.Time, r *received) {
	if r.raw {
		k.handshake(now, r)
		return
	}
	if !k.session.Holds(r.epoch) {
		k.rejected.Mac++ // keys that went since it was opened: the peer restarted, or left
		return
	}
	k.keys(now, k.session.Opened(now, r.epoch))
	p := k.paths[r.header.Path]
	if p != nil && p.Transport != r.transport {
		p = k.replaced(now, p, r)
	}
	if p == nil {
		if p = k.joining(now, r); p == nil {
			k.pathless(now, r)
			return
		}
	}
	fresh, newest := p.Receive(now, &r.header, r.size+r.overhead)
	if !fresh {
		k.rejected.Replay++
		return
	}
	r.fresh = true
	if newest && r.from != p.Endpoint() {
		p.Moved(now, r.from)
	}
	if r.header.HasAck {
		p.Acknowledge(now, &r.ack)
		k.recover(p)
	}
	switch r.header.Type {
	case wire.TypeData:
		k.data(now, r)
	case wire.TypeControl:
		k.frames(now, p, r)
	}
}

// data takes an inner packet that came on a path.
func (k *core) data(now mono.Time, r *received) {
	if packet.Version(r.payload) == 0 {
		k.rejected.Malformed++
		return
	}
	if !k.session.Window.Accept(r.meta.Sequence) {
		return // the twin of one that was rescued or sent twice
	}
	if k.stir(now) {
		k.compareAddresses(r.payload)
	}
	in := r.packet
	r.packet = nil
	in.Data = r.payload
	in.Sequence, in.Previous = r.meta.Sequence, r.meta.Previous
	k.rx.Packets++
	k.rx.Bytes += uint64(len(in.Data))
	packet.ClampMSS(in.Data, k.mtu)
	k.deliver = k.exchange.Resequencer.Receive(now, r.header.Path, in, k.deliver)
}

// joining makes the path that a Join speaks of: only the remote portal does.
func (k *core) joining(now mono.Time, r *received) *path.Path {
	join, ok := k.joinOf(r)
	if !ok || !k.numbers[r.header.Path].past.MayJoin(r.header.Sequence) {
		return nil
	}
	fixed := path.Fixed{ID: r.header.Path, Datagram: r.datagram, Transport: r.transport}
	p, err := k.addPath(now, fixed, joinSettings(join, r.datagram))
	if err != nil {
		return nil
	}
	return p
}

// joinOf returns the Join with which a message begins that may make a path.
func (k *core) joinOf(r *received) (j wire.Join, ok bool) {
	if k.local || r.header.Type != wire.TypeControl {
		return j, false
	}
	f, _, err := wire.NextFrame(r.payload)
	if err != nil || f.Type != wire.FrameJoin {
		return j, false
	}
	j, err = wire.ParseJoin(f.Body)
	return j, err == nil
}

// joinSettings is what a Join asks of the remote: the mirror of the local's own.
func joinSettings(j wire.Join, datagram bool) path.Settings {
	s := path.Settings{
		Name: j.Name, Metric: int(j.Metric), Rate: int64(j.Rate), Congestion: "none",
		Send: j.Direction&wire.DirectionReceive != 0, Receive: j.Direction&wire.DirectionSend != 0,
	}
	if datagram {
		s.Congestion = congestionNames[j.Congestion]
	}
	return s
}

// congestionNames are the controllers as the wire numbers them.
var congestionNames = [...]string{wire.CongestionNone: "none", wire.CongestionNewReno: "newreno", wire.CongestionBBR: "bbr"}

// frames handles a control message.
func (k *core) frames(now mono.Time, p *path.Path, r *received) {
	padded := r.size+r.overhead >= path.BaseMTU
	if len(r.payload) == 0 {
		p.AcknowledgeNow(now) // a ping
	}
	for rest := r.payload; len(rest) > 0; {
		var f wire.Frame
		var err error
		if f, rest, err = wire.NextFrame(rest); err != nil {
			k.rejected.Malformed++
			return
		}
		switch f.Type {
		case wire.FramePadding:
			p.AcknowledgeNow(now)
		case wire.FrameJoin:
			join, err := wire.ParseJoin(f.Body)
			if err != nil || k.local {
				k.rejected.Malformed++
				return
			}
			if old := p.Endpoint().Flow; old != nil && old != r.from.Flow && !p.Datagram {
				k.retired = append(k.retired, old) // the path's sender may hang in it
			}
			events, err := p.Joined(now, joinSettings(join, r.datagram), r.from, r.overhead)
			if err == nil {
				k.act(now, p, events)
			}
		case wire.FrameChallenge:
			p.Challenged(r.from, f.Body, padded)
		case wire.FrameResponse:
			k.act(now, p, p.Responded(now, r.from, f.Body))
		case wire.FrameHello, wire.FrameReply:
			answer, events, err := k.session.HandleInside(now, f.Type, f.Body)
			if err != nil {
				k.note(slog.LevelDebug, "rekey message refused", "path", p.Name, "why", err)
				continue
			}
			k.keys(now, events)
			if answer != nil {
				p.Tell(wire.AppendFrame(nil, wire.FrameReply, answer))
			}
		case wire.FrameLeave:
			l, err := wire.ParseLeave(f.Body)
			if err != nil {
				k.rejected.Malformed++
				return
			}
			if k.local {
				k.parted(l)
			} else if k.left(now, p, l); k.paths[p.ID] != p {
				return // it was this one
			}
		case wire.FrameClose:
			k.note(slog.LevelInfo, "the other portal leaves")
			k.keys(now, k.session.Drop())
			k.why = whyLeft
			for _, q := range k.order {
				k.act(now, q, q.Reset(now))
			}
			k.why = ""
			return
		}
	}
}
