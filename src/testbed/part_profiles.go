//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
)

// profile is a pair of links of mqvpn's public benchmark, the same both ways,
// and what one flow is to get of the sum, in percent; 0: no less than over
// the better link, which holds for all.
type profile struct {
	name string
	a, b link.Shape
	sum  float64
}

// wan is a link of a profile: Mbit/s, one-way delay and the standard
// deviation of its jitter in ms, loss in percent.
func wan(rate int64, delay, jitter int, loss float64) link.Shape {
	return link.Shape{Rate: rate * 1e6, Delay: time.Duration(delay) * time.Millisecond, Jitter: time.Duration(jitter) * time.Millisecond, Loss: loss / 100}
}

var profiles = []profile{
	{"baseline", wan(50, 20, 0, 0), wan(50, 20, 0, 0), 90},
	{"rtt_40", wan(50, 20, 0, 0), wan(50, 40, 0, 0), 90},
	{"rtt_70", wan(50, 20, 0, 0), wan(50, 70, 0, 0), 88},
	{"rtt_120", wan(50, 20, 0, 0), wan(50, 120, 0, 0), 86},
	{"rtt_320", wan(50, 20, 0, 0), wan(50, 320, 0, 0), 0},
	{"jit_5", wan(50, 20, 5, 0), wan(50, 20, 5, 0), 75},
	{"jit_20", wan(50, 20, 20, 0), wan(50, 20, 20, 0), 60},
	{"loss_05", wan(50, 20, 0, 0.5), wan(50, 20, 0, 0.5), 75},
	{"loss_2", wan(50, 20, 0, 2), wan(50, 20, 0, 2), 60},
	{"bw_4to1", wan(50, 20, 0, 0), wan(12, 20, 0, 0), 90},
	{"bw_10to1", wan(100, 20, 0, 0), wan(10, 20, 0, 0), 90},
	{"dual_lte", wan(40, 30, 5, 0.5), wan(25, 45, 8, 0.5), 75},
	{"fiber_lte", wan(300, 8, 0, 0), wan(30, 40, 8, 0.5), 90},
	{"lte_starlink", wan(40, 35, 8, 0), wan(100, 50, 25, 1), 75},
	{"lte_geo", wan(40, 35, 0, 0), wan(20, 320, 20, 0.5), 0},
	{"congested", wan(20, 50, 20, 2), wan(15, 60, 25, 2), 60},
}

// variant is a profile as it is measured: with jitter that reorders within
// a link, as the benchmark's does, and again with jitter that keeps order,
// as that of most real links does.
type variant struct {
	name string
	make func(link.Shape) link.Shape
}

func (p profile) variants() []variant {
	if p.a.Jitter == 0 && p.b.Jitter == 0 {
		return []variant{{p.name, asItIs}}
	}
	return []variant{{p.name, reordered}, {p.name + "_ordered", ordered}}
}

// profileCases names all variants.
func profileCases() (names []string) {
	for _, p := range profiles {
		for _, v := range p.variants() {
			names = append(names, v.name)
		}
	}
	return names
}

// evaluateProfiles measures one CUBIC flow, and eight, over every profile.
func evaluateProfiles(ctx context.Context, e *evaluation) (failed error) {
	for _, p := range profiles {
		variants := slices.DeleteFunc(p.variants(), func(v variant) bool { return !e.wanted(v.name) })
		if len(variants) == 0 {
			continue
		}
		if err := e.profile(ctx, p, variants); err != nil {
			if ctx.Err() != nil {
				return err
			}
			// The others can still be measured.
			err = fmt.Errorf("%s: %w", p.name, err)
			e.say("failed: %v", err)
			failed = errors.Join(failed, err)
		}
		if err := e.save(); err != nil {
			return err
		}
	}
	return failed
}

