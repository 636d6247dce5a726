//go:build linux

package measure

import (
	"testing"
	"time"
)

func TestStreamRates(t *testing.T) {
	// 100 bytes a bin, but none in bins 10 to 19 and 50 in bins 30 to 39.
	s := &Stream{bins: make([]int64, 50)}
	for i := range s.bins {
		switch {
		case i >= 10 && i < 20:
		case i >= 30 && i < 40:
			s.bins[i] = 50
		default:
			s.bins[i] = 100
		}
	}
	const full = 100 * 8 / 0.02 // bit/s
	for _, c := range []struct {
		from, to int // bins
		want     float64
	}{{0, 10, full}, {5, 15, full / 2}, {10, 20, 0}, {30, 40, full / 2}, {45, 55, full / 2}} {
		if got := s.Rate(time.Duration(c.from)*Bin, time.Duration(c.to)*Bin); got != c.want {
			t.Errorf("rate from bin %d to %d is %v, want %v", c.from, c.to, got, c.want)
		}
	}
	if longest, at := s.Silence(0, 50*Bin); longest != 10*Bin || at != 10*Bin {
		t.Errorf("silence %v at %v", longest, at)
	}
	// Windows of two bins: below half from bin 10 (none, none) to bin 18; at bins 9 and 19 just half.
	if got := s.Below(0, 50*Bin, 2*Bin, full/2); got != 9*Bin {
		t.Errorf("below half for %v, want %v", got, 9*Bin)
	}
	if got := s.Below(25*Bin, 50*Bin, 2*Bin, full*0.9); got != 11*Bin {
		t.Errorf("below nine tenths for %v, want %v", got, 11*Bin)
	}
}
