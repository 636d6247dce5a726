//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	Only       string        // parts, comma-separated; empty: all but those that have to be named
	Runs       int           // of each figure; 0: 3
	For        time.Duration // of each throughput measurement; 0: 10 s
	Transports string        // comma-separated; empty: udp,tcp
	Routing    string        // of the tunnels; empty: nat
	Program    string        // the daemon; empty: build/netcombiner
	Dir        string        // where results.json goes; empty: build/evaluation
}

// Part is an evaluation that can be run alone.
type Part struct {
	Name  string
	Title string
	run   func(context.Context, *evaluation) error
}

// Parts lists the evaluations in the order in which they run.
var Parts = []Part{
	{"emulator", "The emulated links are true", evaluateEmulator},
	{"equal", "One TCP flow over two equal links", evaluateEqual},
	{"failover", "A UDP call while a link dies silently", evaluateFailover},
	{"regain", "A link lost for 15 s and regained", evaluateRegain},
	{"restart", "A portal killed and started again", evaluateRestart},
	{"replay", "Recorded and altered packets sent to a live tunnel", evaluateReplay},
}

// evaluation is a run of some parts.
type evaluation struct {
	EvaluateConfig
	report     *Report
	part       string // running now
	transports []string
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
	if c.Transports == "" {
		c.Transports = "udp,tcp"
	}
	if c.Dir == "" {
		c.Dir = filepath.Join("build", "evaluation")
	}
	chosen, err := choose(c.Only)
	if err != nil {
		return err
	}
	e := &evaluation{EvaluateConfig: c, transports: split(c.Transports), out: out}
	e.report = &Report{Started: time.Now().UTC().Truncate(time.Second), Machine: measure.ThisMachine(), Runs: c.Runs}
	var failed error
	for i, p := range chosen {
		fmt.Fprintf(out, "[%d/%d] %s: %s\n", i+1, len(chosen), p.Name, p.Title)
		e.part = p.Name
		if err := p.run(ctx, e); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err = fmt.Errorf("%s: %w", p.Name, err)
			fmt.Fprintln(out, "  failed:", err)
			e.report.Errors = append(e.report.Errors, err.Error())
			failed = errors.Join(failed, err)
		}
		// Kept after every part: an interruption loses one at most.
		e.report.Seconds = time.Since(e.report.Started).Seconds()
		if err := writeJSON(filepath.Join(c.Dir, "results.json"), e.report); err != nil {
			return err
		}
	}
	fmt.Fprintln(out)
	e.report.Table(out)
	return failed
}

// choose finds the parts named in a comma-separated list.
func choose(only string) ([]Part, error) {
	names := split(only)
	if len(names) == 0 {
		return Parts, nil
	}
	var chosen []Part
	for _, name := range names {
		i := slices.IndexFunc(Parts, func(p Part) bool { return p.Name == name })
		if i < 0 {
			var all []string
			for _, p := range Parts {
				all = append(all, p.Name)
			}
			return nil, fmt.Errorf("no evaluation is called %q; there are %s", name, strings.Join(all, ", "))
		}
		chosen = append(chosen, Parts[i])
	}
	return chosen, nil
}

// say tells progress.
func (e *evaluation) say(format string, a ...any) { fmt.Fprintf(e.out, "  "+format+"\n", a...) }

// add adds a figure to the report and tells it.
func (e *evaluation) add(name, metric, unit string, target *Target, samples []float64) {
	row := e.report.Add(e.part, name, metric, unit, target, samples)
	verdict := ""
	if target != nil {
		verdict = fmt.Sprintf(" (target %v: %s)", target, map[bool]string{true: "met", false: "MISSED"}[row.Met])
	}
	e.say("%s: %s: median %s %s%s", name, metric, number(row.Median), unit, verdict)
}

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

// directions in the order in which they are reported.
var directions = []struct {
	name string
	down bool
}{{"down", true}, {"up", false}}

// even is n links of one rate both ways, 5 ms one way: a, b, c, …
func even(n int, rate int64) (links []lab.LinkConfig) {
	for i := range n {
		links = append(links, lab.Symmetric(string(rune('a'+i)), link.Shape{Rate: rate, Delay: 5 * time.Millisecond}))
	}
	return links
}

// spare is a link like those of even that no tunnel uses.
func spare(rate int64) lab.LinkConfig {
	l := lab.Symmetric("direct", link.Shape{Rate: rate, Delay: 5 * time.Millisecond})
	l.Spare = true
	return l
}
