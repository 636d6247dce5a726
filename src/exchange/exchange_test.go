package exchange

import (
	"slices"
	"testing"
	"time"

	"netcombiner/src/packet"
)

const plenty = 1 << 20

func TestPacketsGoInOrderWhileThereIsRoom(t *testing.T) {
	path := &fakePath{room: 10}
	u := newTester(t, Greedy{}, path)
	in := u.ingress(25, 1, 1000)
	u.pump()
	if !slices.Equal(path.got, in[:10]) {
		t.Fatalf("%d packets went, want the first 10", len(path.got))
	}
	if n, bytes, _ := u.Queued(u.now); n != 15 || bytes != 15_000 || !u.Waiting() {
		t.Errorf("%d packets wait, %d bytes", n, bytes)
	}
	u.now = u.now.Add(20 * ms)
	if _, _, delay := u.Queued(u.now); delay != 20*ms {
		t.Errorf("the queue's delay is %v", delay)
	}
	path.room = plenty
	u.pump()
	if !slices.Equal(path.got, in) || u.Waiting() || u.TxPackets != 25 || u.TxBytes != 25_000 || u.Dropped() != 0 {
		t.Errorf("%d packets went, counted: %+v", len(path.got), u.Counters)
	}
	u.closes()
}

func TestTheQueueIsBoundedAndDropsItsHead(t *testing.T) {
	path := &fakePath{}
	u := newTester(t, Greedy{}, path)
	in := u.ingress(5000, 1, 1000)
	n, bytes, _ := u.Queued(u.now)
	if n < 4000 || bytes > queueLimit || u.Dropped() != uint64(5000-n) {
		t.Fatalf("%d packets and %d bytes wait, %d were dropped", n, bytes, u.Dropped())
	}
	path.room = plenty
	u.pump()
	if !slices.Equal(path.got, in[5000-n:]) {
		t.Error("what is left is not the newest")
	}
	if first := path.got[0].Sequence; first != 1 {
		t.Errorf("the first packet that went has number %d: what was dropped left a gap", first)
	}
	u.closes()
}

func TestShortPacketsDoNotTakeAllBuffers(t *testing.T) {
	u := newTester(t, Greedy{}, &fakePath{})
	u.ingress(2*queuePackets, 1, 50)
	if n, _, _ := u.Queued(u.now); n > queuePackets || n < queuePackets-dropBatch || u.Dropped() != uint64(2*queuePackets-n) {
		t.Errorf("%d packets wait, %d were dropped", n, u.Dropped())
	}
	u.closes()
}

func TestStalePacketsAreDropped(t *testing.T) {
	path := &fakePath{}
	u := newTester(t, Greedy{}, path)
	u.ingress(5, 1, 1000)
	u.now = u.now.Add(staleAfter)
	fresh := u.ingress(1, 1, 1000)
	u.pump()
	if n, _, _ := u.Queued(u.now); n != 6 {
		t.Errorf("%d wait, want all: none is older than %v", n, staleAfter)
	}
	u.now++
	u.pump() // also with no path that has room
	path.room = plenty
	u.pump()
	if !slices.Equal(path.got, fresh) || u.Dropped() != 5 {
		t.Errorf("%d went, %d dropped", len(path.got), u.Dropped())
	}
	u.closes()
}

func TestAPacketTooLongForEveryPathKeepsNobodyWaiting(t *testing.T) {
	short, down := &fakePath{room: plenty, longest: 1200}, &fakePath{down: true}
	u := newTester(t, Greedy{}, short, down)
	u.ingress(3, 1, 1400)
	after := u.ingress(2, 2, 1000)
	u.pump()
	if !slices.Equal(short.got, after) || u.Dropped() != 3 {
		t.Errorf("%d went, %d dropped", len(short.got), u.Dropped())
	}

	short.growing = true // now it may fit soon
	u.ingress(1, 1, 1400)
	u.pump()
	short.down = true // and now it is not known
	u.pump()
	if !u.Waiting() || u.Dropped() != 3 {
		t.Error("a packet that may still fit was dropped")
	}
	u.closes()
}

