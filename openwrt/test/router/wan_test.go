package router

import (
	"strings"
	"testing"
)

// A WAN without a device is waited for; one that had a device keeps it, since it
// is most likely to come back there.
func TestWANsComeAndGo(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	r.netifd()
	if calls := with(r.service("start"), "procd_open_instance"); calls != nil {
		t.Error(calls)
	}
	same(t, "problem", r.problem("nc0"), "no WAN yet: waits for wan wanb")
	same(t, "check, for which a WAN need not be there", r.check("nc0"), "")

	r.netifd("wan eth1 10")
	if calls := with(r.service("reload"), "procd_open_instance"); len(calls) != 1 {
		t.Error("the first WAN is there, and the tunnel does not start")
	}
	same(t, "problem", r.problem("nc0"), "left out what has no device yet: waits for wanb")
	same(t, "paths", devices(r), "dsl eth1")

	r.netifd("wan eth1 10", "wanb wwan0 20")
	r.service("reload")
	same(t, "problem", r.problem("nc0"), "")
	same(t, "paths", devices(r), "dsl eth1, lte wwan0")

	stamp := r.read("etc/nc0.started")
	r.netifd("wanb wwan0 20")
	r.service("reload")
	same(t, "paths", devices(r), "dsl eth1, lte wwan0")
	same(t, "problem", r.problem("nc0"), "")
	same(t, "stamp", r.read("etc/nc0.started"), stamp)

	r.netifd("wanb wwan0 20", "wan pppoe-wan 10")
	r.service("reload")
	same(t, "paths", devices(r), "dsl pppoe-wan, lte wwan0")
}

// A WAN that comes up while the service starts, and so before procd has its
// triggers, is not waited for in vain.
func TestWANComesWhileStarting(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	r.netifd("wan eth1 10")
	r.write("netifd.later", "wan eth1 10\nwanb wwan0 20\n")
	r.service("start")
	same(t, "paths", devices(r), "dsl eth1, lte wwan0")
	same(t, "problem", r.problem("nc0"), "")
}

func devices(r *router) string {
	var all []string
	for _, p := range r.parsed("nc0").Paths {
		all = append(all, p.Name+" "+p.Device)
	}
	return strings.Join(all, ", ")
}

// Two default routes of one metric are one route: a path, or the tunnel, has none.
// The tunnel runs all the same, and this is said.
func TestMetrics(t *testing.T) {
	for problem, netifd := range map[string][]string{
		"interface wan has no metric, and goes before the tunnel: give it one of its own (Network, Interfaces, wan, Advanced Settings)": {"wan eth1 0", "wanb wwan0 20"},
		"interface wanb has the metric of wan, 10, so that one of them has no route: give it one of its own":                            {"wan eth1 10", "wanb wwan0 10"},
		"": {"wan eth1 10", "wanb eth1 10"}, // IPv4 and IPv6 of one WAN, say
	} {
		r := newRouter(t)
		r.uci(home)
		r.netifd(netifd...)
		if calls := with(r.service("start"), "procd_open_instance"); len(calls) != 1 {
			t.Error("it does not start")
		}
		same(t, "problem", r.problem("nc0"), problem)
		same(t, "check", r.check("nc0"), "")
		r.uci(strings.Replace(home, "routing nat", "routing none", 1))
		r.service("start")
		same(t, "problem without a default route", r.problem("nc0"), "")
	}
}
