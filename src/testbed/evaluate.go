//go:build linux

package testbed

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
)

// EvaluateConfig says what to evaluate.
type EvaluateConfig struct {
	Only       string        // parts, comma-separated; empty: all; part:case chooses one of its cases, or a pattern of them
	Runs       int           // of each figure; 0: 3
	For        time.Duration // of each throughput measurement; 0: 10 s
	Transports string        // comma-separated; empty: udp,tcp, and udp for the parts that are not the paper's
	Directions string        // comma-separated; empty: down,up
	Inner      string        // congestion control of the TCP flows through the tunnel; empty: cubic
	Scale      float64       // of the rates of the parts with real links' rates, for a slow host; 0: 1
	Routing    string        // of the tunnels; empty: nat
	Count      int           // of tunnels of one VPS; 0: 100
	Program    string        // the daemon; empty: build/netcombiner
	Dir        string        // where results.json goes; empty: build/evaluation
	Keep       bool          // what results.json there has and this evaluation does not measure again
}

// Part is an evaluation that can be run alone.
type Part struct {
	Name    string
	Title   string
	Figures []string // of the paper that it measures: names that also choose it
	Cases   []string // that can be chosen alone, as name:case

	// speeds are the sets of links, by their rates in bit/s, over each of which
	// one TCP flow is measured before run. What another part has measured in the
	// same evaluation is not measured again.
	speeds [][]int64
	run    func(context.Context, *evaluation) error // may be nil
	// lasts estimates how long run takes; nil: not known.
	lasts func(*evaluation) time.Duration
}

// Parts lists the evaluations in the order in which they run.
var Parts = []Part{
	{Name: "emulator", Title: "The emulated links are true", run: evaluateEmulator,
		lasts: func(e *evaluation) time.Duration { return e.every((3*13 + 9) * time.Second) }},
	{Name: "call", Title: "A UDP call over two links that stay up", Figures: []string{"4.1", "C.1"}, run: evaluateCall,
		lasts: func(e *evaluation) time.Duration { return e.each(6500*time.Millisecond) * 3 / 2 }},
	{Name: "failover", Title: "A UDP call while a link dies silently", Figures: []string{"4.2", "C.2"}, run: evaluateFailover,
		lasts: func(e *evaluation) time.Duration { return e.each(7*time.Second) * 7 / 2 }},
	{Name: "outage", Title: "A UDP call while both links die and return", Figures: []string{"4.3", "C.3"}, run: evaluateOutage,
		lasts: func(e *evaluation) time.Duration { return e.each(outageLasts + 2*time.Second) }},
	{Name: "bothways", Title: "One TCP flow down and up", Figures: []string{"4.4"}, speeds: [][]int64{{1 * mb, 1 * mb}, {1 * mb, 2 * mb}, {2 * mb, 2 * mb}}, run: evaluateBothWays},
	{Name: "address", Title: "The client holds the remote portal's address", Figures: []string{"4.5"}, run: evaluateAddress,
		lasts: func(e *evaluation) time.Duration { return time.Duration(len(e.transports)) * 5 * time.Second }},
	{Name: "equal", Title: "One TCP flow over two equal links", Figures: []string{"4.6", "C.6"}, speeds: [][]int64{{1 * mb, 1 * mb}, {2 * mb, 2 * mb}}, run: evaluateEqual},
	{Name: "unequal", Title: "One TCP flow over two unequal links", Figures: []string{"4.7"},
		speeds: [][]int64{{1 * mb, 1 * mb}, {1 * mb, 2 * mb}, {2 * mb, 2 * mb}, {2 * mb, 4 * mb}, {4 * mb, 4 * mb}}, run: evaluateUnequal},
	{Name: "four", Title: "One TCP flow over two to four equal links", Figures: []string{"4.8"}, speeds: equals(2, 4, 2*mb)},
	{Name: "variation", Title: "A link's capacity changes", Figures: []string{"4.9"}, run: evaluateVariation, lasts: variationLasts},
	{Name: "regain", Title: "A link lost for 15 s and regained", Figures: []string{"4.2.4"}, run: evaluateRegain,
		lasts: func(e *evaluation) time.Duration { return e.each(regainEnd + time.Second) }},
	{Name: "scaling", Title: "One TCP flow over one to eight equal links", Figures: []string{"4.10"},
		speeds: slices.Concat(equals(1, 8, 1*mb), equals(1, 8, 2*mb), equals(1, 8, 4*mb)), run: evaluateScaling},
	{Name: "restart", Title: "A portal killed and started again", run: evaluateRestart,
		lasts: func(e *evaluation) time.Duration {
			return time.Duration(2*len(e.transports)) * (5*time.Second + time.Duration(e.Runs)*12*time.Second)
		}},
	{Name: "profiles", Title: "One TCP flow over links as they are: the public link profiles", Cases: profileCases(), run: evaluateProfiles, lasts: profilesLast},
	{Name: "latency", Title: "A ping and a call while DSL and LTE are full", Cases: latencyCases(), run: evaluateLatency, lasts: latencyLasts},
	{Name: "metric", Title: "A second path with a higher metric, with room on the first", run: evaluateMetric,
		lasts: func(e *evaluation) time.Duration { return e.every(e.For + time.Second) }},
	{Name: "udp", Title: "A UDP flow at 90 % of two links", run: evaluateUDP, lasts: udpLasts},
	{Name: "live", Title: "A metric, a rate, a WAN, a scheduler and paths changed during a TCP flow and a call", run: evaluateLive, lasts: liveLasts},
	{Name: "many", Title: "One VPS for many homes, all idle", run: evaluateMany,
		lasts: func(e *evaluation) time.Duration { return 20*time.Second + time.Duration(e.Runs)*manyFor }},
	{Name: "replay", Title: "Recorded and altered packets sent to a live tunnel", run: evaluateReplay,
		lasts: func(e *evaluation) time.Duration { return 20*time.Second + time.Duration(5*e.Runs)*4*time.Second }},
}

