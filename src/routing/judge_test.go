package routing

import (
	"slices"
	"testing"
	"time"
)

// Each line is how two paths, by dsl and lte, are from a second on, and what is
// to be decided from another on, until the next line's.
func TestJudge(t *testing.T) {
	dsl, lte := WAN{Device: "dsl"}, WAN{Source: addr("192.0.2.7")}
	type step struct {
		from     int
		dsl, lte bool
		at       int // from here on:
		direct   bool
		lost     []WAN
	}
	for name, steps := range map[string][]step{
		"well":                    {{0, true, true, 0, false, nil}, {100, true, true, 100, false, nil}},
		"one dies and comes back": {{0, true, true, 0, false, nil}, {10, true, false, 15, false, []WAN{lte}}, {30, true, true, 33, false, nil}},
		"never up":                {{0, false, false, 5, true, nil}},
		"all die":                 {{0, true, true, 0, false, nil}, {10, false, false, 15, true, nil}, {60, true, true, 63, false, nil}},
		"a short break":           {{0, true, true, 0, false, nil}, {10, false, false, 10, false, nil}, {14, true, true, 14, false, nil}, {15, false, false, 15, false, nil}, {19, true, true, 19, false, nil}},
		"one after the other":     {{0, true, true, 0, false, nil}, {10, true, false, 15, false, []WAN{lte}}, {20, false, false, 23, false, nil}, {25, false, false, 25, true, nil}},
		// A return for a moment is none, and each relapse makes the next one later.
		"flaps": {{0, false, false, 5, true, nil}, {10, true, true, 10, true, nil}, {12, false, false, 12, true, nil},
			{20, true, true, 23, false, nil}, {25, false, false, 30, true, nil},
			{40, true, true, 46, false, nil}, {50, false, false, 55, true, nil},
			{60, true, true, 72, false, nil},
			{400, false, false, 405, true, nil}, {420, true, true, 423, false, nil}},
	} {
		t.Run(name, func(t *testing.T) {
			var j Judge
			seen := [2]bool{}
			i := 0
			was := step{}
			for second := 0; second < steps[len(steps)-1].from+80; second++ {
				if i+1 < len(steps) && steps[i+1].from <= second {
					was = steps[i]
					i++
				}
				s := steps[i]
				seen[0], seen[1] = seen[0] || s.dsl, seen[1] || s.lte
				direct, lost := j.Look(time.Duration(second)*time.Second, []PathHealth{
					{dsl, s.dsl, seen[0]}, {lte, s.lte, seen[1]}, {dsl, false, false}, {WAN{}, false, true},
				})
				want := was
				if second >= s.at {
					want = s
				}
				if direct != want.direct {
					t.Fatalf("second %d: direct %v", second, direct)
				}
				if second >= s.at && !slices.Equal(lost, s.lost) {
					t.Fatalf("second %d: lost %v, want %v", second, lost, s.lost)
				}
			}
		})
	}
}

// A path that never worked says nothing about its WAN: UDP may be blocked there.
func TestJudgeBlamesNoUnprovedWAN(t *testing.T) {
	var j Judge
	for second := range 60 {
		if _, lost := j.Look(time.Duration(second)*time.Second, []PathHealth{{WAN{Device: "dsl"}, true, true}, {WAN{Device: "lte"}, false, false}}); len(lost) > 0 {
			t.Fatalf("second %d: %v", second, lost)
		}
	}
}
