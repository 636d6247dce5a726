package exchange

import (
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/wire"
)

// Doubling: a packet of a sparse flow goes on a second path at once where the
// first is doubtful. A call, a keystroke, a name asked for: few bytes, and a
// round trip or two is long to wait until a loss is known and made good.

const (
	// doubleShare of the bytes that go is what twins may add, or doubleFloor where
	// that is more, in byte/s: enough for a call that goes alone, which then costs
	// twice its bytes.
	doubleShare = 0.05
	doubleFloor = 128e3 / 8
	// budgetPeriod is how often the budget is filled, budgetDepth what it holds at
	// most, in bytes.
	budgetPeriod = 100 * time.Millisecond
	budgetDepth  = 32 << 10
	// outerBytes is what headers and MAC add to a twin: over UDP and IPv6.
	outerBytes = 80

	// slowRate is what a flow may bring that counts as slow, in byte/s: a call or
	// a game, not a picture.
	slowRate = 200e3 / 8
	// smallPacket is the longest packet, in bytes, of a flow that nobody marked:
	// any name server's classic answer fits, and 60 ms of speech.
	smallPacket = 576
)

// The marks of speech and of what sets it up (RFC 4594 sections 4.1 and 4.2,
// RFC 5865). Network control (CS6) is not among them: it may be a whole routing
// table, and its hellos are small and slow without a mark.
const (
	markEF         = 46
	markVoiceAdmit = 44
	markCS5        = 40
)

// sparse says that the head of f is of a flow that needs each packet soon, and
// has few: marked so, or small and slow. What queues is bulk, whatever its mark.
// A TCP acknowledgement is not sparse: the next one makes up for it.
func (f *flowQueue) sparse(now mono.Time) bool {
	data := f.head.Data
	if f.bytes > quantum || packet.BareAck(data) {
		return false
	}
	switch packet.DSCP(data) {
	case markEF, markVoiceAdmit, markCS5:
		return true
	}
	return len(data) <= smallPacket && f.demand.rate(now) <= slowRate
}

// budget is what twins may cost: a token bucket, in bytes.
type budget struct {
	credit float64
	given  int // bytes that went since the last time it was filled
	filled mono.Time
}

// earn notes that size bytes go.
func (b *budget) earn(now mono.Time, size int) {
	b.given += size
	if d := now.Sub(b.filled); d >= budgetPeriod {
		b.credit = min(b.credit+max(doubleShare*float64(b.given), doubleFloor*d.Seconds()), budgetDepth)
		b.given, b.filled = 0, now
	}
}

// pay says whether there is credit for a twin of size bytes, and takes it.
func (b *budget) pay(size int) bool {
	cost := float64(size + outerBytes)
	if b.credit < cost {
		return false
	}
	b.credit -= cost
	return true
}

// double adds a path to the chosen one where the head of f is worth two. What
// has no credit goes once, as ever.
func (x *Exchange) double(now mono.Time, f *flowQueue, consumers []Consumer) {
	size := len(f.head.Data)
	x.budget.earn(now, size)
	if x.redundant || !x.chosen[0].Doubtful(now) || !f.sparse(now) {
		return
	}
	if twin := twinOf(now, x.chosen[0], size, consumers); twin != nil && x.budget.pay(size) {
		x.chosen = append(x.chosen, twin)
		x.Doubled++
		x.DoubledBytes += uint64(size)
	}
}

// twinOf is the path for a twin of what c takes, or nil: the earliest other one
// of the lowest metric that works, if it delivers before a loss on c would be
// known and made good. None of the reserve: there each byte is dear.
func twinOf(now mono.Time, c Consumer, size int, consumers []Consumer) Consumer {
	twin, second := earliestTwo(now, size, consumers)
	if twin == c {
		twin = second
	}
	if twin == nil || twin.Cost() >= wire.ReserveMetric || arrival(now, twin)-arrival(now, c) > c.RTT() {
		return nil
	}
	for _, other := range consumers {
		if other.Usable() && other.Cost() < twin.Cost() {
			return nil // it is full, and so c is of a higher metric: once is enough there
		}
	}
	return twin
}
