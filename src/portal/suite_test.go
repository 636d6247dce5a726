package portal

import (
	"bytes"
	"log/slog"
	"strings"
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

// TestAutoSaysWhenNothingIsHidden: the end that left the choice does, once, over
// several rekeyings.
func TestAutoSaysWhenNothingIsHidden(t *testing.T) {
	for _, c := range []struct {
		local, remote string
		said          [2]int
	}{
		{"auto", "auto", [2]int{}},
		{"auto", "blake2s", [2]int{1, 0}},
		{"blake2s", "auto", [2]int{0, 1}},
		{"chacha20poly1305", "auto", [2]int{}},
		{"blake2s", "blake2s", [2]int{}},
	} {
		t.Run(c.local+"/"+c.remote, func(t *testing.T) {
			sim(t, 1, []linkSpec{link(mbit(20), 5*time.Millisecond)}, func(tn *tunnel) {
				var logs [2]lines
				for i, e := range []*end{tn.local, tn.remote} {
					e.config.Interface.Suite = []string{c.local, c.remote}[i]
					e.edit = func(o *Options) { o.Log = slog.New(&logs[i]) }
				}
				tn.start()
				time.Sleep(15 * time.Minute)
				for i := range logs {
					said := 0
					for _, l := range logs[i].all() {
						if strings.Contains(l, "WARN Suite = auto hides nothing") && strings.Contains(l, "blake2s") {
							said++
						}
					}
					if said != c.said[i] {
						t.Errorf("end %d said it %d times, want %d: %q", i, said, c.said[i], logs[i].all())
					}
				}
			})
		})
	}
}
