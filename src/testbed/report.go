// Package testbed measures netcombiner on the real kernel: the demonstration
// (Demo) and the evaluation (Evaluate). Both raise the lab of package lab, send
// the traffic of package measure, and report in a table and in JSON.
package testbed

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"netcombiner/src/durable"
	"netcombiner/src/testbed/measure"
)

// Report is what an evaluation found: the content of results.json.
type Report struct {
	Started time.Time       `json:"started"`
	Seconds float64         `json:"seconds"`
	Machine measure.Machine `json:"machine"`
	Daemon  string          `json:"daemon"` // its version
	Runs    int             `json:"runs"`
	Scale   float64         `json:"scale"` // of the rates of the parts with real links' rates; 1: as they are named
	Parts   []PartRun       `json:"parts"`
	Rows    []Row           `json:"rows"`
	Series  []Series        `json:"series,omitempty"`
	Errors  []string        `json:"errors,omitempty"` // parts that could not be measured
}

// PartRun is a part that was measured.
type PartRun struct {
	Name    string    `json:"name"`
	Title   string    `json:"title"`
	Figures []string  `json:"figures,omitempty"` // of the paper
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
}

// Row is one figure. Its case ends in the transport and the direction where
// there are several: "8+8 Mbit/s udp down".
type Row struct {
	Part    string    `json:"part"`
	Case    string    `json:"case"`
	Metric  string    `json:"metric"`
	Unit    string    `json:"unit"`
	Samples []float64 `json:"samples"` // one a run
	Median  float64   `json:"median"`
	Q1      float64   `json:"q1"` // quartiles
	Q3      float64   `json:"q3"`
	Target  *Target   `json:"target,omitempty"`
	Met     bool      `json:"met"`  // true where there is no target
	Load    float64   `json:"load"` // the host's load average when it was done

	Paper  string   `json:"paper,omitempty"`  // what the paper has for it
	Single *float64 `json:"single,omitempty"` // the same without a tunnel over the best single link: the median
	Links  []int64  `json:"links,omitempty"`  // the rates of a throughput's links, bit/s

	kept bool // from an earlier evaluation
}

// Series is a rate over time, of every run.
type Series struct {
	Part   string      `json:"part"`
	Case   string      `json:"case"` // as a Row's
	Step   float64     `json:"step"` // seconds from one value to the next
	Runs   [][]float64 `json:"runs"` // Mbit/s of payload in each step
	Events []Event     `json:"events,omitempty"`

	kept bool // from an earlier evaluation
}

// Event is what happens in the course of a Series.
type Event struct {
	At   float64 `json:"at"`            // seconds
	Text string  `json:"text"`          //
	Sum  float64 `json:"sum,omitempty"` // Mbit/s that the links give alone from then on; 0: not measured
}

// Target is what a figure should be.
type Target struct {
	Least *float64 `json:"least,omitempty"` // at least
	Most  *float64 `json:"most,omitempty"`  // at most
	// Worst: every run has to reach it, not only the median.
	Worst bool `json:"worst,omitempty"`
}

// AtLeast and AtMost are targets of a median.
func AtLeast(v float64) *Target { return &Target{Least: &v} }
func AtMost(v float64) *Target  { return &Target{Most: &v} }

// AlwaysAtMost and AlwaysAtLeast are targets of every single run.
func AlwaysAtMost(v float64) *Target  { return &Target{Most: &v, Worst: true} }
func AlwaysAtLeast(v float64) *Target { return &Target{Least: &v, Worst: true} }

func (t *Target) met(samples []float64) bool {
	if t == nil {
		return true
	}
	low, high := measure.Median(samples), measure.Median(samples)
	if t.Worst {
		low, high = measure.Quantile(samples, 0), measure.Quantile(samples, 1)
	}
	return (t.Least == nil || low >= *t.Least) && (t.Most == nil || high <= *t.Most)
}

