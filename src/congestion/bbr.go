package congestion

import (
	"math"
	"time"

	"netcombiner/src/mono"
)

const (
	// packetSize stands for a full packet where only bytes are known.
	packetSize = 1500
	// A round is a round trip, but at least minRound and roundPackets long, or
	// it would measure how acknowledgements bunch; a slow path need not wait
	// for the packets longer than maxRoundWait.
	minRound     = 10 * time.Millisecond
	roundPackets = 20
	maxRoundWait = 60 * time.Millisecond
	// queueTarget is the queue that a busy path keeps at the bottleneck, or
	// three packets on a slow path: enough to see that the link is full.
	queueTarget = 3 * time.Millisecond
	// maxNoise bounds the allowance for noise on top of it.
	maxNoise = 60 * time.Millisecond
	// baseMemory is how long the lowest delay is believed, at least half of
	// it; drainEvery how often a busy path empties its queue to see it.
	baseMemory = 20 * time.Second
	drainEvery = 10 * time.Second
	drainGain  = 0.75
	// maxDrains bounds how many rounds that takes.
	maxDrains = 8
	// startupGain paces so fast that the rate doubles every round, although
	// what a round delivers was sent a round before.
	startupGain = 4
	// firstWindow is what a path may send in a round trip before anything is known
	// of it, in packets. Several flows of which each may send InitialWindow share it;
	// and one that waits here while it starts takes that for a full link (HyStart,
	// RFC 9406).
	firstWindow = 32
	// Where the delay sways by probeSway from round to round, it proves little.
	// There the rate is asked for probeGain of itself every probeEvery at least.
	probeSway  = 2 * time.Millisecond
	probeGain  = 1.3
	probeEvery = 8 * time.Second
	// minPace is the least pace, bit/s.
	minPace = 100e3
)

// growth is by how much the rate grows while there is no queue: gently, then
// faster with each round that the delivery rate follows.
var growth = [...]float64{1.05, 1.25, 1.6, 2}

// BBR models the path as BBR does (draft-ietf-ccwg-bbr-03): by the rate of its
// bottleneck and its delay without queue; and it paces at that rate. Random
// loss is no sign of congestion. It differs from BBRv3 because both ends of the
// path are ours: an acknowledgement says when, by the receiver's clock, how
// much had arrived. So the rate is measured where the bottleneck ends, and the
// queue in this direction alone, however late or bunched acknowledgements are.
//
//   - BBRv3 probes up by a quarter and down again every few seconds. Here a
//     queue of a few milliseconds is held instead. While there is one, what is
//     delivered is the bottleneck's rate; while there is none, more can be had,
//     and the rate grows, faster each round, until a queue appears. So the link
//     is always full, its queue short, and a link that became four times as
//     fast is found within some six rounds.
//   - Startup is the same growth at its fastest. There is no separate drain: a
//     queue above target slows the pace in proportion. Every drainEvery the
//     queue is emptied on purpose, to see the delay without it (ProbeRTT).
//   - Delays are averaged over a round before their minimum is taken, and the
//     target allows for their noise: on a radio link the least of all samples
//     is nobody's delay.
//   - Loss counts only where it rises with the rate and no queue does: a
//     policer, or a very short buffer. Then what was delivered is the rate.
//   - Where the queue does not shrink although this path is paced to let it,
//     others fill it. Then, and until draining empties it again, it takes its
//     share as CUBIC would (see compete).
//   - Others in a short buffer lose before their queue is long enough to be told
//     from ours. There loss counts that comes only while there is a queue, where
//     this path also has less than it had alone; random loss comes without a
//     queue too (see giveWay).
//
// In the simulation, with buffers of 0.5 to 4 bandwidth-delay products, 10 to
// 50 Mbit/s and 20 to 80 ms, it gets 0.5 to 2 times what a CUBIC flow gets in nine
// runs of ten. It gets more in a buffer of 8 packets (3 to 6.5 times; of 16, once 13),
// less in one of 320 ms at 50 Mbit/s (0.1 to 0.6). Of two BBRs each gets 0.5 to 2 times
// what the other does in 15 runs of 16; the rest are 0.35 to 3.7, most at 50 Mbit/s.
// (go test ./src/congestion -run FairnessTable -fairness -v)
type BBR struct {
	rate   float64 // the bottleneck's, bit/s; 0: nothing is known
	gain   float64 // of the pace, on rate
	packet float64 // mean size, bytes
	round  round

	// Growth.
	step    int           // in growth
	grew    bool          // this round was paced to grow
	before  float64       // delivered in the round before, bit/s
	ambient float64       // share of packets lost that the rate has no part in
	wait    mono.Time     // no growth before: it only made loss
	backoff time.Duration // how long that is

	// Startup: until the rate does not grow any more.
	startup bool
	best    float64 // delivered in a round, bit/s
	full    int     // rounds without much more than that

	// The queue.
	trip       time.Duration // the last round's
	delay, rtt low           // of rounds: one-way with an unknown constant; both ways
	last       time.Duration // sample of delay
	jitter     time.Duration // between neighbouring samples, smoothed
	changes    time.Duration // how many of those it is the mean of, 32 at most
	previous   time.Duration // mean delay of the round before
	sway       time.Duration // of that, from round to round, smoothed
	target     time.Duration // the queue to hold
	queue      time.Duration // in the last round

	// Probing: see hold.
	probing   bool
	probed    mono.Time     // when last
	probeWait time.Duration // until the next time

	// Draining.
	drained  mono.Time // when the path was last without queue
	draining bool
	drains   int           // rounds so far
	low      time.Duration // delay, mean of the last of these
	patience time.Duration // until the next time

	// Others: see watch, compete and giveWay.
	crowded   bool
	since     mono.Time // when that began, last
	cubic     Cubic
	cut       bool          // in this round
	recovery  uint64        // losses of what was sent before are of the same window
	alone     float64       // rate without others, bit/s
	stuck     int           // rounds in which the queue was not ours to shorten
	calm      int           // rounds without a queue
	worst     time.Duration // the longest queue, of late
	undrained time.Duration // the queue when draining began
	wasBusy   bool          // there was a queue in the round before
	quiet     float64       // share of packets lost while there is none
}

