package tcp

import (
	"testing"
	"time"
)

func TestBacklogFollowsTheRate(t *testing.T) {
	for _, test := range []struct {
		rate float64 // bytes a second
		want int
	}{
		{0, minBacklog},
		{8e6 / 8, 5000},
		{80e6 / 8, 50000},
		{1e9 / 8, maxBacklog},
	} {
		now := time.Unix(1, 0)
		b := newBacklog(now)
		for range 1000 {
			now = now.Add(time.Millisecond)
			b.add(int(test.rate/1000), now)
		}
		if low, high := test.want*7/8-1, test.want*9/8+1; b.bytes < low || b.bytes > high {
			t.Errorf("at %.0f bytes a second the bound is %d, want %d", test.rate, b.bytes, test.want)
		}
	}
}

// A steady rate costs no system calls.
func TestBacklogIsSettled(t *testing.T) {
	now := time.Unix(1, 0)
	b := newBacklog(now)
	changes := 0
	for i := range 10000 {
		now = now.Add(time.Millisecond)
		if b.add(1000+i%50, now) {
			changes++
		}
	}
	if changes > 1 {
		t.Errorf("the bound changed %d times", changes)
	}
}
