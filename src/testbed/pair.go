//go:build linux

package testbed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"netcombiner/src/testbed/emulator"
	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

// pair is a lab with links as real ones are: unequal, with faults. It says
// what each gives without a tunnel, whole and as it is.
type pair struct{ *lab.Lab }

// flowExtra is how much longer than its flow a measurement takes.
const flowExtra = 1300 * time.Millisecond

// grown is how many spans flows are measured for: in the first they search for
// what there is. CUBIC leaves slow start long before it has found the sum (HyStart),
// and from there grows by a twentieth each round trip; in the second it is there.
const grown = 2

// raise raises a pair of links, at the evaluation's scale. They have their faults from the start.
func (e *evaluation) raise(links ...lab.LinkConfig) (*pair, error) {
	e.scale(links)
	l, err := lab.New(lab.Config{Links: links, Seed: 1})
	if err != nil {
		return nil, err
	}
	for _, m := range l.Machines() {
		// The ends are not to be what limits a flow over a long way: 100 Mbit/s
		// for 640 ms are 8 MB, twice what the kernel's default lets a sender keep.
		err = errors.Join(err, m.Sysctl("net.ipv4.tcp_wmem", "4096 16384 33554432"), m.Sysctl("net.ipv4.tcp_rmem", "4096 131072 33554432"))
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	return &pair{l}, nil
}

// scale slows links down to what the host is to bear.
func (e *evaluation) scale(links []lab.LinkConfig) {
	for i := range links {
		for _, rate := range []*int64{&links[i].Down.Rate, &links[i].Up.Rate} {
			*rate = int64(float64(*rate) * cmp.Or(e.Scale, 1))
		}
	}
}

// flows measures TCP flows from a machine to the server, in each of the test's
// spans, bit/s of payload.
func (p *pair) flows(ctx context.Context, from *netns.Namespace, t measure.TCPTest) ([]float64, error) {
	return measure.Flows(ctx, from, p.Server, lab.Server.V4, t)
}

// whole is a link without what befalls its packets by chance: its capacity.
func whole(s link.Shape) link.Shape {
	s.Jitter, s.Loss, s.Burst = 0, 0, link.Burst{}
	return s
}

// asItIs is a link with all its faults.
func asItIs(s link.Shape) link.Shape { return s }

// ordered is a link whose jitter lets no packet overtake another, reordered one whose does.
func ordered(s link.Shape) link.Shape   { s.Reorder = false; return s }
func reordered(s link.Shape) link.Shape { s.Reorder = true; return s }

// way is the emulator's name of a direction.
func (d direction) way() emulator.Way {
	if d.down {
		return emulator.Down
	}
	return emulator.Up
}

// shape is how a link is configured in a direction.
func (d direction) shape(c lab.LinkConfig) link.Shape {
	if d.down {
		return c.Down
	}
	return c.Up
}

// reshape makes every link what f makes of its configuration.
func (p *pair) reshape(f func(link.Shape) link.Shape) (err error) {
	for _, l := range p.Links {
		for _, d := range directions {
			err = errors.Join(err, l.SetShape(d.way(), f(d.shape(l.Config))))
		}
	}
	return err
}

// alone measures one flow with a congestion control over each link without a
// tunnel and returns the medians, bit/s, in the order of the links. Those which
// chosen leaves out by their shape, if it is not nil, are not measured and 0.
func (e *evaluation) alone(ctx context.Context, p *pair, name, how, congestion string, d direction, chosen func(link.Shape) bool) ([]float64, error) {
	rates := make([]float64, len(p.Links))
	for i, l := range p.Links {
		if chosen != nil && !chosen(d.shape(l.Config)) {
			continue
		}
		var samples []float64
		for range e.Runs {
			got, err := p.flows(ctx, p.Local, measure.TCPTest{For: e.For, Down: d.down, Device: l.Config.Name, Congestion: congestion})
			if err != nil {
				return nil, fmt.Errorf("%s %s: %w", l.Config.Name, how, err)
			}
			samples = append(samples, got[0]/1e6)
		}
		e.add(name, l.Config.Name+" alone, "+how, "Mbit/s", nil, samples)
		rates[i] = 1e6 * measure.Median(samples)
	}
	return rates, nil
}

// capacity makes the links whole, measures what each gives a CUBIC flow alone in the
// evaluation's directions and returns the sums, bit/s. All figures that
// are told as a part of the sum are told as a part of this.
func (e *evaluation) capacity(ctx context.Context, p *pair, name string) (map[direction][]float64, error) {
	if err := p.reshape(whole); err != nil {
		return nil, err
	}
	rates := map[direction][]float64{}
	for _, d := range e.directions {
		got, err := e.alone(ctx, p, name+" "+d.name, "without loss or jitter", measure.Cubic, d, nil)
		if err != nil {
			return nil, err
		}
		rates[d] = got
	}
	return rates, nil
}

// sum adds rates.
func sum(rates []float64) (total float64) {
	for _, r := range rates {
		total += r
	}
	return total
}

// percent are samples as parts of whole.
func percent(samples []float64, whole float64) (parts []float64) {
	for _, s := range samples {
		parts = append(parts, 100*s/whole)
	}
	return parts
}
