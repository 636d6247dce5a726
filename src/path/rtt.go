package path

import (
	"time"

	"netcombiner/src/mono"
)

const (
	// initialTimeout stands in for the acknowledgement timeout before the
	// first RTT sample.
	initialTimeout = 250 * time.Millisecond
	// maxTimeout bounds it, unless the path is longer without any queue.
	maxTimeout = 600 * time.Millisecond
	// minVariance keeps the timeout of a very steady path above the jitter of
	// two busy schedulers.
	minVariance = 6 * time.Millisecond
	// minRTTWindow is how long the lowest RTT is remembered: this, or half of it.
	minRTTWindow = 4 * time.Minute
)

// rtt estimates the round-trip time as RFC 6298 does, with microseconds
// instead of clock ticks, and remembers the lowest of the last minutes.
type rtt struct {
	smoothed, variance time.Duration
	low, lowBefore     time.Duration // of this and of the previous half window
	rolled             mono.Time
}

// sample takes the round-trip time of the newest message, and the mean of all,
// which is more where messages overtake each other.
func (r *rtt) sample(now mono.Time, d, mean time.Duration) {
	d = max(d, time.Microsecond)
	if now.Sub(r.rolled) > minRTTWindow/2 {
		r.rolled, r.lowBefore, r.low = now, r.low, 0
	}
	if r.low == 0 || d < r.low {
		r.low = d
	}
	d = max(d, mean)
	if r.smoothed == 0 {
		r.smoothed, r.variance = d, d/2
	} else {
		r.variance += (max(d, r.smoothed) - min(d, r.smoothed) - r.variance) / 4
		r.smoothed += (d - r.smoothed) / 8
	}
}

// restart forgets what may not hold for another network.
func (r *rtt) restart() { r.smoothed, r.variance, r.low, r.lowBefore = 0, 0, 0, 0 }

// min is the lowest sample of the last minutes; 0 before the first.
func (r *rtt) min() time.Duration {
	if r.lowBefore != 0 && (r.low == 0 || r.lowBefore < r.low) {
		return r.lowBefore
	}
	return r.low
}

// timeout is how long an acknowledgement may take, at most, on a path that
// works. A queue of seconds does not raise it without limit: while it is that
// long, acknowledgements still come one after the other.
func (r *rtt) timeout() time.Duration {
	if r.smoothed == 0 {
		return initialTimeout
	}
	return min(r.smoothed+max(4*r.variance, minVariance)+maxAckDelay, max(maxTimeout, 2*r.min()))
}
