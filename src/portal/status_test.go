package portal

import (
	"testing"
	"time"
)

// TestTheStatusTellsOfDeadPaths: also of one that is down it says what it was.
func TestTheStatusTellsOfDeadPaths(t *testing.T) {
	for name, end := range map[string]func(*tunnel){
		"the other portal left":   func(tn *tunnel) { tn.local.stop() },
		"the other portal failed": func(tn *tunnel) { tn.local.crash() },
		"the links died": func(tn *tunnel) {
			tn.check.NewBulk(tn.remote.host, tn.local.host, false, 1000, 0, tn.net.Now()+20*time.Second)
			for _, l := range tn.links {
				l.Cut(true)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			specs := []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 5*time.Millisecond)}
			specs[1].transport = "tcp"
			sim(t, 1, specs, func(tn *tunnel) {
				tn.start()
				time.Sleep(2 * time.Second)
				before := tn.remote.portal.Status().Paths
				end(tn)
				time.Sleep(20 * time.Second)
				st := tn.remote.portal.Status()
				if len(before) != 2 || len(st.Paths) != 2 {
					t.Fatalf("%d paths of 2, %d before", len(st.Paths), len(before))
				}
				for i, p := range st.Paths {
					if was := before[i]; p.Transport != was.Transport || p.Local != was.Local || p.Remote != was.Remote || was.Remote == "" {
						t.Errorf("%s: %s from %s to %s; it was %s from %s to %s", p.State, p.Transport, p.Local, p.Remote, was.Transport, was.Local, was.Remote)
					}
				}
				if was := before; was[0].Transport != "udp" || was[1].Transport != "tcp" {
					t.Errorf("transports %s and %s", was[0].Transport, was[1].Transport)
				}
				t.Log(st.Paths[0].State, st.Paths[1].State)
			})
		})
	}
}
