package portal

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/simnet"
	"netcombiner/src/wire"
)

// twoLinks are a quick and a slow one: a call takes the first.
func twoLinks() []linkSpec {
	return []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 25*time.Millisecond)}
}

// expectUp waits for the paths that a portal should have, up or standing by.
func (e *end) expectUp(names ...string) {
	e.tunnel.t.Helper()
	var have []string
	for range 60 {
		have = nil
		for _, p := range e.portal.Status().Paths {
			if p.State == "up" || p.State == "standby" {
				have = append(have, p.Name)
			}
		}
		if slices.Equal(have, names) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	e.tunnel.t.Errorf("%s has %q up, want %q: %+v", e.host.Name(), have, names, e.portal.Status().Paths)
}

// expectCall makes calls both ways during f, and wants every packet to arrive. It
// returns how long the last one took.
func (tn *tunnel) expectCall(every time.Duration, f func()) (latest time.Duration) {
	tn.t.Helper()
	flows := []*simnet.Flow{tn.check.Flow(tn.local.host, tn.remote.host, false), tn.check.Flow(tn.remote.host, tn.local.host, false)}
	for _, c := range flows {
		c.Call(every, 200, tn.net.Now()+2*time.Second)
	}
	time.Sleep(500 * time.Millisecond)
	f()
	time.Sleep(3 * time.Second)
	for _, c := range flows {
		if s := c.All(); s.Sent < 50 || s.Lost > 0 {
			tn.t.Errorf("a call: %v", &s)
		} else {
			latest = max(latest, s.Latency(1))
		}
	}
	return latest
}

// TestWhatARemovedPathHadGoesOnTheOthers: also where its link has just died, and
// nothing on it will ever arrive.
func TestWhatARemovedPathHadGoesOnTheOthers(t *testing.T) {
	for _, dead := range []bool{false, true} {
		sim(t, 1, twoLinks(), func(tn *tunnel) {
			tn.start()
			time.Sleep(2 * time.Second)
			latest := tn.expectCall(time.Millisecond, func() {
				tn.links[0].Cut(dead)
				time.Sleep(2 * time.Millisecond) // some are under way
				tn.removePath("wan1")
			})
			if latest > 150*time.Millisecond {
				t.Errorf("link dead %v: the last packet took %v", dead, latest)
			}
		})
	}
}

// TestARemovedPathIsLeftByBoth: at once, and nothing ever goes there again.
func TestARemovedPathIsLeftByBoth(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		tn.removePath("wan1")
		if st := tn.local.portal.Status(); len(st.Paths) != 1 || st.Paths[0].Name != "wan2" {
			t.Errorf("the local portal still shows %+v", st.Paths)
		}
		time.Sleep(200 * time.Millisecond)
		if st := tn.remote.portal.Status(); len(st.Paths) != 1 || st.Paths[0].Name != "wan2" {
			t.Errorf("the remote still shows %+v", st.Paths)
		}
		time.Sleep(partingTime)
		var later atomic.Int64
		stop := tn.net.Tap(func(d simnet.Datagram) {
			if d.Pipe == tn.links[0].Up || d.Pipe == tn.links[0].Down {
				later.Add(1)
			}
		})
		defer stop()
		tn.expectCall(5*time.Millisecond, func() {})
		if n := later.Load(); n > 0 {
			t.Errorf("%d messages on the link of a path that was removed", n)
		}
	})
}

// TestNothingGoesOnAPathThatParts: not even while it waits for the remote's word.
func TestNothingGoesOnAPathThatParts(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		tn.expectCall(5*time.Millisecond, func() {
			tn.links[1].Down.Change(func(c *simnet.Conditions) { c.Delay = 80 * time.Millisecond }) // the word is late
			tn.removePath("wan1")
			var data atomic.Int64
			stop := tn.net.Tap(func(d simnet.Datagram) {
				if kind, _, _, _ := wire.Prefix(d.Data); d.Pipe == tn.links[0].Up && kind == wire.TypeData {
					data.Add(1)
				}
			})
			time.Sleep(100 * time.Millisecond)
			stop()
			if n := data.Load(); n > 0 {
				t.Errorf("%d data messages on a path after it was removed", n)
			}
		})
	})
}

