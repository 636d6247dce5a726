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
	if !slices.Equal(path.got, in) || u.Waiting() || u.TxPackets != 25 || u.TxBytes != 25_000 || u.Dropped != 0 {
		t.Errorf("%d packets went, counted: %+v", len(path.got), u.Counters)
	}
	u.closes()
}

func TestTheQueueIsBoundedAndDropsItsHead(t *testing.T) {
	path := &fakePath{}
	u := newTester(t, Greedy{}, path)
	in := u.ingress(200, 1, 1000)
	want := queueFloor / 1000
	if n, bytes, _ := u.Queued(u.now); n != want || bytes > queueFloor || u.Dropped != uint64(200-want) {
		t.Fatalf("%d packets and %d bytes wait, %d were dropped", n, bytes, u.Dropped)
	}
	path.room = plenty
	u.pump()
	if !slices.Equal(path.got, in[200-want:]) {
		t.Error("what is left is not the newest")
	}
	if first := path.got[0].Sequence; first != 1 {
		t.Errorf("the first packet that went has number %d: what was dropped left a gap", first)
	}
	u.closes()
}

func TestTheQueueHoldsATimesWorth(t *testing.T) {
	for _, c := range []struct {
		bps  float64
		want int
	}{{0, queueFloor}, {1e6, queueFloor}, {100e6, 1_250_000}, {10e9, queueCeiling}} {
		u := newTester(t, Greedy{}, &fakePath{})
		u.SetRate(c.bps)
		u.ingress(5000, 1, 1000)
		if _, bytes, _ := u.Queued(u.now); bytes != min(c.want/1000*1000, 5_000_000) {
			t.Errorf("at %v bit/s %d bytes wait, want %d", c.bps, bytes, c.want)
		}
		u.closes()
	}
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
	if !slices.Equal(path.got, fresh) || u.Dropped != 5 {
		t.Errorf("%d went, %d dropped", len(path.got), u.Dropped)
	}
	u.closes()
}

func TestAPacketTooLongForEveryPathKeepsNobodyWaiting(t *testing.T) {
	short, down := &fakePath{room: plenty, longest: 1200}, &fakePath{down: true}
	u := newTester(t, Greedy{}, short, down)
	u.ingress(3, 1, 1400)
	after := u.ingress(2, 2, 1000)
	u.pump()
	if !slices.Equal(short.got, after) || u.Dropped != 3 {
		t.Errorf("%d went, %d dropped", len(short.got), u.Dropped)
	}

	short.growing = true // now it may fit soon
	u.ingress(1, 1, 1400)
	u.pump()
	short.down = true // and now it is not known
	u.pump()
	if !u.Waiting() || u.Dropped != 3 {
		t.Error("a packet that may still fit was dropped")
	}
	u.closes()
}

func TestNumbersAreGivenOnceAndNameThePredecessor(t *testing.T) {
	path := &fakePath{room: plenty}
	u := newTester(t, Greedy{}, path)
	a := u.ingress(1, 1, 100)[0]
	b := u.ingress(1, 2, 100)[0]
	u.ingress(1, 3, 100)
	a2 := u.ingress(1, 1, 100)[0]
	b2 := u.ingress(1, 2, 100)[0]
	a3 := u.ingress(1, 1, 100)[0]
	u.pump()
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

	send := func(flow uint32) *packet.Packet {
		p := u.ingress(1, flow, 100)[0]
		u.pump()
		return p
	}
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
	if u.Dropped != 0 {
		t.Errorf("%d counted as dropped: they went once", u.Dropped)
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
	for _, name := range []string{"greedy", "redundant"} {
		if s, err := NewScheduler(name); s == nil || err != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if _, err := NewScheduler("fastest"); err == nil {
		t.Error("an unknown scheduler was made")
	}
}
