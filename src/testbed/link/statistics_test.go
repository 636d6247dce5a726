package link

import (
	"math"
	"slices"
	"testing"
	"time"

	"netcombiner/src/mono"
)

// passage is a packet's way through a link.
type passage struct {
	n    int // in the order of sending
	fate Fate
	sent mono.Time
	out  mono.Time
}

// send sends n packets at even intervals, wakes the direction whenever it asks
// to be, and returns what became of them, in the order in which they came out.
// Dropped ones are where they were sent.
func send(t *testing.T, s Shape, seed uint64, n int, every time.Duration) []passage {
	t.Helper()
	d := NewDirection(s, seed, start)
	sent := make([]mono.Time, n)
	var all []passage
	take := func(now mono.Time) {
		for p, fate, ok := d.Depart(now); ok; p, fate, ok = d.Depart(now) {
			i := int(p.Data[0]) | int(p.Data[1])<<8 | int(p.Data[2])<<16
			all = append(all, passage{i, fate, sent[i], p.Due()})
		}
	}
	for i := range n {
		at := start.Add(time.Duration(i) * every)
		for next := d.Next(); next <= at; next = d.Next() {
			take(next)
		}
		sent[i] = at
		if fate := d.Arrive(at, Packet{Data: []byte{byte(i), byte(i >> 8), byte(i >> 16)}, Size: size}); fate != Queued {
			all = append(all, passage{i, fate, at, at})
		}
	}
	for next := d.Next(); next != mono.Never; next = d.Next() {
		take(next)
	}
	if len(all) != n {
		t.Fatalf("%d packets went in, %d came to an end", n, len(all))
	}
	return all
}

// delays are those of the delivered, in ms, and their mean and standard deviation.
func delays(all []passage) (ms []float64, mean, deviation float64) {
	for _, p := range all {
		if p.fate == Delivered {
			ms = append(ms, float64(p.out.Sub(p.sent))/1e6)
		}
	}
	for _, v := range ms {
		mean += v / float64(len(ms))
	}
	for _, v := range ms {
		deviation += (v - mean) * (v - mean) / float64(len(ms))
	}
	return ms, mean, math.Sqrt(deviation)
}

// overtaken counts delivered packets that come out right after a later one.
func overtaken(all []passage) (n int) {
	last := -1
	for _, p := range all {
		if p.fate != Delivered {
			continue
		}
		if p.n < last {
			n++
		}
		last = p.n
	}
	return n
}

func near(t *testing.T, what string, got, want, by float64) {
	t.Helper()
	if math.Abs(got-want) > by {
		t.Errorf("%s is %.3f, want %.3f ± %.3f", what, got, want, by)
	}
}

// The profiles' jitter on a busy link, as their name says: normal for every
// packet by itself, so that neighbours change places as often as two normal
// values differ by more than their distance.
func TestReorderingJitterOnABusyLink(t *testing.T) {
	const n, every = 100_000, 300 * time.Microsecond // 40 of 50 Mbit/s
	for _, jitter := range []time.Duration{time.Millisecond, 5 * time.Millisecond} {
		all := send(t, Shape{Rate: 50 * mbit, Delay: 30 * time.Millisecond, Jitter: jitter, Reorder: true}, 1, n, every)
		ms, mean, deviation := delays(all)
		sigma := float64(jitter) / 1e6
		near(t, "the mean delay", mean, 30+0.24, 0.02*sigma)
		near(t, "its deviation", deviation, sigma, 0.01*sigma)
		slices.Sort(ms)
		near(t, "the 99th percentile", ms[n*99/100], 30.24+2.326*sigma, 0.05*sigma)
		// By the order of sending, not of arrival: P(X₂ + distance < X₁).
		out := make([]mono.Time, n)
		for _, p := range all {
			out[p.n] = p.out
		}
		swapped := 0
		for i := 1; i < n; i++ {
			if out[i] < out[i-1] {
				swapped++
			}
		}
		distance := float64(every) / 1e6
		near(t, "the part of swapped neighbours", float64(swapped)/n, 0.5*math.Erfc(distance/sigma/2), 0.005)
	}
}

