//go:build linux

package testbed

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// mb is a megabyte a second in bit/s: the paper's unit.
const mb int64 = 8e6

// The metrics of a throughput, by which the plots find their figures.
const (
	metricRate   = "throughput"
	metricSum    = "of the sum of its links alone"
	metricDouble = "of one direct link of double the rate"
	metricFaster = "of two links of the faster rate"
)

// partSpeed is the part of a throughput's rows: which part asked for it does not matter.
const partSpeed = "throughput"

// The overheads of timing: a lab raised, a tunnel up, an iperf3 begun and ended.
const (
	labTakes    = 2 * time.Second
	tunnelTakes = 3 * time.Second
	testTakes   = 500 * time.Millisecond
)

// speeds are the throughputs measured so far, so that figures of the paper that
// have a set of links in common share its measurement.
type speeds struct {
	alone    map[string][]float64 // bit/s of one direct flow, each run: by rate and direction
	combined map[string][]float64 // through the tunnel: by a row's case
}

// equals are from first to last links of one rate.
func equals(first, last int, rate int64) (sets [][]int64) {
	for n := first; n <= last; n++ {
		sets = append(sets, slices.Repeat([]int64{rate}, n))
	}
	return sets
}

// linksName is a set of links in words: "8+16 Mbit/s", "4 × 16 Mbit/s".
func linksName(rates []int64) string {
	if len(rates) > 2 && slices.Max(rates) == slices.Min(rates) {
		return fmt.Sprintf("%d × %d Mbit/s", len(rates), rates[0]/1e6)
	}
	var each []string
	for _, r := range rates {
		each = append(each, strconv.FormatInt(r/1e6, 10))
	}
	return strings.Join(each, "+") + " Mbit/s"
}

// caseName is the case of a row about a set of links.
func caseName(rates []int64, transport string, d direction) string {
	return linksName(rates) + " " + transport + " " + d.name
}

// linksOf are links of these rates both ways, 5 ms one way: a, b, c, …
func linksOf(rates []int64) (links []lab.LinkConfig) {
	for i, l := range even(len(rates), 0) {
		l.Down.Rate, l.Up.Rate = rates[i], rates[i]
		links = append(links, l)
	}
	return links
}

// direct measures one TCP flow over a link of a rate without a tunnel, unless it is known.
func (e *evaluation) direct(ctx context.Context, rate int64) error {
	if _, done := e.speeds.alone[aloneKey(rate, e.directions[0])]; done {
		return nil
	}
	if e.speeds.alone == nil {
		e.speeds.alone = map[string][]float64{}
	}
	l, err := lab.New(lab.Config{Links: even(1, rate)})
	if err != nil {
		return err
	}
	defer l.Close()
	server, err := measure.StartIperf(l.Server, lab.Server.V4)
	if err != nil {
		return err
	}
	defer server.Close()
	for _, d := range e.directions {
		name := caseName([]int64{rate}, "direct", d)
		samples, err := e.oneFlow(ctx, name, server, func(t *measure.TCPTest) { t.Device, t.Congestion = l.Links[0].Name, measure.Cubic }, l, d)
		if err != nil {
			return err
		}
		e.speeds.alone[aloneKey(rate, d)] = samples
		e.put(Row{Part: partSpeed, Case: name, Metric: metricRate, Unit: "Mbit/s", Samples: scale(samples, 1e-6), Links: []int64{rate}})
	}
	return e.exactness(linksName([]int64{rate})+" direct", l)
}

func aloneKey(rate int64, d direction) string { return fmt.Sprint(rate, d.name) }

// aloneMedian is the median of what a link of a rate gives alone, which has been measured.
func (e *evaluation) aloneMedian(rate int64, d direction) float64 {
	return measure.Median(e.speeds.alone[aloneKey(rate, d)])
}

// sumAlone is what links of these rates give alone, added up. All links of one
// rate are the same link to the emulator, so each rate is measured once.
func (e *evaluation) sumAlone(rates []int64, d direction) (sum float64) {
	for _, r := range rates {
		sum += e.aloneMedian(r, d)
	}
	return sum
}