// evaluation is a run of some parts.
type evaluation struct {
	EvaluateConfig
	report     *Report
	part       string   // running now
	cases      []string // of it, chosen; patterns, none: all
	transports []string
	directions []direction
	speeds     speeds // measured so far
	out        io.Writer
}

// Evaluate runs parts, tells progress and at last the table on out, and writes
// results.json. A target that is missed is no error; a part that cannot be measured is.
func Evaluate(ctx context.Context, c EvaluateConfig, out io.Writer) error {
	if c.Runs == 0 {
		c.Runs = 3
	}
	if c.For == 0 {
		c.For = 10 * time.Second
	}
	if c.Scale == 0 {
		c.Scale = 1
	}
	if c.Scale < 0.01 || c.Scale > 1 {
		return fmt.Errorf("the scale is %v; allowed is 0.01 to 1", c.Scale)
	}
	if c.Dir == "" {
		c.Dir = filepath.Join("build", "evaluation")
	}
	chosen, err := choose(c.Only)
	if err != nil {
		return err
	}
	ways, err := chooseDirections(c.Directions)
	if err != nil {
		return err
	}
	e := &evaluation{EvaluateConfig: c, transports: split(cmp.Or(c.Transports, "udp,tcp")), directions: ways, out: out}
	e.report = &Report{}
	if c.Keep {
		if e.report, err = keep(filepath.Join(c.Dir, "results.json"), chosen); err != nil {
			return err
		}
	}
	e.report.Started, e.report.Machine, e.report.Daemon = now(), measure.ThisMachine(), version(c.Program)
	e.report.Runs, e.report.Scale = c.Runs, c.Scale
	fmt.Fprintln(out, e.estimate(chosen))
	var failed error
	for i, p := range chosen {
		fmt.Fprintf(out, "[%d/%d] %s: %s\n", i+1, len(chosen), p.Name, p.Title)
		e.part, e.cases = p.Name, p.cases
		done := PartRun{Name: p.Name, Title: p.Title, Figures: p.Figures, Started: now()}
		if err := e.measure(ctx, p.Part); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err = fmt.Errorf("%s: %w", p.Name, err)
			fmt.Fprintln(out, "  failed:", err)
			e.report.Errors = append(e.report.Errors, err.Error())
			failed = errors.Join(failed, err)
		}
		// Kept after every part: an interruption loses one at most.
		done.Seconds, e.report.Seconds = time.Since(done.Started).Seconds(), time.Since(e.report.Started).Seconds()
		e.report.Parts = append(e.report.Parts, done)
		if err := writeJSON(filepath.Join(c.Dir, "results.json"), e.report); err != nil {
			return err
		}
	}
	fmt.Fprintln(out)
	e.report.Table(out)
	return failed
}

