package portal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/simnet"
)

// quotaTunnel is a tunnel over two links, the second with a quota, on the 10th
// of November: what the local portal's wall clock shows is moved from there.
type quotaTunnel struct {
	*tunnel
	file  string
	moved atomic.Int64 // ns
}

// quotaSim runs f with one; edit, which may be nil, changes its paths.
func quotaSim(t *testing.T, limit uint64, edit func(*config.Path), f func(*quotaTunnel)) {
	t.Helper()
	cheap, dear := link(mbit(16), 10*time.Millisecond), link(mbit(16), 5*time.Millisecond)
	cheap.edit = edit
	dear.edit = func(p *config.Path) {
		p.Quota, p.QuotaReset = limit, 1
		if edit != nil {
			edit(p)
		}
	}
	file := filepath.Join(t.TempDir(), "nc0.quota")
	sim(t, 1, []linkSpec{cheap, dear}, func(tn *tunnel) {
		q := &quotaTunnel{tunnel: tn, file: file}
		tn.local.edit = func(o *Options) {
			o.QuotaFile = file
			o.Wall = func() time.Time {
				return time.Date(2026, 11, 10, 0, 0, 0, 0, time.UTC).Add(tn.net.Now() + time.Duration(q.moved.Load()))
			}
		}
		tn.start()
		time.Sleep(2 * time.Second)
		f(q)
	})
}

// dear is the path that has the quota, as the local portal sees it.
func (q *quotaTunnel) dear() control.Path { return q.local.portal.Status().Paths[1] }

// call sends 1.6 Mbit/s both ways, and returns what became of it.
func (q *quotaTunnel) call(d time.Duration) (up, down simnet.Stats) {
	q.t.Helper()
	begin := q.net.Now()
	a, b := q.check.Flow(q.local.host, q.remote.host, false), q.check.Flow(q.remote.host, q.local.host, false)
	a.Call(5*time.Millisecond, 1000, begin+d)
	b.Call(5*time.Millisecond, 1000, begin+d)
	time.Sleep(d + time.Second)
	return a.All(), b.All()
}

// carried is what happens to cross the dear path, in bytes a second, during a call.
func (q *quotaTunnel) carried(d time.Duration) (tx, rx float64) {
	q.t.Helper()
	before := q.dear()
	up, down := q.call(d)
	after := q.dear()
	if up.Lost+down.Lost > 0 || up.Sent < 100 {
		q.t.Errorf("a call: %v; %v", &up, &down)
	}
	s := (d + time.Second).Seconds()
	return float64(after.Tx.Bytes-before.Tx.Bytes) / s, float64(after.Rx.Bytes-before.Rx.Bytes) / s
}

func (q *quotaTunnel) expectQuiet() {
	q.t.Helper()
	if tx, rx := q.carried(10 * time.Second); tx > 200 || rx > 200 {
		q.t.Errorf("with its quota used up the path carried %.0f and %.0f bytes a second", tx, rx)
	}
}

func (q *quotaTunnel) expectUsed() {
	q.t.Helper()
	if tx, rx := q.carried(10 * time.Second); tx < 50e3 || rx < 50e3 {
		q.t.Errorf("within its quota the path carried only %.0f and %.0f bytes a second", tx, rx)
	}
}

