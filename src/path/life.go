package path

import (
	"bytes"
	"io"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

const (
	// A proof is asked for again this often: first, and at most.
	proofAgain    = 200 * time.Millisecond
	proofAgainMax = time.Second
	// paddedProofs is how many proofs in a row are padded to BaseMTU before
	// every other one is short, for a path that carries less.
	paddedProofs = 3

	// overdueFails is how many timeouts in a row without any acknowledgement
	// make a suspect path failed, and silenceFails the least time that is.
	overdueFails = 3
	silenceFails = 100 * time.Millisecond

	// activePing is how often an up path without traffic is asked whether it
	// lives while the tunnel has some; standbyPing the same for one that
	// waits with a higher metric, whose bytes may cost money; idlePing while
	// nothing moves, just often enough for NATs (RFC 4787 REQ-5: 2 minutes,
	// in practice 30 s).
	activePing  = 200 * time.Millisecond
	standbyPing = 5 * time.Second
	idlePing    = 15 * time.Second
)

// proof is a challenge on its way.
type proof struct {
	wanted bool
	nonce  [wire.ChallengeSize]byte
	tries  int
	due    mono.Time // when to ask (again)
	padded bool      // the last one was padded
}

// answer is a challenge of the peer's, to go back where it came from.
type answer struct {
	to    Endpoint
	nonce [wire.ChallengeSize]byte
	pad   bool
}

// maxAnswers bounds the challenges that wait to be answered.
const maxAnswers = 4

// Attach gives the path a flow, new or changed. It proves it before it uses it.
func (p *Path) Attach(now mono.Time, e Endpoint, overhead int) Events {
	p.overhead = overhead
	p.endpoint = Endpoint{}
	p.prove(now, e)
	return p.to(now, Connecting)
}

// Detach takes the flow away. What was unacknowledged stays to be taken.
func (p *Path) Detach(now mono.Time) Events {
	p.endpoint, p.candidate, p.proof = Endpoint{}, Endpoint{}, proof{}
	return p.to(now, Down)
}

// FlowDied takes a flow that is finished away. Another that is being proved
// takes over.
func (p *Path) FlowDied(now mono.Time, f transport.Flow) Events {
	switch {
	case p.state == Down || p.endpoint.Flow != f && p.candidate.Flow != f:
		return 0
	case p.candidate.Flow == nil || p.candidate.Flow == f:
		return p.Detach(now)
	}
	p.endpoint = Endpoint{}
	return p.to(now, Connecting)
}

// Reset forgets what the peer knew of this path: the peer is a new one.
func (p *Path) Reset(now mono.Time) Events {
	p.received = newReceiveLog()
	p.answers = p.answers[:0]
	p.frames = nil
	if p.state == Down {
		return 0
	}
	if e := p.Endpoint(); p.Initiator {
		p.endpoint = Endpoint{}
		p.prove(now, e)
		return p.to(now, Connecting)
	}
	return p.Detach(now)
}

// prove starts the proof of an endpoint.
func (p *Path) prove(now mono.Time, e Endpoint) {
	p.candidate = e
	p.proof = proof{wanted: true, due: now}
	if _, err := io.ReadFull(p.Random, p.proof.nonce[:]); err != nil {
		panic("path: no randomness: " + err.Error()) // crypto/rand does not fail
	}
}

// to changes the state. Leaving Up asks for a rescue and forgets what was
// learnt of a network that may be another one now.
func (p *Path) to(now mono.Time, s State) (events Events) {
	if s == p.state {
		return 0
	}
	if p.state == Up {
		events |= EventRescue
	}
	p.state, p.since = s, now
	p.suspect, p.overdue = false, 0
	switch s {
	case Up:
		p.progress, p.asked = now, now
		p.pingDue = true
		events |= EventUp
	case Failed:
		events |= EventFailed
		p.prove(now, p.Endpoint())
	}
	return events
}

// Forget settles everything in flight, after a rescue took it, and starts
// congestion control afresh: a path that comes back may be another one.
func (p *Path) Forget() {
	p.sent.clear()
	p.sent.trim()
	for p.outbox.Len() > 0 {
		p.outbox.Pop().Release()
	}
	control := p.control
	p.control = nil
	if p.Set(p.Settings) != nil {
		p.control = control // cannot happen: these settings were accepted before
	}
}

// Joined handles the local portal's Join, which came from e.
func (p *Path) Joined(now mono.Time, s Settings, e Endpoint, overhead int) (Events, error) {
	if err := p.Set(s); err != nil {
		return 0, err
	}
	p.overhead = overhead
	var events Events
	if p.state != Up || e != p.endpoint {
		if p.candidate != e || !p.proof.wanted {
			p.prove(now, e)
		}
		p.proof.due = now
		if p.state == Down {
			events = p.to(now, Connecting)
		}
	}
	return events, nil
}

// Challenged notes a challenge that came from e, in a message of size bytes.
func (p *Path) Challenged(e Endpoint, nonce []byte, padded bool) {
	if len(nonce) != wire.ChallengeSize || len(p.answers) == maxAnswers {
		return
	}
	a := answer{to: e, pad: padded}
	copy(a.nonce[:], nonce)
	p.answers = append(p.answers, a)
}

// Responded handles the answer to a challenge, which came from e: if it is
// ours, and from where we sent it, the path is proved.
func (p *Path) Responded(now mono.Time, e Endpoint, nonce []byte) Events {
	if !p.proof.wanted || e != p.candidate || !bytes.Equal(nonce, p.proof.nonce[:]) {
		return 0
	}
	moved := p.endpoint.Flow != nil && p.endpoint != e
	padded := p.proof.padded
	p.endpoint, p.candidate, p.proof = e, Endpoint{}, proof{}
	if p.Datagram && (p.state != Up || moved || p.mtu.proved == 0) {
		size := SmallestMTU
		if padded {
			size = BaseMTU
		}
		p.mtu.start(now, size)
	}
	events := p.to(now, Up)
	if moved {
		events |= EventRescue // what went to the old address is lost
	}
	return events
}

// Moved handles a message, sealed by the peer and newer than all before, that
// came from another address than the proved one: a NAT gave it a new port, or
// the peer a new lease. The path moves there once that address is proved.
func (p *Path) Moved(now mono.Time, e Endpoint) {
	if p.Initiator || p.state == Down || p.candidate == e || p.endpoint == e {
		return
	}
	p.prove(now, e)
}

// Tick does what is due. active says that the tunnel has carried data lately,
// standby that paths of a lower metric serve.
func (p *Path) Tick(now mono.Time, active, standby bool) (events Events) {
	if p.received.tick(now, p.rtt.smoothed) {
		p.received.ackAt = now
	}
	if p.state != Up {
		return 0
	}
	if now >= p.overdueAt() {
		p.overdue++
		p.pingDue = true
		if p.overdue >= overdueFails && now.Sub(p.quietSince()) >= silenceFails {
			return p.to(now, Failed)
		}
		p.suspect = true
		events |= EventRescue
	}
	if now >= p.asked.Add(pingInterval(active, standby)) {
		p.pingDue = true
	}
	return events
}

func pingInterval(active, standby bool) time.Duration {
	switch {
	case !active:
		return idlePing
	case standby:
		return standbyPing
	}
	return activePing
}

// quietSince is when the silence began: the last acknowledgement, or the
// oldest message unanswered, whichever was later.
func (p *Path) quietSince() mono.Time {
	if at := p.sent.oldest(); at != 0 {
		return max(p.progress, at)
	}
	return mono.Never
}

// overdueAt is when the next acknowledgement is overdue.
func (p *Path) overdueAt() mono.Time {
	since := p.quietSince()
	if since == mono.Never {
		return mono.Never
	}
	return since.Add(time.Duration(1+p.overdue) * p.rtt.timeout())
}

// Deadline is when Tick or Poll next has something to do. What is due already
// waits for the path's sender, not for time, and is left out.
func (p *Path) Deadline(now mono.Time, active, standby bool) mono.Time {
	d := p.received.deadline(p.rtt.smoothed)
	if p.received.ackAt != 0 {
		d = min(d, later(now, p.received.ackAt))
	}
	if p.proof.wanted && p.state != Down {
		d = min(d, later(now, p.proof.due))
	}
	if p.state == Up {
		d = min(d, p.overdueAt(), later(now, p.asked.Add(pingInterval(active, standby))))
		if p.Datagram {
			d = min(d, later(now, p.mtu.deadline(now)))
		}
	}
	return d
}

func later(now, t mono.Time) mono.Time {
	if t <= now {
		return mono.Never
	}
	return t
}

// maxTold bounds what waits to be told.
const maxTold = 4

// Tell queues a control frame to be sent to the peer. What is told often
// enough to overflow the queue is told again by who needs it.
func (p *Path) Tell(frame []byte) {
	if len(p.frames) < maxTold {
		p.frames = append(p.frames, frame)
	}
}

// TellRaw queues a whole message that needs no session: a HELLO. It replaces
// the one before.
func (p *Path) TellRaw(message []byte) { p.raw = message }

// Ping asks the peer for a sign of life now.
func (p *Path) Ping() { p.pingDue = p.state == Up }

// Refused notes that the system would not send on this path.
func (p *Path) Refused(now mono.Time) {
	if p.state == Up && p.Datagram && p.mtu.proved > BaseMTU {
		p.mtu.start(now, BaseMTU) // the interface's own MTU may have shrunk
	}
}

var _ interface {
	Ready(mono.Time, int) bool
	Consume(mono.Time, *packet.Packet)
} = (*Path)(nil)
