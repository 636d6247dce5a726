package simnet

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestEventHeap compares with a sorted list, through pushes, pops and changes
// of time.
func TestEventHeap(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var h eventHeap
	var list []event
	for i := range 20000 {
		switch k := rng.IntN(100); {
		case k < 55 || len(list) == 0:
			e := event{at: time.Duration(rng.IntN(50)), src: rng.Uint32N(3), seq: uint64(i)}
			h.push(e)
			list = append(list, e)
		case k < 99:
			first := slices.MinFunc(list, func(a, b event) int {
				if a.before(&b) {
					return -1
				}
				return 1
			})
			if got := h.pop(); got.seq != first.seq {
				t.Fatalf("step %d: popped %+v before %+v", i, got, first)
			}
			list = slices.DeleteFunc(list, func(e event) bool { return e.seq == first.seq })
		default:
			for j := range h {
				h[j].at = time.Duration(rng.IntN(50))
			}
			h.fix()
			list = slices.Clone(h)
		}
	}
}

func TestRing(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var r ring[int]
	var list []int
	for i := range 10000 {
		if rng.IntN(20) < 11 {
			r.push(i)
			list = append(list, i)
		} else if len(list) > 0 {
			if got := r.pop(); got != list[0] {
				t.Fatalf("popped %d, not %d", got, list[0])
			}
			list = list[1:]
		}
		if r.len() != len(list) || len(list) > 0 && *r.at(len(list) - 1) != list[len(list)-1] {
			t.Fatalf("step %d: %d elements, not %d", i, r.len(), len(list))
		}
	}
}
