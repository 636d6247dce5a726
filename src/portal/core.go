package portal

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"log/slog"
	"math"
	"net/netip"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/control"
	"netcombiner/src/exchange"
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
	// lostAfter is core.lostAfter once an RTT is known: a handshake for nothing
	// costs little, and a remote far away needs several round trips to be back.
	lostAfter = 100 * time.Millisecond
	// lostAfterUnknown is core.lostAfter before any RTT was measured.
	lostAfterUnknown = time.Second
	// housekeeping is how often the slow figures (queue limit, spread) are
	// brought up to date while the tunnel carries data.
	housekeeping = 100 * time.Millisecond
	// recoverySlack is what a packet that is sent again may wait for a path.
	recoverySlack = 20 * time.Millisecond
)

// core is the pure heart of a portal: all state that the goroutines share, and
// what to do with it. It has no goroutine, socket or clock; its caller holds
// the portal's lock.
type core struct {
	local     bool
	bind      bool // AuthenticateAddresses
	auto      bool // Suite = auto: there is a choice
	random    io.Reader
	session   *session.Session
	exchange  *exchange.Exchange
	paths     [wire.MaxPaths]*path.Path
	numbers   [wire.MaxPaths]numbers
	histories [wire.MaxPaths]history
	why       string             // paths stop working just now, if their state does not tell
	stopping  bool               // this portal stops, and so do its paths
	parting   map[uint8]*parting // local: paths of which the remote is told that they left
	order     []*path.Path       // those that exist
	clock     path.PeerClock
	consumers []exchange.Consumer // the same
	flowSeed  uint64

	addresses []netip.Prefix // the tunnel interface's own, configured

	fixedMTU   int
	floorMTU   int // 1280 where the tunnel has IPv6 addresses
	mtu        int // the tunnel's, in bytes of inner packet
	lastData   mono.Time
	attached   bool      // some path has a flow
	works      bool      // some path is up and not suspect
	brings     bool      // a path that is up and none of the reserve carries data to here
	lastUsable mono.Time // when that, and a session, was last so
	nextChore  mono.Time

	tally    tally
	rejected control.Rejected
	rx       control.Count
	unread   uint64 // inner packets from the TUN dropped for want of a buffer
	unheard  uint64 // the same from the paths, whose peer counts them as lost

	deliver     []*packet.Packet // for the TUN, in order
	answers     []answer         // to strangers
	changed     uint64           // paths whose keeper should look, a bit each
	retired     []transport.Flow // streams that a path has left, to be closed
	notes       []note
	said        [complaints]mono.Time // when each was last logged
	silence     silence
	strangers   strangers
	sameAddress bool // the other portal sends from our own address
	rescued     []*packet.Packet
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

type coreConfig struct {
	session   session.Config
	scheduler string
	bind      bool
	addresses []netip.Prefix
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
		local: c.session.Initiator, bind: c.bind, auto: len(c.session.Offer) > 1, random: c.session.Random,
		session: s, exchange: exchange.New(scheduler),
		flowSeed:  binary.LittleEndian.Uint64(seed[:]),
		addresses: c.addresses, fixedMTU: c.mtu, floorMTU: c.floorMTU, mtu: c.mtu, lastUsable: now,
	}
	if k.mtu == 0 {
		k.mtu = initialMTU
	}
	return k, nil
}

