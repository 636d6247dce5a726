package main

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// figure is a plot.
type figure struct {
	File  string // name of its SVG
	Title string
	Text  string // what it shows
	svg   []byte
}

// ways are the tunnel's transports and directions as they are drawn.
var ways = []struct {
	transport, direction string
	color                color.RGBA
}{{"udp", "down", blue}, {"udp", "up", sky}, {"tcp", "down", orange}, {"tcp", "up", sand}}

const mb int64 = 8e6 // bit/s

// figures draws all figures for which there are results.
func (r *results) figures() (all []figure, err error) {
	for _, some := range []func() ([]figure, error){r.bothWays, r.equal, r.unequal, r.four, r.variation, r.regain, r.scaling, r.profiles} {
		drawn, err := some()
		if err != nil {
			return nil, err
		}
		all = append(all, drawn...)
	}
	return all, nil
}

// set is the bars of one colour.
type set struct {
	name   string
	color  color.Color
	values []*spread // a group each; nil: not measured
}

// barPlot draws sets of bars side by side in groups. Sets that were not
// measured are left out, and where a whole group was not there is no plot.
func barPlot(f figure, y string, groups []string, sets []set) ([]figure, error) {
	sets = slices.DeleteFunc(sets, func(s set) bool {
		return !slices.ContainsFunc(s.values, func(v *spread) bool { return v != nil })
	})
	for i := range groups {
		if !slices.ContainsFunc(sets, func(s set) bool { return s.values[i] != nil }) {
			return nil, nil
		}
	}
	p := newPlot(f.Title, "", y)
	for i, s := range sets {
		b := &bars{values: s.values, index: i, of: len(sets), color: s.color}
		p.Add(b)
		p.Legend.Add(s.name, b)
	}
	p.NominalX(groups...)
	if len(groups) > 6 { // too many to stand side by side
		p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = math.Pi/4, draw.XRight, draw.YCenter
	}
	return finish(f, p, len(sets))
}

// finish draws a figure's plot, with a legend of so many lines.
func finish(f figure, p *plot.Plot, legend int) (_ []figure, err error) {
	height := 8.5 * vg.Centimeter
	if p.X.Tick.Label.Rotation != 0 {
		height += 2.5 * vg.Centimeter
	}
	if f.svg, err = svg(p, legend, 14*vg.Centimeter, height); err != nil {
		return nil, fmt.Errorf("%s: %w", f.File, err)
	}
	return []figure{f}, nil
}

// find is a measured rate, or nil.
func (r *results) find(links []int64, transport, direction string) *spread {
	row, ok := r.rate(links, transport, direction)
	if !ok {
		return nil
	}
	return row.spread()
}

// tunnelled are, for each way of the tunnel, the rates over sets of links.
func (r *results) tunnelled(links ...[]int64) (sets []set) {
	for _, way := range ways {
		s := set{name: way.transport + " " + way.direction, color: way.color}
		for _, l := range links {
			s.values = append(s.values, r.find(l, way.transport, way.direction))
		}
		sets = append(sets, s)
	}
	return sets
}

// bothWays is figure 4.4.
func (r *results) bothWays() ([]figure, error) {
	return barPlot(figure{
		File: "figure-4.4.svg", Title: "4.4: down and up",
		Text: "One TCP flow through netcombiner over two links, to the home and from it. Bars are medians, whiskers the quartiles: here and below.",
	}, "Mbit/s", []string{"1+1 MB/s", "1+2 MB/s", "2+2 MB/s"}, r.tunnelled([]int64{mb, mb}, []int64{mb, 2 * mb}, []int64{2 * mb, 2 * mb}))
}

