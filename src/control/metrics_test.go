package control

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// full is a status in which everything has a value of its own.
func full() *Status {
	s := example()
	s.Paths[0].Name = `d"s\l` + "\nü"
	s.Paths[0].Quota = &Quota{UsedBytes: 1, LimitBytes: 50e9, Resets: "2026-12-01"}
	s.Paths = append(s.Paths, Path{Name: "lte", Transport: "udp", State: "up"}) // another of the same name
	s.Totals = []Month{
		{Month: "2026-11", Tunnel: Carried{Tx: Count{1, 2}}, Paths: []PathTotal{{Name: "lte", Tx: Count{3, 4e9}, Rx: Count{5, 6}, LostPackets: 7}}},
		{Month: "2026-10", Tunnel: Carried{Rx: Count{1, 2e9}}, Paths: []PathTotal{{Name: "gone"}}},
	}
	s.Bypasses = []Bypass{{What: "to 203.0.113.0/24", Via: "dsl", State: "direct"}, {What: "to 203.0.113.0/24", Via: "dsl", State: "tunnel"},
		{What: "mark 0x20", Via: "lte", State: "blocked", Why: "the WAN is down"}}
	s.Fallback = "direct"
	s.Hints = []string{"do this"}
	return s
}

func TestMetrics(t *testing.T) {
	other := full()
	other.Interface = "nc1"
	got := MetricsText(full(), other)
	for _, want := range []string{
		"# HELP netcombiner_path_rtt_seconds Smoothed round-trip time; 0: not measured yet.\n# TYPE netcombiner_path_rtt_seconds gauge\n" +
			`netcombiner_path_rtt_seconds{interface="nc0",path="d\"s\\l\nü",transport="udp"} 0.031239999999999997`,
		`netcombiner_path_rate_bytes_per_second{interface="nc1",path="d\"s\\l\nü",transport="udp"} 1.975e+06`,
		`netcombiner_path_tx_bytes_total{interface="nc0",path="d\"s\\l\nü",transport="udp"} 1.288490189e+09`,
		`netcombiner_path_up{interface="nc0",path="lte",transport="tcp"} 0`,
		`netcombiner_path_state{interface="nc0",path="lte",state="connecting",transport="tcp"} 1`,
		`netcombiner_path_quota_limit_bytes{interface="nc0",path="d\"s\\l\nü",transport="udp"} 5e+10`,
		`netcombiner_path_month_tx_bytes{interface="nc0",path="lte"} 4e+09`,
		`netcombiner_fallback_active{interface="nc0"} 1`,
		`netcombiner_bypass_state{interface="nc0",state="direct",via="dsl",what="to 203.0.113.0/24"} 1`,
		`netcombiner_bypass_state{interface="nc0",state="direct",via="lte",what="mark 0x20"} 0`,
		`netcombiner_bypass_state{interface="nc0",state="blocked",via="lte",what="mark 0x20"} 1`,
		`netcombiner_rejected_messages_total{interface="nc0",reason="malformed"} 3`,
		`netcombiner_info{interface="nc1",role="local",version="1.0"} 1`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("no %q", want)
		}
	}
	seen := map[string]bool{}
	for line := range strings.Lines(got) {
		series := line[:strings.LastIndex(line, " ")]
		if seen[series] && line[0] != '#' {
			t.Errorf("twice: %s", series)
		}
		seen[series] = true
	}
	if t.Failed() {
		t.Log(got)
	}
	if MetricsText() != "" {
		t.Error("no tunnel has metrics")
	}
}

// Every sample has a value for each of its labels, and counters are called so.
func TestFamiliesAreConsistent(t *testing.T) {
	name := regexp.MustCompile(`^netcombiner_[a-z_]+$`)
	seen := map[string]bool{}
	for _, f := range Families {
		if !name.MatchString(f.Name) || seen[f.Name] || f.Help == "" || strings.HasSuffix(f.Name, "_total") != (f.Type == "counter") {
			t.Errorf("%+v", f)
		}
		if !slices.IsSorted(f.Labels) {
			t.Errorf("%s: %q", f.Name, f.Labels)
		}
		seen[f.Name] = true
		samples := 0
		f.Each(full(), func(_ float64, labels ...string) {
			samples++
			if len(labels) != len(f.Labels) || labels[0] != "nc0" || f.Labels[0] != "interface" {
				t.Errorf("%s: %q for %q", f.Name, labels, f.Labels)
			}
		})
		if samples == 0 {
			t.Errorf("%s has no sample", f.Name)
		}
	}
}

// need installs a Debian package where it can.
func need(t *testing.T, command string) {
	t.Helper()
	program, _, _ := strings.Cut(command, ":")
	if _, err := exec.LookPath(program); err == nil {
		return
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
		t.Skip(program + " is missing, and only root on Debian can install it")
	}
	if out, err := exec.Command("../../ci/need", command).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// Prometheus' own tool finds nothing to complain of.
func TestPromtoolLikesTheMetrics(t *testing.T) {
	need(t, "promtool:prometheus")
	other := full()
	other.Interface = "nc1"
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(MetricsText(full(), other))
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}
