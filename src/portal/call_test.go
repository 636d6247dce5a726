package portal

import (
	"testing"
	"time"

	"netcombiner/src/exchange"
)

// sent is what the local portal gave its paths, how many packets it sent again,
// and what the paths sent in all, in bytes.
func (tn *tunnel) sent() (inner exchange.Counters, again, bytes uint64) {
	p := tn.local.portal
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range p.core.order {
		again += q.Reinjected
		bytes += q.TxBytes
	}
	return p.core.exchange.Counters, again, bytes
}

// A jitter buffer waits some 20 ms: to a call a packet is lost that was sent
// again, for it comes about 70 ms late.
func TestACallOverLossyLinksHearsNoLoss(t *testing.T) {
	slow(t)
	lossy := wan(20, 0, 20, 0.02)
	for _, c := range []struct {
		name string
		bulk bool
		p99  time.Duration // 20 ms on an empty link
	}{{"alone", false, 25 * time.Millisecond}, {"beside a flow", true, 50 * time.Millisecond}} {
		t.Run(c.name, func(t *testing.T) {
			sim(t, 1, []linkSpec{{up: lossy, down: lossy}, {up: lossy, down: lossy}}, func(tn *tunnel) {
				tn.start()
				time.Sleep(2 * time.Second)
				begin := tn.net.Now()
				call := tn.check.Flow(tn.local.host, tn.remote.host, false)
				call.Call(20*time.Millisecond, 200, begin+time.Minute)
				if c.bulk {
					tn.check.NewBulk(tn.local.host, tn.remote.host, false, 1400, 0, begin+time.Minute)
				}
				time.Sleep(61 * time.Second)
				s := call.Stats(begin+3*time.Second, begin+time.Minute)
				inner, again, bytes := tn.sent()
				t.Logf("%v, %v p99.9; %+v, %d sent again, %d bytes on the links", &s, s.Latency(0.999), inner, again, bytes)
				if s.Lost > s.Sent/1000 || s.OutOfOrder > 0 || s.Latency(0.99) > c.p99 {
					t.Errorf("%v; want %v p99 at most", &s, c.p99)
				}
				if inner.Doubled > 3000 { // the call has no more
					t.Errorf("%d packets of the flow were doubled", inner.Doubled-3000)
				}
				if added := inner.DoubledBytes + 60*inner.Doubled; c.bulk && added > bytes/20 {
					t.Errorf("twins are %d of %d bytes", added, bytes)
				}
				if !c.bulk && again > 60 { // the links lost about 120
					t.Errorf("%d packets were sent again, though their twins had arrived", again)
				}
			})
		})
	}
}

func TestOverHealthyLinksNothingIsDoubled(t *testing.T) {
	a, b := wan(10, 0, 20, 0), wan(20, 0, 20, 0)
	sim(t, 1, []linkSpec{{up: a, down: a}, {up: b, down: b}}, func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		call := tn.check.Flow(tn.local.host, tn.remote.host, false)
		call.Call(20*time.Millisecond, 200, tn.net.Now()+20*time.Second)
		tn.throughput(tn.local.host, tn.remote.host, 20*time.Second)
		if inner, _, _ := tn.sent(); inner.Doubled != 0 {
			t.Errorf("%+v", inner)
		}
	})
}

// What a path loses while it is not known to be dead is on the other already.
func TestADoubledCallOutlivesItsPathUnheard(t *testing.T) {
	a, b := wan(20, 0, 20, 0.02), wan(25, 0, 20, 0)
	sim(t, 1, []linkSpec{{up: a, down: a}, {up: b, down: b}}, func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		begin := tn.net.Now()
		call := tn.check.Flow(tn.local.host, tn.remote.host, false)
		call.Call(20*time.Millisecond, 200, begin+20*time.Second)
		time.Sleep(15 * time.Second)
		tn.links[0].Cut(true)
		time.Sleep(6 * time.Second)
		if s := call.Stats(begin+14*time.Second, begin+20*time.Second); s.Lost > 0 || s.LongestGap > 30*time.Millisecond {
			t.Errorf("%v", &s)
		}
	})
}
