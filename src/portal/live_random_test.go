package portal

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/simnet"
)

// changer changes a tunnel at random, but so that some path always stays as it
// is, for the calls.
type changer struct {
	*tunnel
	rng  *rand.Rand
	done []string
}

func (c *changer) pick(paths []config.Path) *config.Path { return &paths[c.rng.IntN(len(paths))] }

// change does one thing to the local portal's configuration, or more at once.
func (c *changer) change() {
	c.local.change(func(to *config.Config) {
		for range 1 + c.rng.IntN(2) {
			c.edit(to)
		}
		to.Paths[0].Down = false // some path serves
	})
}

func (c *changer) edit(to *config.Config) {
	p := c.pick(to.Paths)
	what := ""
	switch c.rng.IntN(8) {
	case 0:
		p.Metric = c.rng.IntN(3)
		what = fmt.Sprint("metric of ", p.Name)
	case 1:
		p.RateUp, p.RateDown = mbit(float64(2+c.rng.IntN(8))), mbit(float64(2+c.rng.IntN(8)))
		what = fmt.Sprint("rate of ", p.Name)
	case 2:
		to.Interface.Scheduler = []string{"earliest", "greedy", "proportional", "redundant"}[c.rng.IntN(4)]
		what = to.Interface.Scheduler
	case 3:
		p.Device = c.links[c.rng.IntN(len(c.links))].Name()
		what = fmt.Sprintf("bind %s %s", p.Name, p.Device)
	case 4:
		q := *c.pick(to.Paths)
		q.Name, q.Down = fmt.Sprint("p", c.rng.IntN(6)), false
		if c.rng.IntN(4) == 0 {
			q.Transport, q.Congestion = "tcp", "none"
		}
		if slices.ContainsFunc(to.Paths, func(p config.Path) bool { return p.Name == q.Name }) {
			return
		}
		to.Paths = append(to.Paths, q)
		what = "add " + q.Name
	case 5, 6:
		if len(to.Paths) == 1 {
			return
		}
		i := 1 + c.rng.IntN(len(to.Paths)-1) // the first one stays
		what = "remove " + to.Paths[i].Name
		to.Paths = slices.Delete(to.Paths, i, i+1)
	case 7:
		p.Down = !p.Down
		what = fmt.Sprintf("down %v %s", p.Down, p.Name)
	}
	c.done = append(c.done, fmt.Sprintf("%v: %s", c.net.Now(), what))
}

// TestAnyChangesInAnyOrder: whatever is changed in whatever order and haste, calls
// lose nothing, and both portals have the same paths in the end.
func TestAnyChangesInAnyOrder(t *testing.T) {
	seeds := uint64(200)
	if testing.Short() {
		seeds = 6
	}
	for seed := range seeds {
		var specs []linkSpec
		for _, delay := range []time.Duration{5, 25, 12} {
			specs = append(specs, link(mbit(10), delay*time.Millisecond))
		}
		sim(t, seed, specs, func(tn *tunnel) {
			c := &changer{tunnel: tn, rng: rand.New(rand.NewPCG(seed, 7))}
			tn.start()
			time.Sleep(2 * time.Second)
			for round := range 3 {
				if round > 0 {
					time.Sleep(time.Duration(c.rng.IntN(130)) * time.Second) // keys change
				}
				c.callDuring(func() {
					for range 6 {
						c.change()
						time.Sleep(time.Duration(c.rng.IntN(400)) * time.Millisecond)
					}
				})
			}
			time.Sleep(3 * time.Second)
			c.samePaths()
			if t.Failed() {
				t.Fatalf("seed %d: %q", seed, c.done)
			}
		})
	}
}

// callDuring has calls both ways while f runs, and wants every packet delivered.
func (c *changer) callDuring(f func()) {
	out, in := c.check.Flow(c.local.host, c.remote.host, false), c.check.Flow(c.remote.host, c.local.host, false)
	for _, f := range []*simnet.Flow{out, in} {
		f.Call(10*time.Millisecond, 300, c.net.Now()+4*time.Second)
	}
	f()
	time.Sleep(6 * time.Second)
	for _, f := range []*simnet.Flow{out, in} {
		if s := f.All(); s.Lost > 0 || s.Sent < 100 {
			c.t.Errorf("a call: %v", &s)
		}
	}
}

// samePaths wants every path that is configured, and not down, up on both
// portals, and no other.
func (c *changer) samePaths() {
	var want []string
	for _, p := range c.local.config.Paths {
		if !p.Down {
			want = append(want, fmt.Sprintf("%s %s metric %d", p.Name, p.Transport, p.Metric))
		}
	}
	for _, e := range []*end{c.local, c.remote} {
		var have []string
		for _, p := range e.portal.Status().Paths {
			if p.State == "up" || p.State == "standby" {
				have = append(have, fmt.Sprintf("%s %s metric %d", p.Name, p.Transport, p.Metric))
			} else if p.State != "down" || e == c.remote {
				c.t.Errorf("%s: %s is %s", e.host.Name(), p.Name, p.State)
			}
		}
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			c.t.Errorf("%s has %q, want %q", e.host.Name(), have, want)
		}
	}
}
