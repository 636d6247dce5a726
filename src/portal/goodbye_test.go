package portal

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"netcombiner/src/transport"
)

// A remote portal that says goodbye may be back at another address: its name is
// asked for anew soon, though no path has failed.
func TestAfterAGoodbyeTheNameIsAskedAnew(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 10*time.Millisecond), link(mbit(8), 10*time.Millisecond)}, func(tn *tunnel) {
		var asked atomic.Int32
		tn.local.edit = func(o *Options) {
			resolve := o.Resolve
			o.Resolve = func(ctx context.Context, host string, b transport.Bind) ([]netip.Addr, error) {
				asked.Add(1)
				return resolve(ctx, host, b)
			}
		}
		tn.start()
		call := tn.check.Flow(tn.local.host, tn.remote.host, false)
		call.Call(20*time.Millisecond, 200, tn.net.Now()+2*time.Minute) // somebody needs it
		time.Sleep(time.Minute)
		tn.net.At(tn.net.Now()+15*time.Millisecond, func() { // the goodbye has come, and no more
			tn.links[0].Cut(true)
			tn.links[1].Cut(true)
		})
		tn.remote.stop()
		before := asked.Load()
		time.Sleep(2*giveUpConnecting + time.Second)
		if n := asked.Load() - before; n < 4 {
			t.Errorf("asked %d times for two paths, two tries each expected", n)
		}
	})
}
