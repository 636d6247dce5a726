package portal

import (
	"testing"
	"time"
)

func TestProportionalGetsTheSumOfUnequalLinks(t *testing.T) {
	slow(t)
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(16), 15*time.Millisecond)}, func(tn *tunnel) {
		tn.local.config.Interface.Scheduler = "proportional"
		tn.remote.config.Interface.Scheduler = "proportional"
		tn.start()
		time.Sleep(2 * time.Second)
		capacity := float64(mbit(24)) * 1400 / 1460
		out := tn.throughput(tn.local.host, tn.remote.host, 20*time.Second) / capacity
		in := tn.throughput(tn.remote.host, tn.local.host, 20*time.Second) / capacity
		t.Logf("out %.1f %%, in %.1f %% of the sum", 100*out, 100*in)
		if out < 0.85 || in < 0.85 {
			t.Errorf("out %.1f %%, in %.1f %% of the sum", 100*out, 100*in)
		}

		// With far less than the links carry, each still gets its part.
		before := tn.local.portal.Status().Paths
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(5*time.Millisecond, 1000, tn.net.Now()+5*time.Second) // 1.6 Mbit/s
		time.Sleep(6 * time.Second)
		after := tn.local.portal.Status().Paths
		a, b := float64(after[0].Tx.Bytes-before[0].Tx.Bytes), float64(after[1].Tx.Bytes-before[1].Tx.Bytes)
		s := f.All()
		t.Logf("of 1.6 Mbit/s %.1f %% went on the smaller link; %v", 100*a/(a+b), &s)
		if a/(a+b) < 0.25 || a/(a+b) > 0.42 || s.Lost > 0 || s.OutOfOrder > 0 {
			t.Errorf("of 1.6 Mbit/s %.1f %% went on the smaller link; %v", 100*a/(a+b), &s)
		}
	})
}
