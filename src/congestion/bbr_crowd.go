package congestion

import (
	"time"

	"netcombiner/src/mono"
)

const (
	// stuckRounds is after how many rounds with somebody else's queue a path
	// counts as crowded, calmRounds after how many without any as its own again.
	stuckRounds = 6
	calmRounds  = 8
)

// watch notices whether others share the bottleneck: then the queue does not
// shrink although this path is paced to let it.
func (b *BBR) watch(now mono.Time, s seen) bool {
	if s.limited || b.startup {
		b.stuck = 0
		return b.crowded
	}
	b.worst = max(b.worst-b.worst/32, b.queue)
	if b.crowded {
		if b.calm++; s.busy {
			b.calm = 0
		}
		if b.calm >= calmRounds {
			b.crowded, b.stuck, b.step = false, 0, 0
		}
		return b.crowded
	}
	b.alone = max(b.alone-b.alone/64, b.rate)
	should := time.Duration((1 - b.gain) * float64(now.Sub(b.round.from))) // the queue, if it were ours
	switch {
	case s.busy && b.gain < 0.97 && b.queue > 2*b.target && s.fell < should/3:
		b.stuck++
	case !s.busy || s.fell > 0:
		b.stuck = max(b.stuck-1, 0)
	}
	if b.stuck >= stuckRounds {
		b.crowded, b.draining, b.calm, b.cubic = true, false, 0, Cubic{}
	}
	return b.crowded
}

// compete sets the window as CUBIC does, so that the others leave this path its
// share.
func (b *BBR) compete(now mono.Time, s seen) {
	b.rate = s.delivered
	c := &b.cubic
	switch {
	case c.Window == 0:
		// Half of what it had alone is its share of two.
		share := s.rtt.Seconds() / 8 / b.packet
		*c = Cubic{Window: max(s.delivered*share, MinWindow), max: b.alone / 2 * share}
	case b.round.lost > 0 && b.queue > b.worst/2:
		c.Cut()
	case !s.limited:
		c.Grow(now, s.rtt, float64(b.round.packets))
	}
	b.gain = 1.2 * c.Window * b.packet * 8 / s.rtt.Seconds() / max(b.rate, minPace)
}
