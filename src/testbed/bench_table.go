//go:build linux

package testbed

import (
	"fmt"
	"io"
	"math"
	"slices"

	"netcombiner/src/testbed/measure"
)

// results are the figures of a benchmark, one sample a run.
type results struct{ rows []Row }

func (r *results) add(trial, name, metric, unit string, v float64) {
	i := slices.IndexFunc(r.rows, func(row Row) bool { return row.Part == trial && row.Case == name && row.Metric == metric })
	if i < 0 {
		i = len(r.rows)
		r.rows = append(r.rows, Row{Part: trial, Case: name, Metric: metric, Unit: unit})
	}
	r.rows[i].Samples = append(r.rows[i].Samples, v)
}

// get is the median of a figure; NaN where it was not measured.
func (r *results) get(trial, name, metric string) float64 {
	for _, row := range r.rows {
		if row.Part == trial && row.Case == name && row.Metric == metric {
			return measure.Median(row.Samples)
		}
	}
	return math.NaN()
}

// Metrics by which figures are found again.
const (
	rateMetric    = "rate"
	packetsMetric = "packets with less than 0.1 % lost"
	idleMetric    = "idle ping, median"

	overheadMetric = "overhead on IPv4, without an acknowledgement"
	startMetric    = "start to the first answer"
	sizeMetric     = "the daemon, stripped"
)

// both is the mean of a figure's two directions.
func (r *results) both(trial, subject, metric string) float64 {
	return (r.get(trial, subject+" down", metric) + r.get(trial, subject+" up", metric)) / 2
}

// cost is what both daemons of a subject take for a gigabyte, in seconds of processor time, mean of both directions.
func (r *results) cost(trial, subject string) (seconds float64) {
	for _, role := range roles {
		seconds += r.both(trial, subject, "CPU of the "+role)
	}
	return seconds
}

// added is what a tunnel adds to the RTT of an idle ping, in ms.
func (r *results) added(subject string) float64 {
	return r.get("ping", subject, idleMetric) - r.get("ping", noTunnel, idleMetric)
}

// memory is the most that a daemon of a subject held, in MB.
func (r *results) memory(subject string) float64 {
	return max(r.get("memory", subject, "most memory of the "+roles[0]), r.get("memory", subject, "most memory of the "+roles[1]))
}

// judge compares with the targets: ratios to wireguard-go in the same run, mostly. What was not measured is not judged.
func (b *bench) judge() {
	r := b.results
	require := func(what, unit string, v float64, t *Target) {
		if !math.IsNaN(v) {
			r.rows = append(r.rows, Row{Part: "targets", Metric: what, Unit: unit, Samples: []float64{v}, Target: t})
		}
	}
	for _, o := range []struct {
		suite      string
		rate, cost float64
	}{{"auto", 2, 0.5}, {"blake2s", 1, 1}} {
		name := "udp-" + o.suite
		require("one TCP flow, "+o.suite, "× wireguard-go", r.both("flow", name, rateMetric)/r.both("flow", wireguard, rateMetric), AtLeast(o.rate))
		require("its CPU s/GB, "+o.suite, "× wireguard-go", r.cost("flow", name)/r.cost("flow", wireguard), AtMost(o.cost))
	}
	require("two paths, one TCP flow", "× one path", r.both("flow", "two-udp-auto", rateMetric)/r.both("flow", "udp-auto", rateMetric), AtLeast(0.9))
	require("UDP of 64 bytes, packets/s", "× wireguard-go", r.both("small", "udp-auto", packetsMetric)/r.both("small", wireguard, packetsMetric), AtLeast(1.5))
	// On a busy machine a ping without a tunnel may take longer than one with it:
	// then neither figure says anything.
	if ours, theirs := r.added("udp-auto"), r.added(wireguard); ours > 0 && theirs > 0 {
		require("idle ping, added RTT", "× wireguard-go", ours/theirs, AtMost(1.1))
	}
	for _, o := range []struct {
		name string
		most float64
	}{{"udp-auto", 60}, {"udp-blake2s", 60}, {"udp-none", 44}, {"ip-auto", 52}, {"ip-none", 36}} {
		require("overhead of "+o.name, "bytes", r.get("overhead", o.name, overheadMetric), AtMost(o.most))
	}
	for _, s := range b.subjects() {
		if s.ours() {
			require("most memory, "+s.name, "MB", r.memory(s.name), AtMost(24))
		}
	}
	require("the daemon for linux/arm64", "MB", r.get("size", "linux/arm64", sizeMetric), AtMost(4.5))
	require("start to the first answer", "ms", r.get("start", "udp-auto", startMetric), AtMost(150))
}

// table writes the figures in the form that the README has them in.
func (b *bench) table(w io.Writer) {
	r := b.results
	fmt.Fprintln(w, "<!-- bench -->")
	rows := [][]string{{"`make bench`: down, up", "one TCP flow, Gbit/s", "its CPU, s/GB", "eight, Gbit/s", "UDP 64 B, Mpkt/s", "1,400 B, Mpkt/s", "memory, MB", "ping, ms", "beside a flow"}}
	for _, s := range b.subjects() {
		row := []string{s.label(b.BenchConfig)}
		two := func(trial, metric, format string) string {
			return cell(format, r.get(trial, s.name+" down", metric), r.get(trial, s.name+" up", metric))
		}
		row = append(row, two("flow", rateMetric, "%.2f, %.2f"), cell("%.1f", r.cost("flow", s.name)), two("flows", rateMetric, "%.2f, %.2f"),
			two("small", packetsMetric, "%.3f, %.3f"), two("large", packetsMetric, "%.3f, %.3f"), cell("%.1f", r.memory(s.name)),
			cell("%.3f", r.get("ping", s.name, idleMetric)), cell("%.2f", r.get("beside", s.name, "loaded ping, median")))
		if slices.ContainsFunc(row[1:], func(c string) bool { return c != missing }) {
			rows = append(rows, row)
		}
	}
	if len(rows) > 1 {
		table(w, rows, 1)
	}
	rows = [][]string{{"target", "is", "", ""}}
	for _, row := range r.rows {
		if row.Part == "targets" {
			met := map[bool]string{true: "met", false: "MISSED"}[row.Target.met(row.Samples)]
			rows = append(rows, []string{fmt.Sprintf("%s: %v %s", row.Metric, row.Target, row.Unit), number(row.Samples[0]), row.Unit, met})
		}
	}
	if len(rows) > 1 {
		fmt.Fprintln(w)
		table(w, rows, 1)
	}
	fmt.Fprintf(w, "\n(%v, load %.1f at the end. %s. Memory is the larger of the two daemons', CPU both together.)\n", b.report.Machine, measure.Load(), b.report.Daemon)
	for _, e := range b.report.Errors {
		fmt.Fprintln(w, "Not measured:", e)
	}
	fmt.Fprintln(w, "<!-- /bench -->")
}

// missing stands for what was not measured.
const missing = "–"

func cell(format string, values ...float64) string {
	var all []any
	for _, v := range values {
		if math.IsNaN(v) {
			return missing
		}
		all = append(all, v)
	}
	return fmt.Sprintf(format, all...)
}

// label is a subject's name in the table.
func (s subject) label(c BenchConfig) string {
	switch s.name {
	case noTunnel:
		return "no tunnel"
	case wireguard:
		return "wireguard-go " + wireguardVersion(wireguard)
	case wireguard + "-new":
		return "wireguard-go " + wireguardVersion(c.Wireguard)
	}
	text := fmt.Sprintf("netcombiner, `%s`, `%s`", s.transport, s.suite)
	if s.paths > 1 {
		text += ", two paths"
	}
	return text
}
