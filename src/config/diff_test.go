package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const liveHead = "[Interface]\nRole = local\nKey = AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\n"

func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("nc0.conf", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// summary is a Changes in one line.
func summary(c Changes) string {
	var all []string
	for what, paths := range map[string][]Path{"+": c.AddPaths, "-": c.RemovePaths, "~": c.SetPaths} {
		for _, p := range paths {
			all = append(all, what+p.Name)
		}
	}
	for what, listens := range map[string][]Listen{"+": c.AddListens, "-": c.RemoveListens, "~": c.SetListens} {
		for _, l := range listens {
			all = append(all, fmt.Sprint(what, l.Transport, l.Address.Port()))
		}
	}
	if c.Scheduler {
		all = append(all, "scheduler")
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func TestReloadAndDiff(t *testing.T) {
	const path = "[Path]\nName = %s\nRemote = 192.0.2.1:4725\n"
	a, b := fmt.Sprintf(path, "a"), fmt.Sprintf(path, "b")
	for _, c := range []struct{ from, to, changes, restart string }{
		{liveHead + a, liveHead + a, "", ""},
		{liveHead + a, liveHead + b + a, "+b", ""},
		{liveHead + a + b, liveHead + b, "-a", ""},
		{liveHead + a, liveHead + a + "Metric = 1\n", "~a", ""},
		{liveHead + a, liveHead + a + "Transport = tcp\n", "+a -a", ""},
		{liveHead + a, liveHead + "Scheduler = greedy\n" + a, "scheduler", ""},
		{liveHead + "Scheduler = greedy\n" + a, liveHead + a, "scheduler", ""},
		{liveHead + "MTU = 1300\n" + a, liveHead + "Suite = none\n" + a + b, "+b", "MTU Suite"},
		{liveHead + a, strings.Replace(liveHead, "AQID", "BQID", 1) + a + "Metric = 2\n", "~a", "Key"},
		{liveHead + a, strings.Replace(liveHead, "local", "remote", 1) + "[Listen]\nAddress = [::]:1\n", "", "Role"},
	} {
		from := parsed(t, c.from)
		next, restart, err := from.Reload(parsed(t, c.to))
		if err != nil {
			t.Errorf("%q: %v", c.to, err)
			continue
		}
		if got := summary(Diff(from, next)); got != c.changes || strings.Join(restart, " ") != c.restart {
			t.Errorf("%q to %q: %q, restart for %q; want %q, %q", c.from, c.to, got, restart, c.changes, c.restart)
		}
	}
	remote := strings.Replace(liveHead, "local", "remote", 1)
	from := parsed(t, remote+"[Listen]\nAddress = [::]:1\n[Listen]\nAddress = [::]:2\n")
	next, _, err := from.Reload(parsed(t, remote+"[Listen]\nAddress = [::]:1\nAllow = 192.0.2.0/24\n[Listen]\nAddress = [::]:3\n"))
	if err != nil || summary(Diff(from, next)) != "+udp3 -udp2 ~udp1" {
		t.Errorf("%q, %v", summary(Diff(from, next)), err)
	}
}

// A path without a name keeps the one that its place gave it.
func TestEditKeepsNames(t *testing.T) {
	c := parsed(t, liveHead+"[Path]\nRemote = 192.0.2.1:4725\n[Path]\nRemote = 192.0.2.2:4725\n")
	c, err := c.Edit(Edit{Do: Remove, Path: "path1"})
	if err != nil || len(c.Paths) != 1 || c.Paths[0].Name != "path2" || c.Paths[0].Remote.Host != "192.0.2.2" {
		t.Fatalf("%+v, %v", c, err)
	}
	if c, err = c.Edit(Edit{Do: Set, Path: "PATH2", Settings: []Setting{{"down", ""}}}); err != nil || !c.Paths[0].Down {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, err := c.Edit(Edit{Do: Set, Path: "path2", Settings: []Setting{{"rate", "-"}}}); err == nil || c.Paths[0].RateUp != 0 {
		t.Errorf("%v", err)
	}
}
