package exchange

import (
	"testing"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// inSteadyState checks that a round costs no memory once it has run a while.
func inSteadyState(t *testing.T, round func()) {
	t.Helper()
	for range 500 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

const batch = 32

// traffic lets a batch of packets through the exchange each round: to paths
// that have room for half a batch, so that there is always a queue.
type traffic struct {
	*tester
	batch [batch]*packet.Packet
	flow  uint32
}

func newTraffic(t testing.TB, s Scheduler) *traffic {
	return &traffic{tester: newTester(t, s, &fakePath{room: batch / 2, rtt: 10 * ms}, &fakePath{room: batch / 2, rtt: 5 * ms},
		&fakePath{room: batch / 2, metric: 1}, &fakePath{down: true})}
}

func (u *traffic) round() {
	n := u.pool.Get(u.batch[:])
	for _, p := range u.batch[:n] {
		u.flow++
		p.Data, p.Flow, p.Queued = p.Buffer()[packet.Headroom:][:1000], u.flow%100, u.now
	}
	u.Ingress(u.batch[:n])
	u.pump()
	for _, p := range u.paths {
		p.take()
	}
	u.now = u.now.Add(ms)
}

func TestSendingAllocatesNothing(t *testing.T) {
	for name, s := range map[string]Scheduler{"earliest": Earliest{}, "greedy": Greedy{}, "proportional": &Proportional{}, "redundant": Redundant{}} {
		t.Run(name, func(t *testing.T) {
			u := newTraffic(t, s)
			inSteadyState(t, u.round)
			u.closes()
		})
	}
}

// arriving lets a batch of packets through the resequencer each round, in the
// given order of each eight; those it leaves out are lost. They are of two
// flows, by turns.
type arriving struct {
	Resequencer
	now     mono.Time
	order   []uint64
	packets [batch]packet.Packet
	base    uint64
	out     []*packet.Packet
}

func newArriving(order ...uint64) *arriving {
	return &arriving{Resequencer: newResequencer(), now: start, order: order, base: 8}
}

func (r *arriving) round() {
	for i := range r.packets[:batch/8*len(r.order)] {
		p := &r.packets[i]
		p.Sequence, p.Previous = r.base+r.order[i%len(r.order)], 2
		if i%len(r.order) == len(r.order)-1 {
			r.base += 8
		}
		r.out = r.Receive(r.now, 0, p, r.out)
	}
	r.now = r.now.Add(maxHold)
	r.out = r.Tick(r.now, r.out)[:0] // now all are out: the packets may be used again
}

var orders = map[string][]uint64{
	"in order":     {0, 1, 2, 3, 4, 5, 6, 7},
	"out of order": {4, 5, 6, 7, 0, 1, 2, 3},
	"with loss":    {0, 1, 2, 3, 6, 7},
}

func TestResequencingAllocatesNothing(t *testing.T) {
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			r := newArriving(order...)
			inSteadyState(t, r.round)
			if name == "with loss" != (r.ReleasedLate > 2) {
				t.Errorf("%d went without their predecessor", r.ReleasedLate)
			}
		})
	}
}

// One packet from the TUN to a path.
func BenchmarkSend(b *testing.B) {
	u := newTraffic(b, Greedy{})
	b.ReportAllocs()
	for i := 0; i < b.N; i += batch {
		u.round()
	}
}

// One packet from a path to the TUN.
func BenchmarkResequence(b *testing.B) {
	for name, order := range orders {
		b.Run(name, func(b *testing.B) {
			r := newArriving(order...)
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				r.round()
			}
		})
	}
}
