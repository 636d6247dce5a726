package portal

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/simnet"
)

// change makes a portal that runs follow its configuration, edited.
func (e *end) change(edit func(*config.Config)) {
	e.tunnel.t.Helper()
	if err := e.tryChange(edit); err != nil {
		e.tunnel.t.Fatalf("%s: %v", e.host.Name(), err)
	}
}

func (e *end) tryChange(edit func(*config.Config)) error {
	next := e.config
	next.Paths, next.Listens = slices.Clone(next.Paths), slices.Clone(next.Listens)
	edit(&next)
	err := e.portal.Apply(&next)
	if err == nil {
		e.config = next
	}
	return err
}

// setPath changes one path of the local portal.
func (tn *tunnel) setPath(name string, edit func(*config.Path)) {
	tn.t.Helper()
	tn.local.change(func(c *config.Config) {
		i := slices.IndexFunc(c.Paths, func(p config.Path) bool { return p.Name == name })
		edit(&c.Paths[i])
	})
}

func (tn *tunnel) removePath(name string) {
	tn.t.Helper()
	tn.local.change(func(c *config.Config) {
		c.Paths = slices.DeleteFunc(c.Paths, func(p config.Path) bool { return p.Name == name })
	})
}

func (tn *tunnel) addPath(p config.Path) {
	tn.t.Helper()
	tn.local.change(func(c *config.Config) { c.Paths = append(c.Paths, p) })
}

// liveLinks are four equal links but for their delay; only the first two have
// paths.
func liveLinks(transport string) (specs []linkSpec) {
	for _, delay := range []time.Duration{10, 14, 18, 12} {
		l := link(mbit(20), delay*time.Millisecond)
		l.transport = transport
		specs = append(specs, l)
	}
	return specs
}

// liveChange is a change, and what the links carry for one flow from then on, in Mbit/s.
type liveChange struct {
	what string
	rate float64
	do   func(tn *tunnel, spare []config.Path)
}

// otherWAN is the change that makes a new connection of one half of the rate.
const otherWAN = "the WAN"

var liveChanges = []liveChange{
	{"nothing", 40, func(*tunnel, []config.Path) {}},
	{"a metric", 20, func(tn *tunnel, _ []config.Path) {
		tn.setPath("wan2", func(p *config.Path) { p.Metric = 5 })
	}},
	{"the metric back", 40, func(tn *tunnel, _ []config.Path) {
		tn.setPath("wan2", func(p *config.Path) { p.Metric = 0 })
	}},
	{"a rate", 30, func(tn *tunnel, _ []config.Path) {
		tn.setPath("wan1", func(p *config.Path) { p.RateDown, p.RateUp = mbit(10), mbit(10) })
	}},
	{"no rate", 40, func(tn *tunnel, _ []config.Path) {
		tn.setPath("wan1", func(p *config.Path) { p.RateDown, p.RateUp = 0, 0 })
	}},
	{"the scheduler", 40, func(tn *tunnel, _ []config.Path) {
		tn.local.change(func(c *config.Config) { c.Interface.Scheduler = "greedy" })
		tn.remote.change(func(c *config.Config) { c.Interface.Scheduler = "greedy" })
	}},
	{"the scheduler back", 40, func(tn *tunnel, _ []config.Path) {
		tn.local.change(func(c *config.Config) { c.Interface.Scheduler = "earliest" })
		tn.remote.change(func(c *config.Config) { c.Interface.Scheduler = "earliest" })
	}},
	{otherWAN, 40, func(tn *tunnel, _ []config.Path) {
		tn.setPath("wan1", func(p *config.Path) { p.Device = "wan4" })
	}},
	{"a path more", 60, func(tn *tunnel, spare []config.Path) { tn.addPath(spare[0]) }},
	{"a path less", 40, func(tn *tunnel, _ []config.Path) { tn.removePath("wan2") }},
	{"down", 20, func(tn *tunnel, _ []config.Path) {
		tn.setPath("wan3", func(p *config.Path) { p.Down = true })
	}},
	{"up", 40, func(tn *tunnel, _ []config.Path) {
		tn.setPath("wan3", func(p *config.Path) { p.Down = false })
	}},
}

// TestChangesDisturbNobody: whatever is changed, a call on the others loses no
// packet, and a flow gets in no second less than 80 % of what the links carry.
func TestChangesDisturbNobody(t *testing.T) {
	slow(t)
	for _, transport := range []string{"udp", "tcp"} {
		for _, down := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, down %v", transport, down), func(t *testing.T) { liveRuns(t, transport, down) })
		}
	}
}

// liveRuns runs the course. How soon a flow finds that there is more depends on when
// chance last took a packet of its; so where it was late, the middle of three runs
// counts.
func liveRuns(t *testing.T, transport string, down bool) {
	var late []string
	run := func() (was bool) {
		sim(t, 1, liveLinks(transport), func(tn *tunnel) {
			l := liveCourse(tn, transport, down)
			was, late = len(l) > 0, append(late, l...)
		})
		return was
	}
	if !run() {
		return
	}
	if second, third := run(), run(); second || third {
		t.Errorf("late in two runs of three: %q", late)
	}
}

// liveCourse makes all changes. It returns where the flow had not yet found what a
// change brought.
func liveCourse(tn *tunnel, transport string, down bool) (late []string) {
	const each = 5 // seconds
	// What of the links a flow gets undisturbed, and how many seconds it takes to
	// find that there is more: over TCP paths, as long as its own Reno does.
	share, growth := 0.96, 4
	if transport == "tcp" {
		share, growth = 0.87, each
	}
	spare := tn.local.config.Paths[2:]
	tn.local.config.Paths = slices.Clone(tn.local.config.Paths[:2])
	tn.start()
	time.Sleep(2 * time.Second)
	from, to := tn.local.host, tn.remote.host
	if down {
		from, to = to, from
	}
	until := tn.net.Now() + time.Duration(len(liveChanges)*each+3)*time.Second
	bulk := tn.check.NewBulk(from, to, false, 1400, 0, until)
	time.Sleep(3 * time.Second)
	calls := []*simnet.Flow{tn.check.Flow(from, to, false), tn.check.Flow(to, from, false)}
	for _, f := range calls {
		f.Call(20*time.Millisecond, 200, until-time.Second)
	}
	found := liveChanges[0].rate // what the flow has found, of what the links carry
	for _, c := range liveChanges {
		c.do(tn, spare)
		found = min(found, c.rate)
		anew := c.what == otherWAN && transport == "tcp"
		if anew {
			found /= 2 // the new connection begins with its slow start
		}
		for second := range each {
			had := bulk.InOrder()
			time.Sleep(time.Second)
			rate := float64(bulk.InOrder()-had) * 1400 * 8 / 1e6
			got := fmt.Sprintf("%s, second %d: %.1f Mbit/s", c.what, second, rate)
			tn.t.Log(got)
			switch {
			case rate >= 0.8*c.rate*share:
			case rate < 0.8*found*share:
				tn.t.Errorf("%s of %.0f", got, found)
			case second >= growth:
				late = append(late, got)
			}
		}
		if !anew { // whose Reno may be cut back once more
			found = c.rate
		}
	}
	time.Sleep(2 * time.Second)
	for _, f := range calls {
		if s := f.All(); s.Sent < 200 || s.Lost > 0 {
			tn.t.Errorf("a call: %v", &s)
		} else {
			tn.t.Logf("a call: %v", &s)
		}
	}
	if st := tn.remote.portal.Status(); len(st.Paths) != 2 {
		tn.t.Errorf("the remote still has %d paths: %+v", len(st.Paths), st.Paths)
	}
	return late
}
