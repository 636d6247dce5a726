package simnet

import (
	"math"
	"time"
)

const (
	cubicC    = 0.4 // segments/s³
	cubicBeta = 0.7
)

// cubic is CUBIC's window (RFC 9438), in segments: what most servers on the
// Internet use. After a cut it grows back to where it was, lingers there, and
// then goes on faster and faster.
type cubic struct {
	max      float64       // window before the last cut
	epoch    time.Duration // when growth began after it; 0: not yet
	k        float64       // seconds from there until max is reached again
	friendly float64       // what Reno's window would be by now
}

func (c *cubic) cut(cwnd float64) float64 {
	if cwnd < c.max { // fast convergence
		c.max = cwnd * (1 + cubicBeta) / 2
	} else {
		c.max = cwnd
	}
	c.epoch = 0
	return max(2, cwnd*cubicBeta)
}

// grow is the window after fresh more segments were acknowledged.
func (c *cubic) grow(now, rtt time.Duration, cwnd float64, fresh int) float64 {
	if c.epoch == 0 {
		c.epoch, c.friendly = now, cwnd
		c.max = max(c.max, cwnd)
		c.k = math.Cbrt((c.max - cwnd) / cubicC)
	}
	t := (now - c.epoch + rtt).Seconds() - c.k
	target := min(max(c.max+cubicC*t*t*t, cwnd), 1.5*cwnd)
	c.friendly += 3 * (1 - cubicBeta) / (1 + cubicBeta) * float64(fresh) / cwnd
	return max(cwnd+(target-cwnd)*float64(fresh)/cwnd, c.friendly)
}
