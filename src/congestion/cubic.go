package congestion

import (
	"math"
	"time"

	"netcombiner/src/mono"
)

const (
	cubicC    = 0.4 // packets/s³
	cubicBeta = 0.7 // what a loss leaves of the window
)

// cubic is CUBIC's window (RFC 9438) after slow start, in packets: what BBR
// uses against others who do.
type cubic struct {
	window   float64
	max      float64   // before the last cut
	epoch    mono.Time // when growth began after it; 0: not yet
	k        float64   // seconds from then until max is reached again
	friendly float64   // what Reno's window would be
}

// cut follows a loss.
func (c *cubic) cut() {
	if c.window < c.max {
		c.max = c.window * (1 + cubicBeta) / 2
	} else {
		c.max = c.window
	}
	c.window = max(MinWindow, c.window*cubicBeta)
	c.epoch = 0
}

// grow follows the acknowledgement of so many packets.
func (c *cubic) grow(now mono.Time, rtt time.Duration, packets float64) {
	if c.epoch == 0 {
		c.epoch, c.friendly = now, c.window
		c.max = max(c.max, c.window)
		c.k = math.Cbrt((c.max - c.window) / cubicC)
	}
	t := (now.Sub(c.epoch) + rtt).Seconds() - c.k
	target := min(max(c.max+cubicC*t*t*t, c.window), 1.5*c.window)
	c.friendly += 3 * (1 - cubicBeta) / (1 + cubicBeta) * packets / c.window
	c.window = min(max(c.window+(target-c.window)*packets/c.window, c.friendly), MaxWindow)
}