// TestDownAndUp: the only path too, across a restart of the remote, and new keys.
func TestDownAndUp(t *testing.T) {
	set := func(tn *tunnel, down bool) { tn.setPath("wan1", func(p *config.Path) { p.Down = down }) }
	for name, meanwhile := range map[string]func(tn *tunnel){
		"at once":                func(*tunnel) {},
		"a second":               func(*tunnel) { time.Sleep(time.Second) },
		"new keys":               func(*tunnel) { time.Sleep(150 * time.Second) },
		"the keys end":           func(*tunnel) { time.Sleep(time.Hour) },
		"the remote was stopped": func(tn *tunnel) { tn.remote.stop(); tn.remote.start() },
		"the remote crashed":     func(tn *tunnel) { tn.remote.crash(); tn.remote.start() },
	} {
		for _, links := range []int{1, 2} {
			t.Run(name, func(t *testing.T) {
				sim(t, 1, twoLinks()[:links], func(tn *tunnel) {
					tn.start()
					time.Sleep(2 * time.Second)
					if name == "the remote crashed" {
						tn.expectCall(5*time.Millisecond, func() {}) // its successor's numbers are lower
					}
					set(tn, true)
					if st := tn.local.portal.Status().Paths[0]; st.State != "down" || st.Tx.Packets == 0 {
						t.Errorf("set down, the path is %+v", st)
					}
					before := tn.local.portal.Status().Paths[0].Tx
					meanwhile(tn)
					set(tn, false)
					want := []string{"wan1", "wan2"}[:links]
					tn.local.expectUp(want...)
					tn.remote.expectUp(want...)
					if tx := tn.local.portal.Status().Paths[0].Tx; tx.Packets <= before.Packets || tx.Packets > before.Packets+1000 {
						t.Errorf("its counters went from %+v to %+v", before, tx)
					} else if month := tn.local.portal.Status().Totals[0].Paths[0]; month.Name != "wan1" || month.Tx.Packets > tx.Packets+20 {
						t.Errorf("%+v in the month, %+v in all", month, tx)
					}
					tn.expectCall(5*time.Millisecond, func() {})
				})
			})
		}
	}
}

// TestRemovedAndAddedInHaste: the same name again and again, also over another
// transport, which is another path.
func TestRemovedAndAddedInHaste(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		p := tn.local.config.Paths[1]
		tn.expectCall(5*time.Millisecond, func() {
			for i := range 40 {
				tn.removePath(p.Name)
				if p.Transport, p.Congestion = "udp", "bbr"; i%2 == 0 {
					p.Transport, p.Congestion = "tcp", "none"
				}
				tn.addPath(p)
				time.Sleep(time.Duration(i%4) * 10 * time.Millisecond)
			}
			for _, transport := range []string{"tcp", "udp"} { // one change
				tn.setPath(p.Name, func(p *config.Path) { p.Transport = transport })
			}
		})
		tn.local.expectUp("wan1", "wan2")
		tn.remote.expectUp("wan1", "wan2")
		for _, e := range []*end{tn.local, tn.remote} {
			if st := e.portal.Status().Paths[1]; st.Transport != "udp" {
				t.Errorf("%s: %+v", e.host.Name(), st)
			}
		}
	})
}

// TestTooManyInHaste: the IDs of paths that part are still taken.
func TestTooManyInHaste(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		many := func(prefix string) func(c *config.Config) {
			return func(c *config.Config) {
				c.Paths = slices.Clone(c.Paths[:2])
				for i := range 40 {
					p := c.Paths[i%2]
					p.Name = prefix + string(rune('A'+i))
					c.Paths = append(c.Paths, p)
				}
			}
		}
		tn.local.change(many("x"))
		time.Sleep(3 * time.Second)
		if err := tn.local.tryChange(many("y")); err == nil || !strings.Contains(err.Error(), "try again in a second") {
			t.Errorf("80 paths at once: %v", err)
		}
		tn.local.change(func(c *config.Config) { c.Paths = c.Paths[:2] })
		time.Sleep(2 * time.Second)
		tn.local.change(many("y"))
		time.Sleep(3 * time.Second)
		for _, e := range []*end{tn.local, tn.remote} {
			if n := len(e.portal.Status().Paths); n != 42 {
				t.Errorf("%s has %d paths", e.host.Name(), n)
			}
		}
	})
}

