package portal

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/control"
	"netcombiner/src/exchange"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

const (
	// activeTime is how long after its last inner packet the tunnel counts
	// as active: meanwhile idle paths are asked often whether they live.
	activeTime = time.Second
	// lostAfter is the fixed part of core.lostAfter.
	lostAfter = 100 * time.Millisecond
	// lostAfterUnknown is core.lostAfter before any RTT was measured.
	lostAfterUnknown = time.Second
	// housekeeping is how often the slow figures (queue limit, spread) are
	// brought up to date while the tunnel carries data.
	housekeeping = 100 * time.Millisecond
)

// core is the pure heart of a portal: all state that the goroutines share, and
// what to do with it. It has no goroutine, socket or clock; its caller holds
// the portal's lock.
type core struct {
	local     bool
	bind      bool // AuthenticateAddresses
	random    io.Reader
	session   *session.Session
	exchange  *exchange.Exchange
	paths     [wire.MaxPaths]*path.Path
	order     []*path.Path        // those that exist
	consumers []exchange.Consumer // the same
	flowSeed  uint64

	fixedMTU   int
	floorMTU   int // 1280 where the tunnel has IPv6 addresses
	mtu        int // the tunnel's, in bytes of inner packet
	lastData   mono.Time
	attached   bool      // some path has a flow
	works      bool      // some path is up and not suspect
	lastUsable mono.Time // when that, and a session, was last so
	nextChore  mono.Time

	rejected control.Rejected
	rx       control.Count
	unread   uint64 // inner packets dropped for want of a buffer

	deliver []*packet.Packet // for the TUN, in order
	answers []answer         // to strangers
	changed uint64           // paths whose keeper should look, a bit each
	retired []transport.Flow // streams that a path has left, to be closed
	notes   []note
	said    [complaints]mono.Time // when each was last logged
	silence silence
	rescued []*packet.Packet
}

// answer is a whole message for somebody who has no path yet.
type answer struct {
	to      path.Endpoint
	message []byte
}

// note is a log line that waits until the lock is released.
type note struct {
	level   slog.Level
	message string
	args    []any
}

// received is one message, opened: its MAC was right, or it is a handshake
// message, which the session checks.
type received struct {
	from     path.Endpoint
	overhead int
	datagram bool
	size     int // bytes of message
	header   wire.Header
	ack      wire.Ack
	epoch    *session.Epoch
	meta     auth.Meta
	payload  []byte         // inner packet or frames; a part of packet's buffer
	packet   *packet.Packet // the buffer; nil once the core keeps it
	index    int            // the buffer's place in its reader's batch
	raw      bool           // a handshake message, and nothing of the above
	shake    handshake.Message
	fresh    bool // the core believed it: no recording
}

type coreConfig struct {
	session   session.Config
	scheduler string
	bind      bool
	mtu       int // 0: auto
	floorMTU  int
}

func newCore(c coreConfig, now mono.Time) (*core, error) {
	s, err := session.New(c.session)
	if err != nil {
		return nil, err
	}
	scheduler, err := exchange.NewScheduler(c.scheduler)
	if err != nil {
		return nil, err
	}
	var seed [8]byte
	if _, err := io.ReadFull(rand.Reader, seed[:]); err != nil {
		return nil, err
	}
	k := &core{
		local: c.session.Initiator, bind: c.bind, random: c.session.Random,
		session: s, exchange: exchange.New(scheduler),
		flowSeed: binary.LittleEndian.Uint64(seed[:]),
		fixedMTU: c.mtu, floorMTU: c.floorMTU, mtu: c.mtu, lastUsable: now,
	}
	if k.mtu == 0 {
		k.mtu = initialMTU
	}
	return k, nil
}

// addPath makes a path that is down.
func (k *core) addPath(now mono.Time, f path.Fixed, s path.Settings) (*path.Path, error) {
	f.Initiator, f.Random = k.local, k.random
	p, err := path.New(f, s)
	if err != nil {
		return nil, err
	}
	k.paths[f.ID] = p
	k.order = append(k.order, p)
	k.consumers = append(k.consumers, p)
	k.setTrailers(now)
	return p, nil
}

