package auth

import (
	"bytes"
	"fmt"
	"testing"
)

// benchmark runs f for each suite, size of packet, and with and without
// addresses bound.
func benchmark(b *testing.B, f func(b *testing.B, gs Generators, vs Verifiers, packet []byte, m *Meta)) {
	for _, s := range suites {
		for _, size := range []int{64, 1400} {
			for _, bind := range []bool{false, true} {
				if bind && s.ID == None {
					continue
				}
				gs, vs := chain(s.ID, testKey, bind)
				b.Run(fmt.Sprintf("suite=%s/size=%d/bound=%v", s.Name, size, bind), func(b *testing.B) {
					b.SetBytes(int64(size))
					b.ReportAllocs()
					f(b, gs, vs, make([]byte, size, size+gs.Overhead()), &Meta{Sequence: 1, HeaderLen: 6})
				})
			}
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	benchmark(b, func(b *testing.B, gs Generators, _ Verifiers, packet []byte, m *Meta) {
		for b.Loop() {
			m.PathSequence++
			gs.Generate(packet, m)
		}
	})
}

// BenchmarkOpen has a copy in it, for what is opened is not sealed any more.
func BenchmarkOpen(b *testing.B) {
	benchmark(b, func(b *testing.B, gs Generators, vs Verifiers, packet []byte, m *Meta) {
		sealed := gs.Generate(packet, m)
		arrived := bytes.Clone(sealed)
		for b.Loop() {
			copy(arrived, sealed)
			if _, err := vs.Verify(arrived, m); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRefuse is what a flood of forgeries costs: one MAC a packet, no more.
func BenchmarkRefuse(b *testing.B) {
	benchmark(b, func(b *testing.B, gs Generators, vs Verifiers, packet []byte, m *Meta) {
		if gs.Overhead() == SequenceLen {
			b.Skip("there is nothing to refuse without a MAC")
		}
		forged := gs.Generate(packet, m)
		forged[len(forged)-1]++
		for b.Loop() {
			if _, err := vs.Verify(forged, m); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}
