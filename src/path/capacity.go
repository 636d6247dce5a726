package path

import (
	"time"

	"netcombiner/src/mono"
)

// capacityMemory is how long the highest delivery rate is remembered, at least
// half of it.
const capacityMemory = 4 * time.Second

// capacity estimates the rate of the path's bottleneck: the highest rate at
// which data was delivered over a round trip lately (the max filter of BBR,
// draft-ietf-ccwg-bbr section 4.1).
type capacity struct {
	delivered        uint64 // bytes acknowledged
	at               mono.Time
	high, highBefore float64 // bit/s, of this and of the previous half memory
	rolled           mono.Time
}

// sample notes an acknowledgement of a message that was sent when delivered
// bytes had been acknowledged, the last of them at the time at. One that spans
// less than a round trip measures how acknowledgements bunch, and is left out; so
// is less than is known where the sender had too little to send.
func (c *capacity) sample(now mono.Time, delivered uint64, at mono.Time, minRTT time.Duration, appLimited bool) {
	span := now.Sub(at)
	if at == 0 || span < minRTT || span <= 0 {
		return
	}
	rate := float64(c.delivered-delivered) * 8 / span.Seconds()
	if appLimited && rate <= c.rate() {
		return
	}
	if now.Sub(c.rolled) > capacityMemory/2 {
		c.rolled, c.highBefore, c.high = now, c.high, 0
	}
	c.high = max(c.high, rate)
}

// rate is in bit/s; 0 before the first sample.
func (c *capacity) rate() float64 { return max(c.high, c.highBefore) }

// restart forgets a rate that may not hold for another network.
func (c *capacity) restart() { c.high, c.highBefore = 0, 0 }
