package exchange

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

// queueTester plays the links behind the queue: it takes packets by hand.
type queueTester struct {
	*fqCoDel
	*tester
}

func newQueueTester(t testing.TB) queueTester {
	u := newTester(t, Greedy{})
	return queueTester{&u.queue, u}
}

// take is what a link does that has room for one packet; nil: nothing waits.
func (q queueTester) take() *packet.Packet {
	for f := q.turn(); f != nil; f = q.turn() {
		if q.allows(q.now, f) {
			return q.pop(f)
		}
	}
	return nil
}

// flowsTaken takes n packets and returns their flows.
func (q queueTester) flowsTaken(n int) (flows []uint32) {
	for range n {
		p := q.take()
		flows = append(flows, p.Flow)
		p.Release()
	}
	return flows
}

func TestFlowsTakeTurns(t *testing.T) {
	q := newQueueTester(t)
	q.ingress(50, 1, 1500)
	q.ingress(50, 2, 1500)
	if got := q.flowsTaken(8); !slices.Equal(got, []uint32{1, 2, 1, 2, 1, 2, 1, 2}) && !slices.Equal(got, []uint32{1, 1, 2, 2, 1, 2, 1, 2}) {
		t.Errorf("flows took turns as %v", got)
	}
	q.ingress(1, 3, 100)
	if got := q.flowsTaken(1); got[0] != 3 {
		t.Errorf("flow %d went before the one that had just begun", got[0])
	}
	q.ingress(1, 3, 100)
	if got := q.flowsTaken(3); !slices.Contains(got, 3) {
		t.Errorf("a sparse flow waited longer than a turn: %v", got)
	}
	q.closes()
}

func TestTurnsAreCountedInBytes(t *testing.T) {
	q := newQueueTester(t)
	q.queue.limit = 1 << 20
	q.ingress(300, 1, 1500)
	q.ingress(1500, 2, 300)
	bytes := map[uint32]int{}
	for range 600 {
		p := q.take()
		bytes[p.Flow] += len(p.Data)
		p.Release()
	}
	if a, b := bytes[1], bytes[2]; a < b*9/10 || b < a*9/10 {
		t.Errorf("flows of long and of short packets sent %d and %d bytes", a, b)
	}
	q.closes()
}

func TestTheLongestQueuePaysForOverflow(t *testing.T) {
	q := newQueueTester(t)
	q.limit = 100_000
	q.ingress(2, 1, 1000)
	q.ingress(500, 2, 1000)
	if q.fqCoDel.bytes > q.limit || q.fqCoDel.Dropped == 0 {
		t.Fatalf("%d bytes wait, %d packets were dropped", q.fqCoDel.bytes, q.fqCoDel.Dropped)
	}
	if got := q.flowsTaken(2); !slices.Contains(got, 1) {
		t.Errorf("the sparse flow lost its turn: %v", got)
	}
	q.closes()
}

// standing lets a flow keep n packets waiting while one goes each millisecond,
// and returns how many were dropped.
func (q queueTester) standing(n int, d time.Duration, ecn byte) (sent int) {
	for end := q.now.Add(d); q.now < end; q.now = q.now.Add(ms) {
		for _, p := range q.tester.packets(max(0, n-q.fqCoDel.packets), 1, 1500) {
			copy(p.Data, []byte{0x45, ecn, 1500 >> 8, 1500 & 0xff})
			q.push(p)
		}
		if p := q.take(); p != nil {
			sent++
			p.Release()
		}
	}
	return sent
}

func TestCoDelLetsABurstPassAndDropsFromAStandingQueue(t *testing.T) {
	q := newQueueTester(t)
	q.standing(9, minInterval-10*ms, 0) // packets wait 9 ms
	if q.fqCoDel.Dropped != 0 {
		t.Errorf("%d were dropped within an interval", q.fqCoDel.Dropped)
	}
	q.standing(9, minInterval, 0)
	first := q.fqCoDel.Dropped
	if first == 0 {
		t.Error("nothing was dropped from a queue that stands")
	}
	q.standing(9, 5*minInterval, 0)
	if more := q.fqCoDel.Dropped - first; more <= 5*first {
		t.Errorf("%d dropped in the first interval, %d in the next five: the rate does not rise", first, more)
	}
	q.closes()
}

func TestCoDelLeavesAShortQueueAlone(t *testing.T) {
	q := newQueueTester(t)
	if sent := q.standing(4, 20*minInterval, 0); q.fqCoDel.Dropped != 0 || sent < 1990 {
		t.Errorf("%d dropped and %d sent, with 4 ms of queue", q.fqCoDel.Dropped, sent)
	}
	q.closes()
}

func TestCoDelMarksWhereItMay(t *testing.T) {
	q := newQueueTester(t)
	q.standing(20, 10*minInterval, 2)
	if q.fqCoDel.Dropped != 0 || q.fqCoDel.Marked == 0 {
		t.Errorf("%d dropped, %d marked", q.fqCoDel.Dropped, q.fqCoDel.Marked)
	}
	q.closes()
}

func TestCoDelIsAsPatientAsThePathIsLong(t *testing.T) {
	q := newQueueTester(t)
	q.ingress(1, 1, 1500)
	q.adapt(200 * ms)
	if q.target != 90*ms || q.interval != 400*ms {
		t.Errorf("one flow over 200 ms: %v, %v", q.target, q.interval)
	}
	for flow := range uint32(99) {
		q.ingress(1, flow+2, 300)
	}
	q.adapt(200 * ms)
	if q.target != 9*ms {
		t.Errorf("a hundred flows over 200 ms: %v", q.target)
	}
	q.closes()
}

// Whatever comes and goes: each packet leaves once or is counted as dropped,
// and a flow keeps its order.
func TestTheQueueLosesNothingUncounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := fqCoDel{limit: 20_000}
		q.adapt(0)
		pool := packet.NewPool(2048, 10_000)
		now := start
		in, out := 0, 0
		last := map[uint32]uint64{}
		take := func() {
			for f := q.turn(); f != nil; f = q.turn() {
				if !q.allows(now, f) {
					continue
				}
				p := q.pop(f)
				if p.Sequence <= last[p.Flow] {
					t.Fatalf("flow %d: %d after %d", p.Flow, p.Sequence, last[p.Flow])
				}
				last[p.Flow] = p.Sequence
				p.Release()
				out++
				return
			}
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			now += mono.Time(rapid.IntRange(0, 20_000_000).Draw(t, "ns"))
			if rapid.Bool().Draw(t, "take") {
				take()
				continue
			}
			var one [1]*packet.Packet
			pool.Get(one[:])
			p := one[0]
			in++
			p.Data = p.Buffer()[packet.Headroom:][:rapid.IntRange(20, 1500).Draw(t, "size")]
			p.Flow, p.Queued, p.Sequence = uint32(rapid.IntRange(0, 2).Draw(t, "flow")), now, uint64(in)
			q.push(p)
		}
		for q.packets > 0 {
			take()
		}
		if in != out+int(q.Dropped) || q.bytes != 0 || q.backlogged != 0 || pool.Outstanding() != 0 {
			t.Fatalf("%d in, %d out, %d dropped; %d bytes, %d flows, %d packets left", in, out, q.Dropped, q.bytes, q.backlogged, pool.Outstanding())
		}
	})
}
