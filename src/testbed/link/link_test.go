package link

import (
	"math"
	"testing"
	"time"

	"netcombiner/src/mono"
)

const (
	start = mono.Time(time.Hour)
	mbit  = 1_000_000
	size  = 1500
)

// out is one packet as it came out.
type out struct {
	at   mono.Time
	n    byte // the packet's first byte: which one it was
	fate Fate
}

// drain runs the direction until it is empty, waking only when it asks to be.
func drain(t *testing.T, d *Direction, now mono.Time) []out {
	t.Helper()
	var outs []out
	for idle := 0; ; {
		for {
			p, fate, ok := d.Depart(now)
			if !ok {
				break
			}
			idle = 0
			if fate == Delivered && p.Due() > now {
				t.Fatalf("packet due at %v departed at %v", p.Due(), now)
			}
			outs = append(outs, out{now, p.Data[0], fate})
		}
		next := d.Next()
		if next == mono.Never {
			return outs
		}
		if next <= now {
			if idle++; idle > 10 {
				t.Fatalf("Next says %v at %v, and nothing departs", next, now)
			}
		}
		now = max(now, next)
	}
}

func fill(t *testing.T, d *Direction, now mono.Time, n int) {
	t.Helper()
	for i := range n {
		if fate := d.Arrive(now, Packet{Data: []byte{byte(i)}, Size: size}); fate != Queued {
			t.Fatalf("packet %d: %v", i, fate)
		}
	}
}

func TestRateAndDelayAreExact(t *testing.T) {
	for _, rate := range []int64{1 * mbit, 8 * mbit, 16*mbit + 1, 300 * mbit, 999_999_937} {
		d := NewDirection(Shape{Rate: rate, Delay: 30 * time.Millisecond, Queue: Queue{Bytes: 1 << 30}}, 1, start)
		const n = 10_000
		fill(t, d, start, n)
		outs := drain(t, d, start)
		if len(outs) != n {
			t.Fatalf("%d bit/s: %d of %d packets came out", rate, len(outs), n)
		}
		for i, o := range outs {
			if o.n != byte(i) {
				t.Fatalf("%d bit/s: packet %d came out in place %d", rate, o.n, i)
			}
		}
		want := start.Add(30 * time.Millisecond).Add(time.Duration(int64(n) * size * 8 * 1e9 / rate))
		if got := outs[n-1].at; got.Sub(want).Abs() > time.Nanosecond {
			t.Errorf("%d bit/s: the last came out at %v, want %v", rate, got, want)
		}
	}
}

// A caller that asks late must not make the link slower.
func TestLateCallerKeepsTheRate(t *testing.T) {
	d := NewDirection(Shape{Rate: 8 * mbit, Queue: Queue{Bytes: 1 << 30}}, 1, start)
	fill(t, d, start, 100) // 150 ms
	var n int
	for _, ms := range []time.Duration{40, 41, 120, 150} {
		for {
			if _, _, ok := d.Depart(start.Add(ms * time.Millisecond)); !ok {
				break
			}
			n++
		}
		if want := int(ms * 8000 / (size * 8)); n != want {
			t.Errorf("after %d ms %d packets are out, want %d", ms, n, want)
		}
	}
}

func TestQueueDropsItsTail(t *testing.T) {
	for _, q := range []Queue{{Bytes: 15_000}, {Time: 15 * time.Millisecond}, {Bytes: 15_000, Time: time.Second}, {Bytes: 1 << 20, Time: 15 * time.Millisecond}} {
		d := NewDirection(Shape{Rate: 8 * mbit, Queue: q}, 1, start)
		fill(t, d, start, 10)
		if fate := d.Arrive(start, Packet{Size: size}); fate != Dropped {
			t.Errorf("%+v: the 11th packet is %v, want Dropped", q, fate)
		}
		if fate := d.Arrive(start.Add(1500*time.Microsecond), Packet{Data: []byte{10}, Size: size}); fate != Queued {
			t.Errorf("%+v: with room again a packet is %v, want Queued", q, fate)
		}
		if s := d.Stats(); s.Dropped != 1 || s.QueueBytes != 15_000 || s.Delivered != 0 {
			t.Errorf("%+v: %+v", q, s)
		}
	}
}

func TestRateChangeInTheMiddleOfAPacket(t *testing.T) {
	d := NewDirection(Shape{Rate: 12 * mbit}, 1, start) // 1 ms a packet
	fill(t, d, start, 3)
	d.SetShape(start.Add(500*time.Microsecond), Shape{Rate: 6 * mbit})
	outs := drain(t, d, start.Add(500*time.Microsecond))
	for i, want := range []time.Duration{1500, 3500, 5500} {
		if got := outs[i].at.Sub(start); got != want*time.Microsecond {
			t.Errorf("packet %d is out after %v, want %v µs", i, got, int(want))
		}
	}
}

func TestTraceRepeats(t *testing.T) {
	// 1 ms a packet for 10 ms, then 4 ms a packet for 20 ms: 15 packets in 30 ms.
	d := NewDirection(Shape{Trace: []Step{{10 * time.Millisecond, 12 * mbit}, {20 * time.Millisecond, 3 * mbit}}, Queue: Queue{Bytes: 1 << 30}}, 1, start)
	fill(t, d, start, 150)
	outs := drain(t, d, start)
	for i, want := range map[int]time.Duration{9: 10, 10: 14, 14: 30, 15: 31, 149: 300} {
		if got := outs[i].at.Sub(start); got != want*time.Millisecond {
			t.Errorf("packet %d is out after %v, want %d ms", i, got, int(want))
		}
	}
}

