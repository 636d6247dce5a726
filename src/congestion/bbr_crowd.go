package congestion

import (
	"time"

	"netcombiner/src/mono"
)

const (
	// stuckRounds is after how many rounds with somebody else's queue a path
	// counts as crowded, calmRounds after how many without any, or with about
	// all it had alone, as its own again.
	stuckRounds = 6
	calmRounds  = 8
	// tryEvery is how often a crowded path drains, to see whether it still is.
	tryEvery = 20 * time.Second
	// aloneMemory is how long the rate a path had alone is believed, and
	// crowdedMemory while it has no way to see it.
	aloneMemory   = time.Minute
	crowdedMemory = 5 * time.Minute
	// shared is the part of that below which somebody else has the rest.
	shared = 0.85
	// yield is what giveWay leaves of the rate, for yieldTime. Where single
	// delays differ by more than steady, the rate of one round says too little.
	yield     = 0.8
	yieldTime = 250 * time.Millisecond
	steady    = 2 * time.Millisecond
)

// watch notices whether others share the bottleneck: then the queue does not
// shrink although this path is paced to let it.
func (b *BBR) watch(now mono.Time, s seen) bool {
	if s.limited || b.startup {
		b.stuck = 0
		return b.crowded
	}
	took := now.Sub(b.round.from)
	b.worst = max(b.worst-b.worst/32, b.queue)
	if b.crowded {
		b.alone = max(b.alone*(1-took.Seconds()/crowdedMemory.Seconds()), s.delivered)
		if b.calm++; s.busy && s.delivered < 0.9*b.alone {
			b.calm = 0
		}
		try := now.Sub(b.since) > tryEvery
		if try || b.calm >= calmRounds {
			b.crowded, b.stuck, b.step = false, 0, 0
			b.draining, b.drains = try, 0
		}
		return b.crowded
	}
	b.alone = max(b.alone*(1-took.Seconds()/aloneMemory.Seconds()), min(b.rate, b.before, s.delivered))
	should := time.Duration((1 - b.gain) * float64(took)) // the queue, if it were ours
	switch {
	case s.busy && b.gain < 0.97 && b.queue > 2*b.target && s.fell < should/3:
		b.stuck++
	case !s.busy || s.fell > 0:
		b.stuck = max(b.stuck-1, 0)
	}
	if b.stuck >= stuckRounds {
		b.crowd(now, s)
	}
	return b.crowded
}

// stays is whether the queue that a drain left is the others': it was not made
// of what is sent now, and this path has only a part of what it had alone.
func (b *BBR) stays(s seen) bool {
	return b.queue > max(b.target, b.undrained/2) && s.delivered > b.rate/2 && b.rate < shared*b.alone && b.jitter < steady
}

// crowd begins to compete, or goes on after it tried to be alone.
func (b *BBR) crowd(now mono.Time, s seen) {
	if b.cubic.Window == 0 || now.Sub(b.since) > 2*tryEvery {
		// Half of what it had alone is its share of two.
		share := s.rtt.Seconds() / 8 / b.packet
		b.cubic = Cubic{Window: max(s.delivered*share, MinWindow), max: b.alone / 2 * share}
	}
	b.crowded, b.draining, b.calm, b.cut, b.since = true, false, 0, false, now
	b.press(s)
}

// compete sets the window as CUBIC does, so that the others leave this path its
// share.
func (b *BBR) compete(now mono.Time, s seen) {
	if !b.cut && !s.limited {
		b.cubic.Grow(now, s.rtt, float64(b.round.packets))
	}
	b.cut = false
	b.press(s)
}

// feel cuts that window, once for all the losses of a window.
func (b *BBR) feel(l Loss) {
	if b.crowded && l.Largest >= b.recovery && b.queue > b.worst/2 {
		b.cubic.Cut()
		b.cut, b.recovery = true, l.Next
	}
}

// press paces such that the window is what limits.
func (b *BBR) press(s seen) {
	b.rate = s.delivered
	b.gain = 1.2 * b.cubic.Window * b.packet * 8 / s.rtt.Seconds() / max(b.rate, minPace)
}

// giveWay leaves room to those whom a queue too short to be seen in hides: there
// is loss, but only while there is a queue; it does not come of own growth; and
// this path has less than it had alone, yet more than half of it.
func (b *BBR) giveWay(now mono.Time, s seen) {
	if b.round.lost == 0 || s.wasGrown || b.ambient < 2*b.quiet || b.jitter > steady ||
		s.delivered > shared*b.alone || s.delivered < b.alone/2 {
		return
	}
	b.rate = yield * min(b.rate, s.delivered)
	b.wait = now.Add(yieldTime)
}