// TestAnotherWANThatDoesNotWork: the old one goes on until the new one does.
func TestAnotherWANThatDoesNotWork(t *testing.T) {
	specs := twoLinks()
	sim(t, 1, specs, func(tn *tunnel) {
		tn.local.config.Paths = slices.Clone(tn.local.config.Paths[:1])
		tn.start()
		time.Sleep(2 * time.Second)
		tn.links[1].Cut(true)
		tn.expectCall(5*time.Millisecond, func() {
			tn.setPath("wan1", func(p *config.Path) { p.Device = "wan2" })
		})
		time.Sleep(10 * time.Second)
		tn.expectCall(5*time.Millisecond, func() { tn.links[1].Cut(false) })
		time.Sleep(5 * time.Second)
		if st := tn.local.portal.Status().Paths[0]; !strings.HasPrefix(st.Local, "10.1.0.2:") || st.State != "up" {
			t.Errorf("the path is %+v", st)
		}
		tn.links[0].Cut(true)
		tn.expectCall(5*time.Millisecond, func() {})
	})
}

// TestAnotherWANWhileTheOldOneIsDead: the path does not wait for it.
func TestAnotherWANWhileTheOldOneIsDead(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		tn.local.config.Paths = slices.Clone(tn.local.config.Paths[:1])
		tn.start()
		time.Sleep(2 * time.Second)
		tn.links[0].Cut(true)
		time.Sleep(5 * time.Second)
		tn.setPath("wan1", func(p *config.Path) { p.Device = "wan2" })
		time.Sleep(500 * time.Millisecond)
		tn.local.expectUp("wan1")
		tn.expectCall(5*time.Millisecond, func() {})
	})
}

// TestAQuotaChanges: given, raised and taken away while the path is in use.
func TestAQuotaChanges(t *testing.T) {
	quotaSim(t, 1e12, nil, func(q *quotaTunnel) {
		set := func(limit uint64) {
			q.setPath("wan2", func(p *config.Path) { p.Quota, p.QuotaReset = limit, 1 })
			time.Sleep(2 * time.Second)
		}
		q.expectUsed()
		set(1e6)
		q.expectQuiet()
		if st := q.dear(); st.Quota == nil || st.Quota.LimitBytes != 1e6 || st.Metric != 0 {
			t.Errorf("%+v", st)
		}
		q.setPath("wan2", func(p *config.Path) { p.Metric = 0; p.RateUp = mbit(9) }) // still used up
		q.expectQuiet()
		set(1e12)
		q.expectUsed()
		set(0)
		q.expectUsed()
		if st := q.dear(); st.Quota != nil {
			t.Errorf("%+v", st.Quota)
		}
		set(1e6) // what was counted is remembered
		if st := q.dear(); st.Quota.UsedBytes < 1e6 {
			t.Errorf("%+v", st.Quota)
		}
	})
}

// TestChangesThatArePossibleAtNoTime: before the start, after the end, and what
// the memory does not bear.
func TestChangesThatArePossibleAtNoTime(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		tn.local.config.Interface.MemoryLimit = 3e6
		tn.start()
		err := tn.local.tryChange(func(c *config.Config) {
			for len(c.Paths) < 10 {
				p := c.Paths[0]
				p.Name += "x"
				c.Paths = append(c.Paths, p)
			}
		})
		if err == nil || !strings.Contains(err.Error(), "MemoryLimit") {
			t.Errorf("too many paths for the memory: %v", err)
		}
		p := tn.local.portal
		tn.local.stop()
		next := tn.local.config
		next.Paths = next.Paths[:1]
		if err := p.Apply(&next); err == nil {
			t.Error("a portal that has ended was changed")
		}
	})
}

// TestALowRateDoesNotLast: the next packet does not wait for its turn at the old rate.
func TestALowRateDoesNotLast(t *testing.T) {
	sim(t, 1, twoLinks()[:1], func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		tn.setPath("wan1", func(p *config.Path) { p.RateUp = 8000 })
		f.Call(20*time.Millisecond, 1200, tn.net.Now()+2*time.Second)
		time.Sleep(time.Second)
		tn.setPath("wan1", func(p *config.Path) { p.RateUp = 0 })
		changed := tn.net.Now()
		time.Sleep(2 * time.Second)
		if d, ok := f.AliveAfter(changed); !ok || d > 100*time.Millisecond {
			t.Errorf("the next packet came %v later (%v)", d, ok)
		}
	})
}