func TestAQuotaIsKept(t *testing.T) {
	quotaSim(t, 10e6, nil, func(q *quotaTunnel) {
		q.expectUsed() // it is the quicker one
		st := q.dear()
		if want := st.Tx.Bytes + st.Rx.Bytes; st.Quota == nil || st.Quota.LimitBytes != 10e6 || st.Quota.Resets != "2026-12-01" ||
			st.Quota.UsedBytes > want || st.Quota.UsedBytes < want-want/50 {
			t.Errorf("%+v after %d bytes", st.Quota, want)
		}
		q.throughput(q.remote.host, q.local.host, 10*time.Second)
		st = q.dear()
		if used := st.Quota.UsedBytes; used < 10e6 || used > 10e6+5e6 || st.State != "standby" || st.Metric != 0 {
			t.Errorf("used up: %d bytes, %s, metric %d", used, st.State, st.Metric)
		}
		if hints := strings.Join(q.local.portal.Status().Hints, "\n"); !strings.Contains(hints, "the quota of wan2 is used up") {
			t.Errorf("hints: %s", hints)
		}
		if s := q.remote.portal.Status().Paths[1]; s.State != "standby" {
			t.Errorf("the remote calls the path %s", s.State)
		}
		q.expectQuiet()

		// Not even when the other link is too small for what there is to send.
		before := q.dear()
		for _, p := range []*simnet.Pipe{q.links[0].Up, q.links[0].Down} {
			p.Change(func(c *simnet.Conditions) { c.Rate /= 4 })
		}
		if rate := q.throughput(q.local.host, q.remote.host, 10*time.Second); rate < 3e6 {
			t.Errorf("%.1f Mbit/s over the other link", rate/1e6)
		}
		if after := q.dear(); after.Tx.Bytes+after.Rx.Bytes-before.Tx.Bytes-before.Rx.Bytes > 3000 {
			t.Errorf("a flow that needed more took %d and %d bytes", after.Tx.Bytes-before.Tx.Bytes, after.Rx.Bytes-before.Rx.Bytes)
		}

		q.moved.Store(int64(21 * 24 * time.Hour)) // December
		time.Sleep(time.Hour + 10*time.Second)
		q.expectUsed()
		if st := q.dear(); st.State != "up" || st.Quota.Resets != "2027-01-01" || st.Quota.UsedBytes > 6e6 {
			t.Errorf("in December: %s, %+v", st.State, st.Quota)
		}
	})
}

// When every other path has failed, the one whose quota is used up carries on,
// both ways, and no longer than it must.
func TestAUsedUpPathIsTheLastResort(t *testing.T) {
	for _, kind := range []string{"udp", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			quotaSim(t, 1e6, func(p *config.Path) { p.Transport = kind }, func(q *quotaTunnel) {
				q.call(5 * time.Second)
				q.expectQuiet()
				begin := q.net.Now()
				q.net.At(begin+2*time.Second, func() { q.links[0].Cut(true) })
				q.net.At(begin+6*time.Second, func() { q.links[0].Cut(false) })
				up, down := q.call(12 * time.Second)
				t.Logf("%v; %v", &up, &down)
				for _, s := range []simnet.Stats{up, down} {
					if s.Lost > 0 || s.LongestGap > 400*time.Millisecond {
						t.Errorf("the only other link was cut: %v", &s)
					}
				}
				time.Sleep(2 * time.Second)
				q.expectQuiet()
			})
		})
	}
}

// What a used-up path will not bring is not waited for.
func TestAUsedUpPathDelaysNothing(t *testing.T) {
	quotaSim(t, 5e6, nil, func(q *quotaTunnel) {
		for _, p := range []*simnet.Pipe{q.links[1].Up, q.links[1].Down} {
			p.Change(func(c *simnet.Conditions) { c.Delay = 60 * time.Millisecond })
		}
		time.Sleep(time.Minute) // its round-trip time is seen
		hold := func() float64 { return q.local.portal.Status().Tunnel.Resequencer.HoldMs }
		q.check.Flow(q.remote.host, q.local.host, false).Call(5*time.Millisecond, 1000, q.net.Now()+30*time.Second)
		time.Sleep(20 * time.Second)
		before := hold()
		time.Sleep(10 * time.Second)
		q.throughput(q.remote.host, q.local.host, 10*time.Second)
		if st := q.dear(); st.Quota.UsedBytes < 5e6 {
			t.Fatalf("%+v", st.Quota)
		}
		time.Sleep(5 * time.Minute) // what was seen of late is forgotten
		q.expectQuiet()
		t.Logf("hold %.1f ms before, %.1f ms after", before, hold())
		if after := hold(); before < 20 || after > 10 {
			t.Errorf("a packet may wait %.1f ms while both paths bring some, %.1f ms when one does", before, after)
		}
	})
}