// addPath makes a path that is down.
func (k *core) addPath(now mono.Time, f path.Fixed, s path.Settings) (*path.Path, error) {
	f.Initiator, f.Random, f.Clock, f.Past = k.local, k.random, &k.clock, k.numbers[f.ID].past
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
// handshake that is under way. Where it has one that works, that goes on until the
// new one is proved.
func (k *core) attach(now mono.Time, p *path.Path, e path.Endpoint, overhead int) {
	k.act(now, p, p.Try(now, e, overhead))
	if p.Endpoint() != e {
		return
	}
	if hello := k.session.Hello(now, p.ID); hello != nil {
		p.TellRaw(hello)
	}
}

// dropPath forgets a path; what it had is rescued.
func (k *core) dropPath(now mono.Time, p *path.Path) {
	if k.why == "" { // it was removed, and who did it knows
		k.histories[p.ID] = history{}
	}
	k.act(now, p, p.Detach(now))
	k.rescue(p)
	p.Forget()
	k.tally.leave(p)
	k.paths[p.ID], k.numbers[p.ID].past = nil, p.Past()
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
// is asked at once whether it lives, and stir returns true.
func (k *core) stir(now mono.Time) (woke bool) {
	if woke = now.Sub(k.lastData) > activeTime; woke {
		serving := k.serving()
		for _, p := range k.order {
			if p.Metric <= serving {
				p.Ping()
			}
		}
	}
	k.lastData = now
	return woke
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

// act does what a path's events ask for.
func (k *core) act(now mono.Time, p *path.Path, events path.Events) {
	// A rescue, too: the path may have left Up without having failed, for a peer
	// that says goodbye, and its keeper would give an Up path an hour.
	if events&(path.EventUp|path.EventFailed|path.EventMoved|path.EventRescue) != 0 {
		k.changed |= 1 << p.ID
	}
	k.tell(now, p)
	if events&path.EventRescue != 0 {
		state, _ := p.State()
		if state == path.Up && !k.anyUsable() && events&path.EventMoved == 0 {
			return // only suspect, and nowhere else to go: wait and see
		}
		k.rescue(p)
		if state != path.Up || events&path.EventMoved != 0 {
			p.Forget()
		}
	}
}

func (k *core) rescue(p *path.Path) {
	k.rescued = p.TakeUnacknowledged(k.rescued[:0])
	k.exchange.Rescue(k.rescued)
	clear(k.rescued)
}

// recover sends again what a link lost, where that may still be in time.
func (k *core) recover(p *path.Path) {
	k.rescued = p.TakeLost(k.rescued[:0])
	k.exchange.Recover(k.rescued)
	clear(k.rescued)
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
	k.spare()
	lost := !k.anyUsable()
	for _, p := range k.order {
		p.LastResort = lost
	}
	k.deliver = k.exchange.Resequencer.Tick(now, k.deliver)
	if k.local {
		k.shake(now)
		k.part(now)
	}
	k.diagnose(now)
	if now >= k.nextChore {
		k.nextChore = now.Add(housekeeping)
		k.chores(now)
	}
	k.chooseMTU(now)
	k.exchange.Pump(now, k.consumers)
}

// spare keeps the paths of the reserve metric from data while another one is
// up, each direction by itself. A suspect path is up: it is worth a moment's
// wait, for what goes on the others costs money.
func (k *core) spare() {
	var sends bool
	k.brings = false
	for _, p := range k.order {
		if s, _ := p.State(); s == path.Up && p.Metric != wire.ReserveMetric {
			sends = sends || p.Send
			k.brings = k.brings || p.Settings.Receive
		}
	}
	for _, p := range k.order {
		p.Spared = sends && p.Metric == wire.ReserveMetric
	}
}

// chores refreshes what changes slowly.
func (k *core) chores(now mono.Time) {
	var low, high, wait, disorder, recovery time.Duration
	var bringing uint64
	var lossy bool
	for _, p := range k.order {
		if s, _ := p.State(); s != path.Up || p.RTT() == 0 {
			continue
		}
		bring := p.Settings.Receive && !(k.brings && p.Metric == wire.ReserveMetric)
		if p.Spared && !bring {
			continue
		}
		if low == 0 || p.RTT() < low {
			low = p.RTT()
		}
		high = max(high, p.RTT())
		wait = max(wait, p.ReorderWait())
		disorder = max(disorder, p.Disorder())
		lossy = lossy || p.Loss() > 0.0005
		recovery = max(recovery, p.RTT()+p.Timeout()+p.ReorderWait()+recoverySlack)
		if bring {
			bringing |= 1 << p.ID
		}
	}
	spread := (high-low)/2 + disorder
	recovery += spread
	if trip := high + spread; lossy {
		k.exchange.Adapt(recovery)
	} else {
		k.exchange.Adapt(trip)
	}
	k.exchange.Resequencer.SetPaths(bringing, disorder)
	k.exchange.Resequencer.SetRecovery(recovery)
	k.exchange.Resequencer.SetSpread((high-low)/2 + wait)
}

// poll fills out with the messages that p is to send now. The packets among
// them hold a reference until released.
func (k *core) poll(now mono.Time, p *path.Path, out []path.Outgoing) (int, *session.Epoch) {
	epoch := k.session.Sending(now)
	keyed := epoch != nil && k.sealed(p)+uint64(len(out)) <= maxSealed
	n := p.Poll(now, keyed, out)
	if n > 0 && k.exchange.Waiting() {
		k.exchange.Pump(now, k.consumers) // the outbox has room again
	}
	return n, epoch
}

// deadline is when settle next has something to do.
func (k *core) deadline(now mono.Time) mono.Time {
	d := k.exchange.Resequencer.Deadline(now)
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
	for _, g := range k.parting {
		d = min(d, g.due)
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
