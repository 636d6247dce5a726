package portal

import (
	"flag"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"

	"netcombiner/src/config"
	"netcombiner/src/simnet"
)

var (
	soakSeeds = flag.Int("seeds", 0, "how many seeds of random faults to run; 0: 200, or 20 with -short")
	firstSeed = flag.Uint64("first-seed", 1, "the first of them")
)

// TestRandomFaults runs whole portals through seeded timetables of everything
// that goes wrong on real links, with replayed and forged packets besides. No
// inner packet may be invented, changed or forwarded twice, nothing may be left
// behind, and the tunnel must be alive again two seconds after the last fault.
//
// One seed alone: go test ./src/portal -run TestRandomFaults -seeds 1 -first-seed N -v
func TestRandomFaults(t *testing.T) {
	n := *soakSeeds
	if n == 0 {
		if n = 200; testing.Short() {
			n = 10
		}
	}
	for seed := *firstSeed; seed < *firstSeed+uint64(n); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if err := runScenario(t, simnet.NewScenario(seed)).Err(); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			})
		})
		if n >= 1000 && seed%100 == 0 {
			t.Logf("%d seeds done", seed-*firstSeed+1)
		}
	}
}

// runScenario runs a scenario with our portals.
func runScenario(t *testing.T, s *simnet.Scenario) *simnet.Result {
	return s.Run(func(h *simnet.Host) (func(), error) {
		c := scenarioConfig(s, h.Name())
		_, stop, err := startPortal(h, c, nil)
		if err != nil {
			return nil, err
		}
		return func() {
			if err := stop(); err != nil {
				t.Errorf("seed %d: %s: %v", s.Seed, h.Name(), err)
			}
		}, nil
	})
}

func scenarioConfig(s *simnet.Scenario, name string) *config.Config {
	c := &config.Config{Interface: config.Interface{Key: testKey, Suite: "auto", Scheduler: "greedy",
		Role: config.Role(name), Address: []netip.Prefix{lanPrefix}}}
	for _, l := range s.Links {
		if name == "local" {
			c.Paths = append(c.Paths, config.Path{Name: l.Name, Transport: l.Transport, Device: l.Name,
				Remote:     config.HostPort{Host: l.Remote.Addr().String(), Port: l.Remote.Port()},
				Congestion: "bbr", Direction: config.Both})
			continue
		}
		listen := config.Listen{Transport: l.Transport, Address: netip.AddrPortFrom(netip.IPv6Unspecified(), l.Remote.Port())}
		known := false
		for _, have := range c.Listens {
			known = known || have.Transport == listen.Transport && have.Address == listen.Address
		}
		if !known {
			c.Listens = append(c.Listens, listen)
		}
	}
	return c
}
