package exchange

import (
	"testing"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
)

const (
	ms    = time.Millisecond
	start = mono.Time(time.Hour)
)

// fakePath is a consumer with room for so many packets, each as long as fits.
type fakePath struct {
	metric  int
	down    bool
	room    int
	longest int  // packet that it takes now; 0: any
	growing bool // longest may still rise
	fill    float64
	rtt     time.Duration
	delay   time.Duration
	wait    time.Duration // 0 while it is ready
	rate    float64       // bit/s
	doubt   bool
	busy    float64
	got     []*packet.Packet
}

func (f *fakePath) Cost() int    { return f.metric }
func (f *fakePath) Usable() bool { return !f.down }
func (f *fakePath) Ready(_ mono.Time, size int) bool {
	return !f.down && f.wait == 0 && len(f.got) < f.room && (f.longest == 0 || size <= f.longest)
}
func (f *fakePath) Room() bool                            { return len(f.got) < f.room }
func (f *fakePath) Carries(size int) bool                 { return f.longest == 0 || f.growing || size <= f.longest }
func (f *fakePath) Fill() float64                         { return f.fill }
func (f *fakePath) RTT() time.Duration                    { return f.rtt }
func (f *fakePath) MinRTT() time.Duration                 { return f.rtt }
func (f *fakePath) Delay() time.Duration                  { return f.delay }
func (f *fakePath) Wait(mono.Time) time.Duration          { return f.wait }
func (f *fakePath) Bandwidth() float64                    { return f.rate }
func (f *fakePath) Busy(mono.Time) float64                { return f.busy }
func (f *fakePath) Doubtful(mono.Time) bool               { return f.doubt }
func (f *fakePath) Consume(_ mono.Time, p *packet.Packet) { f.got = append(f.got, p) }

// take empties the path.
func (f *fakePath) take() {
	for _, p := range f.got {
		p.Release()
	}
	f.got = f.got[:0]
}

// tester is an exchange with paths, a clock and a pool.
type tester struct {
	*Exchange
	t     testing.TB
	now   mono.Time
	pool  *packet.Pool
	paths []*fakePath
	all   []Consumer
}

func newTester(t testing.TB, s Scheduler, paths ...*fakePath) *tester {
	u := &tester{Exchange: New(s), t: t, now: start, pool: packet.NewPool(2048, 20_000), paths: paths}
	for _, p := range paths {
		u.all = append(u.all, p)
	}
	return u
}

// packets makes n packets of a flow, of size bytes each.
func (u *tester) packets(n int, flow uint32, size int) []*packet.Packet {
	u.t.Helper()
	ps := make([]*packet.Packet, n)
	if u.pool.Get(ps) != n {
		u.t.Fatal("the pool is empty")
	}
	for _, p := range ps {
		p.Data = p.Buffer()[packet.Headroom:][:size]
		p.Flow, p.Queued = flow, u.now
	}
	return ps
}

// ingress lets n packets of a flow come from the TUN.
func (u *tester) ingress(n int, flow uint32, size int) []*packet.Packet {
	u.t.Helper()
	ps := u.packets(n, flow, size)
	u.Ingress(ps)
	return ps
}

func (u *tester) pump() { u.Pump(u.now, u.all) }

// closes closes the exchange and checks that no packet is left anywhere.
func (u *tester) closes() {
	u.t.Helper()
	for _, p := range u.paths {
		p.take()
	}
	u.Close()
	if n := u.pool.Outstanding(); n != 0 {
		u.t.Errorf("%d packets did not come home", n)
	}
}
