package exchange

import (
	"math"
	"testing"
)

// shares sends n packets of 100 to 1,500 bytes, and returns the part of the
// bytes that each path got.
func shares(t *testing.T, u *tester, n int) []float64 {
	t.Helper()
	got := make([]float64, len(u.paths))
	var all float64
	for i := range n {
		u.ingress(1, uint32(i), 100+(i*617)%1401)
		u.pump()
		for j, p := range u.paths {
			for _, pkt := range p.got {
				got[j] += float64(len(pkt.Data))
				all += float64(len(pkt.Data))
			}
			p.take()
		}
	}
	if u.Waiting() {
		t.Error("a packet waits where there is room")
	}
	for j := range got {
		got[j] /= all
	}
	return got
}

func expectShares(t *testing.T, got, want []float64) {
	t.Helper()
	for i := range want {
		if math.Abs(got[i]-want[i]) > 0.01 {
			t.Errorf("shares %.3f, want %.3f", got, want)
			return
		}
	}
}

func TestProportionalSharesByCapacity(t *testing.T) {
	const mbit = 1e6
	type paths = []*fakePath
	for _, c := range []struct {
		name  string
		paths paths
		want  []float64
	}{
		{"1:1", paths{{room: 1, rate: mbit, delay: 90 * ms}, {room: 1, rate: mbit}}, []float64{0.5, 0.5}},
		{"1:4", paths{{room: 1, rate: 10 * mbit}, {room: 1, rate: 40 * mbit}}, []float64{0.2, 0.8}},
		{"1:2:3", paths{{room: 1, rate: mbit}, {room: 1, rate: 2 * mbit}, {room: 1, rate: 3 * mbit}}, []float64{1. / 6, 2. / 6, 3. / 6}},
		{"none known", paths{{room: 1}, {room: 1}, {room: 1}}, []float64{1. / 3, 1. / 3, 1. / 3}},
		{"one not known", paths{{room: 1, rate: mbit}, {room: 1, rate: 3 * mbit}, {room: 1}}, []float64{1. / 6, 3. / 6, 2. / 6}},
		{"one full", paths{{rate: mbit}, {room: 1, rate: mbit}, {room: 1, rate: 3 * mbit}}, []float64{0, 0.25, 0.75}},
		{"one dead", paths{{down: true, rate: 8 * mbit}, {room: 1, rate: mbit}, {room: 1, rate: mbit}}, []float64{0, 0.5, 0.5}},
		{"a higher metric", paths{{room: 1, rate: mbit, metric: 5}, {room: 1, rate: mbit}, {room: 1, rate: 3 * mbit}}, []float64{0, 0.25, 0.75}},
		{"the lower metric dead", paths{{room: 1, rate: mbit, metric: 5}, {room: 1, rate: 3 * mbit, metric: 5}, {down: true, room: 1, rate: mbit}}, []float64{0.25, 0.75, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newTester(t, &Proportional{}, c.paths...)
			expectShares(t, shares(t, u, 3000), c.want)
			u.closes()
		})
	}
}

func TestProportionalSpillsToAHigherMetric(t *testing.T) {
	low, high, highest := &fakePath{rate: 1e6, rtt: 20 * ms}, &fakePath{room: 9, rate: 1e6, metric: 3}, &fakePath{room: 9, rate: 1e6, metric: 7}
	u := newTester(t, &Proportional{}, highest, high, low)
	u.ingress(2, 1, 1000)
	u.now = u.now.Add(spillAfter + spillTrips*20*ms - 1)
	u.pump()
	if len(high.got)+len(highest.got) != 0 {
		t.Error("a higher metric served at once")
	}
	u.now++
	u.pump()
	if len(high.got) != 2 || len(highest.got) != 0 {
		t.Errorf("%d packets went on metric 3, %d on metric 7", len(high.got), len(highest.got))
	}
	u.closes()
}

// A path that was full, dead or absent for long gets its share when it is back,
// and nothing for the time before; nor is one charged for the part of a path
// that is gone.
func TestProportionalOwesNothing(t *testing.T) {
	a, b := &fakePath{room: 1, rate: 1e6}, &fakePath{rate: 1e6}
	u := newTester(t, &Proportional{}, a, b)
	expectShares(t, shares(t, u, 2000), []float64{1, 0})
	b.room, b.down = 1, true
	expectShares(t, shares(t, u, 2000), []float64{1, 0})
	b.down = false
	expectShares(t, shares(t, u, 200), []float64{0.5, 0.5})

	u.all = u.all[1:]
	shares(t, u, 500)
	u.all = append(u.all, a)
	expectShares(t, shares(t, u, 300), []float64{0.5, 0.5})
	u.closes()
}

// What was measured may change: the shares follow at once.
func TestProportionalFollowsTheCapacity(t *testing.T) {
	a, b := &fakePath{room: 1, rate: 1e6}, &fakePath{room: 1, rate: 9e6}
	u := newTester(t, &Proportional{}, a, b)
	expectShares(t, shares(t, u, 1000), []float64{0.1, 0.9})
	a.rate = 27e6
	expectShares(t, shares(t, u, 1000), []float64{0.75, 0.25})
	u.closes()
}

// No path gets its part in bursts: 1:4 means every fifth packet.
func TestProportionalIsSmooth(t *testing.T) {
	a, b := &fakePath{room: plenty, rate: 1e6}, &fakePath{room: plenty, rate: 4e6}
	u := newTester(t, &Proportional{}, a, b)
	u.ingress(100, 1, 1000)
	u.pump()
	for i := 1; i < len(a.got); i++ {
		if gap := a.got[i].Sequence - a.got[i-1].Sequence; gap != 5 {
			t.Fatalf("%d packets from one to the next on a path with a fifth of the capacity", gap)
		}
	}
	if len(a.got) != 20 {
		t.Errorf("%d packets of 100 on it", len(a.got))
	}
	u.closes()
}
