package path

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

// naiveLog does what receiveLog does, message by message: slow and obvious.
type naiveLog struct {
	received       map[uint64]bool
	opened         map[uint64]mono.Time // of what is missing
	givenUp        map[uint64]bool
	first, largest uint64
	nack           uint64
	late           time.Duration
	lateAt         mono.Time
}

func (m *naiveLog) receive(now mono.Time, seq uint64) bool {
	if m.largest == 0 {
		m.first, m.largest, m.nack = seq, seq, seq-1
		m.received[seq] = true
		return true
	}
	if m.received[seq] {
		return false
	}
	for s := m.largest + 1; s < seq; s++ {
		m.opened[s] = now
	}
	if at, missing := m.opened[seq]; missing {
		if by := now.Sub(at); by > m.late/2 && by <= maxReorderWait {
			m.late, m.lateAt = max(m.late, by), now
		}
		delete(m.opened, seq)
	}
	m.received[seq] = true
	m.largest = max(m.largest, seq)
	return true
}

func (m *naiveLog) tick(now mono.Time, rtt time.Duration) {
	if now.Sub(m.lateAt) > lateMemory {
		m.late, m.lateAt = m.late/2, now
	}
	wait := min(max(m.late*5/4, rtt/16, minReorderWait), maxReorderWait)
	for s, at := range m.opened {
		if now.Sub(at) >= wait && !m.givenUp[s] {
			m.givenUp[s] = true
			m.nack = max(m.nack, s)
		}
	}
}

// ack is the highest such that all up to it were received or given up.
func (m *naiveLog) ack() uint64 {
	for s := m.first; s < m.largest; s++ {
		if next := s + 1; !m.received[next] && !m.givenUp[next] {
			return s
		}
	}
	return m.largest
}

func TestReceiveLogAgreesWithTheNaiveOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newReceiveLog()
		m := naiveLog{received: map[uint64]bool{}, opened: map[uint64]mono.Time{}, givenUp: map[uint64]bool{}}
		now, rtt := start, time.Duration(rapid.IntRange(0, 100).Draw(t, "rtt"))*ms
		base := rapid.Uint64Range(1, 1<<33).Draw(t, "first sequence")
		next := base
		for range rapid.IntRange(1, 150).Draw(t, "steps") {
			switch rapid.IntRange(0, 3).Draw(t, "step") {
			case 0, 1: // the next messages, after a gap perhaps
				next += uint64(rapid.SampledFrom([]int{0, 0, 0, 1, 2, 30}).Draw(t, "gap"))
				agreeOn(t, &l, &m, now, next)
				next++
			case 2: // one that is late, or here already
				back := uint64(rapid.IntRange(1, 80).Draw(t, "back"))
				if m.largest > 0 && next-min(back, next) >= m.first {
					agreeOn(t, &l, &m, now, next-back)
				}
			case 3:
				now = now.Add(time.Duration(rapid.IntRange(1, 20_000).Draw(t, "wait, µs")) * time.Microsecond)
				l.tick(now, rtt)
				m.tick(now, rtt)
			}
			if m.largest == 0 {
				continue
			}
			var a wire.Ack
			l.ack(now, &a)
			if a.Ack != uint32(m.ack()) || a.Nack != uint32(m.nack) || a.Largest != uint32(m.largest) {
				t.Fatalf("ACK %d, NACK %d, largest %d; the naive log says %d, %d, %d", a.Ack, a.Nack, a.Largest,
					uint32(m.ack()), uint32(m.nack), uint32(m.largest))
			}
			for back := range uint64(64 * a.Words) {
				s := m.largest - 1 - back
				if got := a.Received[back/64]>>(back%64)&1 != 0; got != m.received[s] {
					t.Fatalf("the bit of %d is %v", s, got)
				}
			}
		}
	})
}

func agreeOn(t *rapid.T, l *receiveLog, m *naiveLog, now mono.Time, seq uint64) {
	if got, want := l.receive(now, seq, 1), m.receive(now, seq); got != want {
		t.Fatalf("%d: taken %v, the naive log says %v", seq, got, want)
	}
}