// round collects what the acknowledgements of one round say.
type round struct {
	started       bool
	mark          uint64 // it ends with a packet that was sent when this was delivered
	from, sent    mono.Time
	arrived       uint32 // the receiver's count and clock when it began
	at            uint32
	packets, lost int
	samples       int
	delay, rtt    time.Duration // sums of the samples
	appLimited    bool
	unused        time.Duration // see Acknowledgement, when it began
	idle          bool          // there was not enough to send for nine tenths of the rate
}

// NewBBR returns a controller that knows nothing of its path yet.
func NewBBR() *BBR {
	return &BBR{gain: 1, startup: true, step: len(growth) - 1, target: queueTarget, packet: packetSize}
}

// Sent implements Controller: what counts is what arrives.
func (*BBR) Sent(mono.Time, int) {}

// Lost implements Controller: what it means is seen at the end of the round, but
// among others at once.
func (b *BBR) Lost(_ mono.Time, l Loss) {
	b.round.lost += l.Packets
	b.feel(l)
}

// Acknowledged takes the measurements, and decides at the end of each round.
func (b *BBR) Acknowledged(now mono.Time, a Acknowledgement) {
	r := &b.round
	if a.Packets > 0 {
		b.packet += (float64(a.Bytes)/float64(a.Packets) - b.packet) / 16
	}
	r.packets += a.Packets
	r.appLimited = r.appLimited || a.AppLimited
	if a.RTT == 0 {
		return
	}
	if !r.started {
		b.begin(now, a)
		return
	}
	if b.last != 0 {
		b.changes = min(b.changes+1, 32) // the first ones count for more
		b.jitter += (max(a.OneWay-b.last, b.last-a.OneWay) - b.jitter) / b.changes
	}
	b.last = a.OneWay
	r.samples++
	r.delay += a.OneWay
	r.rtt += max(a.Age, a.RTT)
	took := now.Sub(r.from)
	if a.Prior < r.mark || took < minRound || r.packets < roundPackets && took < maxRoundWait {
		return
	}
	if span := time.Duration(a.ArrivedAt-r.at) * time.Microsecond; span > 0 {
		bits := float64(a.Arrived-r.arrived) * 8
		sent := a.SentAt.Sub(r.sent)
		r.idle = a.Unused-r.unused > sent/10 && bits < 0.9*b.rate*sent.Seconds()
		b.decide(now, bits/span.Seconds(), bits/max(span, sent).Seconds())
	}
	b.begin(now, a)
}

func (b *BBR) begin(now mono.Time, a Acknowledgement) {
	b.round = round{started: true, mark: a.Delivered, from: now, sent: a.SentAt, arrived: a.Arrived, at: a.ArrivedAt, unused: a.Unused}
}

// seen is what a round says of the path.
type seen struct {
	delivered float64 // bit/s
	// proved is what was delivered, but not more than was sent in that time:
	// what came bunched together proves no more.
	proved   float64
	delay    time.Duration // mean
	rtt      time.Duration // mean
	fell     time.Duration // the delay, since the round before
	noise    time.Duration // how much of the queue may be chance
	least    time.Duration // the queue to hold but for that
	busy     bool          // there is a queue
	excess   bool          // more loss than the path makes of itself
	wasGrown bool          // the round was paced to grow
	limited  bool          // the sender had not enough to send
}

