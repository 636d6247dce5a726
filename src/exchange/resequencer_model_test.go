package exchange

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// journey is what happened to one packet between the two portals.
type journey struct {
	sequence, before uint64 // before: the packet before it in its flow; 0: none
	flow             uint32
	previous         uint16
	arrives          mono.Time // mono.Never: lost
	left             mono.Time // 0: not yet
}

// drawJourneys sends packets of a few flows over paths of different delay,
// jitter and loss, numbered by an exchange, and returns them as they arrive.
func drawJourneys(t *rapid.T) (all []*journey) {
	type link struct{ delay, jitter, loss int }
	links := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) link {
		return link{rapid.IntRange(1, 60_000).Draw(t, "delay, µs"), rapid.SampledFrom([]int{1, 1, 8000}).Draw(t, "jitter, µs"),
			rapid.SampledFrom([]int{0, 0, 5, 30}).Draw(t, "loss, %")}
	}), 1, 3).Draw(t, "links")
	path := &fakePath{room: plenty}
	x, last := New(Greedy{}), map[uint32]uint64{}
	for i := range rapid.IntRange(1, 200).Draw(t, "packets") {
		p := &packet.Packet{Flow: uint32(rapid.IntRange(1, 3).Draw(t, "flow"))}
		x.Ingress([]*packet.Packet{p})
		x.Pump(0, []Consumer{path})
		j := &journey{sequence: p.Sequence, previous: p.Previous, flow: p.Flow, before: last[p.Flow], arrives: mono.Never}
		last[p.Flow] = p.Sequence
		l := links[rapid.IntRange(0, len(links)-1).Draw(t, "link")]
		if rapid.IntRange(0, 99).Draw(t, "luck") >= l.loss {
			j.arrives = start.Add(time.Duration(500*i+l.delay+rapid.IntRange(0, l.jitter).Draw(t, "late")) * time.Microsecond)
		}
		all = append(all, j)
	}
	slices.SortStableFunc(all, func(a, b *journey) int { return cmp.Compare(a.arrives, b.arrives) })
	return all
}

// However packets travel: each that arrives leaves once; in the order of its
// flow, unless it waited as long as it may; and it never waits when nothing of
// its own flow is missing.
func TestWhateverTheWayFlowsStayInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := drawJourneys(t)
		known := map[uint64]*journey{}
		for _, j := range all {
			known[j.sequence] = j
		}
		r := newResequencer()
		r.SetSpread(time.Duration(rapid.IntRange(0, 80).Draw(t, "spread, ms")) * ms)
		tick := time.Duration(rapid.IntRange(100, 5000).Draw(t, "tick, µs")) * time.Microsecond
		now, late := start, uint64(0)

		// leave notes what left. A packet may leave before its predecessor if it,
		// or one of its flow that leaves with it, has waited for hold.
		leave := func(ps []*packet.Packet, hold time.Duration) {
			eldest := map[uint32]mono.Time{}
			for _, p := range ps {
				j := known[p.Sequence]
				if at, ok := eldest[j.flow]; !ok || j.arrives < at {
					eldest[j.flow] = j.arrives
				}
			}
			for _, p := range ps {
				j := known[p.Sequence]
				if j.left != 0 {
					t.Fatalf("%d left twice", p.Sequence)
				}
				j.left = now
				b := known[j.before]
				if b == nil || b.left != 0 {
					continue
				}
				if late++; b.arrives < now {
					t.Fatalf("%d overtook %d, which was here", j.sequence, j.before)
				}
				if waited := now.Sub(eldest[j.flow]); waited < hold {
					t.Fatalf("%d overtook %d after %v; the hold is %v", j.sequence, j.before, waited, hold)
				}
			}
		}
		doTick := func() {
			out := r.Tick(now, nil)
			leave(out, r.Hold())
			held := 0
			for _, j := range all {
				if j.arrives > now || j.left != 0 {
					continue
				}
				if held++; now.Sub(j.arrives) >= r.Hold() {
					t.Fatalf("%d is held after %v; the hold is %v", j.sequence, now.Sub(j.arrives), r.Hold())
				}
			}
			if held != r.Held() {
				t.Fatalf("%d are held, it says %d", held, r.Held())
			}
		}
		for _, j := range all {
			if j.arrives == mono.Never {
				break
			}
			for now.Add(tick) < j.arrives {
				now = now.Add(tick)
				doTick()
			}
			now = j.arrives
			p := &packet.Packet{Sequence: j.sequence, Previous: j.previous}
			leave(r.Receive(now, 0, p, nil), maxHold+1) // without a tick none may overtake
			if b := known[j.before]; (b == nil || b.left != 0) && j.left == 0 {
				t.Fatalf("%d waits, and nothing of its flow is missing", j.sequence)
			}
		}
		now = now.Add(maxHold)
		doTick()
		for _, j := range all {
			if (j.left != 0) != (j.arrives != mono.Never) {
				t.Fatalf("%d arrived at %v and left at %v", j.sequence, j.arrives, j.left)
			}
		}
		if late != r.ReleasedLate || r.Deadline(now) != mono.Never {
			t.Fatalf("%d went without their predecessor, it says %d", late, r.ReleasedLate)
		}
	})
}
