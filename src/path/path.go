// Package path is one path between the portals, seen from one end: its life,
// and its two halves. The consumer takes inner packets and sends them, the
// producer receives the peer's. It is pure: no socket, goroutine or clock.
// Time and what arrived come in; messages to send and events come out. The
// portal calls it under its lock.
//
// Glossary
//
//	life        down → connecting → up → failed → up …; see State
//	proof       a challenge sent to an address that came back: only then does
//	            the path carry data there (paper 2.2.2; RFC 9000 section 8.2)
//	suspect     an up path whose acknowledgements are overdue: it gets no new
//	            packets, and what it has is rescued, until one comes
//	in flight   sent, and neither acknowledged nor lost
//	outbox      packets that the scheduler gave to this path, not yet sent
//
// A packet's way: Consume puts it in the outbox; Poll gives it a path
// sequence, notes it in the sentLog and hands it to the portal's sender; an
// acknowledgement (Acknowledge) or a rescue (TakeUnacknowledged) settles it.
package path

import (
	"io"
	"net/netip"
	"time"

	"netcombiner/src/congestion"
	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

// State is where a path is in its life.
type State uint8

const (
	// Down: it has no flow. The local has none open, the remote was never joined.
	Down State = iota
	// Connecting: it has a flow, which is not yet proved.
	Connecting
	// Up: proved, and the peer acknowledges.
	Up
	// Failed: it was up, and acknowledgements are missing. It still asks.
	Failed
)

// String returns the word that the status shows.
func (s State) String() string { return [...]string{"down", "connecting", "up", "failed"}[s] }

// Endpoint is where messages of a path go and come from.
type Endpoint struct {
	Flow          transport.Flow
	Local, Remote netip.AddrPort
}

// Events says what a call brought about: the caller acts on it.
type Events uint8

const (
	// EventRescue: take what is unacknowledged and send it elsewhere.
	EventRescue Events = 1 << iota
	// EventUp: the state changed to Up.
	EventUp
	// EventFailed: the state changed to Failed.
	EventFailed
	// EventMoved: it goes another way now, of which nothing is known: Forget
	// what the old one had, once it is rescued.
	EventMoved
)

// Settings is what a path is told: by its own configuration on the local
// portal, by the Join on the remote.
type Settings struct {
	Name       string
	Metric     int
	Send       bool // carries data from here
	Receive    bool // carries data to here
	Congestion string
	Rate       int64 // bit/s, of what is sent from here; 0: no ceiling
}

// Fixed is what stays the same all a path's life.
type Fixed struct {
	ID        uint8
	Initiator bool      // this is the local portal: it joins
	Datagram  bool      // the transport is one: the path controls congestion and probes the MTU
	Transport string    // its name, for people
	Random    io.Reader // for challenges
	Clock     *PeerClock
	// Past is what is left of the path that had this ID before, if any: its
	// numbers go on.
	Past Past
	// Join is sent by the initiator; its fields mirror the settings.
	Join wire.Join
}

// outboxLimit is how many packets may wait for the path's own sender. A
// transport that waits in Send gets few, so that what it cannot take now is
// left for the other paths.
const (
	outboxLimit       = 64
	outboxLimitStream = 8
)

// Path is one path. Its methods are called under the portal's lock.
type Path struct {
	Fixed
	Settings
	Counters
	// Trailer is how many bytes follow an inner packet: sequence and MAC;
	// ControlTrailer the same for a control message. The session's suite says.
	Trailer, ControlTrailer int

	// Silence is how long no acknowledgement had come when the path last failed.
	Silence time.Duration

	state    State
	since    mono.Time // of the state
	overhead int       // bytes of IP and transport headers
	endpoint Endpoint  // proved; where messages go
	last     Endpoint  // where they went before the flow was taken away; without it

	revival   proof    // of endpoint, while the path has failed
	candidate proof    // of another endpoint
	answers   []answer // challenges to be sent back

	control congestion.Controller
	limited bool          // the window held something back since the last acknowledgement
	held    bool          // and since the last packet
	unused  time.Duration // of the last busyMemory, decaying: when it could have sent
	usedAt  mono.Time     // when that was
	wasted  time.Duration // the same, all of it
	idle    bool          // the next packet follows a time without any to send
	delay   time.Duration // one-way, smoothed; see PeerClock
	timed   bool          // delay is known
	pace    mono.Time     // when the next packet may go, where there is a pacing rate

	rtt         rtt
	rate        meter // what the peer acknowledges
	loss        share // of what was sent
	sent        sentLog
	received    receiveLog
	gone        []*packet.Packet // lost, with a reference each; see TakeLost
	outbox      packet.Ring[*packet.Packet]
	outboxBytes int
	capacity    capacity
	mtu         mtuProber

	// LastResort: no path can be counted on. Set by the portal. A suspect stream
	// is used then: what it takes is not lost, but late at worst.
	LastResort bool
	// Spared: others work, and this path is kept for when none does. It carries
	// no data. Set by the portal.
	Spared bool

	suspect  bool
	doubted  mono.Time // when it was last suspect, or came back; 0: never
	overdue  int       // timeouts in a row
	progress mono.Time // last acknowledgement of something new
	heard    mono.Time // last message
	arrived  uint64    // its sequence
	asked    mono.Time // last message sent that asks for an acknowledgement
	pingDue  bool
	joinDue  bool
	leaving  bool     // see Leave
	frames   [][]byte // control frames of others (rekeying), waiting to be sent
	raw      []byte   // a message outside any session, waiting to be sent
}

// Counters are totals since the start.
type Counters struct {
	TxPackets, TxBytes uint64 // messages sent, and their bytes with IP and transport headers
	RxPackets, RxBytes uint64 // the same, received: authentic and fresh
	Lost               uint64 // messages sent that the peer gave up
	Reinjected         uint64 // inner packets sent here and given to another path too
	Failures           uint64 // how often it was up, and then no more
}

// New returns a path that is down.
func New(f Fixed, s Settings) (*Path, error) {
	p := &Path{Fixed: f, sent: newSentLog(f.Past.Next), received: f.Past.received}
	p.Fixed.Past = Past{}
	if p.received.received == nil {
		fresh := newReceiveLog()
		fresh.joined, p.received = p.received.joined, fresh
	}
	if p.Clock == nil {
		p.Clock = &PeerClock{}
	}
	return p, p.Set(s)
}

// Set changes the settings. Another controller starts afresh; another rate is
// the ceiling of the one that there is. It fails where the controller is
// unknown, and then changes nothing.
func (p *Path) Set(s Settings) error {
	if p.control == nil || s.Congestion != p.Congestion {
		control, err := congestion.New(s.Congestion, s.Rate)
		if err != nil {
			return err
		}
		p.control = control
	}
	if congestion.SetRate(p.control, s.Rate); s.Rate != p.Rate {
		p.pace = 0 // or the next packet would wait as the old rate had it
	}
	p.Settings = s
	return nil
}

// Change is Set on the local portal: the peer, for whom j is, learns of it. It
// has it for certain after a round trip, or more if that is lost.
func (p *Path) Change(s Settings, j wire.Join) error {
	if err := p.Set(s); err != nil {
		return err
	}
	p.Join, p.joinDue = j, true
	return nil
}

// SetMetric changes the metric alone, as Change would.
func (p *Path) SetMetric(metric int) {
	p.Metric, p.Join.Metric = metric, uint16(metric)
	p.joinDue = p.Initiator
}

// State returns the state and since when it lasts.
func (p *Path) State() (State, mono.Time) { return p.state, p.since }

// Suspect says that acknowledgements are overdue.
func (p *Path) Suspect() bool { return p.suspect }

// NextSequence is that of the next message to be sent. It only ever grows.
func (p *Path) NextSequence() uint64 { return p.sent.next }

// Endpoint is where messages go: the proved one, or else the candidate.
func (p *Path) Endpoint() Endpoint {
	if p.endpoint.Flow == nil {
		return p.candidate.to
	}
	return p.endpoint
}

// Addresses are those of Endpoint, or of the last that there was: zero on a
// path that never had a flow.
func (p *Path) Addresses() (local, remote netip.AddrPort) {
	e := p.Endpoint()
	if e.Flow == nil {
		e = p.last
	}
	return e.Local, e.Remote
}

// RTT is the smoothed round-trip time, or 0 before the first sample.
func (p *Path) RTT() time.Duration { return p.rtt.smoothed }

// Timeout is how long an acknowledgement may take on a path that works.
func (p *Path) Timeout() time.Duration { return p.rtt.timeout() }

// MinRTT is the lowest of the last minutes.
func (p *Path) MinRTT() time.Duration { return p.rtt.min() }

// InFlight is how many messages are on their way, or about to be sent.
func (p *Path) InFlight() int { return p.sent.inFlight + p.outbox.Len() }

// InFlightBytes is how many bytes these have: headers count from when they are sent.
func (p *Path) InFlightBytes() int { return p.sent.bytes + p.outboxBytes }

// Window is the congestion window, in packets.
func (p *Path) Window() int {
	packets, _ := p.control.Window()
	return packets
}

// WindowBytes is the congestion window, in bytes.
func (p *Path) WindowBytes() int {
	_, bytes := p.control.Window()
	return bytes
}

// MTU is the longest outer packet proved, in bytes; 0 where the transport cuts
// messages itself.
func (p *Path) MTU() int {
	if !p.Datagram {
		return 0
	}
	return p.mtu.proved
}

// tcpOptions is how many bytes of options TCP puts in each segment: timestamps.
const tcpOptions = 12

// InnerMTU is the longest inner packet to send on the path, in bytes. settled
// is false while a search may still raise it. A stream carries any; beyond
// this one its messages spill into a second, tiny segment.
func (p *Path) InnerMTU() (mtu int, settled bool) {
	if !p.Datagram {
		return MaxMTU - tcpOptions - p.overhead - wire.HeaderSize - p.Trailer, true
	}
	return p.mtu.proved - p.overhead - wire.HeaderSize - p.Trailer, !p.mtu.searching()
}

// ReorderWait is how long the receiver waits for a missing message.
func (p *Path) ReorderWait() time.Duration { return p.received.reorderWait(p.rtt.smoothed) }

// PeerClock is what the paths to one peer know of its clock together, so that
// their one-way delays can be compared: the first one is their zero.
type PeerClock struct {
	zero uint32 // µs, modulo 2^32
	set  bool
}

// Delay is the one-way delay, smoothed, with queues; its zero is any, but the
// same for all paths with one PeerClock.
func (p *Path) Delay() time.Duration {
	if !p.timed {
		return unknownDelay
	}
	return p.delay
}

// unknownDelay lets a path that never delivered anything go last.
const unknownDelay = time.Second

// Bandwidth is what the path carries, in bit/s, as far as is known; 0: nothing is.
func (p *Path) Bandwidth() float64 {
	if rate := p.control.Bandwidth(); rate >= 0 {
		return rate
	}
	return p.capacity.rate()
}

// Wait is how long until the pace lets the next packet go, or about how long
// until the window does.
func (p *Path) Wait(now mono.Time) time.Duration {
	wait := max(p.pace.Sub(now), 0)
	if p.Room() {
		return wait
	}
	if rate := p.Bandwidth(); rate > 0 {
		return max(wait, time.Duration(8e9*MaxMTU/rate))
	}
	return max(wait, p.rtt.smoothed/4) // acknowledgements make room all the time
}

// Disorder is by how much messages of this path overtake each other; 0: they
// do not.
func (p *Path) Disorder() time.Duration { return p.received.late + p.received.late/4 }

// RateBps is what the peer acknowledged lately, in bit/s with all headers.
func (p *Path) RateBps(now mono.Time) float64 { return p.rate.bps(now) }

// Loss is the share of messages lost lately, 0 … 1.
func (p *Path) Loss() float64 { return p.loss.value() }

// Cost returns the path's metric.
func (p *Path) Cost() int { return p.Metric }

// Usable says that the path can be counted on now, with room or without.
func (p *Path) Usable() bool { return p.state == Up && p.Send && !p.suspect && !p.Spared }

const (
	// doubtLoss is the share of messages lost from which on a path is doubtful: of
	// a call that is a packet every 20 s.
	doubtLoss = 0.001
	// doubtTime is how long a path that was suspect stays doubtful: a link that
	// fades or flaps does it again.
	doubtTime = 5 * time.Second
)

// Doubtful says that the path may well lose what it is given now, or deliver it
// late: it loses some, or was suspect lately.
func (p *Path) Doubtful(now mono.Time) bool {
	return p.loss.value() > doubtLoss || p.doubted != 0 && now.Sub(p.doubted) < doubtTime
}

// Ready says that the path takes an inner packet of size bytes now: it is up
// and not suspect, or a stream and the LastResort; its window, pace and outbox have room, and it carries
// packets that long.
func (p *Path) Ready(now mono.Time, size int) bool {
	if !p.Usable() && !p.servesLast() {
		return false
	}
	if p.Datagram && p.outer(size) > p.mtu.proved {
		return false // or not yet: see Carries
	}
	if p.outbox.Len() >= p.outboxLimit() {
		p.held = true
		return false
	}
	if !p.inWindow() {
		p.limited, p.held = true, true
		return false
	}
	return p.pace <= now
}

// Room says that the window and the outbox have room: only the pace may hold a
// packet back.
func (p *Path) Room() bool { return p.outbox.Len() < p.outboxLimit() && p.inWindow() }

func (p *Path) inWindow() bool {
	packets, bytes := p.control.Window()
	return p.InFlight() < packets && p.InFlightBytes() < bytes
}

func (p *Path) servesLast() bool {
	return p.LastResort && p.suspect && p.state == Up && p.Send && !p.Datagram && !p.Spared
}

func (p *Path) outboxLimit() int {
	if p.Datagram {
		return outboxLimit
	}
	return outboxLimitStream
}

// fillFloor is what an empty path takes without counting as filled, in bytes.
const fillFloor = 16 * MaxMTU

// Fill is how much of what the path needs to be busy is on it: at 0.5 just
// enough, at 1 as much again waits in its queues. Of several paths it tells
// which has room, also where their windows have grown apart.
func (p *Path) Fill() float64 {
	busy := p.capacity.rate() / 8 * p.rtt.min().Seconds()
	return float64(p.InFlightBytes()) / max(2*busy, fillFloor)
}

// Carries is false where a packet of size bytes does not fit, and the probes
// that are out will not change that.
func (p *Path) Carries(size int) bool {
	return !p.Datagram || p.outer(size) <= p.mtu.limit()
}

// outer is the length of a message with an inner packet of size bytes, IP and
// transport headers included.
func (p *Path) outer(size int) int { return p.overhead + wire.HeaderSize + size + p.Trailer }

// dequeue takes the oldest packet out of the outbox.
func (p *Path) dequeue() *packet.Packet {
	pkt := p.outbox.Pop()
	p.outboxBytes -= len(pkt.Data)
	return pkt
}

// TakeLost appends to dst the packets that were lost since the last call, each
// with a reference for the caller.
func (p *Path) TakeLost(dst []*packet.Packet) []*packet.Packet {
	dst = append(dst, p.gone...)
	clear(p.gone)
	p.gone = p.gone[:0]
	return dst
}

// TakeUnacknowledged appends to dst the packets that this path has and that
// nobody acknowledged, oldest first, each with a reference for the caller.
// Each is given out once: the path still counts its own copy as in flight.
func (p *Path) TakeUnacknowledged(dst []*packet.Packet) []*packet.Packet {
	for s := p.sent.first; s < p.sent.next; s++ {
		if e := p.sent.at(s); e.packet != nil && !e.done && !e.rescued && !e.packet.Delivered {
			e.rescued = true
			e.packet.Retain()
			dst = append(dst, e.packet)
			p.Reinjected++
		}
	}
	for p.outbox.Len() > 0 {
		dst = append(dst, p.dequeue())
	}
	return dst
}
