package control

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The dashboard asks for metrics that there are, by labels that they have, in
// words that Prometheus understands.
func TestTheDashboardFits(t *testing.T) {
	text, err := os.ReadFile("../../packaging/grafana/netcombiner.json")
	if err != nil {
		t.Fatal(err)
	}
	var known []string
	labels := []string{"job", "instance"} // Prometheus' own
	for _, f := range Families {
		known = append(known, f.Name)
		labels = append(labels, f.Labels...)
	}
	used := regexp.MustCompile(`netcombiner_[a-z_]+`).FindAllString(string(text), -1)
	if len(used) < 10 {
		t.Fatalf("the dashboard uses %d metrics: does this test still read it right?", len(used))
	}
	for _, name := range used {
		if !slices.Contains(known, name) {
			t.Errorf("there is no metric %s", name)
		}
	}
	for _, by := range regexp.MustCompile(`(?:by|without) ?\(([^)]*)\)|\{\{ ?(\w+) ?\}\}|(\w+)=~?\\"`).FindAllStringSubmatch(string(text), -1) {
		for label := range strings.SplitSeq(by[1]+by[2]+by[3], ",") {
			if label = strings.TrimSpace(label); !slices.Contains(labels, label) {
				t.Errorf("%s: no metric has a label %q", by[0], label)
			}
		}
	}
	checkExpressions(t, text)
}

// checkExpressions has promtool read every expression of the dashboard.
func checkExpressions(t *testing.T, dashboard []byte) {
	t.Helper()
	need(t, "promtool:prometheus")
	rules := "groups:\n- name: dashboard\n  rules:\n"
	stand := strings.NewReplacer("$__rate_interval", "1m", "$interface", "nc0", "$datasource", "x")
	all := expressions(t, dashboard)
	if len(all) < 8 {
		t.Fatalf("only %d expressions", len(all))
	}
	for _, e := range all {
		rules += "  - record: x\n    expr: '" + strings.ReplaceAll(stand.Replace(e), "'", "''") + "'\n"
	}
	file := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("promtool", "check", "rules", "--lint=none", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s\n%s", err, out, rules)
	}
}

// expressions are the questions that a Grafana dashboard asks of Prometheus.
func expressions(t *testing.T, dashboard []byte) (all []string) {
	t.Helper()
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(dashboard, &d); err != nil {
		t.Fatal(err)
	}
	for _, p := range d.Panels {
		if p.Title == "" || len(p.Targets) == 0 {
			t.Errorf("a panel %q asks nothing", p.Title)
		}
		for _, q := range p.Targets {
			all = append(all, q.Expr)
		}
	}
	return all
}
