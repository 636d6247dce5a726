package simnet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
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
	for dir, d := range map[string]time.Duration{"up": r.UpAlive, "down": r.DownAlive} {
		switch {
		case len(r.Errors) > 0 && d == never: // it did not get so far
		case d == never:
			errs = append(errs, fmt.Errorf("nothing arrives %s after the last fault", dir))
		case d > AliveWithin:
			errs = append(errs, fmt.Errorf("the first packet %s arrives %v after the last fault", dir, d))
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

// fault returns what makes f begin, and end if it has an end.
func (r *runner) fault(f Fault) (begin, end func()) {
	l, plan := r.links[f.Link], &r.Links[f.Link]
	// change sets something in both pipes, and puts it back as planned.
	change := func(set func(c, planned *Conditions)) func() {
		return func() {
			l.Up.Change(func(c *Conditions) { set(c, &plan.Up) })
			l.Down.Change(func(c *Conditions) { set(c, &plan.Down) })
		}
	}
	cut := func(p *Pipe, cut bool) func() {
		return func() { p.Change(func(c *Conditions) { c.Cut = cut }) }
	}
	switch f.Kind {
	case Cut:
		return func() { l.Cut(true) }, func() { l.Cut(false) }
	case CutUp:
		return cut(l.Up, true), cut(l.Up, false)
	case CutDown:
		return cut(l.Down, true), cut(l.Down, false)
	case Unplug:
		return func() { l.SetCarrier(false) }, func() { l.SetCarrier(true) }
	case RateChange:
		return change(func(c, p *Conditions) { c.Rate = max(1e5, int64(f.Value*float64(p.Rate))) }),
			change(func(c, p *Conditions) { c.Rate = p.Rate })
	case DelayChange:
		return change(func(c, p *Conditions) { c.Delay = time.Duration(f.Value * float64(p.Delay)) }),
			change(func(c, p *Conditions) { c.Delay = p.Delay })
	case LossBurst:
		return change(func(c, p *Conditions) { c.Loss = min(1, p.Loss+f.Value) }),
			change(func(c, p *Conditions) { c.Loss = p.Loss })
	case CorruptBurst:
		return change(func(c, p *Conditions) { c.Corrupt = f.Value }), change(func(c, p *Conditions) { c.Corrupt = p.Corrupt })
	case DuplicateBurst:
		return change(func(c, p *Conditions) { c.Duplicate = f.Value }), change(func(c, p *Conditions) { c.Duplicate = p.Duplicate })
	case ReorderBurst:
		return change(func(c, p *Conditions) { c.Reorder = f.Value }), change(func(c, p *Conditions) { c.Reorder = p.Reorder })
	case SmallMTU:
		return change(func(c, p *Conditions) { c.MTU = int(f.Value) }), change(func(c, p *Conditions) { c.MTU = p.MTU })
	case Rebind:
		return func() {
			if r.changes++; f.Value > .5 && plan.NAT.IsValid() {
				l.RebindTo(natAddr(f.Link, r.changes))
			} else {
				l.Rebind()
			}
		}, nil
	case Readdress:
		return func() {
			r.changes++
			l.Readdress(linkAddr(f.Link, r.changes, plan.Addr.Is6()))
		}, nil
	case Replay:
		return func() { r.attack(f, r.replay) }, nil
	case Noise:
		return func() { r.attack(f, r.noise) }, nil
	case RestartLocal, RestartRemote:
		h := r.local
		if f.Kind == RestartRemote {
			h = r.remote
		}
		return func() { r.stopPortal(h, f.Value > .5) }, func() { r.startPortal(h) }
	}
	panic("simnet: unknown fault")
}

// record keeps a sample of the datagrams that are sent: of each pipe every 8th
// of the last thousand.
func (r *runner) record(d Datagram) {
	if d.TCP || d.Number%8 != 0 {
		return
	}
	tape := r.tapes[d.Pipe]
	if len(tape) < 128 {
		d.Data = slices.Clone(d.Data)
		r.tapes[d.Pipe] = append(tape, d)
		return
	}
	slot := &tape[d.Number/8%uint64(len(tape))]
	d.Data = append(slot.Data[:0], d.Data...)
	*slot = d
}

// attack sends 500 datagrams a second while f lasts.
func (r *runner) attack(f Fault, send func()) {
	end := f.At + f.For
	var next func()
	next = func() {
		if r.net.Now() < end {
			send()
			r.net.After(2*time.Millisecond, next)
		}
	}
	r.net.After(0, next) // from the network's goroutine, the first too
}

// replay repeats a recorded datagram: as it was, on another path, or from a
// stranger. It runs in the network's goroutine, as record does under its lock.
func (r *runner) replay() {
	r.net.mu.Lock()
	pipe := r.links[r.rng.IntN(len(r.links))].Up
	if r.rng.IntN(2) == 0 {
		pipe = pipe.link.Down
	}
	tape := r.tapes[pipe]
	if len(tape) == 0 {
		r.net.mu.Unlock()
		return
	}
	d := tape[r.rng.IntN(len(tape))]
	data := slices.Clone(d.Data)
	r.net.mu.Unlock()
	other := r.links[r.rng.IntN(len(r.links))].Public()
	from, to := d.From, d.To
	switch kind := r.rng.IntN(3); {
	case kind == 0:
		from = r.stranger(to.Addr().Is6())
	case kind == 1 && d.Pipe.up && other.Is4() == to.Addr().Is4():
		from = netip.AddrPortFrom(other, from.Port())
	case kind == 1 && !d.Pipe.up && other.Is4() == from.Addr().Is4():
		to = netip.AddrPortFrom(other, to.Port())
	}
	r.net.Inject(from, to, data)
}

func (r *runner) noise() {
	data := make([]byte, 1+r.rng.IntN(1400))
	for i := range data {
		data[i] = byte(r.rng.Uint32())
	}
	r.net.Inject(r.stranger(false), netip.AddrPortFrom(ScenarioRemote4, ScenarioPort), data)
}

func (r *runner) stranger(v6 bool) netip.AddrPort {
	x := r.rng.Uint32()
	addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(x)})
	if v6 {
		addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0x66, 15: byte(x)})
	}
	return netip.AddrPortFrom(addr, uint16(x>>16))
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
