package congestion

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// measured is what a sender got of a link, and the queue it made.
type measured struct {
	share         float64 // of the link's rate
	p50, p99, max time.Duration
}

// measure lets d pass.
func (s *sender) measure(d time.Duration) measured {
	before := s.delivered
	s.queued = nil
	s.run(d)
	slices.Sort(s.queued)
	n := len(s.queued)
	if n == 0 {
		return measured{}
	}
	return measured{float64(s.delivered-before) * 8 / d.Seconds() / s.rate, s.queued[n/2], s.queued[n*99/100], s.queued[n-1]}
}

// Links from 1 Mbit/s to 1 Gbit/s, with jitter and loss, all with modems that
// would queue for 300 ms: full, and the queue stays short.
func TestBBRFillsTheLinkAndNotItsQueue(t *testing.T) {
	for _, c := range []struct {
		name  string
		link  link
		floor float64       // share of the rate
		p99   time.Duration // of the queue
	}{
		{"1 Mbit/s", link{rate: 1e6, delay: 20 * ms}, 0.96, 70 * ms},
		{"8 Mbit/s", link{rate: 8e6, delay: 5 * ms}, 0.97, 9 * ms},
		{"50 Mbit/s", link{rate: 50e6, delay: 20 * ms}, 0.97, 12 * ms},
		{"300 Mbit/s", link{rate: 300e6, delay: 8 * ms}, 0.97, 8 * ms},
		{"1 Gbit/s", link{rate: 1000e6, delay: ms / 2}, 0.97, 6 * ms},
		{"2 % loss", link{rate: 50e6, delay: 20 * ms, loss: 0.02}, 0.95, 12 * ms},
		{"LTE", link{rate: 30e6, delay: 30 * ms, jitter: 10 * ms, loss: 0.005}, 0.85, 110 * ms},
		{"jitter of 5 ms that reorders", link{rate: 50e6, delay: 20 * ms, jitter: 5 * ms, reorder: true}, 0.95, 40 * ms},
		{"jitter of 20 ms that reorders", link{rate: 50e6, delay: 20 * ms, jitter: 20 * ms, reorder: true}, 0.90, 50 * ms},
		{"Starlink", link{rate: 100e6, delay: 50 * ms, jitter: 25 * ms, reorder: true, loss: 0.01}, 0.85, 60 * ms},
		{"congested", link{rate: 20e6, delay: 50 * ms, jitter: 20 * ms, reorder: true, loss: 0.02}, 0.80, 70 * ms},
		{"a buffer of 2 ms", link{rate: 50e6, delay: 20 * ms, buffer: 2 * ms}, 0.95, 2 * ms},
		{"a policer", link{rate: 20e6, delay: 10 * ms, buffer: ms}, 0.90, ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p99 []time.Duration
			runs := uint64(5)
			if c.link.jitter == 0 && c.link.loss == 0 {
				runs = 1 // nothing happens by chance
			}
			for seed := range runs {
				l := c.link
				if l.buffer == 0 {
					l.buffer = 300 * ms
				}
				l.seed(seed)
				s := l.add(NewBBR())
				s.run(3 * time.Second)
				m := s.measure(12 * time.Second)
				t.Logf("%.1f %%, queue %v median, %v p99, %v max", 100*m.share, m.p50, m.p99, m.max)
				if m.share < c.floor {
					t.Errorf("%.1f %% of the rate, want %.0f %% at least", 100*m.share, 100*c.floor)
				}
				p99 = append(p99, m.p99)
			}
			slices.Sort(p99)
			if middle := p99[len(p99)/2]; middle > c.p99+ms {
				t.Errorf("queue %v p99 in the middle run, want %v at most", middle, c.p99)
			}
		})
	}
}

// Most paths are quiet for long, and then somebody wants all there is: jitter
// that keeps the order delays the more the more is sent, and is no queue.
func TestBBRFillsARadioLinkThatWasQuiet(t *testing.T) {
	for _, c := range []struct {
		name  string
		link  link
		floor float64 // share of the rate in 3 s, in the middle run
	}{
		{"LTE", link{rate: 30e6, delay: 30 * ms, jitter: 10 * ms, loss: 0.005}, 0.85},
		{"Starlink", link{rate: 100e6, delay: 50 * ms, jitter: 25 * ms, reorder: true, loss: 0.01}, 0.90},
		{"Starlink in order", link{rate: 100e6, delay: 50 * ms, jitter: 25 * ms, loss: 0.01}, 0.40},
		{"jitter of 20 ms in order", link{rate: 50e6, delay: 20 * ms, jitter: 20 * ms}, 0.40},
	} {
		t.Run(c.name, func(t *testing.T) {
			var shares []float64
			for seed := range uint64(5) {
				l := c.link
				l.buffer = 300 * ms
				l.seed(seed)
				s := l.add(NewBBR())
				s.demand = 60e3
				s.run(3 * time.Second)
				for s.demand = 1e6; s.demand < l.rate; s.demand *= 1.6 {
					s.run(200 * ms)
				}
				s.demand = 0
				shares = append(shares, s.measure(3*time.Second).share)
			}
			t.Logf("%.2f", shares)
			slices.Sort(shares)
			if shares[2] < c.floor {
				t.Errorf("%.0f %% of the rate in 3 s, want %.0f %% at least", 100*shares[2], 100*c.floor)
			}
		})
	}
}