// attach gives a path of the local portal a flow, which takes part in the
// handshake that is under way.
func (k *core) attach(now mono.Time, p *path.Path, e path.Endpoint, overhead int) {
	k.act(now, p, p.Attach(now, e, overhead))
	if hello := k.session.Hello(now, p.ID); hello != nil {
		p.TellRaw(hello)
	}
}

// dropPath forgets a path; what it had is rescued.
func (k *core) dropPath(now mono.Time, p *path.Path) {
	k.act(now, p, p.Detach(now))
	k.rescue(p)
	p.Forget()
	k.paths[p.ID] = nil
	for i, q := range k.order {
		if q == p {
			k.order = append(k.order[:i], k.order[i+1:]...)
			k.consumers = append(k.consumers[:i], k.consumers[i+1:]...)
			break
		}
	}
}

// setTrailers tells the paths how much the session's suite adds to a message.
func (k *core) setTrailers(now mono.Time) {
	if e := k.session.Sending(now); e != nil {
		for _, p := range k.order {
			p.ControlTrailer = e.Suite.Overhead
			p.Trailer = auth.SequenceLen + e.Suite.Overhead
		}
	}
}

// prepare readies an inner packet from the TUN: its owner calls it without the
// lock, with the tunnel's MTU as last published.
func (k *core) prepare(now mono.Time, p *packet.Packet, mtu int) {
	p.Queued = now
	p.Flow = packet.FlowHash(p.Data, k.flowSeed)
	packet.ClampMSS(p.Data, mtu)
}

// ingress takes inner packets from the TUN.
func (k *core) ingress(now mono.Time, packets []*packet.Packet) {
	k.stir(now)
	k.exchange.Ingress(packets)
}

// stir notes that the tunnel carries data. When it did not before, every path
// is asked at once whether it lives.
func (k *core) stir(now mono.Time) {
	if now.Sub(k.lastData) > activeTime {
		serving := k.serving()
		for _, p := range k.order {
			if p.Metric <= serving {
				p.Ping()
			}
		}
	}
	k.lastData = now
}

func (k *core) active(now mono.Time) bool { return now.Sub(k.lastData) <= activeTime }

// serving is the lowest metric of the paths that can be counted on now: those
// of a higher one stand by.
func (k *core) serving() int {
	lowest := math.MaxInt
	for _, p := range k.order {
		if p.Usable() {
			lowest = min(lowest, p.Metric)
		}
	}
	return lowest
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
	if p == nil {
		if p = k.joining(now, r); p == nil {
			k.rejected.Source++
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
	k.stir(now)
	in := r.packet
	r.packet = nil
	in.Data = r.payload
	in.Sequence, in.Previous = r.meta.Sequence, r.meta.Previous
	k.rx.Packets++
	k.rx.Bytes += uint64(len(in.Data))
	packet.ClampMSS(in.Data, k.mtu)
	k.deliver = k.exchange.Resequencer.Receive(now, in, k.deliver)
}

// joining makes the path that a Join speaks of: only the remote portal does.
func (k *core) joining(now mono.Time, r *received) *path.Path {
	if k.local || r.header.Type != wire.TypeControl {
		return nil
	}
	f, _, err := wire.NextFrame(r.payload)
	if err != nil || f.Type != wire.FrameJoin {
		return nil
	}
	join, err := wire.ParseJoin(f.Body)
	if err != nil {
		return nil
	}
	p, err := k.addPath(now, path.Fixed{ID: r.header.Path, Datagram: r.datagram}, joinSettings(join, r.datagram))
	if err != nil {
		return nil
	}
	return p
}

// joinSettings is what a Join asks of the remote: the mirror of the local's own.
func joinSettings(j wire.Join, datagram bool) path.Settings {
	s := path.Settings{
		Name: j.Name, Metric: int(j.Metric), Rate: int64(j.Rate), Congestion: "none",
		Send: j.Direction&wire.DirectionReceive != 0, Receive: j.Direction&wire.DirectionSend != 0,
	}
	if j.Congestion == wire.CongestionNewReno && datagram {
		s.Congestion = "newreno"
	}
	return s
}

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
		case wire.FrameClose:
			k.note(slog.LevelInfo, "the other portal leaves")
			k.keys(now, k.session.Drop())
			for _, q := range k.order {
				k.act(now, q, q.Reset(now))
			}
			return
		}
	}
}

