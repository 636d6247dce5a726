package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// measured is a small results.json, as the test bed writes it.
const measured = `{
 "started": "2026-01-02T03:04:05Z", "seconds": 61, "machine": {"cpu": "Test & Co", "cores": 2}, "daemon": "netcombiner test", "runs": 3, "scale": 1,
 "parts": [{"name": "equal", "title": "Two", "figures": ["4.6", "C.6"]}],
 "errors": ["udp: no <tunnel>"],
 "rows": [
  {"part": "throughput", "case": "8 Mbit/s direct down", "metric": "throughput", "unit": "Mbit/s", "samples": [7.6, 7.7, 7.8], "median": 7.7, "q1": 7.65, "q3": 7.75, "met": true, "links": [8000000]},
  {"part": "throughput", "case": "16 Mbit/s direct down", "metric": "throughput", "unit": "Mbit/s", "samples": [15.4], "median": 15.4, "q1": 15.4, "q3": 15.4, "met": true, "links": [16000000]},
  {"part": "throughput", "case": "8+8 Mbit/s tcp down", "metric": "throughput", "unit": "Mbit/s", "samples": [13], "median": 13, "q1": 13, "q3": 13, "met": true, "single": 7.7, "links": [8000000, 8000000]},
  {"part": "throughput", "case": "8+8 Mbit/s udp up bbr", "metric": "throughput", "unit": "Mbit/s", "samples": [13], "median": 13, "q1": 13, "q3": 13, "met": true, "single": 7.7, "links": [8000000, 8000000]},
  {"part": "throughput", "case": "8+8 Mbit/s udp down", "metric": "throughput", "unit": "Mbit/s", "samples": [14, 15, 16], "median": 15, "q1": 14.5, "q3": 15.5, "met": true, "single": 7.7, "links": [8000000, 8000000]},
  {"part": "equal", "case": "8+8 Mbit/s udp down", "metric": "of double", "unit": "%", "samples": [96.6], "median": 96.6, "q1": 96, "q3": 97, "target": {"least": 88}, "met": true, "paper": "92.5", "single": 50},
  {"part": "equal", "case": "8+8 Mbit/s udp up", "metric": "of double", "unit": "%", "samples": [80.2], "median": 80.2, "q1": 80, "q3": 81, "target": {"least": 88}, "met": false, "paper": "92.5", "single": 49},
  {"part": "profiles", "case": "loss_2 udp up", "metric": "one flow, of the sum", "unit": "%", "single": 31, "samples": [70], "median": 70, "q1": 70, "q3": 70, "target": {"least": 60}, "met": true}
 ],
 "series": [
  {"part": "variation", "case": "16+16 → 8+16 → 16+16 Mbit/s udp down", "step": 0.1, "runs": [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5]], "events": [{"at": 0, "text": "16+16", "sum": 30}, {"at": 0.3, "text": "8+16", "sum": 23}]},
  {"part": "regain", "case": "8+8 Mbit/s tcp up", "step": 0.1, "runs": [[0, 0, 0, 0]], "events": [{"at": 0.1, "text": "one link dies"}, {"at": 0.2, "text": "it is back"}]}
 ]
}`

// made runs the command in a new folder and returns it.
func made(t *testing.T, results string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := write(dir, "results.json", []byte(results)); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPage(t *testing.T) {
	dir := made(t, measured)
	page := read(t, dir, "index.html")
	for _, want := range []string{
		"netcombiner test", "Test &amp; Co", "no &lt;tunnel&gt;", "3 runs of each figure",
		"2 of 3 targets are met; 1 are missed",
		`<td class="n">92.5<td class="n">50, 49<td class="n"><span>96.6</span>`,
		`<span class="missed" title="misses its target">80.2</span><small>80 … 81</small>`,
		"Beyond the paper", "loss_2",
		`id="figure-4.6a.svg"`, `id="figure-4.9-udp-down.svg"`, `id="figure-4.2.4-up.svg"`, `id="figure-profiles-up.svg"`,
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %q", want)
		}
	}
	for _, never := range []string{`id="figure-4.10-udp-down.svg"`, `id="figure-4.7a.svg"`, "<?xml", "<script"} {
		if strings.Contains(page, never) {
			t.Errorf("the page contains %q", never)
		}
	}
	// Self-contained: it names nothing to load (a namespace's name is no address).
	if found := regexp.MustCompile(`(?i)(src|href)=|url\(|@import`).FindString(page); found != "" {
		t.Errorf("the page loads something: %q", found)
	}
}

