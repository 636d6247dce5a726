package path

import (
	"time"

	"netcombiner/src/mono"
)

// Sizes of outer packets, in bytes, IP and transport headers included.
const (
	// BaseMTU is what a path must carry to be used without a second thought:
	// the message that proves a path is padded to it.
	BaseMTU = 1280
	// SmallestMTU is assumed of a path on which even that does not arrive.
	SmallestMTU = 576
	// MaxMTU is the largest size probed for.
	MaxMTU = 1500
)

const (
	mtuTries      = 2                // probes of one size before it counts as too long
	mtuResolution = 4                // bytes; closer is not worth a probe
	mtuAgain      = 10 * time.Minute // RFC 8899's PMTU_RAISE_TIMER
	blackHole     = 6                // long packets lost in a row
)

// commonMTUs are tried before the search goes by halves: Ethernet, PPPoE, and
// the usual tunnels below.
var commonMTUs = [...]int{1500, 1492, 1480, 1460, 1440, 1400}

// mtuProber finds the longest packet a path carries (RFC 8899): the path's own
// acknowledgements tell which probe arrived, so no ICMP is needed. It searches
// at once when the path comes up, sending all the common sizes together, so
// that one round trip is enough on most links.
type mtuProber struct {
	proved  int // longest that arrived
	failed  int // shortest that did not; 0: none
	sweep   int // how many of commonMTUs are still to be sent
	trying  int // size of the single probe that is out; 0: none
	tries   int
	due     mono.Time // when the answer is overdue, or the next search starts
	done    bool
	bigLost int // long packets lost since one arrived
}

// start begins a search from a size known to arrive.
func (m *mtuProber) start(now mono.Time, proved int) {
	*m = mtuProber{proved: proved, sweep: len(commonMTUs), due: now}
}

// next returns the size of a probe to send now, or 0.
func (m *mtuProber) next(now mono.Time, timeout time.Duration) int {
	if m.sweep > 0 {
		m.sweep--
		m.due = now.Add(2 * timeout)
		return commonMTUs[m.sweep] // the longest last
	}
	if now < m.due {
		return 0
	}
	if m.done { // time to look whether it grew
		m.start(now, m.proved)
		return m.next(now, timeout)
	}
	if m.trying != 0 && m.tries == mtuTries {
		m.failed, m.trying = m.trying, 0
	}
	if m.trying == 0 {
		if m.trying = m.candidate(); m.trying == 0 {
			m.done, m.due = true, now.Add(mtuAgain)
			return 0
		}
		m.tries = 0
	}
	m.tries++
	m.due = now.Add(2 * timeout)
	return m.trying
}

// candidate is the next size worth a probe, or 0.
func (m *mtuProber) candidate() int {
	upper := m.failed
	if upper == 0 {
		upper = MaxMTU + 1
		for _, c := range commonMTUs { // those of the sweep that were lost
			if c > m.proved {
				upper = min(upper, c)
			}
		}
		if m.proved < MaxMTU {
			return upper // again, alone, in case chance took it
		}
	}
	if upper-m.proved <= mtuResolution {
		return 0
	}
	return (m.proved + upper) / 2
}

// arrived notes that a packet of the given size got through.
func (m *mtuProber) arrived(now mono.Time, size int) {
	if size >= BaseMTU {
		m.bigLost = 0
	}
	if size <= m.proved {
		return
	}
	m.proved = size
	if m.failed != 0 && m.failed <= size {
		m.failed = 0
	}
	if m.trying != 0 && m.trying <= size {
		m.trying, m.due = 0, now
	}
	if size >= MaxMTU {
		m.done, m.due = true, now.Add(mtuAgain)
	}
}

// lost notes that a packet of the given size, not a probe, was lost. Many long
// ones in a row mean that the path shrank: the search starts again from below.
func (m *mtuProber) lost(now mono.Time, size int) {
	if size <= BaseMTU {
		return
	}
	if m.bigLost++; m.bigLost >= blackHole && m.proved > BaseMTU {
		m.start(now, BaseMTU)
	}
}

// searching says that the size may still grow within a few round trips.
func (m *mtuProber) searching() bool { return !m.done }

// deadline is when next has something to send.
func (m *mtuProber) deadline(now mono.Time) mono.Time {
	if m.sweep > 0 {
		return now
	}
	return m.due
}
