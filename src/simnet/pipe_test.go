package simnet

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/src/transport"
)

// bytes972 makes a 1,000-byte packet on IPv4 UDP.
var bytes972 = strings.Repeat("x", 972)

func TestRateDelay(t *testing.T) {
	inLab(t, both(Conditions{Rate: 8e6, Delay: 10 * time.Millisecond}), func(l *lab) {
		a, b := l.pair()
		got := l.collect(b)
		for range 5 {
			l.send(a, bytes972) // 1 ms each
		}
		l.wait(time.Second)
		for i, g := range *got {
			if want := time.Duration(11+i) * time.Millisecond; g.at != want {
				t.Errorf("packet %d came at %v, not at %v", i, g.at, want)
			}
		}
		if len(*got) != 5 {
			t.Errorf("%d of 5 packets came", len(*got))
		}
	})
}

func TestRateChangesWhatIsQueued(t *testing.T) {
	inLab(t, both(Conditions{Rate: 8e6, Delay: 10 * time.Millisecond, KeepOrder: true}), func(l *lab) {
		a, b := l.pair()
		got := l.collect(b)
		for range 4 {
			l.send(a, bytes972)
		}
		l.wait(1500 * time.Microsecond) // half of the second is out
		l.link.Up.Change(func(c *Conditions) { c.Rate = 4e6 })
		l.wait(time.Second)
		want := []time.Duration{11000, 12500, 14500, 16500} // µs
		for i, g := range *got {
			if g.at != want[i]*time.Microsecond {
				t.Errorf("packet %d came at %v, not at %v", i, g.at, want[i]*time.Microsecond)
			}
		}
		for range 4 {
			l.send(a, bytes972)
		}
		l.wait(time.Millisecond)
		start := l.net.Now()
		l.link.Up.Change(func(c *Conditions) { c.Rate = 0 })
		l.wait(time.Second)
		for i, g := range (*got)[4:] {
			if g.at != start+10*time.Millisecond {
				t.Errorf("without a rate, packet %d came at %v", i, g.at)
			}
		}
		if len(*got) != 8 {
			t.Errorf("%d of 8 packets came", len(*got))
		}
	})
}

func TestQueueDropsTail(t *testing.T) {
	inLab(t, both(Conditions{Rate: 8e6, QueueBytes: 3000}), func(l *lab) {
		a, b := l.pair()
		got := l.collect(b)
		for range 10 {
			l.send(a, bytes972)
		}
		l.wait(time.Second)
		c := l.link.Up.Counters()
		if len(*got) != 3 || c.Dropped[ByQueue] != 7 || c.QueueMax != 3000 || c.Queue != 0 {
			t.Errorf("%d came; counters %+v", len(*got), c)
		}
	})
}

func TestLossListAndStopAfter(t *testing.T) {
	inLab(t, both(Conditions{LossList: []uint64{2, 5}, StopAfter: 7}), func(l *lab) {
		a, b := l.pair()
		got := l.collect(b)
		for i := range 10 {
			l.send(a, string(rune('1'+i)))
			l.wait(time.Millisecond)
		}
		if s := joined(*got); s != "13467" {
			t.Errorf("came %s, not 13467", s)
		}
		if c := l.link.Up.Counters(); c.Dropped[ByList] != 2 || c.Dropped[ByStop] != 3 {
			t.Errorf("counters %+v", c)
		}
	})
}

func joined(as []arrival) (s string) {
	for _, a := range as {
		s += a.data
	}
	return s
}

func TestMTUAndCut(t *testing.T) {
	inLab(t, both(Conditions{MTU: 1000, Delay: 10 * time.Millisecond}), func(l *lab) {
		a, b := l.pair()
		got := l.collect(b)
		l.send(a, bytes972)
		l.send(a, bytes972+"x")
		l.wait(5 * time.Millisecond)
		l.send(a, "on its way when the link is cut")
		l.wait(5 * time.Millisecond)
		l.link.Cut(true)
		l.send(a, "into the cut link")
		l.wait(20 * time.Millisecond)
		l.link.Cut(false)
		l.send(a, "after")
		l.wait(time.Second)
		if len(*got) != 2 || (*got)[0].data != bytes972 || (*got)[1].data != "after" {
			t.Errorf("%d came: %v", len(*got), *got)
		}
		if c := l.link.Up.Counters(); c.Dropped[ByMTU] != 1 || c.Dropped[ByCut] != 2 {
			t.Errorf("counters %+v", c)
		}
	})
}