// equal is figures 4.6 and C.6.
func (r *results) equal() (all []figure, err error) {
	for i, x := range []int64{1, 2} {
		var sets []set
		for _, way := range []struct {
			name  string
			color color.Color
		}{{"down", blue}, {"up", sky}} {
			two := []int64{x * mb, x * mb}
			sets = append(sets, set{way.name, way.color, []*spread{
				r.find(two[:1], "direct", way.name), r.find(two, "udp", way.name), r.find(two, "tcp", way.name), r.find([]int64{2 * x * mb}, "direct", way.name),
			}})
		}
		some, err := barPlot(figure{
			File:  fmt.Sprintf("figure-4.6%c.svg", 'a'+i),
			Title: fmt.Sprintf("4.6, C.6: two links of %d MB/s, between one of %d and one of %d", x, x, 2*x),
			Text:  "Left and right: one link without netcombiner. Between them: netcombiner over two of the slower. The best possible is the right one.",
		}, "Mbit/s", []string{fmt.Sprintf("%d direct", x), fmt.Sprintf("%d+%d udp", x, x), fmt.Sprintf("%d+%d tcp", x, x), fmt.Sprintf("%d direct", 2*x)}, sets)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// unequal is figure 4.7.
func (r *results) unequal() (all []figure, err error) {
	for i, x := range []int64{1, 2} {
		y := 2 * x
		some, err := barPlot(figure{
			File:  fmt.Sprintf("figure-4.7%c.svg", 'a'+i),
			Title: fmt.Sprintf("4.7: %d+%d MB/s, between %d+%d and %d+%d", x, y, x, x, y, y),
			Text:  "One TCP flow through netcombiner. The unequal pair should lie halfway between the equal ones.",
		}, "Mbit/s", []string{fmt.Sprintf("%d+%d MB/s", x, x), fmt.Sprintf("%d+%d MB/s", x, y), fmt.Sprintf("%d+%d MB/s", y, y)},
			r.tunnelled([]int64{x * mb, x * mb}, []int64{x * mb, y * mb}, []int64{y * mb, y * mb}))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// four is figure 4.8.
func (r *results) four() ([]figure, error) {
	var links [][]int64
	for n := 2; n <= 4; n++ {
		links = append(links, slices.Repeat([]int64{2 * mb}, n))
	}
	return barPlot(figure{
		File: "figure-4.8.svg", Title: "4.8: two to four links of 2 MB/s",
		Text: "One TCP flow through netcombiner.",
	}, "Mbit/s", []string{"2 links", "3 links", "4 links"}, r.tunnelled(links...))
}

// scaling is figure 4.10: one plot for each transport and direction.
func (r *results) scaling() (all []figure, err error) {
	for _, way := range ways {
		p := newPlot(fmt.Sprintf("4.10: one to eight links, %s %s", way.transport, way.direction), "links", "Mbit/s")
		p.Legend.Left = true
		p.X.Tick.Marker = plot.ConstantTicks(wholes(1, 8))
		measured := 0
		for i, rate := range []int64{4 * mb, 2 * mb, 1 * mb} {
			s := &points{color: []color.Color{blue, orange, green}[i]}
			for n := 1; n <= 8; n++ {
				if v := r.find(slices.Repeat([]int64{rate}, n), way.transport, way.direction); v != nil {
					s.x, s.values = append(s.x, float64(n)), append(s.values, v)
				}
			}
			if len(s.x) < 2 {
				continue
			}
			measured++
			name := fmt.Sprintf("links of %d MB/s", rate/mb)
			if one := r.find([]int64{rate}, "direct", way.direction); one != nil {
				last := s.x[len(s.x)-1]
				sum := plotter.XYs{{X: s.x[0], Y: s.x[0] * one.median}, {X: last, Y: last * one.median}}
				if err := addLine(p, "", sum, grey, true); err != nil {
					return nil, err
				}
			}
			p.Add(s)
			p.Legend.Add(name, s)
		}
		if measured == 0 {
			continue
		}
		some, err := finish(figure{
			File: fmt.Sprintf("figure-4.10-%s-%s.svg", way.transport, way.direction), Title: p.Title.Text,
			Text: "One TCP flow through netcombiner. Dashed: what the links give alone, added up.",
		}, p, 1)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// profiles draws one TCP flow over the public link profiles, a plot for each direction.
func (r *results) profiles() (all []figure, err error) {
	for _, direction := range []string{"down", "up"} {
		single := set{name: "best single link", color: grey}
		tunnel := []set{{name: "netcombiner, from the start", color: blue}, {name: "once the flow has grown", color: orange}}
		var names []string
		for _, row := range r.Rows {
			what, transport, d := split(row.Case)
			which := slices.Index([]string{metricProfile, metricGrown}, row.Metric)
			if row.Part != "profiles" || which < 0 || transport != "udp" || !plotted(row.Case) || d != direction {
				continue
			}
			at := slices.Index(names, what)
			if at < 0 {
				at, names = len(names), append(names, what)
				single.values = append(single.values, nil)
				for i := range tunnel {
					tunnel[i].values = append(tunnel[i].values, nil)
				}
			}
			tunnel[which].values[at] = row.spread()
			if row.Single != nil {
				single.values[at] = &spread{*row.Single, *row.Single, *row.Single}
			}
		}
		if len(names) == 0 {
			continue
		}
		some, err := barPlot(figure{
			File: "figure-profiles-" + direction + ".svg", Title: "Public link profiles, " + direction,
			Text: "One TCP flow, part of what the two links carry without their faults. Grey: the better link alone as it is, with them.",
		}, "% of the sum", names, append([]set{single}, tunnel...))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// everyFive are ticks at every fifth second.
var everyFive = plot.TickerFunc(func(from, to float64) (ticks []plot.Tick) {
	for n := 5 * int(math.Ceil(from/5)); float64(n) <= to; n += 5 {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: strconv.Itoa(n)})
	}
	return ticks
})

// wholes are ticks at whole numbers.
func wholes(from, to int) (ticks []plot.Tick) {
	for n := from; n <= to; n++ {
		ticks = append(ticks, plot.Tick{Value: float64(n), Label: strconv.Itoa(n)})
	}
	return ticks
}

// smoothed is the paper's moving average, in values of a series.
const smoothed = 5

// addSeries draws the median of a series' runs, smoothed, with its quartiles behind it.
func addSeries(p *plot.Plot, name string, s series, c color.RGBA) error {
	var runs [][]float64
	n := 0
	for _, run := range s.Runs {
		runs = append(runs, smooth(run, smoothed))
		n = max(n, len(run))
	}
	low, middle, high := make(plotter.XYs, n), make(plotter.XYs, n), make(plotter.XYs, n)
	for i := range n {
		var at []float64
		for _, run := range runs {
			if i < len(run) {
				at = append(at, run[i])
			}
		}
		x := (float64(i) + 0.5) * s.Step
		low[i] = plotter.XY{X: x, Y: quantile(at, 0.25)}
		middle[i] = plotter.XY{X: x, Y: quantile(at, 0.5)}
		high[i] = plotter.XY{X: x, Y: quantile(at, 0.75)}
	}
	if n < 2 {
		return nil
	}
	if len(runs) > 1 {
		if err := addBand(p, low, high, c); err != nil {
			return err
		}
	}
	return addLine(p, name, middle, c, false)
}

// seriesOf are the series of a part over one way.
func (r *results) seriesOf(part, transport, direction string) (found []series) {
	for _, s := range r.Series {
		if _, t, d := split(s.Case); s.Part == part && plotted(s.Case) && t == transport && d == direction {
			found = append(found, s)
		}
	}
	return found
}

// variation is figure 4.9: one plot for each transport and direction.
func (r *results) variation() (all []figure, err error) {
	for _, way := range ways {
		found := r.seriesOf("variation", way.transport, way.direction)
		if len(found) == 0 {
			continue
		}
		p := newPlot(fmt.Sprintf("4.9: a link's capacity changes, %s %s", way.transport, way.direction), "seconds", "Mbit/s")
		p.X.Tick.Marker = everyFive
		for i, s := range found {
			what, _, _ := split(s.Case)
			if err := addSeries(p, strings.TrimSuffix(what, " Mbit/s"), s, []color.RGBA{blue, orange, green}[i%3]); err != nil {
				return nil, err
			}
			if err := addLine(p, "", steps(s), grey, true); err != nil {
				return nil, err
			}
		}
		some, err := finish(figure{
			File: fmt.Sprintf("figure-4.9-%s-%s.svg", way.transport, way.direction), Title: p.Title.Text,
			Text: "One TCP flow through netcombiner over two links, of which one changes. A moving average over 0.5 s, as the paper's; the median of the runs, its quartiles behind it. Dashed: what the links give alone, added up.",
		}, p, 2)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// steps is what the links give alone in the course of a series.
func steps(s series) (xys plotter.XYs) {
	for i, e := range s.Events {
		end := e.At
		if i+1 < len(s.Events) {
			end = s.Events[i+1].At
		} else if len(s.Runs) > 0 {
			end = float64(len(s.Runs[0])) * s.Step
		}
		xys = append(xys, plotter.XY{X: e.At, Y: e.Sum}, plotter.XY{X: end, Y: e.Sum})
	}
	return xys
}

// regain is the paper's 4.2.4, which it has no figure of: one plot for each direction.
func (r *results) regain() (all []figure, err error) {
	for _, direction := range []string{"down", "up"} {
		p := newPlot("4.2.4: one of two links lost and regained, "+direction, "seconds", "Mbit/s")
		var events []float64
		for i, transport := range []string{"udp", "tcp"} {
			for _, s := range r.seriesOf("regain", transport, direction) {
				if err := addSeries(p, transport, s, []color.RGBA{blue, orange}[i]); err != nil {
					return nil, err
				}
				events = nil
				for _, e := range s.Events {
					events = append(events, e.At)
				}
			}
		}
		if len(events) == 0 {
			continue
		}
		p.X.Tick.Marker = everyFive
		for _, at := range events {
			if err := addLine(p, "", plotter.XYs{{X: at, Y: 0}, {X: at, Y: p.Y.Max}}, grey, true); err != nil {
				return nil, err
			}
		}
		some, err := finish(figure{
			File: fmt.Sprintf("figure-4.2.4-%s.svg", direction), Title: p.Title.Text,
			Text: "One TCP flow through netcombiner over 1+1 MB/s; one link becomes a black hole at the first dashed line and returns at the second. A moving average over 0.5 s; the median of the runs, its quartiles behind it.",
		}, p, 2)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}
