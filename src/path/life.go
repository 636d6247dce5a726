package path

import (
	"io"
	"time"

	"netcombiner/src/congestion"
	"netcombiner/src/mono"
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
	// moveProofs is how many proofs a path sends to an address that it is said
	// to have moved to: who forged that must not have it asked for ever.
	moveProofs = 5

	// overdueFails is how many timeouts in a row without any acknowledgement
	// make a suspect path failed, and silenceFails the least time that is.
	overdueFails = 3
	silenceFails = 100 * time.Millisecond
	// deafFails is that time while the peer is heard: its acknowledgements may
	// have to wait in a queue that it has just filled.
	deafFails = 1000 * time.Millisecond

	// activePing is how often an up path without traffic is asked whether it
	// lives while the tunnel has some; standbyPing the same for one that
	// waits with a higher metric, whose bytes may cost money; idlePing while
	// nothing moves, just often enough for NATs (RFC 4787 REQ-5: 2 minutes,
	// in practice 30 s).
	activePing  = 200 * time.Millisecond
	standbyPing = 5 * time.Second
	idlePing    = 15 * time.Second
)

// challenge is what a proof sends: random, but for its last bit, which says
// whether the message was padded. So the answer tells which try came through.
type challenge [wire.ChallengeSize]byte

func (c *challenge) setPadded(padded bool) {
	last := &c[len(c)-1]
	if *last &^= 1; padded {
		*last |= 1
	}
}

func (c *challenge) padded() bool { return c[len(c)-1]&1 != 0 }

// proof is a challenge on its way.
type proof struct {
	to    Endpoint // zero Flow: none
	nonce challenge
	tries int
	due   mono.Time // when to ask (again)
	moved bool      // to an address that a message came from, not one that joined
	// overhead is that of the other way; 0: as it is.
	overhead int
}

func (pr *proof) wanted() bool { return pr.to.Flow != nil }

func (pr *proof) isDue(now mono.Time) bool { return pr.wanted() && now >= pr.due }

// answers says whether nonce, which came from e, is what was sent there, and
// if so, whether in a padded message.
func (pr *proof) answers(e Endpoint, nonce []byte) (ok, padded bool) {
	if !pr.wanted() || e != pr.to || len(nonce) != wire.ChallengeSize {
		return false, false
	}
	got := challenge(nonce)
	padded = got.padded()
	pr.nonce.setPadded(padded)
	return got == pr.nonce, padded
}

// answer is a challenge of the peer's, to go back where it came from.
type answer struct {
	to    Endpoint
	nonce challenge
	pad   bool
}

// maxAnswers bounds the challenges that wait to be answered.
const maxAnswers = 4

// Attach gives the path a flow, new or changed. It proves it before it uses
// it. What was unacknowledged stays to be taken.
func (p *Path) Attach(now mono.Time, e Endpoint, overhead int) Events {
	p.overhead = overhead
	p.endpoint = Endpoint{}
	p.answers = p.answers[:0]
	p.anotherNetwork()
	p.candidate = p.prove(now, e)
	return p.to(now, Connecting)
}

// Try gives the path a second flow, to replace the one that it has: as soon as
// the new one is proved. Until then, and should it never be, the old one goes on.
// Where there is nothing that could go on, it is Attach.
func (p *Path) Try(now mono.Time, e Endpoint, overhead int) Events {
	if p.state != Up || p.endpoint.Flow == nil {
		return p.Attach(now, e, overhead)
	}
	p.candidate = p.prove(now, e)
	p.candidate.overhead = overhead
	return 0
}

// Uses says that f is the flow that the path has, and has proved.
func (p *Path) Uses(f transport.Flow) bool { return p.endpoint.Flow == f }

// anotherNetwork forgets what was measured of the one before.
func (p *Path) anotherNetwork() {
	p.rtt.restart()
	p.capacity.restart()
	p.loss = share{}
}

// Detach takes the flow away. What was unacknowledged stays to be taken.
func (p *Path) Detach(now mono.Time) Events {
	p.remember()
	p.endpoint, p.candidate = Endpoint{}, proof{}
	p.answers, p.frames, p.raw = p.answers[:0], nil, nil
	return p.to(now, Down)
}

// remember keeps the addresses of a path that is about to lose its flow.
func (p *Path) remember() {
	if e := p.Endpoint(); e.Flow != nil {
		e.Flow = nil
		p.last = e
	}
}

// FlowDied takes a flow that is finished away. Another that the path has, or
// is proving, goes on.
func (p *Path) FlowDied(now mono.Time, f transport.Flow) Events {
	p.remember()
	if p.candidate.to.Flow == f {
		p.candidate = proof{}
	}
	if p.endpoint.Flow == f {
		p.endpoint, p.revival = Endpoint{}, proof{}
	}
	switch {
	case p.state == Down || p.endpoint.Flow != nil:
		return 0
	case !p.candidate.wanted():
		return p.Detach(now)
	case p.state == Connecting:
		return 0
	}
	return p.to(now, Connecting)
}

// Reset forgets what the peer knew of this path: the peer is a new one.
func (p *Path) Reset(now mono.Time) Events {
	p.received = newReceiveLog()
	p.answers, p.frames = p.answers[:0], nil
	if p.state == Down {
		return 0
	}
	if e := p.Endpoint(); p.Initiator {
		p.endpoint = Endpoint{}
		p.candidate = p.prove(now, e)
		return p.to(now, Connecting)
	}
	return p.Detach(now)
}

