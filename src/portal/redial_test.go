package portal

import (
	"testing"
	"time"
)

// TestATCPPathIsBackSoon: however long its link was dead, a connection is asked
// for about every second.
func TestATCPPathIsBackSoon(t *testing.T) {
	for i := range 10 {
		spec := link(mbit(8), 20*time.Millisecond)
		spec.transport = "tcp"
		sim(t, 1, []linkSpec{spec}, func(tn *tunnel) {
			tn.start()
			time.Sleep(2 * time.Second)
			dead := 5*time.Second + time.Duration(i)*290*time.Millisecond
			f := tn.check.Flow(tn.local.host, tn.remote.host, false)
			f.Call(10*time.Millisecond, 300, tn.net.Now()+dead+3*time.Second)
			tn.links[0].Cut(true)
			time.Sleep(dead)
			tn.links[0].Cut(false)
			back := tn.net.Now()
			time.Sleep(4 * time.Second)
			if d, ok := f.AliveAfter(back); !ok || d > 1400*time.Millisecond {
				t.Errorf("alive %v after %v of death (%v)", d, dead, ok)
			}
		})
	}
}