func TestNumbersAreGivenOnceAndNameThePredecessor(t *testing.T) {
	path := &fakePath{room: plenty}
	u := newTester(t, Greedy{}, path)
	send := func(flow uint32) *packet.Packet {
		p := u.ingress(1, flow, 100)[0]
		u.pump()
		return p
	}
	a, b := send(1), send(2)
	send(3)
	a2, b2, a3 := send(1), send(2), send(1)
	for i, c := range []struct {
		p        *packet.Packet
		sequence uint64
		previous uint16
	}{{a, 1, 0}, {b, 2, 0}, {a2, 4, 3}, {b2, 5, 3}, {a3, 6, 2}} {
		if c.p.Sequence != c.sequence || c.p.Previous != c.previous {
			t.Errorf("packet %d: %d, previous %d back; want %d, %d", i, c.p.Sequence, c.p.Previous, c.sequence, c.previous)
		}
	}
	a.Retain()
	u.Rescue([]*packet.Packet{a})
	u.pump()
	if a.Sequence != 1 || a.Previous != 0 {
		t.Error("a packet that goes again has another number")
	}
	path.take()

	for u.sequence < 5+1<<16-2 { // flow 2 was last seen at 5, flow 1 at 6
		send(9)
		path.take()
	}
	if p := send(2); p.Previous != 1<<16-1 {
		t.Errorf("the longest distance is called %d", p.Previous)
	}
	send(9)
	send(9)
	if p := send(1); p.Previous != 0 {
		t.Errorf("a predecessor that is too far back to name is called %d", p.Previous)
	}
	if p := send(1); p.Previous != 1 {
		t.Errorf("and the next one names %d", p.Previous)
	}
	u.closes()
}

func TestRescuesGoFirst(t *testing.T) {
	path := &fakePath{}
	u := newTester(t, Greedy{}, path)
	fresh := u.ingress(3, 1, 1000)
	lost := u.packets(3, 1, 1000)
	for i, p := range lost {
		p.Sequence = uint64(100 + i)
	}
	u.Rescue(lost)
	path.room = 2
	u.pump()
	if !slices.Equal(path.got, lost[:2]) {
		t.Error("fresh packets went before rescued ones")
	}
	path.room = plenty
	u.pump()
	if !slices.Equal(path.got[2:], append(lost[2:], fresh...)) || u.TxPackets != 3 {
		t.Errorf("%d went, %d counted", len(path.got), u.TxPackets)
	}
	u.closes()
}

func TestSomeRescuesAreInVain(t *testing.T) {
	path := &fakePath{longest: 1200}
	u := newTester(t, Greedy{}, path)
	old := u.packets(1, 1, 1000)
	u.now = u.now.Add(staleAfter + 1)
	delivered, long, good := u.packets(1, 1, 1000), u.packets(1, 1, 1400), u.packets(1, 1, 1000)
	delivered[0].Delivered = true
	u.Rescue(slices.Concat(old, delivered, long, good))
	path.room = plenty
	u.pump()
	if !slices.Equal(path.got, good) {
		t.Errorf("%d rescues went, want the one that is fresh, short and missing", len(path.got))
	}
	u.Rescue(u.packets(4, 1, 1000))
	u.DropRescues()
	if u.Waiting() {
		t.Error("rescues wait after they were dropped")
	}
	if u.Dropped() != 0 {
		t.Errorf("%d counted as dropped: they went once", u.Dropped())
	}
	u.closes()
}

func TestGreedy(t *testing.T) {
	type paths = []*fakePath
	for _, c := range []struct {
		name  string
		paths paths
		want  int // -1: wait
	}{
		{"no room", paths{{}, {}}, -1},
		{"the one with room", paths{{}, {room: 1}}, 1},
		{"the lower metric", paths{{room: 1, metric: 5}, {room: 1, metric: 1, fill: 0.9, rtt: time.Second}}, 1},
		{"a higher metric when the lower has no room", paths{{room: 1, metric: 5}, {metric: 1}}, 0},
		{"a higher metric when the lower is down", paths{{room: 1, metric: 5}, {room: 1, down: true}}, 0},
		{"the emptier", paths{{room: 1, fill: 0.6, rtt: ms}, {room: 1, fill: 0.3, rtt: 50 * ms}}, 1},
		{"the quicker of those about as empty", paths{{room: 1, rtt: 80 * ms}, {room: 1, fill: 0.2, rtt: 50 * ms}}, 1},
		{"the one that carries it", paths{{room: 1, longest: 900}, {room: 1, fill: 0.9}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newTester(t, Greedy{}, c.paths...)
			u.ingress(1, 1, 1000)
			u.pump()
			for i, p := range c.paths {
				if got := len(p.got) == 1; got != (i == c.want) {
					t.Errorf("path %d took it: %v", i, got)
				}
			}
			u.closes()
		})
	}
}

