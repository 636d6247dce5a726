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

func TestMTUBlackHoleIsNoticed(t *testing.T) {
	var m mtuProber
	m.start(1, BaseMTU)
	search(&m, 1, 1500, nil)
	now := mono.Time(time.Minute)
	for range blackHole - 1 {
		m.lost(now, 1500)
	}
	m.arrived(now, 1500) // chance, then: begin to count again
	m.lost(now, 1500)
	if m.proved != 1500 {
		t.Fatalf("%d after scattered losses", m.proved)
	}
	for range blackHole {
		m.lost(now, 1500)
	}
	if m.proved != BaseMTU {
		t.Fatalf("%d after a black hole, want %d", m.proved, BaseMTU)
	}
	search(&m, now, 1400, nil)
	if m.proved != 1400 {
		t.Errorf("found %d of 1400 afterwards", m.proved)
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
