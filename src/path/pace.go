package path

import (
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// paceBurst is how much may be sent at once where there is a pacing rate: a
// timer that wakes late must not cost rate.
const paceBurst = 2 * time.Millisecond

// idleAfter is how long a path that has room may wait for a packet without
// counting as idle: less may be the scheduler of the operating system.
const idleAfter = 5 * time.Millisecond

// busyMemory is how far back Busy looks.
const busyMemory = 200 * time.Millisecond

// Busy is the share of the time, lately, in which the path could have taken no
// more than it got: 0 … 1.
func (p *Path) Busy(now mono.Time) float64 {
	return max(1-(p.unusedBy(now)+p.unusedSince(now)).Seconds()/busyMemory.Seconds(), 0)
}

func (p *Path) unusedBy(now mono.Time) time.Duration {
	left := max(1-now.Sub(p.usedAt).Seconds()/busyMemory.Seconds(), 0)
	return time.Duration(float64(p.unused) * left)
}

// unusedSince is how long it has waited for a packet now.
func (p *Path) unusedSince(now mono.Time) time.Duration {
	if p.held {
		return 0
	}
	return max(now.Sub(p.pace)-paceBurst, 0)
}

// Consume takes pkt, and one of its references, to be sent. Only after Ready.
func (p *Path) Consume(now mono.Time, pkt *packet.Packet) {
	p.outbox.Push(pkt)
	p.outboxBytes += len(pkt.Data)
	if now.Sub(p.pace) > idleAfter && !p.held {
		p.idle = true
	}
	wasted := p.unusedSince(now)
	p.unused, p.usedAt = min(p.unusedBy(now)+wasted, busyMemory), now
	p.wasted += wasted
	p.held = false
	if rate := p.control.PacingRate(); rate > 0 {
		bits := 8 * float64(p.outer(len(pkt.Data)))
		p.pace = max(p.pace, now.Add(-paceBurst)).Add(time.Duration(bits / float64(rate) * 1e9))
	} else {
		p.pace = now.Add(-paceBurst) // as where a pace is kept: a gap after it is unused
	}
}

// PaceDeadline is when pacing lets the next packet go; Never without pacing.
func (p *Path) PaceDeadline(now mono.Time) mono.Time {
	if p.pace <= now || !p.Usable() {
		return mono.Never
	}
	return p.pace
}