// prove returns a new proof of an endpoint, due now.
func (p *Path) prove(now mono.Time, e Endpoint) proof {
	pr := proof{to: e, due: now}
	if _, err := io.ReadFull(p.Random, pr.nonce[:]); err != nil {
		panic("path: no randomness: " + err.Error()) // crypto/rand does not fail
	}
	return pr
}

// to changes the state. Connecting anew, the path gets its time again; leaving
// Up asks for a rescue.
func (p *Path) to(now mono.Time, s State) (events Events) {
	if s == p.state && s != Connecting {
		return 0
	}
	switch p.state {
	case Up:
		events |= EventRescue
		p.Failures++
	case Failed:
		p.doubted = now
	}
	p.state, p.since = s, now
	p.revival = proof{}
	p.alive(now)
	switch s {
	case Up:
		events |= EventUp
	case Failed:
		events |= EventFailed
		p.revival = p.prove(now, p.endpoint)
	}
	return events
}

// alive notes a sign of life, and asks for the next.
func (p *Path) alive(now mono.Time) {
	p.suspect, p.overdue = false, 0
	p.progress, p.asked = now, now
	p.pingDue = p.state == Up
}

// Forget settles everything in flight, after a rescue took it, and starts
// congestion control afresh: a path that comes back may be another one.
func (p *Path) Forget() {
	p.sent.clear()
	for _, pkt := range p.TakeLost(nil) {
		pkt.Release()
	}
	for p.outbox.Len() > 0 {
		p.dequeue().Release()
	}
	if control, err := congestion.New(p.Congestion, p.Rate); err == nil { // as it was when they were set
		p.control = control
	}
	p.pace, p.limited, p.held, p.idle, p.timed = 0, false, false, false, false
}

// Joined handles the local portal's Join, which came from e.
func (p *Path) Joined(now mono.Time, s Settings, e Endpoint, overhead int) (Events, error) {
	if p.arrived < p.received.joined {
		return 0, nil // overtaken by another one
	}
	p.received.joined = p.arrived
	if err := p.Set(s); err != nil {
		return 0, err
	}
	p.overhead = overhead
	switch {
	case e == p.endpoint:
		p.revival.due = now
		return 0, nil
	case e != p.candidate.to:
		p.candidate = p.prove(now, e)
	}
	p.candidate.due, p.candidate.moved = now, false
	if p.state == Down {
		return p.to(now, Connecting), nil
	}
	return 0, nil
}

// Challenged notes a challenge that came from e. Where its message was padded,
// to see whether long ones arrive, the answer will be too.
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
	if ok, padded := p.revival.answers(e, nonce); ok {
		p.searchMTU(now, padded)
		return p.to(now, Up)
	}
	ok, padded := p.candidate.answers(e, nonce)
	if !ok {
		return 0
	}
	moved, joined := p.endpoint.Flow != nil, !p.candidate.moved
	if p.candidate.overhead != 0 {
		p.overhead = p.candidate.overhead
	}
	if joined || p.mtu.proved == 0 {
		p.searchMTU(now, padded) // one that merely moved keeps the MTU: its challenge was short
	}
	p.endpoint, p.candidate = e, proof{}
	events := p.to(now, Up)
	if moved {
		p.alive(now)
		p.anotherNetwork()
		events |= EventRescue // what went to the old address is lost
	}
	if moved && joined {
		events |= EventMoved
	}
	return events
}

// searchMTU begins a search from what the proof of the path showed.
func (p *Path) searchMTU(now mono.Time, padded bool) {
	switch {
	case !p.Datagram:
	case padded:
		p.mtu.start(now, BaseMTU)
	default:
		p.mtu.start(now, SmallestMTU)
	}
}

// Moved handles a message, sealed by the peer and newer than all before, that
// came from another address than the proved one: a NAT gave it a new port, or
// the peer a new lease. The path moves there once that address is proved.
func (p *Path) Moved(now mono.Time, e Endpoint) {
	if p.Initiator || p.candidate.to == e || p.endpoint == e || p.endpoint.Flow == nil {
		return
	}
	p.candidate = p.prove(now, e)
	p.candidate.moved = true
}

// Tick does what is due. active says that the tunnel has carried data lately,
// standby that paths of a lower metric serve.
func (p *Path) Tick(now mono.Time, active, standby bool) (events Events) {
	if p.received.tick(now, p.rtt.smoothed) {
		p.received.ackAt = now
	}
	if p.candidate.tries >= moveProofs && p.candidate.isDue(now) && p.endpoint.Flow != nil {
		// Nobody is there: perhaps somebody threw a message of the peer's at
		// us that had been lost. The path stays where it was.
		p.candidate = proof{}
	}
	if p.state != Up {
		return 0
	}
	if now >= p.overdueAt() {
		p.overdue++
		p.pingDue = true
		if p.overdue >= overdueFails && now.Sub(p.quietSince()) >= p.patience(now) {
			p.Silence = now.Sub(p.quietSince())
			return p.to(now, Failed)
		}
		p.suspect, p.doubted = true, now
		events |= EventRescue
	}
	if now >= p.asked.Add(pingInterval(active, standby)) {
		p.pingDue = true
	}
	return events
}

// patience is how long a suspect path may go without any acknowledgement.
func (p *Path) patience(now mono.Time) time.Duration {
	if now.Sub(p.heard) < max(silenceFails, p.rtt.smoothed) {
		return deafFails
	}
	return silenceFails
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
	for _, pr := range [...]*proof{&p.revival, &p.candidate} {
		if pr.wanted() {
			d = min(d, later(now, pr.due))
		}
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

// Refused notes that the system would not send a message on this path.
func (p *Path) Refused(now mono.Time) {
	if p.state == Up && p.Datagram {
		p.mtu.refused(now)
	}
}