// save writes what was found until now: after every part, and within long
// ones, so that an interruption loses little.
func (e *evaluation) save() error {
	e.report.Seconds = time.Since(e.report.Started).Seconds()
	return writeJSON(filepath.Join(e.Dir, "results.json"), e.report)
}

// measure runs one part.
func (e *evaluation) measure(ctx context.Context, p Part) error {
	for _, rates := range p.speeds {
		if err := e.combine(ctx, rates); err != nil {
			return fmt.Errorf("%s: %w", linksName(rates), err)
		}
	}
	if p.run == nil {
		return nil
	}
	return p.run(ctx, e)
}

// estimate says how long the chosen parts will take.
func (e *evaluation) estimate(chosen []choice) string {
	var sum time.Duration
	var unknown []string
	var sets [][]int64
	for _, p := range chosen {
		sets = append(sets, p.speeds...)
		e.cases = p.cases
		switch {
		case p.lasts != nil:
			sum += p.lasts(e)
		case p.speeds == nil:
			unknown = append(unknown, p.Name)
		}
	}
	sum += e.speedsLast(sets)
	about := int(sum.Minutes()) + 1
	text := fmt.Sprintf("%d runs of each figure: about %d min", e.Runs, about)
	if about >= 100 {
		text = fmt.Sprintf("%d runs of each figure: about %d h %d min", e.Runs, about/60, about%60)
	}
	if len(unknown) > 0 {
		text += ", and what " + strings.Join(unknown, ", ") + " take"
	}
	return text
}

// each is how long something takes that is done in every run, direction and
// over every transport.
func (e *evaluation) each(d time.Duration) time.Duration {
	return time.Duration(len(e.transports)) * e.every(d)
}

// every is how long something takes that is done in every run and direction.
func (e *evaluation) every(d time.Duration) time.Duration {
	return time.Duration(len(e.directions)*e.Runs) * d
}

// keep reads the report of an earlier evaluation, without what it says of
// failures of the parts that are now chosen. There need not be one.
func keep(file string, chosen []choice) (*Report, error) {
	r := &Report{}
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	if err != nil {
		return nil, fmt.Errorf("what an earlier evaluation left cannot be kept: %w", err)
	}
	for i := range r.Rows {
		r.Rows[i].kept = true
	}
	for i := range r.Series {
		r.Series[i].kept = true
	}
	again := func(name string) bool {
		return slices.ContainsFunc(chosen, func(c choice) bool { return c.Name == name })
	}
	r.Parts = slices.DeleteFunc(r.Parts, func(p PartRun) bool { return again(p.Name) })
	r.Errors = slices.DeleteFunc(r.Errors, func(e string) bool { name, _, _ := strings.Cut(e, ":"); return again(name) })
	return r, nil
}

// now is a moment for a report.
func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

// version is what the daemon says of itself, if anything.
func version(program string) string {
	out, _ := exec.Command(cmp.Or(program, lab.Program), "version").Output()
	return strings.TrimSpace(string(out))
}

// choice is a part to run, and which of its cases.
type choice struct {
	Part
	cases []string // patterns; none: all
}

// choose finds the parts named in a comma-separated list, by their own names
// or by a figure of the paper that they measure. A name may be followed by a
// colon and a pattern of its cases; parts named again with another run those too.
func choose(only string) (chosen []choice, err error) {
	names := split(only)
	if len(names) == 0 {
		for _, p := range Parts {
			chosen = append(chosen, choice{Part: p})
		}
		return chosen, nil
	}
	for _, name := range names {
		name, pattern, some := strings.Cut(name, ":")
		matches := func(c string) bool { ok, err := path.Match(pattern, c); return ok && err == nil }
		known := false
		for _, part := range Parts {
			if part.Name != name && !slices.Contains(part.Figures, name) {
				continue
			}
			known = true
			if some && !slices.ContainsFunc(part.Cases, matches) {
				return nil, fmt.Errorf("the evaluation %s has no case %q; it has %s", name, pattern, cmp.Or(strings.Join(part.Cases, ", "), "none to choose from"))
			}
			have := slices.IndexFunc(chosen, func(c choice) bool { return c.Name == part.Name })
			switch {
			case have < 0 && some:
				chosen = append(chosen, choice{part, []string{pattern}})
			case have < 0:
				chosen = append(chosen, choice{Part: part})
			case !some:
				chosen[have].cases = nil
			case chosen[have].cases != nil:
				chosen[have].cases = append(chosen[have].cases, pattern)
			}
		}
		if !known {
			var all []string
			for _, p := range Parts {
				all = append(append(all, p.Name), p.Figures...)
			}
			return nil, fmt.Errorf("no evaluation is called %q; there are %s", name, strings.Join(all, ", "))
		}
	}
	return chosen, nil
}