// TestChances checks every probability over many packets, and that each shows
// in its own counter only.
func TestChances(t *testing.T) {
	const packets = 20000
	for name, tc := range map[string]struct {
		c    Conditions
		want float64
		of   func(Counters) uint64
	}{
		"loss":      {Conditions{Loss: .05}, .05, func(c Counters) uint64 { return c.Dropped[ByLoss] }},
		"duplicate": {Conditions{Duplicate: .1}, .1, func(c Counters) uint64 { return c.Duplicated }},
		"corrupt":   {Conditions{Corrupt: .1}, .1, func(c Counters) uint64 { return c.Corrupted }},
		"reorder":   {Conditions{Reorder: .1, KeepOrder: true}, .1, func(c Counters) uint64 { return c.Reordered }},
		// Bad for 1/11 of the packets, and then loses half.
		"burst": {Conditions{Burst: Burst{.01, .1, 0, .5}}, .5 / 11, func(c Counters) uint64 { return c.Dropped[ByBurst] }},
	} {
		t.Run(name, func(t *testing.T) {
			tc.c.Delay = 20 * time.Millisecond
			inLab(t, both(tc.c), func(l *lab) {
				a, b := l.pair()
				got := l.collect(b)
				for i := range packets {
					l.send(a, string([]byte{byte(i >> 16), byte(i >> 8), byte(i)}))
					time.Sleep(time.Millisecond)
				}
				l.wait(time.Second)
				c := l.link.Up.Counters()
				if p := float64(tc.of(c)) / packets; math.Abs(p-tc.want) > .012 {
					t.Errorf("probability %.3f, not %.3f", p, tc.want)
				}
				if n := uint64(len(*got)); n != packets-c.Lost()+c.Duplicated {
					t.Errorf("%d came; counters %+v", n, c)
				}
				sorted := slices.IsSortedFunc(*got, func(a, b arrival) int { return strings.Compare(a.data, b.data) })
				if name == "loss" && !sorted {
					t.Error("packets changed places without a reason")
				}
				if name == "reorder" && sorted {
					t.Error("no packet changed its place")
				}
			})
		})
	}
}

func TestJitter(t *testing.T) {
	for _, keep := range []bool{true, false} {
		inLab(t, both(Conditions{Delay: 30 * time.Millisecond, Jitter: 5 * time.Millisecond, KeepOrder: keep}), func(l *lab) {
			a, b := l.pair()
			got := l.collect(b)
			var sent []time.Duration
			for i := range 5000 {
				sent = append(sent, l.net.Now())
				l.send(a, string([]byte{byte(i >> 8), byte(i)}))
				time.Sleep(time.Millisecond)
			}
			l.wait(time.Second)
			var sum, sum2 float64
			last, swaps := -1, 0
			for _, g := range *got {
				i := int(g.data[0])<<8 | int(g.data[1])
				d := (g.at - sent[i] - 30*time.Millisecond).Seconds() * 1000
				sum, sum2 = sum+d, sum2+d*d
				if i < last {
					swaps++
				}
				last = i
			}
			mean, dev := sum/5000, math.Sqrt(sum2/5000)
			if keep && (swaps > 0 || mean < 1) || !keep && (swaps < 100 || math.Abs(mean) > .5 || math.Abs(dev-5) > .5) {
				t.Errorf("keep order %v: %d out of order, mean %.2f ms, deviation %.2f ms", keep, swaps, mean, dev)
			}
		})
	}
}

// TestPacketsAllocateNothing: thousands of seeds are to be run.
func TestPacketsAllocateNothing(t *testing.T) {
	inLab(t, both(Conditions{Rate: 50e6, Delay: 20 * time.Millisecond, Jitter: time.Millisecond, Loss: .01}), func(l *lab) {
		a, b := l.pair()
		go func() {
			ms := make([]transport.Message, 16)
			for i := range ms {
				ms[i].Buf = make([]byte, 2000)
			}
			for {
				if _, err := b.Receive(ms); err != nil {
					return
				}
			}
		}()
		ms := make([]transport.Message, 10)
		for i := range ms {
			ms[i].Buf = make([]byte, 1400)
		}
		allocs := testing.AllocsPerRun(500, func() {
			a.Send(ms)
			time.Sleep(3 * time.Millisecond)
		})
		if allocs > 1 && !raceEnabled {
			t.Errorf("%.1f allocations for 10 packets", allocs)
		}
	})
}