// decide sets rate and pace for the next round.
func (b *BBR) decide(now mono.Time, delivered, proved float64) {
	s := b.observe(now, delivered, proved)
	if !s.busy {
		b.drained = now
	}
	b.grew = false
	switch {
	case b.watch(now, s):
		b.compete(now, s)
	case b.draining:
		b.drain(now, s)
	case s.limited && b.queue <= b.target+b.rtt.value()/4:
		b.rate = max(b.rate, s.proved)
		b.gain, b.step = 1, min(b.step, 1)
		if b.startup { // nobody asked yet how much it carries
			b.gain, b.step, b.grew = startupGain, len(growth)-1, true
		}
	case s.busy:
		b.hold(now, s)
	case s.excess:
		b.rate = min(b.rate, s.delivered)
		b.gain, b.step = 1, 0
		b.backoff = min(max(2*b.backoff, 250*time.Millisecond), 8*time.Second)
		b.wait = now.Add(b.backoff)
	case now < b.wait:
		b.rate, b.gain = max(b.rate, s.proved), 1
	default:
		b.grow(s)
	}
	b.before = s.delivered
}

// observe brings the model up to date.
func (b *BBR) observe(now mono.Time, delivered, proved float64) seen {
	r := &b.round
	n := time.Duration(r.samples)
	s := seen{delivered: delivered, proved: proved, delay: r.delay / n, rtt: r.rtt / n, limited: r.appLimited || r.idle && !b.startup}
	s.noise = time.Duration(3 * float64(b.jitter) / math.Sqrt(float64(r.samples)))
	if b.crowded { // no new base where the path is never seen empty
		b.delay.rolled = now
	}
	// Of many noisy means the least lies some standard errors below the true one.
	b.delay.add(now, s.delay+s.noise/2)
	b.rtt.add(now, s.rtt)
	b.trip = s.rtt
	b.queue = s.delay - b.delay.value()
	s.fell = b.previous - s.delay
	if b.previous != 0 && (b.gain > 0.9 && b.step < 2 || s.limited) {
		b.sway += (min(max(s.fell, -s.fell), maxNoise) - b.sway) / 8
	}
	b.previous = s.delay
	s.noise = min(max(s.noise, 3*b.sway), maxNoise)
	s.least = max(queueTarget, time.Duration(3*8*packetSize/max(b.rate, minPace)*1e9))
	b.target = s.least + s.noise

	loss := float64(r.lost) / float64(max(r.lost+r.packets, 1))
	s.excess = r.lost >= 5 && loss > 2*b.ambient+0.02
	if !b.grew {
		b.ambient += (min(loss, 0.5) - b.ambient) / 8
	}
	s.wasGrown = b.grew
	follows := b.grew && !b.startup && b.step >= 2 && delivered > 0.8*b.rate*b.gain && b.queue < b.target+b.rtt.value()/4
	if b.probing && delivered > 1.12*b.rate { // no more was asked than the path carries
		follows, s.wasGrown = true, true
		b.probeWait, b.step = 0, 1
	}
	b.probing = false
	s.busy = b.queue >= s.noise+s.least/2 && !follows
	if b.startup {
		b.start(&s)
	}
	if !s.busy && !b.wasBusy {
		b.quiet += (loss - b.quiet) / 8
	}
	b.wasBusy = s.busy
	return s
}

// start is startup: the path is full when it delivers no more than before,
// although it was asked to, and a queue shows; or when the queue is long.
func (b *BBR) start(s *seen) {
	if s.delivered > 1.25*b.best {
		b.best, b.full = s.delivered, 0
	} else if !s.limited || s.busy {
		b.full++
	}
	enough := 2 // what is delivered doubles every round, or every other where it is noisy
	switch {
	case s.limited: // but where bursts queue for long, less than their pace gets through
		enough = 8
	case b.jitter < queueTarget/4:
		enough = 1
	}
	s.busy = s.busy && b.full >= enough || b.queue > s.noise+max(b.rtt.value()/2, 20*time.Millisecond)
	b.startup = !s.busy && !(s.excess && b.full >= 2)
	s.excess = s.excess && !b.startup
}

// noisy says that the delay sways from round to round, and so proves little.
func (b *BBR) noisy(s seen) bool { return b.sway > max(probeSway, s.least/2) }

