package router

import (
	"os"
	"strings"
	"testing"
)

// portal is the UCI of a remote portal beside home, which listens there.
func portal(name, address, listens string) string {
	return `
config tunnel ` + name + `
	option role remote
	option key c2Vjb25kc2Vjb25kc2Vjb25kc2Vjb25kc2Vjb25kMDA=
	list address ` + address + `

config listen
	option tunnel ` + name + `
	option address ` + listens + `
`
}

// A tunnel that is started by its name, or checked, is judged beside those that run, too.
func TestNamedTunnelBesideOthers(t *testing.T) {
	r := newRouter(t)
	first, second := portal("nc1", "172.19.152.4/31", "[::]:4725"), portal("nc2", "172.19.152.6/31", "[::]:4725")
	r.uci(home + first)
	r.service("start")
	r.uci(home + second + first)
	if p := r.check("nc2"); !strings.Contains(p, "nc1") {
		t.Errorf("check: %q", p)
	}
	for _, action := range []string{"start", "reload"} {
		if calls := with(r.service(action, "nc2"), "procd_open_instance"); calls != nil {
			t.Errorf("%s: %v", action, calls)
		}
		if p := r.problem("nc2"); !strings.Contains(p, "nc1") {
			t.Errorf("%s: %q", action, p)
		}
	}

	// Its port is to be given to it in the same breath.
	r.uci(home + portal("nc1", "172.19.152.4/31", "[::]:4726") + second)
	same(t, "check", r.check("nc2"), "")
	r.uci(home + first + second)
	r.service("stop", "nc1")
	same(t, "check beside one that is stopped", r.check("nc2"), "")
	same(t, "started beside one that is stopped", with(r.service("start", "nc2"), "procd_open_instance"), []string{"procd_open_instance nc2"})
}

// One that was switched off meanwhile ends, whatever it is told by its name.
func TestNamedTunnelThatIsOff(t *testing.T) {
	for _, action := range []string{"start", "reload"} {
		r := newRouter(t)
		r.uci(home)
		r.service("start")
		r.uci(strings.Replace(home, "option role local", "option role local\n\toption enabled 0", 1))
		same(t, action, with(r.service(action, "nc0"), "procd_kill", "procd_open_instance"), []string{"procd_kill netcombiner nc0"})
		if r.ini("nc0") != "" {
			t.Error("its configuration stays")
		}
		same(t, action+" again", with(r.service(action, "nc0"), "procd_kill"), []string(nil))
	}
}

// What is stopped has no problem any more.
func TestStopLeavesNoProblem(t *testing.T) {
	r := newRouter(t)
	r.uci(strings.Replace(home, "option key "+key, "", 1))
	r.service("start")
	if r.problem("nc0") == "" {
		t.Fatal("no problem to begin with")
	}
	r.service("stop")
	same(t, "problem", r.problem("nc0"), "")
}

// A daemon that somebody started by hand, of another configuration, is left alone: procd's
// would only try in vain, beside it.
func TestDaemonStartedByHand(t *testing.T) {
	r := newRouter(t)
	r.uci(home)
	r.must(os.Mkdir(r.path("bin"), 0o755))
	r.must(os.WriteFile(r.path("bin/netcombiner"), []byte(`#!/bin/sh
case $1 in
reload) echo "netcombiner: nc0: its file is gone" >&2; exit 1 ;;
show) exit 0 ;;
esac
exec `+bin+`/netcombiner "$@"
`), 0o755))
	out, err := r.script("service.sh", []string{"PATH=" + r.path("bin") + ":" + os.Getenv("PATH")}, "start")
	if err != nil || out != "" {
		t.Errorf("%v %s", err, out)
	}
	same(t, "problem", r.problem("nc0"), "it runs already, but not as this service's: netcombiner down nc0 ends it")
	if calls := with(strings.Split(r.read("calls"), "\n"), "procd_open_instance"); calls != nil {
		t.Error(calls)
	}
}
