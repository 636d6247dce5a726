package path

import (
	"testing"
	"time"

	"netcombiner/src/mono"
)

// search runs a prober over a path that carries packets up to mtu and loses
// the probes whose number is in lost. It returns how long the search took.
func search(m *mtuProber, now mono.Time, mtu int, lost map[int]bool) (took time.Duration, probes int) {
	const roundTrip, timeout = 20 * time.Millisecond, 40 * time.Millisecond
	start := now
	for m.searching() && now.Sub(start) < time.Minute {
		size := m.next(now, timeout)
		if size == 0 && m.searching() {
			now = max(m.deadline(now), now+1)
		}
		if size == 0 {
			continue
		}
		probes++
		if size <= mtu && !lost[probes] {
			m.arrived(now.Add(roundTrip), size)
		}
	}
	return now.Sub(start), probes
}

func TestMTUSearchFindsAnySize(t *testing.T) {
	for mtu := BaseMTU; mtu <= MaxMTU; mtu++ {
		var m mtuProber
		m.start(1, BaseMTU)
		took, probes := search(&m, 1, mtu, nil)
		if m.proved > mtu || m.proved < mtu-mtuResolution {
			t.Fatalf("a path of %d: found %d", mtu, m.proved)
		}
		if took > 3*time.Second || probes > 30 {
			t.Fatalf("a path of %d: %v, %d probes", mtu, took, probes)
		}
	}
}

func TestMTUSearchSurvivesLostProbes(t *testing.T) {
	var m mtuProber
	m.start(1, BaseMTU)
	search(&m, 1, 1492, map[int]bool{1: true, 2: true, 5: true, 6: true})
	if m.proved != 1492 {
		t.Errorf("found %d, want 1492", m.proved)
	}
}

// lose reports the loss of n packets of a size, one each millisecond.
func (m *mtuProber) lose(now mono.Time, n, size int) mono.Time {
	for range n {
		m.lost(now, size, 40*time.Millisecond)
		now = now.Add(time.Millisecond)
	}
	return now
}

func TestMTUBlackHoleIsNoticed(t *testing.T) {
	for _, c := range []struct{ before, size, floor, after int }{
		{1500, 1500, BaseMTU, 1400},
		{1500, 1450, BaseMTU, 1400},
		{1500, 1200, SmallestMTU, 1000}, // even the base no longer fits
		{BaseMTU, BaseMTU, SmallestMTU, 1000},
	} {
		var m mtuProber
		m.start(1, BaseMTU)
		search(&m, 1, c.before, nil)
		if m.proved != c.before {
			t.Fatalf("found %d of %d", m.proved, c.before)
		}
		now := m.lose(mono.Time(time.Minute), 100, c.size)
		if m.proved != c.floor {
			t.Fatalf("%d after a black hole for %d, want %d", m.proved, c.size, c.floor)
		}
		search(&m, now, c.after, nil)
		if m.proved > c.after || m.proved < c.after-mtuResolution {
			t.Errorf("found %d of %d afterwards", m.proved, c.after)
		}
	}
}

func TestMTUSurvivesOrdinaryLoss(t *testing.T) {
	var m mtuProber
	m.start(1, BaseMTU)
	search(&m, 1, 1500, nil)
	now := mono.Time(time.Minute)
	for range 100 {
		if now = m.lose(now, 50, 1500); m.proved != 1500 { // a full queue drops a burst …
			t.Fatalf("%d after a burst of losses", m.proved)
		}
		m.arrived(now, 1400) // (which says nothing of longer ones)
		m.arrived(now, 1500) // … and what came behind arrives
		now = m.lose(now, 200, SmallestMTU)
		now = now.Add(time.Second)
	}
	if m.proved != 1500 || m.searching() {
		t.Errorf("%d, searching: %v", m.proved, m.searching())
	}
}

func TestMTUBlackHoleIsNoticedBehindShorterPackets(t *testing.T) {
	var m mtuProber
	m.start(1, BaseMTU)
	search(&m, 1, 1500, nil)
	now := mono.Time(time.Minute)
	for range 100 {
		now = m.lose(now, 1, 1500)
		m.arrived(now, 1400)
	}
	if m.proved != 1400 {
		t.Errorf("%d while packets of 1400 arrive and none of 1500", m.proved)
	}
}

func TestMTUProbeRefusedByTheSystemEndsTheSearchToo(t *testing.T) {
	var m mtuProber
	m.start(1, BaseMTU)
	now := mono.Time(1)
	for now < mono.Time(time.Minute) {
		switch size := m.next(now, 40*time.Millisecond); {
		case size > 1492: // the interface's own MTU
			m.refused(now)
		case size > 0:
			m.arrived(now.Add(time.Millisecond), size)
		case m.searching():
			now = max(m.deadline(now), now+1)
		default:
			if m.proved != 1492 {
				t.Fatalf("found %d of 1492", m.proved)
			}
			if m.refused(now); m.proved != BaseMTU {
				t.Errorf("%d after a refusal that no probe explains", m.proved)
			}
			return
		}
	}
	t.Fatal("the search does not end")
}

func TestMTULimitIsNeverLowerThanWhatTheSearchFinds(t *testing.T) {
	for mtu := SmallestMTU; mtu <= MaxMTU; mtu++ {
		var m mtuProber
		m.start(1, SmallestMTU)
		for now := mono.Time(1); m.searching(); {
			if m.limit() < m.proved {
				t.Fatalf("limit %d, proved %d", m.limit(), m.proved)
			}
			size := m.next(now, 40*time.Millisecond)
			if size > m.limit() {
				t.Fatalf("a probe of %d, over the limit of %d", size, m.limit())
			}
			if size > 0 && size <= mtu {
				m.arrived(now, size)
			} else if size == 0 {
				now = max(m.deadline(now), now+1)
			}
		}
		if m.limit() != m.proved {
			t.Fatalf("limit %d after the search found %d", m.limit(), m.proved)
		}
	}
}

func TestMTUIsRaisedAgain(t *testing.T) {
	var m mtuProber
	m.start(1, BaseMTU)
	search(&m, 1, 1400, nil)
	later := m.deadline(1).Add(time.Second)
	if m.next(later, 40*time.Millisecond) == 0 {
		t.Fatal("no probe after ten minutes")
	}
	search(&m, later, 1500, nil)
	if m.proved != 1500 {
		t.Errorf("found %d of 1500", m.proved)
	}
}
