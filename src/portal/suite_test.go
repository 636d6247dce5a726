package portal

import (
	"bytes"
	"testing"
	"time"

	"netcombiner/src/simnet"
)

// TestEverySuiteCarriesACall: with addresses bound and without; and those that
// encrypt show nothing of it on the wire.
func TestEverySuiteCarriesACall(t *testing.T) {
	for name, encrypts := range map[string]bool{"auto": true, "chacha20poly1305": true, "aes128gcm": true, "blake2s": false, "none": false} {
		t.Run(name, func(t *testing.T) {
			spec := link(mbit(20), 5*time.Millisecond)
			sim(t, 1, []linkSpec{spec, spec}, func(tn *tunnel) {
				for _, e := range []*end{tn.local, tn.remote} {
					e.config.Interface.Suite = name
					e.config.Interface.AuthenticateAddresses = name != "none"
				}
				secret, seen := []byte{10, 0, 0, 1, 10, 9, 0, 1}, 0 // addresses in inner packets up
				tn.net.Tap(func(d simnet.Datagram) {
					if bytes.Contains(d.Data, secret) {
						seen++
					}
				})
				tn.start()
				time.Sleep(2 * time.Second)
				up, down := tn.check.Flow(tn.local.host, tn.remote.host, false), tn.check.Flow(tn.remote.host, tn.local.host, false)
				for _, f := range []*simnet.Flow{up, down} {
					f.Call(11*time.Millisecond, 1200, tn.net.Now()+time.Second)
				}
				time.Sleep(2 * time.Second)
				for _, f := range []*simnet.Flow{up, down} {
					if s := f.All(); s.Sent < 80 || s.Lost != 0 {
						t.Errorf("%v", &s)
					}
				}
				if encrypts != (seen == 0) {
					t.Errorf("%d messages show what is in them", seen)
				}
				l, r := tn.local.portal.Status(), tn.remote.portal.Status()
				if l.Session.Suite != r.Session.Suite || name != "auto" && l.Session.Suite != name {
					t.Errorf("the status says %q and %q", l.Session.Suite, r.Session.Suite)
				}
			})
		})
	}
}