// handshake takes a message from outside any session. It was opened by the
// reader; the session looks closer.
func (k *core) handshake(now mono.Time, r *received) {
	answer, events, err := k.session.Handle(now, r.shake)
	switch {
	case err == nil:
		k.silence.since = 0
	case !k.misfit(now, err):
		k.rejected.Replay++ // nothing proved it fresh; an honest first HELLO is challenged
	}
	k.keys(now, events)
	if answer == nil {
		return
	}
	if !k.local {
		k.answers = append(k.answers, toStranger(r.from, answer))
		return
	}
	if p := k.pathOf(r.from); p != nil { // a HELLO with the cookie, where that came from
		p.TellRaw(answer)
	}
}

func toStranger(to path.Endpoint, message []byte) answer { return answer{to, message} }

// pathOf is the path that uses or tries an endpoint.
func (k *core) pathOf(e path.Endpoint) *path.Path {
	for _, p := range k.order {
		if s, _ := p.State(); s != path.Down && p.Endpoint() == e {
			return p
		}
	}
	return nil
}

// hello sends HELLOs when they are due: one of its own on every path that has
// a flow. It returns whether they were.
func (k *core) hello(now mono.Time) bool {
	if !k.session.Round(now) {
		return false
	}
	for _, p := range k.order {
		if s, _ := p.State(); s != path.Down {
			p.TellRaw(k.session.Hello(now, p.ID))
		}
	}
	return true
}

// keys acts on what happened to the session.
func (k *core) keys(now mono.Time, events session.Events) {
	if events&session.EventPeer != 0 {
		k.deliver = k.exchange.Resequencer.Reset(k.deliver)
		for i := len(k.order) - 1; i >= 0; i-- {
			if p := k.order[i]; k.local {
				k.act(now, p, p.Reset(now))
			} else {
				k.dropPath(now, p)
			}
		}
		// The peer before this one may have forwarded what it did not live to
		// acknowledge, and this one cannot know.
		k.exchange.DropRescues()
	}
	if events&session.EventSend != 0 {
		k.setTrailers(now)
		k.lastUsable = now // its paths get time to join
		k.silence.vain++
		e := k.session.Sending(now)
		level := slog.LevelDebug
		if events&session.EventPeer != 0 {
			level = slog.LevelInfo
		}
		k.note(level, "session keys made", "suite", e.Suite.Name, "new_peer", level == slog.LevelInfo)
		for _, p := range k.order {
			p.Ping()
		}
	}
}

// act does what a path's events ask for.
func (k *core) act(now mono.Time, p *path.Path, events path.Events) {
	if events&(path.EventUp|path.EventFailed) != 0 {
		k.changed |= 1 << p.ID
	}
	if events&path.EventUp != 0 {
		k.note(slog.LevelInfo, "path up", "path", p.Name, "remote", p.Endpoint().Remote, "rtt", p.RTT())
	}
	if events&path.EventFailed != 0 {
		k.note(slog.LevelWarn, "path failed", "path", p.Name, "remote", p.Endpoint().Remote)
	}
	if events&path.EventRescue != 0 {
		state, _ := p.State()
		if state == path.Up && !k.anyUsable() {
			return // only suspect, and nowhere else to go: wait and see
		}
		k.rescue(p)
		if state != path.Up {
			p.Forget()
		}
	}
}

func (k *core) rescue(p *path.Path) {
	k.rescued = p.TakeUnacknowledged(k.rescued[:0])
	k.exchange.Rescue(k.rescued)
}

func (k *core) anyUsable() bool {
	for _, p := range k.order {
		if p.Usable() {
			return true
		}
	}
	return false
}