// wanted says whether a case of the part running now was chosen.
func (e *evaluation) wanted(name string) bool {
	return len(e.cases) == 0 || slices.ContainsFunc(e.cases, func(pattern string) bool {
		ok, _ := path.Match(pattern, name)
		return ok
	})
}

// ownTransports are those of the parts that the paper does not have: udp,
// unless others were asked for.
func (e *evaluation) ownTransports() []string { return split(cmp.Or(e.Transports, "udp")) }

// inner names a case by what is not usual of the flows in it.
func (e *evaluation) inner(name string) string {
	if e.Inner != "" && e.Inner != measure.Cubic {
		return name + " " + e.Inner
	}
	return name
}

// say tells progress.
func (e *evaluation) say(format string, a ...any) { fmt.Fprintf(e.out, "  "+format+"\n", a...) }

// add adds a figure to the report and tells it.
func (e *evaluation) add(name, metric, unit string, target *Target, samples []float64) {
	e.put(Row{Case: name, Metric: metric, Unit: unit, Target: target, Samples: samples})
}

// put adds a row to the report, in the part running now unless it names
// another, and tells it.
func (e *evaluation) put(row Row) {
	row.Part = cmp.Or(row.Part, e.part)
	// A part of nothing is no number, and JSON has none for it.
	if slices.ContainsFunc(row.Samples, notFinite) {
		missing := fmt.Sprintf("%s: %s: %s: nothing came of what it is a part of", row.Part, row.Case, row.Metric)
		e.say("%s", missing)
		e.report.Errors = append(e.report.Errors, missing)
		return
	}
	if row.Single != nil && notFinite(*row.Single) {
		row.Single = nil
	}
	row = e.report.Put(row)
	verdict := ""
	if row.Target != nil {
		verdict = fmt.Sprintf(" (target %v: %s)", row.Target, map[bool]string{true: "met", false: "MISSED"}[row.Met])
	}
	e.say("%s: %s: median %s %s%s", row.Case, row.Metric, number(row.Median), row.Unit, verdict)
}

func notFinite(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

// exactness adds how many frames the emulator carried late since it was last
// asked: where they are many, the host was too busy for the figures before.
func (e *evaluation) exactness(name string, l *lab.Lab) error {
	late, err := l.Emulator.Lateness()
	if err == nil {
		e.add(name, "frames that the emulated links delivered over 1 ms late", "%", nil, []float64{late.Percent()})
	}
	return err
}

// tunnel starts the portals and waits until all paths are up, but for those
// of links that are cut, whose number is given.
func (e *evaluation) tunnel(ctx context.Context, l *lab.Lab, transport string, except ...string) (*lab.Tunnel, error) {
	t, err := l.StartTunnel(lab.TunnelConfig{Program: e.Program, Transport: transport, Routing: e.Routing})
	if err != nil {
		return nil, err
	}
	if err := waitUp(ctx, t, except...); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// waitUp waits until all paths but some are up and the MTU is settled, 15 s at most.
func waitUp(ctx context.Context, t *lab.Tunnel, except ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	return t.WaitSettled(ctx, except...)
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// direction is a way to measure: down is to the home.
type direction struct {
	name string
	down bool
}

// directions in the order in which they are reported.
var directions = []direction{{"down", true}, {"up", false}}

// chooseDirections finds those named in a comma-separated list; empty: both.
func chooseDirections(list string) (chosen []direction, err error) {
	names := split(list)
	for _, d := range directions {
		if len(names) == 0 || slices.Contains(names, d.name) {
			chosen = append(chosen, d)
		}
	}
	for _, name := range names {
		if name != "down" && name != "up" {
			return nil, fmt.Errorf("no direction is called %q; there are down and up", name)
		}
	}
	return chosen, nil
}

// even is n links of one rate both ways, 5 ms one way: a, b, c, …
func even(n int, rate int64) (links []lab.LinkConfig) {
	for i := range n {
		links = append(links, lab.Symmetric(string(rune('a'+i)), link.Shape{Rate: rate, Delay: 5 * time.Millisecond}))
	}
	return links
}
