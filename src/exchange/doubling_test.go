package exchange

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"netcombiner/src/packet"
	"netcombiner/src/wire"
)

// The IP protocols that the tests below send.
const (
	udp = 17
	tcp = 6
)

// doubtfulPaths are two that double whatever is worth it.
func doubtfulPaths() (a, b *fakePath) {
	return &fakePath{room: plenty, rtt: 40 * ms, doubt: true}, &fakePath{room: plenty, rtt: 50 * ms, delay: 5 * ms}
}

// inner lets n packets of a flow come from the TUN, marked with a DSCP.
func (u *tester) inner(n int, flow uint32, size int, dscp, proto byte) []*packet.Packet {
	u.t.Helper()
	ps := u.packets(n, flow, size)
	for _, p := range ps {
		clear(p.Data)
		p.Data[0], p.Data[1], p.Data[9] = 0x45, dscp<<2, proto
		binary.BigEndian.PutUint16(p.Data[2:], uint16(size))
		if proto == tcp {
			p.Data[32], p.Data[33] = 5<<4, 0x10 // 20 bytes of header, ACK
		}
	}
	u.Ingress(ps)
	return ps
}

// spends is what twins cost so far, in bytes.
func (u *tester) spends() uint64 { return u.DoubledBytes + outerBytes*u.Doubled }

func TestSparseFlowsAreDoubled(t *testing.T) {
	for _, c := range []struct {
		name        string
		n, size     int
		dscp, proto byte
		want        bool
	}{
		{"speech", 1, 200, markEF, udp, true},
		{"speech that was admitted", 1, 1000, markVoiceAdmit, udp, true},
		{"a call's signals", 1, 1400, markCS5, udp, true},
		{"a routing table", 1, 1400, 48, tcp, false},
		{"a picture", 1, 1400, 34, udp, false},
		{"small and slow", 1, 200, 0, udp, true},
		{"a TCP segment", 1, 100, 0, tcp, true},
		{"a TCP acknowledgement", 1, 40, 0, tcp, false},
		{"one that is marked", 1, 40, markEF, tcp, false},
		{"not small", 1, 1000, 0, udp, false},
		{"a queue", 20, 100, 0, udp, false},
		{"a queue that is marked", 10, 1400, markEF, udp, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := doubtfulPaths()
			u := newTester(t, Earliest{}, a, b)
			in := u.inner(c.n, 1, c.size, c.dscp, c.proto)
			u.pump()
			if !slices.Equal(a.got, in) {
				t.Errorf("%d of %d packets went on the best path", len(a.got), c.n)
			}
			if got := slices.Contains(b.got, in[0]); got != c.want {
				t.Errorf("doubled: %v", got)
			}
			if uint64(len(b.got)) != u.Doubled || u.TxPackets != uint64(c.n) {
				t.Errorf("%d twins, counted: %+v", len(b.got), u.Counters)
			}
			u.closes()
		})
	}
}

func TestAFlowIsSparseWhileItIsSlow(t *testing.T) {
	a, b := doubtfulPaths()
	u := newTester(t, Earliest{}, a, b)
	send := func(every, long time.Duration) (sent, doubled int) {
		before := u.Doubled
		for end := u.now.Add(long); u.now < end; u.now = u.now.Add(every) {
			u.inner(1, 1, 200, 0, udp)
			u.pump()
			for _, p := range u.paths {
				p.take()
			}
			u.budget.credit = budgetDepth // it is not what this is about
			sent++
		}
		return sent, int(u.Doubled - before)
	}
	if sent, doubled := send(10*ms, 10*time.Second); doubled != sent {
		t.Errorf("at 160 kbit/s %d of %d were doubled", doubled, sent)
	}
	send(4*ms, time.Second)
	if _, doubled := send(4*ms, 10*time.Second); doubled != 0 {
		t.Errorf("at 400 kbit/s %d were doubled", doubled)
	}
	send(20*ms, 2*time.Second)
	if sent, doubled := send(10*ms, time.Second); doubled != sent {
		t.Errorf("slow again, %d of %d were doubled", doubled, sent)
	}
	u.closes()
}

