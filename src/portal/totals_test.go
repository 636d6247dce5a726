package portal

import (
	"os"
	"testing"
	"time"
)

// What each end says it carried this month is what its tunnel and paths say of
// themselves, also when the remote's paths are made anew, and after a restart of both.
func TestTotalsSurvive(t *testing.T) {
	dir := t.TempDir()
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 9*time.Millisecond)}, func(tn *tunnel) {
		for _, e := range []*end{tn.local, tn.remote} {
			e.edit = func(o *Options) {
				o.QuotaFile = dir + "/" + e.host.Name()
				o.Wall = func() time.Time { return time.Date(2026, 11, 10, 0, 0, 0, 0, time.UTC).Add(tn.net.Now()) }
			}
		}
		carried := map[string]uint64{} // by the tunnels' own counters, since the start
		// round carries some traffic, and counts it; end ends the local portal or both.
		round := func(end func()) {
			tn.throughput(tn.local.host, tn.remote.host, 5*time.Second)
			time.Sleep(time.Second)
			end()
		}
		note := func(e *end) {
			c := e.portal.Status().Tunnel
			carried[e.host.Name()] += c.Tx.Bytes + c.Rx.Bytes
		}
		check := func(what string, e *end, since uint64) {
			t.Helper()
			st := e.portal.Status()
			if len(st.Totals) != 1 || st.Totals[0].Month != "2026-11" || len(st.Totals[0].Paths) != 2 {
				t.Fatalf("%s, %s: %+v", what, e.host.Name(), st.Totals)
			}
			m := st.Totals[0]
			now := st.Tunnel.Tx.Bytes + st.Tunnel.Rx.Bytes + since
			if got := m.Tunnel.Tx.Bytes + m.Tunnel.Rx.Bytes; got != now || got == 0 {
				t.Errorf("%s, %s: the tunnel carried %d bytes this month, want %d", what, e.host.Name(), got, now)
			}
			var outer uint64
			for _, p := range m.Paths {
				outer += p.Tx.Bytes + p.Rx.Bytes
			}
			if outer < now || outer > now+now/5 {
				t.Errorf("%s, %s: the paths carried %d bytes for the tunnel's %d", what, e.host.Name(), outer, now)
			}
		}
		tn.start()
		time.Sleep(2 * time.Second)
		round(func() {})
		check("at first", tn.local, 0)
		check("at first", tn.remote, 0)

		round(func() { note(tn.local); tn.local.stop() })
		tn.local.start()
		time.Sleep(2 * time.Second)
		check("after a restart", tn.local, carried["local"])
		check("after the other's restart", tn.remote, 0)

		round(func() { note(tn.local); note(tn.remote); tn.local.stop(); tn.remote.stop() })
		tn.start()
		time.Sleep(2 * time.Second)
		round(func() {})
		check("after both restarts", tn.local, carried["local"])
		check("after both restarts", tn.remote, carried["remote"])
	})
}

// A portal that runs for days writes the totals by itself, and seldom; one
// that is killed loses a quarter of an hour at most.
func TestTotalsAreSavedMeanwhile(t *testing.T) {
	file := t.TempDir() + "/made/nc0.quota"
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond)}, func(tn *tunnel) {
		tn.local.edit = func(o *Options) { o.QuotaFile = file }
		tn.start()
		var writes int
		var last time.Time
		for range 2 * 60 { // two busy hours
			tn.throughput(tn.local.host, tn.remote.host, time.Second)
			time.Sleep(59 * time.Second)
			if info, err := os.Stat(file); err == nil && info.ModTime() != last {
				writes, last = writes+1, info.ModTime()
			}
		}
		if writes < 6 || writes > 1+8 { // the new file, and one each quarter of an hour
			t.Errorf("the file was written %d times in two hours", writes)
		}
		// As after kill -9: what the file holds is what is left.
		before := tn.local.portal.Status().Totals[0].Tunnel.Tx.Bytes
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tn.local.stop()
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		tn.local.start()
		if kept := tn.local.portal.Status().Totals[0].Tunnel.Tx.Bytes; kept < before*100/120 || kept > before {
			t.Errorf("%d bytes of %d were kept", kept, before)
		}
	})
}