// The same jitter keeping order: nobody overtakes, and a packet waits for the
// slowest of those before it, as behind a radio link's repetitions. The rate stays.
func TestOrderedJitterOnABusyLink(t *testing.T) {
	const n, every = 100_000, 240 * time.Microsecond // all of 50 Mbit/s
	all := send(t, Shape{Rate: 50 * mbit, Delay: 30 * time.Millisecond, Jitter: 5 * time.Millisecond}, 1, n, every)
	if k := overtaken(all); k != 0 {
		t.Errorf("%d packets were overtaken", k)
	}
	ms, mean, _ := delays(all)
	if most := slices.Max(ms); most > 30.24+5.5*5 {
		t.Errorf("a packet took %.1f ms: more than the jitter of any", most)
	}
	// The greatest of the normal values of some 60 packets on their way.
	if mean < 30+5 || mean > 30+3*5 {
		t.Errorf("the mean delay is %.1f ms", mean)
	}
	last := all[n-1].out.Sub(all[0].out)
	near(t, "the time for all", last.Seconds(), (n * every).Seconds(), 0.03)
}

// 300 ms of queue: no packet waits longer, the link never idles, the rest is dropped.
func TestDeepQueue(t *testing.T) {
	const n, every = 50_000, 600 * time.Microsecond // 20 Mbit/s into 10
	all := send(t, Shape{Rate: 10 * mbit, Delay: 15 * time.Millisecond, Queue: Queue{Time: 300 * time.Millisecond}}, 1, n, every)
	ms, _, _ := delays(all)
	near(t, "the longest way", slices.Max(ms), 15+300, 1.3)
	near(t, "the part that came through", float64(len(ms))/n, 0.5+0.3/2/30, 0.002)
	ms = ms[len(ms)/2:]
	near(t, "the shortest way once the queue is full", slices.Min(ms), 15+300, 2.5)
}

// A loss at random hits every packet alike, whatever befell the one before and
// whatever the link's other direction loses.
func TestRandomLossIsIndependent(t *testing.T) {
	const n, loss = 300_000, 0.02
	shape := Shape{Rate: 50 * mbit, Delay: time.Millisecond, Loss: loss}
	lost := [2][]bool{}
	for i := range lost {
		lost[i] = make([]bool, n)
		for _, p := range send(t, shape, uint64(2+i), n, 250*time.Microsecond) {
			lost[i][p.n] = p.fate == Lost
		}
	}
	single, pairs, both := 0, 0, 0
	for i := range n {
		if !lost[0][i] {
			continue
		}
		single++
		if i > 0 && lost[0][i-1] {
			pairs++
		}
		if lost[1][i] {
			both++
		}
	}
	near(t, "the loss", float64(single)/n, loss, 0.001)
	near(t, "the loss after a loss", float64(pairs)/float64(single), loss, 0.006)
	near(t, "the loss where the other lost", float64(both)/float64(single), loss, 0.006)
}

// Gilbert–Elliott with a bad state that lets some packets through.
func TestBurstLoss(t *testing.T) {
	const n = 500_000
	b := Burst{Enter: 0.005, Leave: 0.1, Loss: 0.6}
	all := send(t, Shape{Rate: 50 * mbit, Burst: b}, 1, n, 250*time.Microsecond)
	lost, pairs, before := 0, 0, false
	for _, p := range all {
		now := p.fate == Lost
		if now {
			lost++
			if before {
				pairs++
			}
		}
		before = now
	}
	bad := b.Enter / (b.Enter + b.Leave)
	near(t, "the loss", float64(lost)/n, b.Loss*bad, 0.002)
	near(t, "the loss after a loss", float64(pairs)/float64(lost), (1-b.Leave)*b.Loss, 0.01)
}

// A trace is the rate at every time of its course, for a link that is always
// full and whose queue is as long in time at every rate.
func TestTraceIsFollowed(t *testing.T) {
	trace := []Step{{2 * time.Second, 40 * mbit}, {time.Second, 10 * mbit}, {time.Second, 25 * mbit}}
	const every = 250 * time.Microsecond // 48 Mbit/s
	all := send(t, Shape{Trace: trace, Queue: Queue{Time: 100 * time.Millisecond}}, 1, 8*4000, every)
	at := start
	for round := range 2 {
		for i, s := range trace {
			// The fifth before the end: what was queued at a faster rate is out.
			from, to := at.Add(s.For*4/5), at.Add(s.For)
			bits := 0
			for _, p := range all {
				if p.fate == Delivered && p.out > from && p.out <= to {
					bits += 8 * size
				}
			}
			near(t, "the rate, Mbit/s", float64(bits)/to.Sub(from).Seconds()/1e6, float64(s.Rate)/1e6, 0.02*float64(s.Rate)/1e6)
			if t.Failed() {
				t.Fatalf("in round %d, step %d", round, i)
			}
			at = to
		}
	}
}