// A link that is busy for 60 % is not full, and no slower for that.
func TestBBRRemembersTheRateOfALinkThatIsNotFull(t *testing.T) {
	for _, c := range []link{
		{rate: 40e6, delay: 7500 * time.Microsecond},
		{rate: 40e6, delay: 7500 * time.Microsecond, jitter: ms / 2},
		{rate: 30e6, delay: 30 * ms, jitter: 10 * ms, loss: 0.005},
	} {
		c.buffer = 300 * ms
		b := NewBBR()
		s := c.add(b)
		s.run(3 * time.Second)
		s.demand = 0.6 * c.rate
		s.run(time.Second)
		for range 20 {
			s.run(500 * ms)
			if b.rate < 0.85*c.rate {
				t.Errorf("%v: rate %.1f of %.1f Mbit/s", c.jitter, b.rate/1e6, c.rate/1e6)
				break
			}
		}
	}
}

func TestBBRFollowsALinkWhoseRateChangesFourfold(t *testing.T) {
	for _, delay := range []time.Duration{5 * ms, 20 * ms, 60 * ms} {
		l := &link{rate: 40e6, delay: delay, buffer: 300 * ms}
		s := l.add(NewBBR())
		l.run(4 * time.Second)
		for _, rate := range []float64{10e6, 40e6} {
			l.rate = rate
			l.run(900*ms + 20*delay)
			m := s.measure(500 * ms)
			if m.share < 0.75 || m.p50 > 100*ms {
				t.Errorf("one-way delay %v, %v bit/s: soon after %.1f %% of it, queue %v", delay, rate, 100*m.share, m.p50)
			}
			l.run(3 * time.Second)
		}
	}
}

func TestBBRRemembersTheRateWhileLittleIsSent(t *testing.T) {
	l := &link{rate: 50e6, delay: 20 * ms, buffer: 300 * ms}
	b := NewBBR()
	s := l.add(b)
	l.run(3 * time.Second)
	s.demand = 1e6
	l.run(3 * time.Second)
	if m := s.measure(5 * time.Second); m.p99 > 5*ms {
		t.Errorf("a queue of %v at 2 %% of the rate", m.p99)
	}
	if b.Bandwidth() < 40e6 || b.Bandwidth() > 60e6 {
		t.Errorf("it believes in %.0f bit/s after a time of 1 Mbit/s", b.Bandwidth())
	}
	s.demand = 0
	s.send()
	l.run(300 * ms)
	if m := s.measure(500 * ms); m.share < 0.9 {
		t.Errorf("%.1f %% of the rate soon after", 100*m.share)
	}
}

// Whatever the link does, the sums stay sane: no rate of nothing, no window of nothing.
func TestBBRSurvivesAnyLink(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 3))
		l := &link{rate: 1e5 * float64(1+r.IntN(1000)), delay: time.Duration(r.IntN(300)) * ms, buffer: time.Duration(1+r.IntN(500)) * ms,
			jitter: time.Duration(r.IntN(40)) * ms, reorder: r.IntN(2) == 0, loss: r.Float64() * r.Float64() / 2}
		b := NewBBR()
		l.add(b)
		for range 20 {
			l.run(300 * ms)
			l.rate = 1e5 * float64(1+r.IntN(1000))
			packets, bytes := b.Window()
			if packets < 1 || packets > MaxWindow || bytes < packetSize || b.PacingRate() < 0 || b.PacingRate() > 2e10 {
				t.Fatalf("seed %d: window %d packets, %d bytes, pace %d", seed, packets, bytes, b.PacingRate())
			}
		}
	}
}

// share is what the first of two senders over one link of 20 Mbit/s, 40 ms,
// gets of what both get; the second begins 5 s later.
func share(buffer time.Duration, first, second Controller) float64 {
	l := &link{rate: 20e6, delay: 20 * ms, buffer: buffer}
	a := l.add(first)
	l.run(5 * time.Second)
	b := l.add(second)
	l.run(10 * time.Second)
	x, y := a.delivered, b.delivered
	l.run(30 * time.Second)
	return float64(a.delivered-x) / float64(a.delivered-x+b.delivered-y)
}

func TestBBRSharesWithItself(t *testing.T) {
	for _, buffer := range []time.Duration{20 * ms, 100 * ms, 300 * ms} {
		if s := share(buffer, NewBBR(), NewBBR()); s < 0.4 || s > 0.6 {
			t.Errorf("buffer %v: the first gets %.2f", buffer, s)
		}
	}
}

// Beside loss-based flows it neither starves nor starves them. (Fair within a
// factor of two would be 0.33 to 0.67.)
func TestBBRSharesWithLossBasedFlows(t *testing.T) {
	for _, buffer := range []time.Duration{40 * ms, 100 * ms} {
		for name, other := range map[string]Controller{"CUBIC": newTestCubic(), "New Reno": NewNewReno()} {
			s := share(buffer, NewBBR(), other)
			t.Logf("buffer %v, beside %s: %.2f", buffer, name, s)
			if s < 0.2 || s > 0.8 {
				t.Errorf("buffer %v: beside %s it gets %.2f", buffer, name, s)
			}
		}
	}
}
