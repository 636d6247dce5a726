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
	blackHole     = 6                // packets lost in a row that say the path shrank
)

// commonMTUs are tried before the search goes by halves: Ethernet, PPPoE, and
// the usual tunnels below.
var commonMTUs = [...]int{1500, 1492, 1480, 1460, 1440, 1400}

// mtuProber finds the longest packet a path carries (RFC 8899): the path's own
// acknowledgements tell which probe arrived, so no ICMP is needed. It searches
// at once when the path comes up, sending all the common sizes together, so
// that one round trip is enough on most links.
type mtuProber struct {
	proved int // longest that arrived
	failed int // shortest that did not; 0: none
	sweep  int // how many of commonMTUs are still to be sent
	trying int // size of the single probe that is out; 0: none
	tries  int
	due    mono.Time // when the answer is overdue, or the next search starts
	done   bool
	row    lostRow
}

// lostRow is packets, not probes, that were lost since one as long as the
// shortest of them arrived.
type lostRow struct {
	count, shortest int
	since           mono.Time
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
	if size >= m.row.shortest {
		m.row = lostRow{}
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

// lost notes that a packet of the given size, not a probe, was lost. When none
// of that size arrives any more, the path shrank, and the search starts again
// from below. A full queue drops many in a row as well, but not for as long as
// two timeouts, in which those behind it are acknowledged.
func (m *mtuProber) lost(now mono.Time, size int, timeout time.Duration) {
	if size <= SmallestMTU || size > m.proved { // or sent before the search began again
		return
	}
	r := &m.row
	if r.count == 0 {
		*r = lostRow{shortest: size, since: now}
	}
	r.count++
	r.shortest = min(r.shortest, size)
	switch {
	case r.count < blackHole || now.Sub(r.since) < 2*timeout:
	case r.shortest > BaseMTU:
		m.start(now, BaseMTU)
	default:
		m.start(now, SmallestMTU)
	}
}

// refused notes that the system would not send a message. A probe explains
// that; without one, the interface's own MTU may have shrunk.
func (m *mtuProber) refused(now mono.Time) {
	if !m.searching() && m.proved > BaseMTU {
		m.start(now, BaseMTU)
	}
}

// searching says that the size may still grow within a few round trips.
func (m *mtuProber) searching() bool { return !m.done }

// limit is the longest size that the probes now out may prove.
func (m *mtuProber) limit() int {
	switch {
	case m.done:
		return m.proved
	case m.trying != 0:
		return max(m.trying, m.proved)
	case m.failed != 0:
		return m.failed - 1
	}
	return MaxMTU
}

// deadline is when next has something to send.
func (m *mtuProber) deadline(now mono.Time) mono.Time {
	if m.sweep > 0 {
		return now
	}
	return m.due
}