func TestJitter(t *testing.T) {
	for _, reorder := range []bool{false, true} {
		d := NewDirection(Shape{Delay: 50 * time.Millisecond, Jitter: 5 * time.Millisecond, Reorder: reorder}, 7, start)
		const n, every = 20_000, 100 * time.Millisecond
		// Far apart, so that order costs nothing: the distribution itself.
		var sum, squares float64
		for i := range n {
			at := start.Add(time.Duration(i) * every)
			fill(t, d, at, 1)
			ms := float64(drain(t, d, at)[0].at.Sub(at)) / 1e6
			sum, squares = sum+ms, squares+ms*ms
		}
		mean := sum / n
		deviation := math.Sqrt(squares/n - mean*mean)
		if math.Abs(mean-50) > 0.2 || math.Abs(deviation-5) > 0.2 {
			t.Errorf("reorder %v: delay is %.2f ± %.2f ms, want 50 ± 5", reorder, mean, deviation)
		}
		// Close together: order.
		at := start.Add(n * every)
		fill(t, d, at, 200)
		outs, swapped := drain(t, d, at), 0
		for i := 1; i < len(outs); i++ {
			if outs[i].n < outs[i-1].n {
				swapped++
			}
		}
		if (swapped > 0) != reorder {
			t.Errorf("reorder %v: %d packets overtook another", reorder, swapped)
		}
	}
}

func TestLoss(t *testing.T) {
	for name, tc := range map[string]struct {
		shape     Shape
		loss, run float64 // mean loss, mean length of a run of losses
	}{
		"random": {Shape{Loss: 0.02}, 0.02, 1 / 0.98},
		"burst":  {Shape{Burst: Burst{Enter: 0.01, Leave: 0.25, Loss: 1}}, 0.01 / 0.26, 4},
	} {
		d := NewDirection(tc.shape, 3, start)
		const n = 200_000
		lost, runs, before := 0, 0, Delivered
		for i := range n {
			at := start.Add(time.Duration(i) * time.Millisecond)
			fill(t, d, at, 1)
			o := drain(t, d, at)[0]
			if o.fate == Lost {
				lost++
				if before != Lost {
					runs++
				}
			}
			before = o.fate
		}
		if got := float64(lost) / n; math.Abs(got/tc.loss-1) > 0.05 {
			t.Errorf("%s: lost %.4f, want %.4f", name, got, tc.loss)
		}
		if got := float64(lost) / float64(runs); math.Abs(got/tc.run-1) > 0.05 {
			t.Errorf("%s: runs of %.2f, want %.2f", name, got, tc.run)
		}
	}
}

func TestCutSwallowsEverything(t *testing.T) {
	d := NewDirection(Shape{Rate: 12 * mbit, Delay: 5 * time.Millisecond}, 1, start)
	fill(t, d, start, 20)
	at := start.Add(10 * time.Millisecond)
	var outs []out
	for p, fate, ok := d.Depart(at); ok; p, fate, ok = d.Depart(at) {
		outs = append(outs, out{at, p.Data[0], fate})
	}
	if len(outs) != 5 { // 1 ms each, 5 ms on the way
		t.Fatalf("%d packets are out before the cut, want 5", len(outs))
	}
	d.SetCut(at, true)
	if fate := d.Arrive(at, Packet{Size: size}); fate != Vanished {
		t.Errorf("a packet into a cut link is %v, want Vanished", fate)
	}
	for _, o := range drain(t, d, at) {
		if o.fate != Vanished || o.at != at {
			t.Errorf("packet %d in a cut link: fate %v at %v", o.n, o.fate, o.at)
		}
	}
	if s := d.Stats(); s.Vanished != 16 || s.Delivered != 5 {
		t.Errorf("stats %+v, want 16 vanished, 5 delivered", s)
	}
	at = at.Add(time.Second)
	d.SetCut(at, false)
	fill(t, d, at, 1)
	if got := drain(t, d, at)[0]; got.fate != Delivered || got.at.Sub(at) != 6*time.Millisecond {
		t.Errorf("after the cut: %+v", got)
	}
}

// The same seed gives the same run, another seed another.
func TestSeed(t *testing.T) {
	run := func(seed uint64) []out {
		d := NewDirection(Shape{Rate: 50 * mbit, Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond, Reorder: true, Loss: 0.1, Queue: Queue{Bytes: 1 << 30}}, seed, start)
		fill(t, d, start, 250)
		return drain(t, d, start)
	}
	same := func(a, b []out) bool {
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	if !same(run(1), run(1)) {
		t.Error("one seed gave two runs")
	}
	if same(run(1), run(2)) {
		t.Error("two seeds gave one run")
	}
}

func TestValidate(t *testing.T) {
	if err := (Shape{Rate: mbit, Loss: 1, Trace: []Step{{time.Second, 1}}}).Validate(); err != nil {
		t.Error(err)
	}
	for _, s := range []Shape{{Rate: -1}, {Delay: -1}, {Loss: 1.1}, {Loss: math.NaN()}, {Queue: Queue{Bytes: -1}}, {Trace: []Step{{time.Second, 0}}}} {
		if s.Validate() == nil {
			t.Errorf("%+v is valid", s)
		}
	}
}

func TestNoAllocationOnceWarm(t *testing.T) {
	d := NewDirection(Shape{Rate: 100 * mbit, Delay: time.Millisecond, Jitter: time.Millisecond, Loss: 0.1}, 1, start)
	now, data := start, []byte{0}
	round := func() {
		for range 32 {
			d.Arrive(now, Packet{Data: data, Size: size})
		}
		now = now.Add(10 * time.Millisecond)
		for _, _, ok := d.Depart(now); ok; _, _, ok = d.Depart(now) {
		}
	}
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations in 32 packets", n)
	}
}
