package path

import (
	"time"

	"netcombiner/src/mono"
)

// meter measures a rate over about a second.
type meter struct {
	start mono.Time
	bytes int
	last  float64 // bit/s
}

const meterSpan = 500 * time.Millisecond

func (m *meter) roll(now mono.Time) {
	switch d := now.Sub(m.start); {
	case d > 4*meterSpan:
		m.last = float64(m.bytes) * 8 / d.Seconds()
	case d >= meterSpan:
		m.last = (m.last + float64(m.bytes)*8/d.Seconds()) / 2
	default:
		return
	}
	m.start, m.bytes = now, 0
}

func (m *meter) add(now mono.Time, bytes int) {
	m.roll(now)
	m.bytes += bytes
}

func (m *meter) bps(now mono.Time) float64 {
	m.roll(now)
	return m.last
}

// shareMemory is about how many events a share looks back over; and half of what
// it remembers it forgets each shareFades: or a path that gets no packets for what
// it lost would never get any.
const (
	shareMemory = 1000
	shareFades  = 20 * time.Second
)

// share is the part of late events that were bad.
type share struct {
	good, bad float64
	faded     mono.Time
}

func (s *share) add(now mono.Time, good, bad float64) {
	if now.Sub(s.faded) > shareFades {
		s.good, s.bad, s.faded = s.good/2, s.bad/2, now
	}
	s.good += good
	s.bad += bad
	if s.good+s.bad > shareMemory {
		s.good /= 2
		s.bad /= 2
	}
}

// value is 0 before the first event.
func (s *share) value() float64 {
	if s.bad == 0 {
		return 0
	}
	return s.bad / (s.good + s.bad)
}
