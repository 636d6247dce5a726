package session

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBothSidesAgreeWhateverHappens interleaves the messages of two sessions
// at random, with loss, copies and disorder, and restarts either side. While
// that lasts they may lose each other for a few tries; once messages just
// take their time, no longer than that.
func TestBothSidesAgreeWhateverHappens(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Uint64().Draw(r, "seed")
		loss := rapid.Float64Range(0, 0.4).Draw(r, "loss")
		copies := rapid.Float64Range(0, 0.3).Draw(r, "copies")
		delay := time.Duration(rapid.IntRange(0, 1500).Draw(r, "delay ms")) * time.Millisecond
		disorder := time.Duration(rapid.IntRange(1, 800).Draw(r, "disorder ms")) * time.Millisecond
		rng := rand.New(rand.NewPCG(seed, 1))
		s := newSim(t, delay+disorder)
		calm, restarts := false, byte(2)
		s.paths = uint8(rapid.IntRange(1, 4).Draw(r, "paths"))
		s.carry = func(_ int, m *message) (at []time.Duration) {
			if calm {
				if m.path < s.paths-1 { // quick one way, and dead the other
					if m.up {
						return []time.Duration{0}
					}
					return nil
				}
				return []time.Duration{delay}
			}
			for once := true; once || rng.Float64() < copies; once = false {
				if rng.Float64() >= loss {
					at = append(at, delay+time.Duration(rng.Int64N(int64(disorder))))
				}
			}
			return at
		}
		for range rapid.IntRange(1, 4).Draw(r, "phases") {
			s.run(time.Duration(10+rng.IntN(120)) * time.Second)
			restarts++
			switch rapid.IntRange(0, 3).Draw(r, "what happens") {
			case 0:
				s.local, s.acked = newSession(t, true, restarts, nil), 0
			case 1:
				s.remote = newSession(t, false, restarts, nil)
			case 2:
				s.remote.Drop()
			}
		}
		calm = true
		s.run(3*time.Second + 10*(delay+disorder))
		if !s.agrees() {
			r.Fatalf("no session %v after the last trouble", 3*time.Second+10*(delay+disorder))
		}
		s.worst = 0
		s.run(5 * time.Minute)
		if s.worst > 0 {
			r.Errorf("no session for %v while all is well", s.worst)
		}
		for _, side := range []*Session{s.local, s.remote} {
			if n := count(side.Table()); n > 4 || len(side.hellos) > maxHellos || len(side.pending) > maxPending {
				r.Errorf("%d epochs, %d hellos, %d pending", n, len(side.hellos), len(side.pending))
			}
		}
	})
}