// combine measures one TCP flow over a set of links through the tunnel, over
// each transport in both directions, unless it is known.
func (e *evaluation) combine(ctx context.Context, rates []int64) error {
	if _, done := e.speeds.combined[caseName(rates, e.transports[0], e.directions[0])]; done {
		return nil
	}
	if e.speeds.combined == nil {
		e.speeds.combined = map[string][]float64{}
	}
	for _, r := range rates {
		if err := e.direct(ctx, r); err != nil {
			return fmt.Errorf("direct: %w", err)
		}
	}
	l, err := lab.New(lab.Config{Links: linksOf(rates)})
	if err != nil {
		return err
	}
	defer l.Close()
	server, err := measure.StartIperf(l.Server, lab.Server.V4)
	if err != nil {
		return err
	}
	defer server.Close()
	for _, transport := range e.transports {
		if err := e.combineOver(ctx, l, server, rates, transport); err != nil {
			return fmt.Errorf("%s: %w", transport, err)
		}
	}
	return e.exactness(linksName(rates), l)
}

func (e *evaluation) combineOver(ctx context.Context, l *lab.Lab, server *measure.Iperf, rates []int64, transport string) error {
	t, err := e.tunnel(ctx, l, transport)
	if err != nil {
		return err
	}
	defer t.Close()
	for _, d := range e.directions {
		name, best := caseName(rates, transport, d), e.aloneMedian(slices.Max(rates), d)
		samples, err := e.oneFlow(ctx, e.inner(name), server, nil, l, d)
		if err != nil {
			return err
		}
		e.speeds.combined[name] = samples
		sum, single := e.sumAlone(rates, d), best/1e6
		e.put(Row{Part: partSpeed, Case: e.inner(name), Metric: metricRate, Unit: "Mbit/s", Samples: scale(samples, 1e-6), Links: rates, Single: &single})
		part := 100 * best / sum
		e.put(Row{Part: partSpeed, Case: e.inner(name), Metric: metricSum, Unit: "%", Samples: scale(samples, 100/sum), Links: rates, Single: &part, Target: sumTarget(rates, transport)})
	}
	return nil
}

// sumTarget is what one TCP flow should get of the sum of its links. The tcp
// transport, whose headers take more and whose control is the kernel's, is to
// be no worse than the paper, which used it.
func sumTarget(rates []int64, transport string) *Target {
	switch {
	case transport == "tcp":
		return AtLeast(88)
	case len(rates) == 2:
		return AtLeast(94)
	default:
		return AtLeast(93)
	}
}

// oneFlow measures one TCP flow in one direction, run after run, bit/s: the
// client's, or the local portal's own where how changes the test.
func (e *evaluation) oneFlow(ctx context.Context, name string, server *measure.Iperf, how func(*measure.TCPTest), l *lab.Lab, d direction) (samples []float64, err error) {
	from := l.Client
	test := measure.TCPTest{For: e.For, Down: d.down, Congestion: e.Inner}
	if how != nil {
		how(&test)
		from = l.Local
	}
	for run := range e.Runs {
		got, err := server.TCP(ctx, from, test)
		if err != nil {
			return nil, err
		}
		samples = append(samples, got)
		e.say("%s, run %d of %d: %.2f Mbit/s", name, run+1, e.Runs, got/1e6)
	}
	return samples, nil
}

// speedsLast estimates how long it takes to measure sets of links, each once.
func (e *evaluation) speedsLast(sets [][]int64) (d time.Duration) {
	each := time.Duration(len(e.directions)*e.Runs) * (e.For + testTakes)
	seen := map[string]bool{}
	once := func(name string, takes time.Duration) {
		if !seen[name] {
			seen[name] = true
			d += takes
		}
	}
	for _, rates := range sets {
		once(linksName(rates), labTakes+time.Duration(len(e.transports))*(tunnelTakes+each))
		for _, r := range rates {
			once(fmt.Sprint("alone ", r), labTakes+each)
		}
	}
	return d
}