// profilesLast estimates how long the chosen variants take.
func profilesLast(e *evaluation) (sum time.Duration) {
	for _, p := range profiles {
		flows, tunnels := 0, 0
		for _, v := range p.variants() {
			if !e.wanted(v.name) {
				continue
			}
			for _, s := range []link.Shape{p.a, p.b} {
				if faulty(s) {
					flows++
				}
			}
			tunnels += len(e.ownTransports())
		}
		if tunnels > 0 {
			flows += 2 + 2*grown*tunnels
			sum += e.every(time.Duration(flows)*(e.For+flowExtra)) + time.Duration(tunnels)*3*time.Second
		}
	}
	return sum
}

// faulty says whether a link is less by itself than whole.
func faulty(s link.Shape) bool { return s.Jitter > 0 || s.Loss > 0 || s.Burst.Enter > 0 }

func (e *evaluation) profile(ctx context.Context, p profile, variants []variant) error {
	links, err := e.raise(lab.Symmetric("a", p.a), lab.Symmetric("b", p.b))
	if err != nil {
		return err
	}
	defer links.Close()
	capacity, err := e.capacity(ctx, links, p.name)
	if err != nil {
		return err
	}
	for _, v := range variants {
		if err := e.variant(ctx, links, p, v, capacity); err != nil {
			return fmt.Errorf("%s: %w", v.name, err)
		}
	}
	return e.exactness(p.name, links.Lab)
}

func (e *evaluation) variant(ctx context.Context, links *pair, p profile, v variant, capacity map[direction][]float64) error {
	if err := links.reshape(v.make); err != nil {
		return err
	}
	best := map[direction]float64{}
	for _, d := range e.directions {
		rates, err := e.alone(ctx, links, e.inner(v.name+" "+d.name), "as it is", e.Inner, d, faulty)
		if err != nil {
			return err
		}
		for i, l := range links.Links {
			if !faulty(d.shape(l.Config)) {
				rates[i] = capacity[d][i]
			}
		}
		best[d] = slices.Max(rates)
	}
	for _, transport := range e.ownTransports() {
		t, err := e.tunnel(ctx, links.Lab, transport)
		if err != nil {
			return err
		}
		for _, d := range e.directions {
			if err = e.flows(ctx, links, e.inner(fmt.Sprintf("%s %s %s", v.name, transport, d.name)), d, p.sum, sum(capacity[d]), best[d]); err != nil {
				break
			}
		}
		t.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", transport, err)
		}
	}
	return nil
}

// flows measures one flow and eight through the tunnel, against the sum of
// the links and the best of them as it is, bit/s.
func (e *evaluation) flows(ctx context.Context, links *pair, name string, d direction, target, sum, best float64) error {
	got, later := map[int][]float64{}, map[int][]float64{}
	for _, flows := range []int{1, 8} {
		for run := range e.Runs {
			rates, err := links.flows(ctx, links.Client, measure.TCPTest{For: e.For, Spans: grown, Down: d.down, Flows: flows, Congestion: e.Inner})
			if err != nil {
				return err
			}
			got[flows], later[flows] = append(got[flows], rates[0]), append(later[flows], rates[1])
			e.say("%s, flows %d, run %d of %d: %.1f, then %.1f of %.1f Mbit/s", name, flows, run+1, e.Runs, rates[0]/1e6, rates[1]/1e6, sum/1e6)
		}
	}
	var ofSum *Target
	if target > 0 {
		ofSum = AtLeast(target)
	}
	single := 100 * best / sum
	e.put(Row{Case: name, Metric: "one flow, of the sum", Unit: "%", Target: ofSum, Samples: percent(got[1], sum), Single: &single})
	e.add(name, "one flow, of the sum, once it has grown", "%", ofSum, percent(later[1], sum))
	e.add(name, "one flow, of the best single link as it is", "%", AtLeast(97), percent(got[1], best))
	e.add(name, "8 flows, of the sum", "%", nil, percent(got[8], sum))
	// No less than one flow: where both fill the links, the same measured
	// twice differs by up to a hundredth.
	e.add(name, "8 flows, of one flow", "%", AtLeast(99), percent(got[8], measure.Median(got[1])))
	return nil
}
