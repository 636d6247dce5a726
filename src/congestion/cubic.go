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

// Cubic is CUBIC's window (RFC 9438) after slow start, in packets: what BBR uses
// against others who do, and the simulation's senders use.
type Cubic struct {
	Window   float64
	max      float64   // before the last cut
	epoch    mono.Time // when growth began after it; 0: not yet
	k        float64   // seconds from then until max is reached again
	friendly float64   // what Reno's window would be
}

// Cut follows a loss.
func (c *Cubic) Cut() {
	if c.Window < c.max {
		c.max = c.Window * (1 + cubicBeta) / 2
	} else {
		c.max = c.Window
	}
	c.Window = max(MinWindow, c.Window*cubicBeta)
	c.epoch = 0
}

// Grow follows the acknowledgement of so many packets.
func (c *Cubic) Grow(now mono.Time, rtt time.Duration, packets float64) {
	if c.epoch == 0 {
		c.epoch, c.friendly = now, c.Window
		c.max = max(c.max, c.Window)
		c.k = math.Cbrt((c.max - c.Window) / cubicC)
	}
	t := (now.Sub(c.epoch) + rtt).Seconds() - c.k
	target := min(max(c.max+cubicC*t*t*t, c.Window), 1.5*c.Window)
	c.friendly += 3 * (1 - cubicBeta) / (1 + cubicBeta) * packets / c.Window
	c.Window = min(max(c.Window+(target-c.Window)*packets/c.Window, c.friendly), MaxWindow)
}
