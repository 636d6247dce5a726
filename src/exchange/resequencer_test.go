package exchange

import (
	"slices"
	"testing"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// arrivals is a resequencer with a clock, fed by hand.
type arrivals struct {
	Resequencer
	t    *testing.T
	now  mono.Time
	pool *packet.Pool
	out  []uint64 // sequences, as they leave
}

func newArrivals(t *testing.T) *arrivals {
	return &arrivals{Resequencer: newResequencer(), t: t, now: start, pool: packet.NewPool(64, 20_000)}
}

func (r *arrivals) leave(ps []*packet.Packet) {
	for _, p := range ps {
		r.out = append(r.out, p.Sequence)
		p.Release()
	}
}

// arrive takes a packet whose predecessor in its flow is previous back.
func (r *arrivals) arrive(sequence uint64, previous uint16) {
	r.t.Helper()
	var one [1]*packet.Packet
	if r.pool.Get(one[:]) != 1 {
		r.t.Fatal("the pool is empty")
	}
	one[0].Sequence, one[0].Previous = sequence, previous
	r.leave(r.Receive(r.now, 0, one[0], nil))
}

// flow takes packets of one flow that has all sequences.
func (r *arrivals) flow(sequences ...uint64) {
	r.t.Helper()
	for _, s := range sequences {
		r.arrive(s, 1)
	}
}

func (r *arrivals) wait(d time.Duration) {
	r.now = r.now.Add(d)
	r.leave(r.Tick(r.now, nil))
}

// left checks which packets left since the last call, and how many wait.
func (r *arrivals) left(held int, sequences ...uint64) {
	r.t.Helper()
	if !slices.Equal(r.out, sequences) || r.Held() != held {
		r.t.Fatalf("%v left and %d are held, want %v and %d", r.out, r.Held(), sequences, held)
	}
	r.out = nil
	if out := r.pool.Outstanding(); out != held {
		r.t.Fatalf("%d packets are out of the pool, %d held", out, held)
	}
}

func TestPacketsInOrderPassAtOnce(t *testing.T) {
	r := newArrivals(t)
	for s := uint64(1); s <= 5; s++ {
		r.flow(s)
		r.left(0, s)
	}
	if r.Deadline(r.now) != mono.Never {
		t.Error("nothing waits, and there is a deadline")
	}
}

func TestAFlowIsPutBackInOrder(t *testing.T) {
	r := newArrivals(t)
	r.flow(1, 3, 4)
	r.left(2, 1)
	r.flow(2)
	r.left(0, 2, 3, 4)
	r.flow(8, 6, 7, 10)
	r.left(4)
	r.flow(5)
	r.left(1, 5, 6, 7, 8)
	r.flow(9)
	r.left(0, 9, 10)
	if r.ReleasedLate != 0 {
		t.Errorf("%d went without their predecessor", r.ReleasedLate)
	}
}

func TestOrderHoldsFromTheFirstPacketOn(t *testing.T) {
	r := newArrivals(t)
	r.flow(3, 2)
	r.left(2)
	r.arrive(1, 0)
	r.left(0, 1, 2, 3)
}

func TestNoFlowWaitsForAnother(t *testing.T) {
	r := newArrivals(t)
	r.arrive(1, 0) // flow A: 1, 3, 5; flow B: 2, 4, 6
	r.arrive(2, 0)
	r.left(0, 1, 2)
	r.arrive(5, 2) // 3 is missing
	r.left(1)
	r.arrive(4, 2)
	r.arrive(6, 2)
	r.left(1, 4, 6)
	r.arrive(3, 2)
	r.left(0, 3, 5)
}

func TestAMissingPacketIsNotWaitedForLongerThanTheHold(t *testing.T) {
	r := newArrivals(t)
	r.flow(1, 3)
	r.wait(ms)
	r.flow(4, 6)
	r.left(3, 1)
	if at := r.Deadline(r.now); at != r.now.Add(minHold-ms) {
		t.Errorf("the deadline is %v from now", at.Sub(r.now))
	}
	r.wait(minHold - ms - 1)
	r.left(3)
	r.wait(1)
	r.left(1, 3, 4) // 4 follows 3, which it waited for
	if at := r.Deadline(r.now); at != r.now.Add(ms) {
		t.Errorf("the next deadline is %v from now", at.Sub(r.now))
	}
	r.wait(ms)
	r.left(0, 6)
	if r.ReleasedLate != 2 {
		t.Errorf("%d went without their predecessor, want 2", r.ReleasedLate)
	}
	r.flow(2, 5) // too late to be in order, and no reason to be lost
	r.left(0, 2, 5)
	r.flow(7)
	r.left(0, 7)
}

func TestNoPacketOvertakesOneThatIsHere(t *testing.T) {
	r := newArrivals(t)
	r.flow(1, 5)
	r.wait(ms)
	r.flow(4)
	r.wait(ms)
	r.flow(3)
	r.left(3, 1)
	r.wait(minHold - 2*ms) // 5 has waited long enough: the others go with it
	r.left(0, 3, 4, 5)
	if r.ReleasedLate != 1 {
		t.Errorf("%d went without their predecessor, want 1", r.ReleasedLate)
	}
}

func TestTheHoldFollowsTheSpreadItIsTold(t *testing.T) {
	r := newArrivals(t)
	for _, c := range []struct{ spread, hold time.Duration }{{0, minHold}, {ms, minHold}, {40 * ms, 40 * ms}, {time.Second, maxHold}} {
		if r.SetSpread(c.spread); r.Hold() != c.hold {
			t.Errorf("spread %v: hold %v, want %v", c.spread, r.Hold(), c.hold)
		}
	}
}

func TestTheHoldFollowsWhatIsSeen(t *testing.T) {
	t.Run("of a packet that was waited for", func(t *testing.T) {
		r := newArrivals(t)
		r.SetSpread(100 * ms)
		r.flow(1, 3)
		r.wait(40 * ms)
		r.flow(2)
		r.SetSpread(0)
		if got := r.Hold(); got != 51*ms {
			t.Errorf("hold %v after a packet was 40 ms late, want 51 ms", got)
		}
	})
	t.Run("of a packet that was given up", func(t *testing.T) {
		r := newArrivals(t)
		r.flow(1, 3)
		r.wait(40 * ms)
		r.left(0, 1, 3)
		r.flow(2)
		if got := r.Hold(); got != 51*ms {
			t.Errorf("hold %v after a packet was 40 ms late, want 51 ms", got)
		}
		r.flow(5)
		r.wait(45 * ms)
		r.flow(4)
		r.left(0, 2, 4, 5) // now it has the patience
	})
	t.Run("but not of one later than any wait", func(t *testing.T) {
		r := newArrivals(t)
		r.flow(1, 3)
		r.wait(maxHold + ms)
		r.flow(2)
		if got := r.Hold(); got != minHold {
			t.Errorf("hold %v after a packet was %v late", got, maxHold+ms)
		}
	})
	t.Run("and forgets", func(t *testing.T) {
		r := newArrivals(t)
		r.flow(1, 3)
		r.wait(200 * ms)
		r.flow(2)
		for range 12 {
			r.wait(lateMemory + ms)
		}
		if got := r.Hold(); got != minHold {
			t.Errorf("hold %v, long after the last disorder", got)
		}
	})
}

func TestTheHeldAreBounded(t *testing.T) {
	r := newArrivals(t)
	r.SetSpread(maxHold)
	const n = maxGaps + 100
	for i := range uint64(n) {
		r.arrive(10+2*i, 1) // flows of two, the first of which is missing
	}
	if r.Held() > maxGaps {
		t.Errorf("%d are held", r.Held())
	}
	for i := 1; i < len(r.out); i++ {
		if r.out[i] <= r.out[i-1] {
			t.Fatal("it was not the oldest that had to go")
		}
	}
	r.wait(maxHold)
	if len(r.out) != n || r.Held() != 0 {
		t.Errorf("%d left of %d, %d are held", len(r.out), n, r.Held())
	}
}

func TestAGapInTheSamePlaceDoesNotStrandItsChain(t *testing.T) {
	r := newArrivals(t)
	r.arrive(1, 0)
	r.arrive(3, 1)                        // 2 is missing
	r.arrive(2+maxGaps, maxGaps-1)        // waits for 3
	r.arrive(3+maxGaps, 1)                // waits for it: the gap lies where that of 2 lies
	r.left(0, 1, 3, 2+maxGaps, 3+maxGaps) // so 2 is given up, and all go, in order
}

func TestPredecessorsNamedTwiceOrNotAtAllPossible(t *testing.T) {
	r := newArrivals(t)
	r.arrive(10, 3)
	r.arrive(11, 4) // both follow 7: no honest peer says so
	r.left(1, 11)
	r.arrive(5, 5)
	r.arrive(4, 9) // before the first
	r.left(1, 5, 4)
	r.arrive(7, 0)
	r.left(0, 7, 10)
}

func TestResetLetsAllGoAndForgets(t *testing.T) {
	r := newArrivals(t)
	r.flow(1001, 1003, 1005, 1006)
	r.left(4)
	r.leave(r.Reset(nil))
	r.left(0, 1001, 1003, 1005, 1006)
	r.arrive(1, 0) // another peer begins anew
	r.flow(3)
	r.left(1, 1)
	r.flow(2)
	r.left(0, 2, 3)
	if r.Hold() != minHold {
		t.Errorf("hold %v, learnt from the numbers of another peer", r.Hold())
	}
	r.flow(5)
	r.Close()
	r.left(0)
}

func TestJumpsAndOldPackets(t *testing.T) {
	r := newArrivals(t)
	r.flow(1, 2)
	r.left(0, 1, 2)
	const far = 10 * passedBits
	r.arrive(far, 0)
	r.arrive(far+1, 1)
	r.arrive(far+3, 2)
	r.left(0, far, far+1, far+3)
	r.arrive(far+2-passedBits, 1) // from before the memory: its neighbours in it stay as they are
	r.left(0, far+2-passedBits)
	r.arrive(far+4, 2)
	r.left(1)
	r.arrive(far+2, 1)
	r.left(0, far+2, far+4)
}
