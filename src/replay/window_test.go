package replay

import (
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// model is the window as one would explain it: a set of all numbers accepted.
type model struct {
	width, highest uint64
	seen           map[uint64]bool
}

func newModel(w *Window) *model {
	return &model{width: w.Width(), seen: map[uint64]bool{}}
}

func (m *model) accept(seq uint64) bool {
	if seq == 0 || m.seen[seq] || seq <= m.highest && m.highest-seq >= m.width {
		return false
	}
	m.seen[seq] = true
	m.highest = max(m.highest, seq)
	return true
}

// offer shows seq to both and reports how they differ, "" if they do not.
func offer(w *Window, m *model, seq uint64) string {
	checked := w.Check(seq)
	accepted := w.Accept(seq)
	switch {
	case checked != accepted:
		return "Check and Accept disagree"
	case accepted != m.accept(seq):
		return "window and model disagree"
	case w.Highest() != m.highest:
		return "highest differs"
	case w.Check(seq):
		return "a number just offered is still fresh or not refused for good"
	}
	return ""
}

func TestWindowFollowsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := New(1 << rapid.IntRange(7, 12).Draw(t, "log2 bits"))
		m := newModel(w)
		width := int64(w.Width())
		near := rapid.OneOf(
			rapid.Int64Range(-3, 3),
			rapid.Int64Range(-70, 70),
			rapid.Int64Range(-width-70, -width+70),
			rapid.Int64Range(width-70, 3*width),
			rapid.Int64Range(math.MinInt64, math.MaxInt64),
		)
		if rapid.Bool().Draw(t, "start near the end of the numbers") {
			start := math.MaxUint64 - rapid.Uint64Range(0, uint64(2*width)).Draw(t, "start")
			if d := offer(w, m, start); d != "" {
				t.Fatalf("%d: %s", start, d)
			}
		}
		for range rapid.IntRange(1, 300).Draw(t, "steps") {
			// Wraps below zero and over the top on purpose.
			seq := m.highest + uint64(near.Draw(t, "delta"))
			if d := offer(w, m, seq); d != "" {
				t.Fatalf("%d (highest %d): %s", seq, m.highest, d)
			}
		}
	})
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 0, 64, 255, 192, 4, 0})
	f.Fuzz(func(t *testing.T, deltas []byte) {
		w := New(512)
		m := newModel(w)
		for ; len(deltas) >= 2; deltas = deltas[2:] {
			delta := int16(binary.BigEndian.Uint16(deltas))
			seq := m.highest + uint64(int64(delta))
			if d := offer(w, m, seq); d != "" {
				t.Fatalf("%d (highest %d): %s", seq, m.highest, d)
			}
		}
	})
}

func TestWindowEdges(t *testing.T) {
	w := New(128) // spans 64 numbers
	for _, step := range []struct {
		seq  uint64
		want bool
		why  string
	}{
		{0, false, "zero is never valid"},
		{1, true, "first"},
		{1, false, "twin"},
		{64, true, "1 is now the last but one of the window"},
		{65, true, "1 fell out"},
		{1, false, "too old and seen"},
		{2, true, "oldest of the window"},
		{66, true, "2 falls out"},
		{2, false, "too old"},
		{math.MaxUint64, true, "a jump over everything"},
		{66, false, "far too old"},
		{math.MaxUint64 - 63, true, "oldest of the window"},
		{math.MaxUint64 - 64, false, "one too old"},
		{math.MaxUint64, false, "twin at the end of the numbers"},
	} {
		if got := w.Accept(step.seq); got != step.want {
			t.Errorf("Accept(%d) = %v, want %v: %s", step.seq, got, step.want, step.why)
		}
	}
}

// TestWindowFitsUnequalPaths is the requirement behind DefaultBits: each number
// alternately goes over a quick path and over one 300 ms slower, 1 Gbit/s of
// 40-byte packets; every packet of the slow path must still be accepted.
func TestWindowFitsUnequalPaths(t *testing.T) {
	const lag = 1e9 / 8 / 40 * 3 / 10
	w := New(DefaultBits)
	for seq := uint64(1); seq < 3*lag; seq += 2 {
		if !w.Accept(seq) {
			t.Fatalf("quick path: %d refused", seq)
		}
		// lag is even, so late is even too: one of the slow path's.
		if late := int64(seq) + 1 - lag; late > 0 && !w.Accept(uint64(late)) {
			t.Fatalf("slow path: %d refused, highest %d", late, w.Highest())
		}
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, bits := range []int{-128, 0, 1, 64, 100, 129, 1<<20 + 1} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("New(%d) did not panic", bits)
				}
			}()
			New(bits)
		}()
	}
}

func TestAcceptAllocatesNothing(t *testing.T) {
	w := New(DefaultBits)
	seq := uint64(0)
	if n := testing.AllocsPerRun(100, func() { seq += 1000; w.Accept(seq); w.Accept(seq) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAccept(b *testing.B) {
	b.Run("in order", func(b *testing.B) {
		w := New(DefaultBits)
		for seq := uint64(1); b.Loop(); seq++ {
			w.Accept(seq)
		}
	})
	b.Run("two paths 300000 apart", func(b *testing.B) {
		w := New(DefaultBits)
		w.Accept(300000)
		for seq := uint64(1); b.Loop(); seq++ {
			w.Accept(seq + seq&1*300000)
		}
	})
	b.Run("replayed", func(b *testing.B) {
		w := New(DefaultBits)
		w.Accept(1)
		for b.Loop() {
			w.Accept(1)
		}
	})
}
