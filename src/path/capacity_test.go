package path

import (
	"testing"
	"time"

	"netcombiner/src/mono"
)

// bottleneck lets packets of 1,000 bytes through at a rate, a round trip later
// they are acknowledged, so many at a time.
type bottleneck struct {
	capacity
	now    mono.Time
	rtt    time.Duration
	bunch  int
	flying []sent
}

func (b *bottleneck) run(bps float64, d time.Duration) {
	gap := time.Duration(8000 / bps * 1e9)
	for end := b.now.Add(d); b.now < end; b.now = b.now.Add(gap) {
		b.flying = append(b.flying, sent{at: b.now, delivered: b.delivered, deliveredAt: b.at})
		if n := b.bunch; len(b.flying) >= n && b.now.Sub(b.flying[n-1].at) >= b.rtt {
			b.delivered += uint64(1000 * n)
			b.sample(b.now, b.flying[n-1].delivered, b.flying[n-1].deliveredAt, b.rtt, false)
			b.at = b.now
			b.flying = b.flying[n:]
		}
	}
}

func TestCapacityIsTheBottlenecksRate(t *testing.T) {
	for _, c := range []struct {
		bps   float64
		rtt   time.Duration
		bunch int
	}{{1e6, 20 * ms, 1}, {16e6, 20 * ms, 4}, {16e6, 200 * ms, 4}, {16e6, 20 * ms, 32}, {500e6, 10 * ms, 32}} {
		b := bottleneck{now: start, rtt: c.rtt, bunch: c.bunch}
		if b.rate() != 0 {
			t.Errorf("%v bit/s before the first sample", b.rate())
		}
		b.run(c.bps, 5*time.Second)
		// A bunch counts whole, whether or not it fell into the round trip.
		error := float64(c.bunch) * 8000 / (c.bps * c.rtt.Seconds())
		if got := b.rate() / c.bps; got < 0.95 || got > 1.02+error {
			t.Errorf("%v bit/s, RTT %v, %d at a time: measured %.2f times that", c.bps, c.rtt, c.bunch, got)
		}
	}
}

func TestCapacityFollowsTheBottleneck(t *testing.T) {
	b := bottleneck{now: start, rtt: 20 * ms, bunch: 4}
	b.run(4e6, 5*time.Second)
	b.run(40e6, 200*ms)
	if b.rate() < 38e6 {
		t.Errorf("%v bit/s, a moment after it rose to 40 Mbit/s", b.rate())
	}
	b.run(4e6, capacityMemory+100*ms)
	if b.rate() > 6e6 {
		t.Errorf("%v bit/s, %v after it fell to 4 Mbit/s", b.rate(), capacityMemory)
	}
	if b.restart(); b.rate() != 0 {
		t.Errorf("%v bit/s of another network", b.rate())
	}
}
