//go:build linux

package measure

import (
	"testing"
	"time"
)

// at makes arrivals out of datagram numbers, each so many ms after the start.
func at(start time.Time, pairs ...int) (arrivals []arrival) {
	for i := 0; i < len(pairs); i += 2 {
		arrivals = append(arrivals, arrival{pairs[i], start.Add(time.Duration(pairs[i+1]) * time.Millisecond)})
	}
	return arrivals
}

func TestJudge(t *testing.T) {
	start := time.Now().Round(0)
	sent := make([]time.Time, 6) // every 10 ms
	for i := range sent {
		sent[i] = start.Add(time.Duration(i) * 10 * time.Millisecond)
	}
	for name, tc := range map[string]struct {
		arrivals              []arrival
		lost, duplicate, late int
		gap, gapAt            int // ms
	}{
		"all":        {at(start, 0, 5, 1, 15, 2, 25, 3, 35, 4, 45, 5, 55), 0, 0, 0, 10, 5},
		"one lost":   {at(start, 0, 5, 1, 15, 3, 35, 4, 45, 5, 55), 1, 0, 0, 20, 15},
		"duplicate":  {at(start, 0, 5, 1, 15, 1, 20, 2, 25, 3, 35, 4, 45, 5, 55), 0, 1, 0, 10, 5},
		"overtaken":  {at(start, 0, 5, 2, 25, 1, 26, 3, 35, 4, 45, 5, 55), 0, 0, 1, 20, 5},
		"end lost":   {at(start, 0, 5, 1, 15), 4, 0, 0, 35, 15},
		"start lost": {at(start, 5, 55), 5, 0, 0, 0, 0},
		"none":       {nil, 6, 0, 0, 50, 0},
	} {
		r := judge(sent, tc.arrivals)
		if r.Sent != 6 || r.Lost != tc.lost || r.Duplicate != tc.duplicate || r.Late != tc.late {
			t.Errorf("%s: %+v, want lost %d, duplicate %d, late %d", name, r, tc.lost, tc.duplicate, tc.late)
		}
		if r.Gap != time.Duration(tc.gap)*time.Millisecond || r.GapAt != time.Duration(tc.gapAt)*time.Millisecond {
			t.Errorf("%s: gap %v at %v, want %d ms at %d ms", name, r.Gap, r.GapAt, tc.gap, tc.gapAt)
		}
	}
}

func TestQuantile(t *testing.T) {
	for _, tc := range []struct {
		samples []float64
		q, want float64
	}{{[]float64{3}, 0.5, 3}, {[]float64{4, 1, 2}, 0.5, 2}, {[]float64{4, 1, 2, 3}, 0.5, 2.5}, {[]float64{0, 10}, 0.25, 2.5}, {[]float64{5, 1}, 1, 5}} {
		if got := Quantile(tc.samples, tc.q); got != tc.want {
			t.Errorf("Quantile(%v, %v) is %v, want %v", tc.samples, tc.q, got, tc.want)
		}
	}
}