func TestEarliest(t *testing.T) {
	const mbit = 1e6
	type paths = []*fakePath
	for _, c := range []struct {
		name    string
		paths   paths
		waiting int           // packets of 1,000 bytes
		since   time.Duration // for how long
		want    int           // -1: wait
	}{
		{"no room", paths{{rate: mbit}, {rate: mbit}}, 1, 0, -1},
		{"the quicker", paths{{room: 1, delay: 50 * ms}, {room: 1, delay: 20 * ms}}, 1, 0, 1},
		{"a lone packet waits for the quicker", paths{{room: 1, delay: 50 * ms, rate: mbit}, {delay: 20 * ms, wait: ms, rate: mbit}}, 1, ms, -1},
		{"unless the slower delivers sooner", paths{{room: 1, delay: 50 * ms, rate: mbit}, {delay: 20 * ms, wait: 31 * ms, rate: mbit}}, 1, ms, 0},
		{"what the quicker needs long for", paths{{room: 1, delay: 50 * ms, rate: mbit}, {delay: 20 * ms, wait: ms, rate: mbit, busy: 0.75}}, 4, ms, 0},
		{"more of that where it is often idle", paths{{room: 1, delay: 50 * ms, rate: mbit}, {delay: 20 * ms, wait: ms, rate: mbit, busy: 0.1}}, 4, ms, -1},
		{"anything where it is full", paths{{room: 1, delay: 50 * ms, rate: mbit}, {delay: 20 * ms, wait: ms, rate: mbit, busy: 0.95}}, 1, 0, 0},
		{"where all that are quicker are full", paths{{room: 1, delay: 50 * ms, rate: mbit}, {delay: 20 * ms, wait: ms, rate: mbit, busy: 1}, {delay: 30 * ms, wait: ms, rate: mbit, busy: 0.1}}, 1, 0, -1},
		{"which is not known of the quicker", paths{{room: 1, delay: 50 * ms, rate: mbit}, {delay: 20 * ms, wait: ms}}, 1, 28 * ms, -1},
		{"and it takes its time", paths{{room: 1, delay: 50 * ms, rate: mbit}, {delay: 20 * ms, wait: ms}}, 1, 30 * ms, 0},
		{"the lower metric", paths{{room: 1, metric: 5}, {room: 1, metric: 1, delay: time.Second}}, 1, 0, 1},
		{"a higher metric waits", paths{{room: 1, metric: 5, rate: mbit}, {metric: 1, rate: mbit}}, 50, spillAfter - 1, -1},
		{"the longer while that seeks its rate", paths{{room: 1, metric: 5, rate: mbit}, {metric: 1}}, 50, unknownAfter - 1, -1},
		{"but not for ever", paths{{room: 1, metric: 5, rate: mbit}, {metric: 1}}, 2, unknownAfter, 0},
		{"and takes the spill", paths{{room: 1, metric: 5, rate: mbit}, {metric: 1, rate: mbit}}, 2, spillAfter, 0},
		{"a higher metric when the lower is down", paths{{room: 1, metric: 5}, {room: 1, down: true}}, 1, 0, 0},
		{"the one that carries it", paths{{room: 1, longest: 900}, {room: 1, delay: 90 * ms}}, 1, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newTester(t, Earliest{}, c.paths...)
			u.ingress(c.waiting, 1, 1000)
			u.now = u.now.Add(c.since)
			u.pump()
			for i, p := range c.paths {
				if got := len(p.got) > 0; got != (i == c.want) {
					t.Errorf("path %d took it: %v", i, got)
				}
			}
			u.closes()
		})
	}
}

// What of a call has to wait for the path that a download fills makes no detour.
func TestOnlyWhoTakesAFairPartMakesADetour(t *testing.T) {
	quick := &fakePath{delay: 20 * ms, wait: ms, rate: 1e6, busy: 1}
	slow := &fakePath{room: plenty, delay: 50 * ms, rate: 1e6}
	u := newTester(t, Earliest{}, slow, quick)
	for range 50 {
		u.ingress(5, 1, 1000)
		u.pump()
		u.now = u.now.Add(2 * ms)
	}
	if len(slow.got) == 0 {
		t.Error("the download does not use the slow path")
	}
	slow.take()
	u.ingress(1, 2, 200)
	u.pump()
	if len(slow.got) > 0 {
		t.Error("the call does")
	}
	u.closes()
}