func TestTwinsCostNoMoreThanTheirBudget(t *testing.T) {
	const long = 20 * time.Second
	for _, c := range []struct {
		name         string
		calls, bulks int     // flows of 80 kbit/s, packets of 1,400 bytes each ms
		least, most  float64 // of what twins cost, in bit/s
	}{
		{"a call alone", 1, 0, 112e3, 112e3},
		{"ten alone", 10, 0, 0.95 * 128e3, 128e3},
		{"a call beside a download", 1, 1, 112e3, 112e3},
		{"thirty beside downloads", 30, 2, 0.045 * 24.8e6, 0.05 * 24.8e6},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := doubtfulPaths()
			u := newTester(t, Earliest{}, a, b)
			for i := range int(long / ms) {
				u.inner(c.bulks, 99, 1400, 0, udp)
				if i%20 == 0 {
					for flow := range c.calls {
						u.inner(1, uint32(flow), 200, markEF, udp)
					}
				}
				u.pump()
				for _, p := range u.paths {
					p.take()
				}
				u.now = u.now.Add(ms)
			}
			cost := 8 * float64(u.spends()) / long.Seconds()
			if most := c.most + 8*budgetDepth/long.Seconds(); cost < c.least || cost > most {
				t.Errorf("twins cost %.0f bit/s, want %.0f … %.0f", cost, c.least, most)
			}
			u.closes()
		})
	}
}

func TestATwinGoesOnlyWhereItHelpsAndCostsLittle(t *testing.T) {
	type paths = []*fakePath
	doubt := func(f fakePath) *fakePath {
		f.rtt, f.doubt = 40*ms, true
		return &f
	}
	for _, c := range []struct {
		name  string
		paths paths
		want  int // where the twin goes; -1: there is none
	}{
		{"the second earliest", paths{doubt(fakePath{room: 1}), {room: 1, delay: 9 * ms}, {room: 1, delay: 5 * ms}}, 2},
		{"whatever its pace", paths{doubt(fakePath{room: 1}), {room: 1, wait: 5 * ms, rate: 1e6}}, 1},
		{"a healthy path needs none", paths{{room: 1, rtt: 40 * ms}, doubt(fakePath{room: 1, delay: 5 * ms})}, -1},
		{"never on a higher metric", paths{doubt(fakePath{room: 1}), {room: 1, metric: 1}}, -1},
		{"nor beside one that it spilled to", paths{{rtt: 10 * ms, rate: 1e6}, doubt(fakePath{room: 1, metric: 5}), {room: 1, metric: 5}}, -1},
		{"but there where none lower works", paths{{down: true}, doubt(fakePath{room: 1, metric: 5}), {room: 1, metric: 5}}, 2},
		{"never on the reserve", paths{doubt(fakePath{room: 1, metric: wire.ReserveMetric}), {room: 1, metric: wire.ReserveMetric}}, -1},
		{"not where there is no room", paths{doubt(fakePath{room: 1}), {}}, -1},
		{"not where it does not work", paths{doubt(fakePath{room: 1}), {room: 1, down: true}}, -1},
		{"not where it does not fit", paths{doubt(fakePath{room: 1}), {room: 1, longest: 100}}, -1},
		{"not where sending again is quicker", paths{doubt(fakePath{room: 1}), {room: 1, delay: 41 * ms}}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := newTester(t, Earliest{}, c.paths...)
			u.inner(1, 1, 200, markEF, udp)
			u.now = u.now.Add(spillAfter + spillTrips*10*ms)
			u.pump()
			twins := 0
			for i, p := range c.paths {
				twins += len(p.got)
				if i == c.want && len(p.got) != 1 {
					t.Error("the twin is not there")
				}
			}
			if want := 1 + min(c.want+1, 1); twins != want || u.Doubled != uint64(want-1) {
				t.Errorf("it went on %d paths, %d counted as doubled; want %d", twins, u.Doubled, want)
			}
			u.closes()
		})
	}
}

func TestTheRedundantSchedulerIsLeftAlone(t *testing.T) {
	a, b := doubtfulPaths()
	u := newTester(t, Redundant{}, a, b)
	u.inner(1, 1, 200, markEF, udp)
	u.pump()
	b.wait = ms // it has room, and the pace says no
	u.inner(1, 1, 200, markEF, udp)
	u.pump()
	if len(a.got) != 2 || len(b.got) != 1 || u.Doubled != 0 {
		t.Errorf("%d and %d packets went, %+v", len(a.got), len(b.got), u.Counters)
	}
	u.closes()
}

func TestDoublingAllocatesNothing(t *testing.T) {
	a, b := doubtfulPaths()
	u := newTester(t, Earliest{}, a, b)
	var one [1]*packet.Packet
	inSteadyState(t, func() {
		u.pool.Get(one[:])
		p := one[0]
		p.Data, p.Flow, p.Queued = p.Buffer()[packet.Headroom:][:200], 1, u.now
		u.Ingress(one[:])
		u.pump()
		a.take()
		b.take()
		u.now = u.now.Add(20 * ms)
	})
	if u.Doubled != u.TxPackets {
		t.Errorf("%+v", u.Counters)
	}
	u.closes()
}
