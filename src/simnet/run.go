package simnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Start starts a portal on host h, which is called "local" or "remote". The
// portal opens h's TUN device, and uses its links as the scenario plans.
// stop ends it as SIGTERM would and returns when nothing of it is left; after
// h.Crash, too.
type Start func(h *Host) (stop func(), err error)

// Result is what came of a run.
type Result struct {
	Scenario *Scenario
	// UpAlive and DownAlive say how long after the last fault the first packet
	// sent since then was delivered at the remote and the local host; never is
	// a very long time.
	UpAlive, DownAlive time.Duration
	// Errors of the checker, of the portals, and of the simulation itself.
	Errors []error
	// Packets is how many packets went into all pipes, and Inner how many test
	// packets into the TUN devices.
	Packets, Inner uint64
	Flows          []*Flow
	Bulks          []*Bulk
	Links          []*Link // for their counters
}

// AliveWithin is how soon after the last fault a tunnel must be alive in both
// directions for Err to be nil.
const AliveWithin = 2 * time.Second

// Err is nil if the run was as it should be, and else says what was not, with
// the scenario and its seed.
func (r *Result) Err() error {
	errs := slices.Clone(r.Errors)
	for _, way := range []struct {
		name  string
		alive time.Duration
	}{{"up", r.UpAlive}, {"down", r.DownAlive}} {
		switch {
		case way.alive == never && len(r.Errors) > 0: // no wonder
		case way.alive == never:
			errs = append(errs, fmt.Errorf("nothing arrives %s after the last fault", way.name))
		case way.alive > AliveWithin:
			errs = append(errs, fmt.Errorf("the first packet %s arrives %v after the last fault", way.name, way.alive))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("%w\n%v", errors.Join(errs...), r.Scenario)
}

// Run runs the scenario with the portals that start makes, and returns when it
// is over and they have ended. It must run in a synctest bubble.
func (s *Scenario) Run(start Start) *Result {
	return newRunner(s, start).run()
}

// String sums up what became of each flow and each pipe.
func (r *Result) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "alive %v up and %v down after the last fault; %d inner packets in %d\n", r.UpAlive, r.DownAlive, r.Inner, r.Packets)
	for _, f := range r.Flows {
		s := f.All()
		fmt.Fprintf(&b, "  flow %d from %s: %v\n", f.id, f.from.name, &s)
	}
	for _, l := range r.Links {
		for _, p := range []*Pipe{l.Up, l.Down} {
			c := p.Counters()
			fmt.Fprintf(&b, "  %-16s %d in, %d delivered, queue up to %d bytes; dropped:", p.name, c.In, c.Delivered, c.QueueMax)
			for cause, n := range c.Dropped {
				if n > 0 {
					fmt.Fprintf(&b, " %v %d", Cause(cause), n)
				}
			}
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// runner is a scenario while it runs.
type runner struct {
	*Scenario
	start         Start
	net           *Network
	local, remote *Host
	links         []*Link
	checker       *Checker
	stops         map[*Host]func()
	callUp        *Flow
	callDown      *Flow
	bulks         []*Bulk
	rng           *rand.Rand
	tapes         map[*Pipe][]Datagram // a sample of all that was sent
	changes       int                  // of addresses
	errs          []error
	broken        bool // a portal does not stop: the rest makes no sense
}

func newRunner(s *Scenario, start Start) *runner {
	n := New(s.Seed)
	r := &runner{
		Scenario: s, start: start, net: n, checker: n.NewChecker(),
		remote: n.AddHost("remote", ScenarioRemote4, ScenarioRemote6),
		local:  n.AddHost("local"),
		stops:  make(map[*Host]func()),
		rng:    n.Rand("faults"),
		tapes:  make(map[*Pipe][]Datagram),
	}
	for _, l := range s.Links {
		r.links = append(r.links, n.AddLink(r.local, r.remote, l.LinkConfig))
	}
	for _, f := range s.Faults {
		if f.Kind == Replay {
			n.Tap(r.record)
			break
		}
	}
	return r
}

func (r *runner) run() *Result {
	defer r.net.Close()
	if r.Setup != nil {
		r.Setup(r.net, r.local, r.remote)
	}
	r.startPortal(r.local)
	r.startPortal(r.remote)
	r.traffic()
	for _, step := range r.timetable() {
		time.Sleep(step.at - r.net.Now())
		if r.broken {
			break
		}
		step.do()
	}
	time.Sleep(r.Duration() - r.net.Now())
	r.stopPortal(r.local, false)
	r.stopPortal(r.remote, false)
	return r.result()
}

func (r *runner) startPortal(h *Host) {
	if r.broken || r.stops[h] != nil {
		return
	}
	stop, err := r.start(h)
	if err != nil {
		r.fail(fmt.Errorf("at %v: start %s: %w", r.net.Now(), h.name, err))
		return
	}
	r.stops[h] = stop
}

// stopLimit is how long a portal may take to stop, in virtual time.
const stopLimit = 10 * time.Second

func (r *runner) stopPortal(h *Host, crash bool) {
	stop := r.stops[h]
	delete(r.stops, h)
	if stop == nil {
		return
	}
	if crash {
		h.Crash()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		stop()
	}()
	select {
	case <-done:
	case <-time.After(stopLimit):
		buf := make([]byte, 1<<20)
		buf = buf[:runtime.Stack(buf, true)]
		err := fmt.Errorf("at %v: %s does not stop:\n%s", r.net.Now(), h.name, buf)
		// What is left of it makes synctest panic before anybody sees the Result.
		fmt.Fprintf(os.Stderr, "%v\n%v\n", err, r.Scenario)
		r.fail(err)
		r.broken = true
	}
	if t := h.Tun(); t != nil && !r.broken {
		r.fail(fmt.Errorf("at %v: %s stopped and left its TUN device", r.net.Now(), h.name))
		t.Close()
	}
}

func (r *runner) fail(err error) { r.errs = append(r.errs, err) }

// traffic starts all flows; they end a second before the run does.
func (r *runner) traffic() {
	end := r.Duration() - time.Second
	flow := func(up, v6 bool) *Flow {
		if up {
			return r.checker.Flow(r.local, r.remote, v6)
		}
		return r.checker.Flow(r.remote, r.local, v6)
	}
	r.callUp, r.callDown = flow(true, false), flow(false, true)
	r.callUp.Call(20*time.Millisecond, 200, end)
	r.callDown.Call(20*time.Millisecond, 200, end)
	flow(true, true).Poisson(20, 500, end)
	flow(false, false).Poisson(20, 500, end)
	flow(true, false).Bursts(12, 1100*time.Millisecond, 1200, end)
	flow(false, false).Bursts(12, 1300*time.Millisecond, 1200, end)
	for _, b := range r.Bulks {
		r.net.At(b.At, func() {
			from, to := r.local, r.remote
			if !b.Up {
				from, to = to, from
			}
			r.bulks = append(r.bulks, r.checker.NewBulk(from, to, b.V6, b.Size, b.Segments, end))
		})
	}
}

// step is an entry of the timetable.
type step struct {
	at time.Duration
	do func()
}

func (r *runner) timetable() (steps []step) {
	for _, f := range r.Faults {
		begin, end := r.fault(f)
		steps = append(steps, step{f.At, begin})
		if f.For > 0 && end != nil {
			steps = append(steps, step{f.At + f.For, end})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	return steps
}

func (r *runner) result() *Result {
	r.net.Close() // the traffic's goroutine has ended, so what it wrote may be read
	res := &Result{
		Scenario: r.Scenario, Errors: r.errs, UpAlive: never, DownAlive: never,
		Flows: r.checker.flows, Bulks: r.bulks, Links: r.links,
	}
	if d, ok := r.callUp.AliveAfter(r.Calm); ok {
		res.UpAlive = d
	}
	if d, ok := r.callDown.AliveAfter(r.Calm); ok {
		res.DownAlive = d
	}
	if err := r.checker.Err(); err != nil {
		res.Errors = append(res.Errors, err)
	}
	if err := r.net.Balance(); err != nil {
		res.Errors = append(res.Errors, err)
	}
	for _, l := range r.links {
		res.Packets += l.Up.Counters().In + l.Down.Counters().In
	}
	for _, f := range res.Flows {
		res.Inner += uint64(len(f.packets))
	}
	return res
}
