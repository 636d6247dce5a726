package congestion

import (
	"testing"
	"time"

	"netcombiner/src/mono"
)

// bottleneck is a link with a drop-tail queue, at a fixed packet rate, that a
// controller keeps busy; acknowledgements come back after the delay.
type bottleneck struct {
	service time.Duration // time a packet takes
	delay   time.Duration // round trip without queue
	queue   int           // packets
}

// run drives c over b for the given time and returns the share of the link's
// capacity that was used after the warm-up, and how many packets were lost.
func (b bottleneck) run(c Controller, total, warmup time.Duration) (share float64, lost int) {
	type event struct {
		at   mono.Time
		seq  uint64
		lost bool
	}
	var (
		now       mono.Time
		events    []event // ordered: the link is first in, first out
		free      mono.Time
		inFlight  int
		next      uint64 = 1
		delivered int
	)
	for now < mono.Time(total) {
		for w, _ := c.Window(); inFlight < w; w, _ = c.Window() {
			free = max(free, now)
			backlog := int(free.Sub(now) / b.service)
			e := event{seq: next, lost: backlog > b.queue}
			if !e.lost {
				free = free.Add(b.service)
			}
			e.at = free.Add(b.delay)
			events = append(events, e)
			c.Sent(now, 1400)
			next++
			inFlight++
		}
		e := events[0]
		events = events[1:]
		now = e.at
		if e.lost {
			c.Lost(now, Loss{Packets: 1, Bytes: 1400, Largest: e.seq, Next: next})
			lost++
		} else {
			c.Acknowledged(now, Acknowledgement{Packets: 1, Bytes: 1400, Largest: e.seq, InFlight: inFlight, RTT: b.delay, Limited: true})
			if now > mono.Time(warmup) {
				delivered++
			}
		}
		inFlight--
	}
	return float64(delivered) * float64(b.service) / float64(total-warmup), lost
}

func TestNewRenoFillsABottleneck(t *testing.T) {
	// 16 Mbit/s, 10 ms, a queue of one bandwidth-delay product: the classic
	// rule says New Reno keeps it full.
	b := bottleneck{service: 700 * time.Microsecond, delay: 10 * time.Millisecond, queue: 15}
	share, lost := b.run(NewNewReno(), time.Minute, 5*time.Second)
	if share < 0.97 {
		t.Errorf("used %.1f %% of the link", 100*share)
	}
	if lost == 0 {
		t.Error("nothing was ever lost: the window cannot have been probed")
	}
}

func TestNewRenoHalvesOncePerWindow(t *testing.T) {
	r := NewNewReno()
	for range 9 {
		r.Acknowledged(0, Acknowledgement{Packets: 10, Limited: true})
	}
	if window(r) != 100 {
		t.Fatalf("slow start reached %d, want 100", window(r))
	}
	r.Lost(0, Loss{Packets: 1, Largest: 50, Next: 101})
	r.Lost(0, Loss{Packets: 3, Largest: 100, Next: 140}) // sent before the first loss was known
	if window(r) != 50 {
		t.Errorf("window %d after one window's losses, want 50", window(r))
	}
	r.Lost(0, Loss{Packets: 1, Largest: 101, Next: 160})
	if window(r) != 25 {
		t.Errorf("window %d after a loss of the next window, want 25", window(r))
	}
}

func TestNewRenoGrowsByOneAWindow(t *testing.T) {
	r := NewNewReno()
	r.Lost(0, Loss{Packets: 1, Largest: 1, Next: 11})
	start := window(r)
	for range start {
		r.Acknowledged(0, Acknowledgement{Packets: 1, Limited: true})
	}
	if window(r) != start+1 {
		t.Errorf("window %d after a window of acknowledgements, want %d", window(r), start+1)
	}
}

func TestNewRenoKeepsBounds(t *testing.T) {
	r := NewNewReno()
	for i := range 40 {
		r.Lost(0, Loss{Packets: 1, Largest: uint64(100 * i), Next: uint64(100*i + 1)})
	}
	if window(r) != MinWindow {
		t.Errorf("window %d after endless loss", window(r))
	}
	r = NewNewReno()
	for range 20 {
		r.Acknowledged(0, Acknowledgement{Packets: MaxWindow, Limited: true})
	}
	if window(r) != MaxWindow {
		t.Errorf("window %d after endless success", window(r))
	}
	r = NewNewReno()
	r.Acknowledged(0, Acknowledgement{Packets: 100})
	if window(r) != InitialWindow {
		t.Errorf("the window grew to %d although nothing asked for it", window(r))
	}
}

func TestRateIsACeiling(t *testing.T) {
	for _, name := range []string{"bbr", "newreno", "none"} {
		c, err := New(name, 5e6)
		if err != nil {
			t.Fatal(err)
		}
		if c.PacingRate() != 5e6 {
			t.Errorf("%s paces at %d", name, c.PacingRate())
		}
	}
	if _, err := New("cubic", 0); err == nil {
		t.Error("an unknown controller is accepted")
	}
}

func window(c Controller) int {
	packets, _ := c.Window()
	return packets
}