func TestWhatWasLostGoesAgainOnTwoPathsInTime(t *testing.T) {
	a, b, c := &fakePath{room: plenty}, &fakePath{room: plenty, delay: 5 * ms}, &fakePath{room: plenty, delay: 9 * ms}
	u := newTester(t, Earliest{}, a, b, c)
	in := u.ingress(2, 1, 1000)
	u.pump()
	in[0].Retain()
	in[1].Retain()
	u.now = u.now.Add(maxRecovery)
	u.Recover(in[:1])
	u.pump()
	if !slices.Equal(a.got, []*packet.Packet{in[0], in[1], in[0]}) || !slices.Equal(b.got, in[:1]) || c.got != nil {
		t.Errorf("%d, %d and %d packets went, want it on the two earliest paths", len(a.got), len(b.got), len(c.got))
	}
	costly := &fakePath{room: plenty, metric: 9}
	u.all = []Consumer{a, costly}
	again := u.packets(1, 1, 1000)
	again[0].Sequence, again[0].Sent = 9, u.now
	u.Recover(again)
	u.pump()
	if len(a.got) != 4 || costly.got != nil {
		t.Errorf("%d and %d packets went, want none on the path of a higher metric", len(a.got), len(costly.got))
	}
	u.now++
	u.Recover(in[1:])
	u.pump()
	if len(a.got) != 4 {
		t.Error("a packet went again that nobody waits for any more")
	}
	u.closes()
}

func TestRedundant(t *testing.T) {
	a, full, b := &fakePath{room: plenty}, &fakePath{}, &fakePath{room: plenty, metric: 9}
	u := newTester(t, Redundant{}, a, full, b)
	in := u.ingress(5, 1, 1000)
	u.pump()
	if !slices.Equal(a.got, in) || !slices.Equal(b.got, in) || full.got != nil {
		t.Errorf("%d, %d, %d packets", len(a.got), len(full.got), len(b.got))
	}
	if u.TxPackets != 5 {
		t.Errorf("%d counted, want each once", u.TxPackets)
	}
	a.take()
	if n := u.pool.Outstanding(); n != 5 {
		t.Errorf("%d packets are out while one path still has them", n)
	}
	a.room, b.room = 0, 0
	u.ingress(1, 1, 1000)
	u.pump()
	if !u.Waiting() {
		t.Error("a packet went where there is no room")
	}
	u.closes()
}

func TestSchedulersHaveNames(t *testing.T) {
	for _, name := range []string{"earliest", "greedy", "proportional", "redundant"} {
		if s, err := NewScheduler(name); s == nil || err != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if _, err := NewScheduler("fastest"); err == nil {
		t.Error("an unknown scheduler was made")
	}
}

// What costs a flow more than it gives is left alone: a slow link that loses,
// beside a quick one; but not where many flows share the cost.
func TestAFlowUsesASlowPathOnlyWhereItCanAffordIt(t *testing.T) {
	const mbit = 1e6
	for _, c := range []struct {
		name  string
		fast  float64 // bit/s
		slow  fakePath
		flows int
		want  bool
	}{
		{"half as much, 50 ms behind", 40 * mbit, fakePath{rate: 20 * mbit, delay: 50 * ms, rtt: 100 * ms}, 1, true},
		{"and lossy", 40 * mbit, fakePath{rate: 20 * mbit, delay: 50 * ms, rtt: 100 * ms, doubt: true}, 1, true},
		{"a lossy satellite", 40 * mbit, fakePath{rate: 20 * mbit, delay: 300 * ms, rtt: 700 * ms, doubt: true}, 1, false},
		{"a lossy one beside fibre", 300 * mbit, fakePath{rate: 30 * mbit, delay: 40 * ms, rtt: 90 * ms, doubt: true}, 1, false},
		{"for many", 300 * mbit, fakePath{rate: 30 * mbit, delay: 40 * ms, rtt: 90 * ms, doubt: true}, 20, true},
		{"of unknown rate", 40 * mbit, fakePath{delay: 50 * ms, rtt: 100 * ms}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			quick, slow := &fakePath{wait: ms, rate: c.fast, rtt: 10 * ms, busy: 1}, &c.slow
			slow.room = 1
			u := newTester(t, Earliest{}, quick, slow)
			for flow := range c.flows {
				u.ingress(2, uint32(flow), 1000)
			}
			u.pump()
			if got := len(slow.got) > 0; got != c.want {
				t.Errorf("used: %v, want %v", got, c.want)
			}
			u.closes()
		})
	}
}

func TestOneOfManyPathsAlikeIsAffordable(t *testing.T) {
	slow := &fakePath{rate: 16e6, delay: 5 * ms, rtt: 20 * ms, doubt: true, room: 1}
	paths := []*fakePath{slow}
	for range 7 {
		paths = append(paths, &fakePath{wait: ms, rate: 16e6, busy: 1})
	}
	u := newTester(t, Earliest{}, paths...)
	u.ingress(2, 1, 1000)
	u.pump()
	if len(slow.got) != 1 {
		t.Error("one of eight paths alike is left alone, since it lost some")
	}
	u.closes()
}