// drain empties the queue, until the delay falls no more: that is the delay
// without a queue, whatever it seemed to be before.
func (b *BBR) drain(now mono.Time, s seen) {
	if s.busy && s.delivered < b.rate {
		b.rate += (s.delivered - b.rate) / 4
	}
	b.gain = drainGain
	if b.drains == 0 {
		b.undrained = b.queue
	}
	b.drains++
	rounds, noise := 2, s.noise
	if b.noisy(s) { // one round proves little: take the mean of the last
		rounds, noise = 4, b.sway
		if b.drains <= 2 {
			b.low = s.delay
		}
		b.low += (s.delay - b.low) / 2
		s.delay = b.low
	}
	if b.drains >= rounds && s.fell < s.noise+s.least/4 || b.drains > maxDrains {
		b.draining, b.drained = false, now
		if b.stays(s) {
			b.crowd(now, s)
			return
		}
		b.gain, b.grew = 1, true
		if base := s.delay - noise; base > b.delay.value() {
			if base > b.delay.value()+s.least/2 {
				b.patience = 0 // the queue was none: there may be more of that
			}
			b.delay = low{now: base, before: base, any: true, rolled: now}
		}
	}
}

// hold keeps the queue at target. What was delivered is the bottleneck's rate,
// but for noise: only two rounds that agree, or a long queue, change it at once.
func (b *BBR) hold(now mono.Time, s seen) {
	low, high := min(s.delivered, b.before), max(s.delivered, b.before)
	switch {
	case s.delivered < 0.85*b.rate && b.queue > b.target+b.rtt.value()/4:
		b.rate = s.delivered
	case high < 0.85*b.rate || low > 1.15*b.rate:
		b.rate = (low + high) / 2
	default:
		b.rate += (s.delivered - b.rate) / 4
	}
	b.giveWay(now, s)
	b.step, b.backoff = 0, 0
	over := (b.queue - b.target).Seconds() / max(b.rtt.value(), 20*time.Millisecond).Seconds()
	b.gain = 1 - min(max(0.4*over, -0.05), 0.5)
	if b.noisy(s) && now.Sub(b.probed) > b.probeWait {
		b.probed, b.probing = now, true
		b.probeWait = min(max(2*b.probeWait, 8*s.rtt), probeEvery)
		b.gain = probeGain
		return
	}
	if now.Sub(b.drained) > b.patience {
		b.draining, b.drains = true, 0
		b.gain = min(b.gain, drainGain)
		b.patience = min(max(2*b.patience, 4*s.rtt), max(drainEvery, 40*s.rtt))
	}
}

// grow asks for more, since no queue says that there is none.
func (b *BBR) grow(s seen) {
	switch {
	case b.startup, b.rate == 0, s.wasGrown && s.delivered > 1.02*b.rate:
		b.step = min(b.step+1, len(growth)-1)
	default:
		b.step = 0
	}
	if b.step > 1 {
		b.backoff = 0
	}
	b.rate = max(b.rate, s.proved)
	b.gain, b.grew = growth[b.step], true
	if b.startup {
		b.gain = startupGain
	}
}

// Window is the bandwidth-delay product with room for the queue, for the
// receiver's delay in acknowledging, and for growth.
func (b *BBR) Window() (packets, bytes int) {
	if b.rate == 0 {
		return firstWindow, firstWindow * packetSize
	}
	if b.crowded {
		return int(b.cubic.Window), int(b.cubic.Window * b.packet)
	}
	trips, trip := 1.3, b.rtt.value()
	if b.grew {
		trips = 2.5
	}
	if b.startup {
		trip = b.trip
	}
	held := time.Duration(trips*float64(trip)) + b.target + 2*b.jitter + 10*time.Millisecond
	bytes = int(b.rate/8*held.Seconds()) + 4*packetSize
	packets = min(max(int(float64(bytes)/b.packet), InitialWindow), MaxWindow)
	if b.startup {
		packets, bytes = max(packets, firstWindow), max(bytes, firstWindow*packetSize)
	}
	return packets, bytes
}

// PacingRate implements Controller. A path of which little is known yet may
// send the initial window each round trip.
func (b *BBR) PacingRate() int64 {
	if b.rate == 0 {
		return 0
	}
	least := float64(minPace)
	if b.startup {
		least = firstWindow * packetSize * 8 / max(b.rtt.value(), minRound).Seconds()
	}
	return int64(max(b.rate*b.gain, least))
}

// Bandwidth implements Controller. What is found in startup is no more than was
// asked for.
func (b *BBR) Bandwidth() float64 {
	if b.startup {
		return 0
	}
	return b.rate
}

// low is the least value of this and of the previous half of baseMemory.
type low struct {
	now, before time.Duration
	any         bool
	rolled      mono.Time
}

func (l *low) add(now mono.Time, d time.Duration) {
	if !l.any {
		*l = low{now: d, before: d, any: true, rolled: now}
	}
	if now.Sub(l.rolled) > baseMemory/2 {
		l.rolled, l.before, l.now = now, l.now, d
	}
	l.now = min(l.now, d)
}

func (l *low) value() time.Duration { return min(l.now, l.before) }
