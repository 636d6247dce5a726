//go:build linux

package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netcombiner/src/testbed/measure"
)

// The whole of it, on the kernel: no tunnel and ours, each kind of traffic for a moment.
func TestBench(t *testing.T) {
	privileged(t)
	c := BenchConfig{Only: "none,udp-auto,ping,flow,overhead,start", For: 300 * time.Millisecond, Program: build(t), Dir: t.TempDir()}
	var out bytes.Buffer
	if err := Bench(context.Background(), c, &out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	var r Report
	text, err := os.ReadFile(filepath.Join(c.Dir, "results.json"))
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil || len(r.Errors) > 0 {
		t.Fatalf("%v %v\n%s", err, r.Errors, out.String())
	}
	for _, want := range []struct{ part, name, metric string }{
		{"flow", noTunnel + " down", rateMetric}, {"flow", "udp-auto down", rateMetric}, {"flow", "udp-auto up", rateMetric},
		{"flow", "udp-auto up", "CPU of the " + roles[0]}, {"flow", "udp-auto up", "CPU of the " + roles[1]},
		{"ping", noTunnel, idleMetric}, {"ping", "udp-auto", idleMetric},
		{"overhead", "udp-auto", overheadMetric}, {"start", "udp-auto", startMetric},
		{"memory", "udp-auto", "most memory of the " + roles[0]},
	} {
		found := 0.0
		for _, row := range r.Rows {
			if row.Part == want.part && row.Case == want.name && row.Metric == want.metric {
				found = row.Median
			}
		}
		if found <= 0 {
			t.Errorf("%v is %v\n%s", want, found, out.String())
		}
	}
	table, err := os.ReadFile(filepath.Join(c.Dir, "table.md"))
	if err != nil || !strings.Contains(string(table), "| netcombiner, `udp`, `auto` ") {
		t.Errorf("%v\n%s", err, table)
	}
}

// A blast counts what was sent and came, both ways, and nothing twice.
func TestBlast(t *testing.T) {
	privileged(t)
	s, err := newStage()
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, d := range directions {
		blast := measure.NewBlast(s.near, s.far, s.server)
		blast.Down = d.down
		r, err := blast.Run(context.Background(), 2000)
		if err != nil || r.Received != r.Sent || r.Sent < 800 || r.Sent > 1000 {
			t.Errorf("%s: %+v of 1000, %v", d.name, r, err)
		}
	}
}

func TestBenchChooses(t *testing.T) {
	for only, want := range map[string][2]int{
		"": {len(BenchConfig{}.subjects()), len(trials)}, "udp-*": {5, len(trials)}, "flow": {len(BenchConfig{}.subjects()), 1}, "udp-auto, ping,none": {2, 1},
	} {
		subjects, chosen, err := BenchConfig{Only: only}.choose()
		if err != nil || len(subjects) != want[0] || len(chosen) != want[1] {
			t.Errorf("%q: %d subjects, %d trials, %v", only, len(subjects), len(chosen), err)
		}
	}
	if _, _, err := (BenchConfig{Only: "upd-auto"}).choose(); err == nil || !strings.Contains(err.Error(), "udp-auto") {
		t.Error(err)
	}
}

// Targets are ratios within the run; what was not measured is neither met nor missed.
func TestBenchJudges(t *testing.T) {
	b := &bench{report: &Report{}, results: &results{}, out: io.Discard}
	for _, f := range []struct {
		trial, name, metric string
		v                   float64
	}{
		{"flow", wireguard + " down", rateMetric, 1}, {"flow", wireguard + " up", rateMetric, 2},
		{"flow", "udp-auto down", rateMetric, 3}, {"flow", "udp-auto up", rateMetric, 4},
		{"ping", noTunnel, idleMetric, 0.1}, {"ping", wireguard, idleMetric, 0.2}, {"ping", "udp-auto", idleMetric, 0.25},
	} {
		b.results.add(f.trial, f.name, f.metric, "", f.v)
	}
	b.judge()
	got := map[string]Row{}
	for _, row := range b.results.rows {
		if row.Part == "targets" {
			got[row.Metric] = row
		}
	}
	for metric, want := range map[string]struct {
		v   float64
		met bool
	}{"one TCP flow, auto": {7. / 3, true}, "idle ping, added RTT": {1.5, false}} {
		row := got[metric]
		if len(row.Samples) != 1 || math.Abs(row.Samples[0]-want.v) > 1e-9 || row.Target.met(row.Samples) != want.met {
			t.Errorf("%s: %+v", metric, row)
		}
	}
	if len(got) != 2 {
		t.Errorf("%d targets were judged, not 2: %v", len(got), got)
	}
}

// A tunnel that seems to make pings quicker is judged no better for it, nor worse.
func TestBenchJudgesAddedPings(t *testing.T) {
	for _, c := range []struct{ none, theirs, ours float64 }{{0.3, 0.2, 0.25}, {0.3, 0.2, 0.4}, {0.3, 0.4, 0.2}, {0.3, 0.3, 0.4}, {0.3, 0.4, 0.3}} {
		b := &bench{report: &Report{}, results: &results{}, out: io.Discard}
		for name, v := range map[string]float64{noTunnel: c.none, wireguard: c.theirs, "udp-auto": c.ours} {
			b.results.add("ping", name, idleMetric, "", v)
		}
		b.judge()
		for _, row := range b.results.rows {
			if row.Part == "targets" {
				t.Errorf("%+v: judged %s: %v", c, row.Metric, row.Samples)
			}
		}
	}
}
