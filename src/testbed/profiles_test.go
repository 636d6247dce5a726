//go:build linux

package testbed

import (
	"slices"
	"testing"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/wire"
)

// Every profile has links that can be, a name of its own, and both kinds of
// jitter where it has jitter.
func TestProfiles(t *testing.T) {
	cases := profileCases()
	if len(profiles) != 16 || len(cases) != 16+7 {
		t.Errorf("%d profiles, %d cases; want 16, and 7 of them twice", len(profiles), len(cases))
	}
	slices.Sort(cases)
	if unique := slices.Compact(slices.Clone(cases)); len(unique) != len(cases) {
		t.Errorf("two cases have one name: %v", cases)
	}
	for _, p := range profiles {
		for _, s := range []link.Shape{p.a, p.b} {
			if err := s.Validate(); err != nil || s.Rate < 10e6 || s.Delay < 8*time.Millisecond || s.Loss > 0.02 {
				t.Errorf("%s: %+v, %v", p.name, s, err)
			}
			w := whole(s)
			if w.Jitter != 0 || w.Loss != 0 || w.Rate != s.Rate || w.Delay != s.Delay {
				t.Errorf("%s without loss or jitter is %+v", p.name, w)
			}
		}
		variants := p.variants()
		if first := variants[0].make(p.b); p.b.Jitter > 0 && !first.Reorder {
			t.Errorf("%s does not reorder", variants[0].name)
		}
		if len(variants) == 2 && variants[1].make(p.b).Reorder {
			t.Errorf("%s reorders", variants[1].name)
		}
	}
}

func TestScale(t *testing.T) {
	e := &evaluation{EvaluateConfig: EvaluateConfig{Scale: 0.5}}
	links := []lab.LinkConfig{lab.Symmetric("a", wan(50, 20, 0, 0))}
	e.scale(links)
	if links[0].Down.Rate != 25e6 || links[0].Up.Rate != 25e6 {
		t.Errorf("half of 50 Mbit/s is %+v", links[0])
	}
}

func TestIsData(t *testing.T) {
	frame := func(protocol byte, options int, message []byte) []byte {
		f := make([]byte, 14+20+4*options+8)
		f[14], f[14+9] = byte(0x45+options), protocol
		return append(f, message...)
	}
	header := func(typ wire.Type) []byte {
		return append((&wire.Header{Type: typ, Path: 1}).Append(nil), make([]byte, 40)...)
	}
	for name, c := range map[string]struct {
		frame []byte
		data  bool
	}{
		"data":                   {frame(17, 0, header(wire.TypeData)), true},
		"data after IP options":  {frame(17, 2, header(wire.TypeData)), true},
		"data with a feedback":   {frame(17, 0, append([]byte{header(wire.TypeData)[0] | 1<<4}, header(wire.TypeData)[1:]...)), true},
		"a ping":                 {frame(17, 0, header(wire.TypeControl)), false},
		"an acknowledgement":     {frame(17, 0, header(wire.TypeAck)), false},
		"TCP":                    {frame(6, 0, header(wire.TypeData)), false},
		"nothing":                {nil, false},
		"a frame cut short":      {frame(17, 0, header(wire.TypeData))[:43], false},
		"a header that is false": {append(frame(17, 0, nil)[:14], append([]byte{0x4f}, make([]byte, 30)...)...), false},
	} {
		if got := isData(c.frame); got != c.data {
			t.Errorf("%s: isData says %v", name, got)
		}
	}
}