func (t *Target) String() string {
	switch {
	case t == nil:
		return ""
	case t.Least != nil:
		return "≥ " + number(*t.Least)
	default:
		return "≤ " + number(*t.Most)
	}
}

// Add adds a figure with one sample a run.
func (r *Report) Add(part, name, metric, unit string, target *Target, samples []float64) Row {
	return r.Put(Row{Part: part, Case: name, Metric: metric, Unit: unit, Target: target, Samples: samples})
}

// Put adds a row whose samples are known, and works out the rest. It replaces
// one of an earlier evaluation of the same part, case and metric.
func (r *Report) Put(row Row) Row {
	row.Median, row.Q1, row.Q3 = measure.Median(row.Samples), measure.Quantile(row.Samples, 0.25), measure.Quantile(row.Samples, 0.75)
	row.Met, row.Load = row.Target.met(row.Samples), measure.Load()
	r.Rows = append(slices.DeleteFunc(r.Rows, func(old Row) bool {
		return old.kept && old.Part == row.Part && old.Case == row.Case && old.Metric == row.Metric
	}), row)
	return row
}

// PutSeries adds a series, in the place of an earlier evaluation's of the same
// part and case.
func (r *Report) PutSeries(s Series) {
	r.Series = append(slices.DeleteFunc(r.Series, func(old Series) bool { return old.kept && old.Part == s.Part && old.Case == s.Case }), s)
}

// Table writes the rows as a table that Markdown also understands.
func (r *Report) Table(w io.Writer) {
	rows := [][]string{{"part", "case", "", "median", "all runs", "unit", "target", "met", "load"}}
	for _, row := range r.Rows {
		met := ""
		if row.Target != nil {
			met = map[bool]string{true: "yes", false: "NO"}[row.Met]
		}
		low, high := measure.Quantile(row.Samples, 0), measure.Quantile(row.Samples, 1)
		rows = append(rows, []string{
			row.Part, row.Case, row.Metric, number(row.Median), number(low) + " … " + number(high),
			row.Unit, row.Target.String(), met, number(row.Load),
		})
	}
	table(w, rows, 3)
	fmt.Fprintf(w, "\nRuns of each: %d. Machine: %v.\n", r.Runs, r.Machine)
	if r.Scale != 0 && r.Scale != 1 {
		fmt.Fprintf(w, "The host was too slow for some rates: those of profiles, latency, metric and udp are %v of what is named.\n", r.Scale)
	}
	missed := 0
	for _, row := range r.Rows {
		if !row.Met {
			missed++
		}
	}
	if missed > 0 {
		fmt.Fprintf(w, "%d of %d figures miss their target.\n", missed, len(r.Rows))
	}
	for _, e := range r.Errors {
		fmt.Fprintln(w, "Not measured:", e)
	}
}

// table writes rows, the first being the head, in columns; from column right
// on they are set to the right.
func table(w io.Writer, rows [][]string, right int) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	line := func(row []string) {
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i >= right {
				cell, pad = pad+cell, ""
			}
			fmt.Fprintf(w, "| %s%s ", cell, pad)
		}
		fmt.Fprintln(w, "|")
	}
	line(rows[0])
	rule := make([]string, len(width))
	for i, n := range width {
		rule[i] = strings.Repeat("-", n)
		if i >= right {
			rule[i] = rule[i][:max(0, n-1)] + ":"
		}
	}
	line(rule)
	for _, row := range rows[1:] {
		line(row)
	}
}

// number shows three significant digits or the whole integer part.
func number(v float64) string {
	switch a := max(v, -v); {
	case v == float64(int64(v)):
		return fmt.Sprintf("%d", int64(v))
	case a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// writeJSON replaces a file by v, whole or not at all.
func writeJSON(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return durable.Write(path, append(b, '\n'), 0o644)
}

// split cuts a comma-separated list and leaves out what is empty.
func split(list string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }), func(s string) bool { return s == "" })
}