// settle follows every change: it hands packets to paths and does what time
// has made due.
func (k *core) settle(now mono.Time) {
	k.keys(now, k.session.Tick(now))
	active, serving := k.active(now), k.serving()
	for _, p := range k.order {
		k.act(now, p, p.Tick(now, active, p.Metric > serving))
	}
	k.deliver = k.exchange.Resequencer.Tick(now, k.deliver)
	if k.local {
		k.shake(now)
	}
	k.diagnose(now)
	if now >= k.nextChore {
		k.nextChore = now.Add(housekeeping)
		k.chores(now)
	}
	k.chooseMTU()
	k.exchange.Pump(now, k.consumers)
}

// shake starts handshakes: the local portal's part.
func (k *core) shake(now mono.Time) {
	var sent uint64
	k.works, k.attached = false, false
	for _, p := range k.order {
		s, _ := p.State()
		k.attached = k.attached || s != path.Down
		k.works = k.works || s == path.Up && !p.Suspect()
		sent = max(sent, p.TxPackets)
	}
	switch keyed := k.session.Sending(now) != nil; {
	case keyed && k.works:
		k.lastUsable = now
		k.rekey(now, sent)
	case k.attached && (!keyed || now.Sub(k.lastUsable) >= k.lostAfter()):
		if k.hello(now) {
			k.asked(now)
		}
	}
}

func (k *core) rekey(now mono.Time, sent uint64) {
	hello := k.session.Rekey(now, sent)
	if hello == nil {
		return
	}
	for _, p := range k.order {
		if s, _ := p.State(); s == path.Up && !p.Suspect() {
			p.Tell(wire.AppendFrame(nil, wire.FrameHello, hello))
			return
		}
	}
}

// lostAfter is how long the local portal goes without any path that works
// before it suspects that the remote restarted, and shakes hands anew.
func (k *core) lostAfter() time.Duration {
	var slowest time.Duration
	for _, p := range k.order {
		slowest = max(slowest, p.MinRTT())
	}
	if slowest == 0 {
		return lostAfterUnknown
	}
	return lostAfter + slowest
}

// chores refreshes what changes slowly.
func (k *core) chores(now mono.Time) {
	var rate float64
	var low, high, wait time.Duration
	for _, p := range k.order {
		rate += p.RateBps(now)
		if s, _ := p.State(); s != path.Up || p.RTT() == 0 {
			continue
		}
		if low == 0 || p.RTT() < low {
			low = p.RTT()
		}
		high = max(high, p.RTT())
		wait = max(wait, p.ReorderWait())
	}
	k.exchange.SetRate(rate)
	k.exchange.Resequencer.SetSpread((high-low)/2 + wait)
}

// poll fills out with the messages that p is to send now. The packets among
// them hold a reference until released.
func (k *core) poll(now mono.Time, p *path.Path, out []path.Outgoing) (int, *session.Epoch) {
	epoch := k.session.Sending(now)
	n := p.Poll(now, epoch != nil, out)
	if n > 0 && k.exchange.Waiting() {
		k.exchange.Pump(now, k.consumers) // the outbox has room again
	}
	return n, epoch
}

// deadline is when settle next has something to do.
func (k *core) deadline(now mono.Time) mono.Time {
	d := k.exchange.Resequencer.Deadline()
	if k.works {
		d = min(d, k.session.RekeyAt())
	}
	active, serving := k.active(now), k.serving()
	for _, p := range k.order {
		d = min(d, p.Deadline(now, active, p.Metric > serving))
		if k.exchange.Waiting() {
			d = min(d, p.PaceDeadline(now))
		}
	}
	if k.local && k.attached && !k.works {
		hello := k.session.RoundAt()
		if k.session.Sending(now) != nil {
			hello = max(hello, k.lastUsable.Add(k.lostAfter()))
		}
		d = min(d, hello)
	}
	if active || k.exchange.Waiting() {
		d = min(d, k.nextChore)
	}
	return max(d, now+1)
}

func (k *core) note(level slog.Level, message string, args ...any) {
	if len(k.notes) < 100 {
		k.notes = append(k.notes, note{level, message, args})
	}
}

// close gives every packet back.
func (k *core) close() {
	k.exchange.Close()
	for _, p := range k.order {
		p.Detach(0)
		p.Forget()
	}
	for _, p := range k.deliver {
		p.Release()
	}
	k.deliver = nil
}