// evaluateEqual is the paper's figure 4.6 (C.6 up): two equal links between one
// of the same and one of double the rate without a tunnel.
func evaluateEqual(ctx context.Context, e *evaluation) error {
	paper := map[int64]string{1 * mb: "92.5", 2 * mb: "88.5"}
	for _, rate := range []int64{1 * mb, 2 * mb} {
		if err := e.direct(ctx, 2*rate); err != nil {
			return fmt.Errorf("direct: %w", err)
		}
		for _, transport := range e.transports {
			for _, d := range e.directions {
				name, double := caseName([]int64{rate, rate}, transport, d), e.aloneMedian(2*rate, d)
				single := 100 * e.aloneMedian(rate, d) / double
				e.put(Row{Case: e.inner(name), Metric: metricDouble, Unit: "%", Target: AtLeast(88), Paper: paper[rate], Single: &single,
					Samples: scale(e.speeds.combined[name], 100/double)})
			}
		}
	}
	return nil
}

// evaluateUnequal is the paper's figure 4.7: x+y should lie halfway between
// x+x and y+y.
func evaluateUnequal(_ context.Context, e *evaluation) error {
	paper := map[int64]string{1 * mb: "74.4", 2 * mb: "75.1"}
	for _, x := range []int64{1 * mb, 2 * mb} {
		y := 2 * x
		for _, transport := range e.transports {
			for _, d := range e.directions {
				name, best := caseName([]int64{x, y}, transport, d), measure.Median(e.speeds.combined[caseName([]int64{y, y}, transport, d)])
				single := 100 * e.aloneMedian(y, d) / best
				e.put(Row{Case: e.inner(name), Metric: metricFaster, Unit: "%", Paper: paper[x], Single: &single,
					Samples: scale(e.speeds.combined[name], 100/best)})
			}
		}
	}
	return nil
}

// evaluateBothWays is the paper's figure 4.4: what gains in one direction gains
// in the other.
func evaluateBothWays(_ context.Context, e *evaluation) error {
	if len(e.directions) < 2 {
		return nil
	}
	down, up := directions[0], directions[1]
	for _, rates := range [][]int64{{1 * mb, 1 * mb}, {1 * mb, 2 * mb}, {2 * mb, 2 * mb}} {
		for _, transport := range e.transports {
			whole := measure.Median(e.speeds.combined[caseName(rates, transport, down)])
			single := 100 * e.aloneMedian(slices.Max(rates), up) / e.aloneMedian(slices.Max(rates), down)
			e.put(Row{Case: e.inner(linksName(rates) + " " + transport), Metric: "throughput up, of down", Unit: "%", Paper: "slightly over 100", Single: &single,
				Samples: scale(e.speeds.combined[caseName(rates, transport, up)], 100/whole)})
		}
	}
	return nil
}

// evaluateScaling is the paper's figure 4.10: whether throughput grows with the
// number of links in a straight line.
func evaluateScaling(_ context.Context, e *evaluation) error {
	paper := map[int64]string{1 * mb: "a line", 2 * mb: "a line", 4 * mb: "bends"}
	for _, rate := range []int64{1 * mb, 2 * mb, 4 * mb} {
		most := slices.Repeat([]int64{rate}, 8)
		for _, transport := range e.transports {
			for _, d := range e.directions {
				one := measure.Median(e.speeds.combined[caseName(most[:1], transport, d)])
				name := caseName(most, transport, d)
				e.put(Row{Case: e.inner(name), Metric: "throughput, of eight times that of one link", Unit: "%", Paper: paper[rate],
					Samples: scale(e.speeds.combined[name], 100/(8*one))})
			}
		}
	}
	return nil
}

// scale multiplies every sample.
func scale(samples []float64, by float64) []float64 {
	scaled := make([]float64, len(samples))
	for i, v := range samples {
		scaled[i] = v * by
	}
	return scaled
}
