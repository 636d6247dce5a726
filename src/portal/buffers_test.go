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
		ends := []*end{tn.local, tn.remote}
		before := map[*end]int{}
		for _, e := range ends {
			before[e] = e.portal.pool.Made()
		}
		for range 3 {
			tn.check.NewBulk(tn.local.host, tn.remote.host, false, 1400, 0, tn.net.Now()+5*time.Second)
			tn.check.NewBulk(tn.remote.host, tn.local.host, false, 1400, 0, tn.net.Now()+5*time.Second)
		}
		time.Sleep(6 * time.Second)
		if made := tn.local.portal.pool.Made(); made < 2*before[tn.local] {
			t.Fatalf("the burst took %d buffers more: the test shows nothing", made-before[tn.local])
		}
		time.Sleep(5 * time.Minute)
		for _, e := range ends {
			if made := e.portal.pool.Made(); made > before[e]+receiveBatch {
				t.Errorf("%s: %d buffers, before the burst %d", e.host.Name(), made, before[e])
			}
		}
	})
}
