//go:build linux

package testbed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// BenchConfig says what to measure of the daemon's speed.
type BenchConfig struct {
	Only      string        // subjects and trials, comma-separated, patterns; empty: all
	Runs      int           // of everything; 0: 1
	For       time.Duration // of each throughput measurement; 0: 3 s
	Program   string        // the daemon; empty: build/netcombiner
	Binary    string        // the daemon for linux/arm64, whose size counts; empty: not told
	Wireguard string        // a wireguard-go beside the system's; empty: none
	Profile   bool          // Program is built with the tag profile, and leaves local.pprof and remote.pprof
	Dir       string        // where results.json and table.md go; empty: build/bench
}

// bench is a benchmark under way.
type bench struct {
	BenchConfig
	report  *Report
	out     io.Writer
	results *results

	// What is measured now.
	subject subject
	trial   trial
	stage   *stage
}

// Bench measures what the daemon gives and costs where nothing but the
// processor limits it, beside wireguard-go and no tunnel; tells it on out, and writes results.json
// and table.md. A target that is missed is no error; what cannot be measured is.
func Bench(ctx context.Context, c BenchConfig, out io.Writer) error {
	c.Runs, c.For = cmp.Or(c.Runs, 1), cmp.Or(c.For, 3*time.Second)
	c.Program, c.Dir = cmp.Or(c.Program, lab.Program), cmp.Or(c.Dir, filepath.Join("build", "bench"))
	if c.Profile {
		c.Only = cmp.Or(c.Only, "udp-auto,flow")
	}
	var err error
	for _, file := range []*string{&c.Program, &c.Dir} {
		if *file, err = filepath.Abs(*file); err != nil {
			return err
		}
	}
	if c.Wireguard != "" {
		if c.Wireguard, err = filepath.Abs(c.Wireguard); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	subjects, chosen, err := c.choose()
	if err != nil {
		return err
	}
	b := &bench{BenchConfig: c, out: out, results: &results{}}
	b.report = &Report{Started: now(), Machine: measure.ThisMachine(), Daemon: version(c.Program), Runs: c.Runs, Scale: 1}
	if load := measure.Load(); load > 0.5 {
		fmt.Fprintf(out, "The host is busy (load %.1f): the figures will be too low.\n", load)
	}
	var failed error
	for r := range c.Runs {
		for i, s := range subjects {
			fmt.Fprintf(out, "[%d/%d] %s\n", r*len(subjects)+i+1, c.Runs*len(subjects), s.name)
			b.subject = s
			if err := b.measure(ctx, chosen); err != nil {
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				err = fmt.Errorf("%s: %w", s.name, err)
				fmt.Fprintln(out, "  failed:", err)
				b.report.Errors = append(b.report.Errors, err.Error())
				failed = errors.Join(failed, err)
			}
			if err := b.save(); err != nil {
				return err
			}
		}
	}
	if err := b.size(); err != nil {
		return err
	}
	b.judge()
	if err := b.save(); err != nil {
		return err
	}
	return errors.Join(b.tell(), failed)
}

// choose finds the subjects and trials that Only names. Names of one kind alone leave all of the other.
func (c BenchConfig) choose() (subjects []subject, chosen []trial, err error) {
	all := c.subjects()
	for _, pattern := range split(c.Only) {
		matches := func(name string) bool { ok, err := path.Match(pattern, name); return ok && err == nil }
		before := len(subjects) + len(chosen)
		for _, s := range all {
			if matches(s.name) {
				subjects = append(subjects, s)
			}
		}
		for _, t := range trials {
			if matches(t.name) {
				chosen = append(chosen, t)
			}
		}
		if len(subjects)+len(chosen) == before {
			return nil, nil, fmt.Errorf("nothing to measure is called %q; there are %s", pattern, strings.Join(c.names(), ", "))
		}
	}
	if subjects == nil {
		subjects = all
	}
	if chosen == nil {
		chosen = trials
	}
	return subjects, chosen, nil
}

// names are those of all subjects and trials.
func (c BenchConfig) names() (names []string) {
	for _, s := range c.subjects() {
		names = append(names, s.name)
	}
	for _, t := range trials {
		names = append(names, t.name)
	}
	return names
}

// measure does the chosen trials of the subject.
func (b *bench) measure(ctx context.Context, chosen []trial) (err error) {
	chosen = slices.DeleteFunc(slices.Clone(chosen), func(t trial) bool { return t.of != nil && !t.of(b.subject) })
	if len(chosen) == 0 {
		return nil
	}
	if why := b.offered(b.subject); why != nil {
		return fmt.Errorf("not offered: %w", why)
	}
	if b.stage, err = newStage(); err != nil {
		return err
	}
	defer b.stage.close()
	if err := b.subject.start(ctx, b.stage); err != nil {
		return err
	}
	for _, b.trial = range chosen {
		if failed := b.trial.run(b, ctx); failed != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			err = errors.Join(err, fmt.Errorf("%s: %w", b.trial.title, failed))
		}
	}
	for i, d := range b.stage.daemons {
		if most := d.peakMemory(); most > 0 { // it runs
			b.addTo("memory", b.subject.name, "most memory of the "+roles[i], "MB", float64(most)/1e6)
		}
	}
	return err
}

// size tells the size of the daemon on a router.
func (b *bench) size() error {
	if b.Binary == "" {
		return nil
	}
	info, err := os.Stat(b.Binary)
	if err == nil {
		b.addTo("size", "linux/arm64", sizeMetric, "MB", float64(info.Size())/1e6)
	}
	return err
}

// add keeps a figure of the subject in a direction, addOne one without.
func (b *bench) add(d direction, metric, unit string, v float64) {
	b.addTo(b.trial.name, b.subject.name+" "+d.name, metric, unit, v)
}

func (b *bench) addOne(metric, unit string, v float64) {
	b.addTo(b.trial.name, b.subject.name, metric, unit, v)
}

func (b *bench) addTo(trial, name, metric, unit string, v float64) {
	b.results.add(trial, name, metric, unit, v)
	fmt.Fprintf(b.out, "  %s: %s: %.3g %s\n", name, metric, v, unit)
}

// save writes what was found until now.
func (b *bench) save() error {
	b.report.Seconds = time.Since(b.report.Started).Seconds()
	b.report.Rows = nil
	for _, row := range b.results.rows {
		b.report.Put(row)
	}
	return writeJSON(filepath.Join(b.Dir, "results.json"), b.report)
}

// tell prints the tables, and keeps them as Markdown.
func (b *bench) tell() error {
	file, err := os.Create(filepath.Join(b.Dir, "table.md"))
	if err != nil {
		return err
	}
	fmt.Fprintln(b.out)
	b.table(io.MultiWriter(b.out, file))
	return file.Close()
}

// wireguardVersion is what a wireguard-go says of itself.
func wireguardVersion(program string) string {
	out, _ := exec.Command(program, "--version").CombinedOutput()
	for _, word := range strings.Fields(string(out)) {
		if strings.HasPrefix(word, "v0.") {
			return word
		}
	}
	return ""
}
