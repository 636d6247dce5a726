package portal

import (
	"testing"
	"time"
)

// TestABurstIsGivenBack: on both portals, though readers hold some of its buffers,
// which come from everywhere in it.
func TestABurstIsGivenBack(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		made := func() int { return tn.local.portal.pool.Made() + tn.remote.portal.pool.Made() }
		before := made()
		for range 3 {
			tn.check.NewBulk(tn.local.host, tn.remote.host, false, 1400, 0, tn.net.Now()+5*time.Second)
			tn.check.NewBulk(tn.remote.host, tn.local.host, false, 1400, 0, tn.net.Now()+5*time.Second)
		}
		time.Sleep(6 * time.Second)
		if made() < 3*before {
			t.Fatalf("there are %d buffers, before the burst %d: the test shows nothing", made(), before)
		}
		time.Sleep(3 * time.Minute)
		for _, to := range [][2]*end{{tn.local, tn.remote}, {tn.remote, tn.local}} { // a packet wakes the TUN's readers
			tn.check.Flow(to[0].host, to[1].host, false).Call(time.Second, 200, tn.net.Now()+2*time.Second)
		}
		time.Sleep(3 * time.Minute)
		if most := before + 2*receiveBatch; made() > most {
			t.Errorf("%d buffers are left, before the burst there were %d", made(), before)
		}
	})
}