// Where the other path carries data one way only, the used-up one is the last
// resort of the other way, and of no more.
func TestEachDirectionHasItsLastResort(t *testing.T) {
	oneWay := func(p *config.Path) {
		if p.Quota == 0 {
			p.Direction = config.Send
		}
	}
	quotaSim(t, 1e6, oneWay, func(q *quotaTunnel) {
		q.call(5 * time.Second)
		if tx, rx := q.carried(10 * time.Second); tx > 20e3 || rx < 150e3 {
			t.Errorf("the used-up path carried %.0f bytes a second to the remote, %.0f back", tx, rx)
		}
	})
}

func TestAUsedUpQuotaSurvivesARestart(t *testing.T) {
	quotaSim(t, 1e6, nil, func(q *quotaTunnel) {
		q.call(5 * time.Second)
		used := q.dear().Quota.UsedBytes
		q.local.stop()
		q.moved.Store(int64(-15 * 24 * time.Hour)) // its clock comes back wrong: October
		q.local.start()
		time.Sleep(2 * time.Second)
		if st := q.dear(); st.Quota.UsedBytes < used || st.Quota.UsedBytes > used+50_000 || st.State != "standby" {
			t.Errorf("%d bytes used before; after the restart %+v, %s", used, st.Quota, st.State)
		}
		q.expectQuiet()
		q.moved.Store(0)
		time.Sleep(2 * time.Hour)
		q.expectQuiet()
	})
}

// The portal neither stops nor forgets where the file cannot be read or written.
func TestAQuotaWithoutADisk(t *testing.T) {
	quotaSim(t, 10e6, nil, func(q *quotaTunnel) {
		if err := os.Remove(q.file); err != nil { // that of the first second
			t.Fatal(err)
		}
		// No file can take the place of a folder that is not empty.
		if err := errors.Join(os.MkdirAll(filepath.Join(q.file, "x"), 0o700), os.WriteFile(q.file+".new", nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		q.call(8 * time.Second)
		time.Sleep(6 * time.Minute) // now it is to be written
		if info, err := os.Stat(q.file); err != nil || !info.IsDir() {
			t.Error("it was written")
		}
		if _, err := os.Lstat(q.file + ".new"); err == nil {
			t.Error("there was no attempt")
		}
		if used := q.dear().Quota.UsedBytes; used < 3e6 {
			t.Errorf("%d bytes used", used)
		}
		used := q.dear().Quota.UsedBytes
		if err := os.RemoveAll(q.file); err != nil {
			t.Fatal(err)
		}
		q.local.stop() // and now it can be written
		q.local.start()
		time.Sleep(2 * time.Second)
		if now := q.dear().Quota.UsedBytes; now < used {
			t.Errorf("%d bytes used before, %d after the restart", used, now)
		}
		q.local.stop()
		if err := os.WriteFile(q.file, []byte("{half"), 0o600); err != nil {
			t.Fatal(err)
		}
		q.local.start()
		time.Sleep(2 * time.Second)
		if now := q.dear().Quota.UsedBytes; now > 100_000 {
			t.Errorf("%d bytes used, says a damaged file", now)
		}
		q.expectUsed()
	})
}

// The remote learns of it however many messages are lost on the path.
func TestTheRemoteLearnsOfAUsedUpQuotaOverALossyPath(t *testing.T) {
	quotaSim(t, 1e6, nil, func(q *quotaTunnel) {
		for _, p := range []*simnet.Pipe{q.links[1].Up, q.links[1].Down} {
			p.Change(func(c *simnet.Conditions) { c.Loss = 0.4 })
		}
		q.call(10 * time.Second)
		for _, p := range []*simnet.Pipe{q.links[1].Up, q.links[1].Down} {
			p.Change(func(c *simnet.Conditions) { c.Loss = 0 })
		}
		time.Sleep(10 * time.Second)
		if st := q.dear(); st.Quota.UsedBytes < 1e6 {
			t.Fatalf("%+v", st.Quota)
		}
		q.expectQuiet()
	})
}
