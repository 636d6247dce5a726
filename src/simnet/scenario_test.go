package simnet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// runBridges runs the scenario of a seed with bridges in the place of portals.
func runBridges(t *testing.T, seed uint64, faulty func(*bridge, uint64, []byte)) (r *Result) {
	t.Helper()
	return runBridgesIn(t, NewScenario(seed), faulty)
}

func runBridgesIn(t *testing.T, s *Scenario, faulty func(*bridge, uint64, []byte)) (r *Result) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r = s.Run(func(h *Host) (func(), error) { return startBridge(h, s, faulty) })
		time.Sleep(2 * time.Hour) // for what a faulty one leaves behind
	})
	return r
}

// TestScenarios shows that what is asked of portals can be done.
func TestScenarios(t *testing.T) {
	seeds := uint64(20)
	if testing.Short() {
		seeds = 5
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			t.Parallel()
			r := runBridges(t, seed, nil)
			if err := r.Err(); err != nil {
				t.Error(err)
			}
			if r.Inner < 1000 || r.Packets < 1000 {
				t.Errorf("only %d inner packets in %d", r.Inner, r.Packets)
			}
		})
	}
}

func TestScenarioFollowsFromItsSeed(t *testing.T) {
	seen := make(map[string]bool)
	for seed := range uint64(50) {
		a := NewScenario(seed).String()
		if a != NewScenario(seed).String() {
			t.Fatalf("seed %d makes two scenarios", seed)
		}
		if seen[a] {
			t.Errorf("seed %d makes the scenario of another", seed)
		}
		seen[a] = true
	}
}

// TestScenarioFinds shows that each rule is held up: portals that break it are
// found out.
func TestScenarioFinds(t *testing.T) {
	write := func(b *bridge, inner []byte) {
		b.tun.Write([][]byte{append(make([]byte, 16), inner...)}, 16)
	}
	for want, faulty := range map[string]func(b *bridge, seq uint64, inner []byte){
		"came twice": func(b *bridge, seq uint64, inner []byte) {
			if seq == 100 {
				write(b, inner)
			}
		},
		"invented": func(b *bridge, seq uint64, inner []byte) {
			if seq == 100 {
				write(b, []byte("what is this?"))
			}
		},
		"was changed": func(b *bridge, seq uint64, inner []byte) {
			if seq == 100 {
				inner[len(inner)-1]++
				write(b, inner)
			}
		},
		"was never sent": func(b *bridge, seq uint64, inner []byte) {
			if seq == 100 {
				h, _, _ := parseInner(inner)
				h.seq += 1e6
				a := netip.MustParseAddrPort("10.0.0.1:1")
				write(b, appendInner(nil, a, a, 0, &h, 300))
			}
		},
		"wrong end": func(b *bridge, seq uint64, inner []byte) {
			if seq == 100 {
				other := b.Network().hosts[0]
				if other == b.Host {
					other = b.Network().hosts[1]
				}
				other.Tun().Write([][]byte{append(make([]byte, 16), inner...)}, 16)
			}
		},
		"does not stop": func(b *bridge, seq uint64, inner []byte) {
			if seq == 100 {
				b.wait.Go(func() { time.Sleep(time.Hour) })
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			s := NewScenario(1)
			s = &Scenario{Seed: 1, Links: s.Links[:1], Calm: 2 * time.Second}
			err := runBridgesIn(t, s, faulty).Err()
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "scenario 1:") {
				t.Errorf("not found out: %v", err)
			}
		})
	}
}

// TestScenarioFindsTheDead runs portals that do nothing, and none at all.
func TestScenarioFindsTheDead(t *testing.T) {
	for want, start := range map[string]Start{
		"nothing arrives up": func(h *Host) (func(), error) {
			tun, err := h.OpenTun("nc0", 1400)
			return func() { tun.Close() }, err
		},
		"left its TUN device": func(h *Host) (func(), error) {
			_, err := h.OpenTun("nc0", 1400)
			return func() {}, err
		},
		"out of order": func(h *Host) (func(), error) { return nil, errors.New("out of order") },
	} {
		synctest.Test(t, func(t *testing.T) {
			if err := NewScenario(2).Run(start).Err(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("not found out: %v", err)
			}
		})
	}
}
