package places

import (
	"os"
	"strings"
	"testing"
)

func TestPlaces(t *testing.T) {
	for _, tc := range []struct{ what, got, want string }{
		{"configurations on Linux", config(false), "/etc/netcombiner"},
		{"configurations on FreeBSD", config(true), "/usr/local/etc/netcombiner"},
		{"state on Linux", state(false, false), "/var/lib/netcombiner"},
		{"state on OpenWrt", state(false, true), "/etc/netcombiner"},
		{"state on FreeBSD", state(true, false), "/var/db/netcombiner"},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %s, want %s", tc.what, tc.got, tc.want)
		}
	}
}

func TestTheEnvironmentMovesFolders(t *testing.T) {
	t.Setenv("NETCOMBINER_RUN_DIR", "/somewhere/run")
	t.Setenv("NETCOMBINER_STATE_DIR", "/somewhere/state")
	if Run() != "/somewhere/run" || State() != "/somewhere/state" {
		t.Errorf("%s, %s", Run(), State())
	}
}

// The manuals are for both systems: each place that they name stands beside the other's.
func TestManualsNameBothPlaces(t *testing.T) {
	for manual, places := range map[string][]string{
		"netcombiner.8":      {config(false), config(true), state(false, false), state(true, false)},
		"netcombiner.conf.5": {config(false), config(true)},
	} {
		text, err := os.ReadFile("../../packaging/man/" + manual)
		if err != nil {
			t.Fatal(err)
		}
		for _, place := range places {
			if !strings.Contains(string(text), place) {
				t.Errorf("%s does not name %s", manual, place)
			}
		}
	}
}
