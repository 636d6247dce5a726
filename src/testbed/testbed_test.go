//go:build linux

package testbed

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

func TestMain(m *testing.M) {
	netns.Prefer() // other packages' tests run beside
	goleak.VerifyTestMain(m)
}

// privileged skips a test where no namespaces can be made.
func privileged(t *testing.T) {
	t.Helper()
	if err := netns.Privileged(); err != nil {
		t.Skip("skipped: ", err)
	}
}

// The real emulator on the real kernel: rate within 2 %, delay within 1 ms.
func TestEmulatedLinkIsTrue(t *testing.T) {
	privileged(t)
	for _, d := range directions {
		var got truth
		var err error
		for range 3 { // a busy host may spoil a measurement, never three
			got, err = measureTruth(context.Background(), link.Shape{Rate: 16e6, Delay: 15 * time.Millisecond}, d.down, time.Second, time.Second)
			if err == nil && got.good() {
				break
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: rate %+.2f %%, delay %+v, 99th percentile %+v, TCP %.0f %%", d.name, 100*got.rate, got.delay, got.p99, 100*got.tcp)
		if !got.good() {
			t.Errorf("%s: rate %+.2f %%, delay %+v, TCP %.0f %%", d.name, 100*got.rate, got.delay, 100*got.tcp)
		}
	}
}

func (t truth) good() bool {
	return math.Abs(t.rate) <= 0.02 && t.delay.Abs() <= time.Millisecond && t.tcp > 0.8 && t.tcp < 1.02
}

func TestReport(t *testing.T) {
	r := &Report{Runs: 3, Machine: measure.Machine{CPU: "Test", Cores: 2}}
	for _, c := range []struct {
		target  *Target
		samples []float64
		met     bool
	}{
		{AtLeast(88), []float64{80, 90, 91}, true},
		{AlwaysAtLeast(88), []float64{80, 90, 91}, false},
		{AtMost(60), []float64{70, 20, 61}, false},
		{AtMost(60), []float64{70, 20, 59}, true},
		{AlwaysAtMost(0), []float64{0, 0, 1}, false},
		{AlwaysAtMost(0), []float64{0, 0, 0}, true},
		{nil, []float64{1}, true},
	} {
		if row := r.Add("part", "case", "metric", "%", c.target, c.samples); row.Met != c.met {
			t.Errorf("%v of %v: met is %v", c.target, c.samples, row.Met)
		}
	}
	var b bytes.Buffer
	r.Table(&b)
	lines := strings.Split(b.String(), "\n")
	for _, line := range lines[1:9] {
		if len([]rune(line)) != len([]rune(lines[0])) {
			t.Errorf("the table is crooked:\n%s", b.String())
			break
		}
	}
	if !strings.Contains(b.String(), "3 of 7 figures miss their target") {
		t.Errorf("no word of what is missed:\n%s", b.String())
	}
	file := filepath.Join(t.TempDir(), "new", "results.json")
	if err := writeJSON(file, r); err != nil {
		t.Fatal(err)
	}
	var back Report
	text, _ := os.ReadFile(file)
	if err := json.Unmarshal(text, &back); err != nil || len(back.Rows) != 7 || *back.Rows[0].Target.Least != 88 {
		t.Errorf("results.json: %v\n%s", err, text)
	}
}

func TestNumber(t *testing.T) {
	for want, v := range map[string]float64{"0": 0, "453": 453, "1234": 1234.4, "92.5": 92.51, "0.04": 0.0401, "-3.25": -3.25} {
		if got := number(v); got != want {
			t.Errorf("number(%v) is %q, want %q", v, got, want)
		}
	}
}

func TestChoose(t *testing.T) {
	parts, err := choose("failover, equal")
	if err != nil || len(parts) != 2 || parts[0].Name != "failover" {
		t.Errorf("%v, %v", parts, err)
	}
	if _, err := choose("equal,nonsense"); err == nil || !strings.Contains(err.Error(), "regain") {
		t.Errorf("error %v, want one that names the parts", err)
	}
	parts, err = choose("profiles:loss_*,profiles:jit_5")
	if err != nil || len(parts) != 1 || !slices.Equal(parts[0].cases, []string{"loss_*", "jit_5"}) {
		t.Errorf("%+v, %v", parts, err)
	}
	e := evaluation{cases: parts[0].cases}
	for name, want := range map[string]bool{"loss_2": true, "jit_5": true, "jit_20": false, "jit_5_ordered": false} {
		if e.wanted(name) != want {
			t.Errorf("%s: wanted is %v", name, !want)
		}
	}
	for _, wrong := range []string{"profiles:nonsense", "profiles:", "equal:a"} {
		if _, err := choose(wrong); err == nil {
			t.Errorf("%s was taken", wrong)
		}
	}
	if parts, _ := choose("profiles:loss_2,profiles"); len(parts) != 1 || parts[0].cases != nil {
		t.Errorf("a part and one of its cases is %+v, want the whole", parts)
	}
	if parts, _ := choose("4.6,equal,C.6"); len(parts) != 1 || parts[0].Name != "equal" {
		t.Errorf("the paper's figure 4.6 is %v", parts)
	}
	if parts, _ := choose(""); len(parts) != len(Parts) {
		t.Errorf("without a choice %d parts of %d run", len(parts), len(Parts))
	}
}

func TestChooseDirections(t *testing.T) {
	for list, want := range map[string][]direction{"": directions, "up,down": directions, "up": directions[1:]} {
		if got, err := chooseDirections(list); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", list, got, err)
		}
	}
	if _, err := chooseDirections("sideways"); err == nil {
		t.Error("sideways was taken")
	}
}

func TestKeep(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.json")
	if r, err := keep(file, nil); err != nil || len(r.Rows) != 0 {
		t.Fatalf("from no file: %+v, %v", r, err)
	}
	r := &Report{Parts: []PartRun{{Name: "equal"}, {Name: "call"}}, Errors: []string{"call: no", "equal: no"}}
	r.Add("equal", "case", "metric", "%", nil, []float64{1})
	r.Add("call", "case", "metric", "%", nil, []float64{2})
	if err := writeJSON(file, r); err != nil {
		t.Fatal(err)
	}
	again, _ := choose("4.6")
	r, err := keep(file, again)
	if err != nil || len(r.Parts) != 1 || r.Parts[0].Name != "call" || !slices.Equal(r.Errors, []string{"call: no"}) {
		t.Fatalf("%+v, %v", r, err)
	}
	r.Add("equal", "case", "metric", "%", nil, []float64{3})
	if len(r.Rows) != 2 || r.Rows[1].Median != 3 || r.Rows[0].Part != "call" {
		t.Errorf("%+v, want the row of call kept, that of equal replaced", r.Rows)
	}
}

// The paper's figures share their sets of links: each is estimated once.
func TestEstimate(t *testing.T) {
	e := &evaluation{EvaluateConfig: EvaluateConfig{Runs: 3, For: 10 * time.Second}, transports: []string{"udp", "tcp"}, directions: directions}
	four, _ := choose("4.8")
	scaling, _ := choose("4.10")
	both, _ := choose("4.8,4.10")
	if len(four) != 1 || len(both) != 2 || e.speedsLast(four[0].speeds) < 6*time.Minute {
		t.Fatalf("%v, %v: %v", four, both, e.speedsLast(four[0].speeds))
	}
	if a, b := e.estimate(both), e.estimate(scaling); a != b {
		t.Errorf("4.8 is a part of 4.10, and together they take %q, not %q", a, b)
	}
	for name, rates := range map[string][]int64{"8+16 Mbit/s": {1 * mb, 2 * mb}, "16 Mbit/s": {2 * mb}, "4 × 32 Mbit/s": {4 * mb, 4 * mb, 4 * mb, 4 * mb}} {
		if got := linksName(rates); got != name {
			t.Errorf("%v is called %q, want %q", rates, got, name)
		}
	}
}

// What cannot be told is reported as such, and does not spoil results.json.
func TestPartOfNothing(t *testing.T) {
	var out bytes.Buffer
	e := &evaluation{report: &Report{}, part: "equal", out: &out}
	none, nothing := math.NaN(), 0.0
	e.put(Row{Case: "case", Metric: "metric", Samples: scale([]float64{1}, 1/nothing)})
	e.put(Row{Case: "case", Metric: "other", Samples: []float64{1}, Single: &none})
	if len(e.report.Rows) != 1 || e.report.Rows[0].Single != nil || len(e.report.Errors) != 1 || !strings.HasPrefix(e.report.Errors[0], "equal: case: metric") {
		t.Errorf("%+v", e.report)
	}
	if err := writeJSON(filepath.Join(t.TempDir(), "results.json"), e.report); err != nil {
		t.Error(err)
	}
}