func TestPlotsAreWellFormed(t *testing.T) {
	dir := made(t, measured)
	files, _ := filepath.Glob(filepath.Join(dir, "*.svg"))
	if len(files) < 4 {
		t.Fatalf("only %v were drawn", files)
	}
	for _, file := range files {
		d := xml.NewDecoder(strings.NewReader(read(t, dir, filepath.Base(file))))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Errorf("%s: %v", file, err)
				break
			}
		}
	}
}

// A bar is as high as its median: three numbers of one plot are measured in it.
func TestBarsAreTrue(t *testing.T) {
	b := &bars{values: []*spread{{7.7, 7.6, 7.8}, nil, {15.4, 15, 16}}, index: 1, of: 2}
	if _, _, low, high := b.DataRange(); low != 0 || high != 16 {
		t.Errorf("the range is %v to %v, want 0 to 16", low, high)
	}
	left, right := b.edges(2)
	if left < 2 || right > 2.4 {
		t.Errorf("the right bar of two in group 2 stands from %v to %v", left, right)
	}
}

func TestMarkdown(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(read(t, made(t, measured), "table.md")), "\n")
	want := "| 4.6 | 8+8 Mbit/s: of double, % | 92.5 | 50, 49 | 96.6, 80.2 (missed) | – | ≥ 88 |"
	if len(lines) != 3 || lines[2] != want {
		t.Errorf("table.md is\n%s\nwant the line\n%s", strings.Join(lines, "\n"), want)
	}
}

// What an earlier run drew and this one has not measured is not left behind.
func TestOldPlotsGo(t *testing.T) {
	dir := made(t, measured)
	if err := write(dir, "results.json", []byte(`{"runs": 1}`)); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*.svg")); len(files) > 0 {
		t.Errorf("still there: %v", files)
	}
}

func TestNoResults(t *testing.T) {
	if err := run(t.TempDir()); err == nil || !strings.Contains(err.Error(), "make evaluate") {
		t.Errorf("error %v, want one that says what to do", err)
	}
	dir := t.TempDir()
	if err := write(dir, "results.json", []byte("{")); err != nil {
		t.Fatal(err)
	}
	var syntax *json.SyntaxError
	if err := run(dir); !errors.As(err, &syntax) {
		t.Errorf("of half a file: %v", err)
	}
}

func TestSplit(t *testing.T) {
	for name, want := range map[string][3]string{
		"8+8 Mbit/s udp down":   {"8+8 Mbit/s", "udp", "down"},
		"16 Mbit/s direct up":   {"16 Mbit/s", "direct", "up"},
		"local portal, tcp":     {"local portal", "tcp", ""},
		"8+8 Mbit/s":            {"8+8 Mbit/s", "", ""},
		"8+8 Mbit/s tcp up bbr": {"8+8 Mbit/s, bbr inside", "tcp", "up"},
		"shut down":             {"shut", "", "down"},
		"two links, tcp first":  {"two links, tcp first", "", ""},
	} {
		what, transport, direction := split(name)
		if got := [3]string{what, transport, direction}; got != want {
			t.Errorf("%q is split into %q", name, got)
		}
	}
}

func TestSmooth(t *testing.T) {
	got := smooth([]float64{0, 0, 10, 0, 0, 0}, 5)
	want := []float64{10.0 / 3, 2.5, 2, 2, 2.5, 0}
	for i := range want {
		if d := got[i] - want[i]; d > 1e-9 || d < -1e-9 {
			t.Fatalf("smoothed to %v, want %v", got, want)
		}
	}
}

func TestRounds(t *testing.T) {
	if ticks := rounds(-1, 0); ticks != nil {
		t.Errorf("up to nothing there are the ticks %v", ticks)
	}
	for _, to := range []float64{0.3, 1, 7.7, 15, 30.8, 42, 99, 120, 300} {
		ticks := rounds(0, to)
		if n := len(ticks); n < 4 || n > 11 || ticks[0].Label != "0" || ticks[n-1].Value > to || strings.HasSuffix(ticks[1].Label, ".00") {
			t.Errorf("up to %v there are the ticks %v", to, ticks)
		}
	}
}

// A plot's figure is of one CUBIC flow: of another there are only tables.
func TestRateIsCubic(t *testing.T) {
	var r results
	if err := json.Unmarshal([]byte(measured), &r); err != nil {
		t.Fatal(err)
	}
	if row, ok := r.rate([]int64{mb, mb}, "udp", "down"); !ok || row.Median != 15 {
		t.Errorf("down %+v, %v", row, ok)
	}
	if row, ok := r.rate([]int64{mb, mb}, "udp", "up"); ok {
		t.Errorf("up, measured only with bbr inside: %+v", row)
	}
}
