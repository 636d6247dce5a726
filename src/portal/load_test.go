package portal

import (
	"fmt"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/simnet"
)

// A UDP flow at 90 % of the sum: nothing lost, nothing out of order.
func TestUDPNearTheSum(t *testing.T) {
	slow(t)
	for _, p := range []profile{
		{name: "equal", a: wan(20, 0, 20, 0), b: wan(20, 0, 20, 0)},
		{name: "unequal", a: wan(10, 0, 30, 0), b: wan(40, 0, 10, 0)},
	} {
		t.Run(p.name, func(t *testing.T) {
			sim(t, 1, []linkSpec{{up: p.a, down: p.a}, {up: p.b, down: p.b}}, func(tn *tunnel) {
				tn.start()
				time.Sleep(2 * time.Second)
				rate := 0.9 * float64(p.a.Rate+p.b.Rate) * 1400 / 1460
				f := tn.check.Flow(tn.local.host, tn.remote.host, false)
				begin := tn.net.Now()
				f.Call(time.Duration(1400*8/rate*1e9), 1400, begin+20*time.Second)
				time.Sleep(21 * time.Second)
				s := f.Stats(begin+3*time.Second, begin+20*time.Second)
				t.Logf("%d sent, %d lost, %d out of order, latency %v median, %v p99", s.Sent, s.Lost, s.OutOfOrder, s.Latency(0.5), s.Latency(0.99))
				if s.Lost > s.Sent/1000 || s.OutOfOrder > 0 {
					t.Errorf("%d of %d lost, %d out of order", s.Lost, s.Sent, s.OutOfOrder)
				}
			})
		})
	}
}

// dslAndLTE is a DSL of 40/10 Mbit/s and an LTE of 30/15, which jitters and loses,
// with modems that queue for 300 ms.
func dslAndLTE() []linkSpec {
	lte := func(mbits float64) simnet.Conditions {
		c := wan(30, 10, mbits, 0.005)
		c.KeepOrder = true
		return c
	}
	return []linkSpec{{up: wan(7.5, 0, 10, 0), down: wan(7.5, 0, 40, 0)}, {up: lte(15), down: lte(30)}}
}

func TestDSLAndLTEFullAndQuick(t *testing.T) {
	slow(t)
	for _, flows := range []int{1, 8} {
		t.Run(fmt.Sprint(flows), func(t *testing.T) {
			sim(t, 1, dslAndLTE(), func(tn *tunnel) {
				tn.start()
				time.Sleep(2 * time.Second)
				begin := tn.net.Now()
				call := tn.check.Flow(tn.remote.host, tn.local.host, false)
				call.Call(20*time.Millisecond, 200, begin+20*time.Second)
				var all []*simnet.Bulk
				for range flows {
					all = append(all, tn.check.NewBulk(tn.remote.host, tn.local.host, false, 1400, 0, begin+20*time.Second))
				}
				time.Sleep(8 * time.Second)
				before := inOrder(all)
				time.Sleep(12 * time.Second)
				share := float64(inOrder(all)-before) * 1400 * 8 / 12 / (70e6 * 1400 / 1460)
				time.Sleep(time.Second)
				s := call.Stats(begin+3*time.Second, begin+20*time.Second)
				t.Logf("%.1f %% of the sum; a call: %d lost, latency %v median, %v p99, alone 7.5 ms", 100*share, s.Lost,
					s.Latency(0.5).Round(100*time.Microsecond), s.Latency(0.99).Round(100*time.Microsecond))
				if share < 0.80 || s.Lost > 0 || s.Latency(0.99) > 35*time.Millisecond {
					t.Errorf("%.1f %% of the sum; a call lost %d, latency %v p99", 100*share, s.Lost, s.Latency(0.99))
				}
			})
		})
	}
}

// The LTE costs: while the DSL carries the load, no data goes there.
func TestAHigherMetricStaysUnusedWhileTheLowerHasRoom(t *testing.T) {
	specs := dslAndLTE()
	specs[1].edit = func(p *config.Path) { p.Metric = 10 }
	sim(t, 1, specs, func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		sent := func() uint64 {
			tn.local.portal.mu.Lock()
			defer tn.local.portal.mu.Unlock()
			return tn.local.portal.core.paths[1].TxBytes
		}
		before := sent()
		f.Call(1867*time.Microsecond, 1400, tn.net.Now()+10*time.Second)
		time.Sleep(11 * time.Second)
		if n := sent() - before; n > 1400*12 {
			t.Errorf("%d bytes went over the LTE", n) // asking whether it lives takes some
		}
	})
}
