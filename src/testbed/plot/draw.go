package main

import (
	"bytes"
	"image/color"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The colours can be told apart by eyes that see no red or no green.
var (
	blue   = color.RGBA{0x00, 0x5a, 0x9c, 0xff}
	sky    = color.RGBA{0x7d, 0xbd, 0xe8, 0xff}
	orange = color.RGBA{0xc7, 0x53, 0x00, 0xff}
	sand   = color.RGBA{0xf2, 0xb2, 0x70, 0xff}
	green  = color.RGBA{0x00, 0x80, 0x60, 0xff}
	grey   = color.RGBA{0x80, 0x80, 0x80, 0xff}
	pale   = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
	black  = color.RGBA{0x20, 0x20, 0x20, 0xff}
)

// newPlot is an empty plot with a grid, from 0 up.
func newPlot(title, x, y string) *plot.Plot {
	plot.DefaultFont = font.Font{Typeface: "Liberation", Variant: "Sans"}
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = 6
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Legend.Top = true
	p.Legend.Padding = 2
	p.Legend.ThumbnailWidth = 16
	p.Legend.TextStyle.Font.Size = 10
	p.Y.Tick.Marker = plot.TickerFunc(rounds)
	p.Y.Min = 0
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color = pale
	p.Add(grid)
	return p
}

// rounds are four to eight ticks at round numbers from 0 up.
func rounds(_, to float64) (ticks []plot.Tick) {
	if to <= 0 {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10(to/4)))
	for _, by := range []float64{5, 2} {
		if to/(by*step) >= 4 {
			step *= by
			break
		}
	}
	for i := 0; float64(i)*step <= to; i++ {
		ticks = append(ticks, plot.Tick{Value: float64(i) * step, Label: number(math.Round(float64(i)*step*1e6) / 1e6)})
	}
	return ticks
}

// svg draws a plot, with room above the data for a legend of so many lines.
func svg(p *plot.Plot, legend int, width, height vg.Length) ([]byte, error) {
	p.Y.Min = 0
	p.Y.Max *= 1 + 0.1*float64(legend)
	c := vgsvg.New(width, height)
	const margin = 8
	p.Draw(draw.Crop(draw.New(c), margin, -margin, margin, -margin))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return nil, err
	}
	// Any sans-serif where there is no Liberation Sans, which is as wide as Arial.
	text := strings.ReplaceAll(b.String(), "font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif")
	return []byte(text), nil
}

// spread is a median with its quartiles.
type spread struct{ median, q1, q3 float64 }

func (r row) spread() *spread { return &spread{r.Median, r.Q1, r.Q3} }

// bars are bars of one colour with the quartiles as whiskers, one in each group.
type bars struct {
	values []*spread // a group each; nil: none
	index  int       // of these in a group
	of     int       // so many in a group
	color  color.Color
}

// edges are where a bar stands in its group, in the plot's units.
func (b *bars) edges(group int) (left, right float64) {
	const whole = 0.8 // of the room between two groups
	left = float64(group) - whole/2 + whole*float64(b.index)/float64(b.of)
	return left, left + whole/float64(b.of)*0.94
}

// Plot implements plot.Plotter.
func (b *bars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	whisker := draw.LineStyle{Color: black, Width: 0.8}
	for i, v := range b.values {
		if v == nil {
			continue
		}
		left, right := b.edges(i)
		l, r, top := x(left), x(right), y(v.median)
		c.FillPolygon(b.color, []vg.Point{{X: l, Y: y(0)}, {X: l, Y: top}, {X: r, Y: top}, {X: r, Y: y(0)}})
		middle, cap := (l+r)/2, (r-l)/5
		low, high := y(v.q1), y(v.q3)
		c.StrokeLines(whisker,
			[]vg.Point{{X: middle, Y: low}, {X: middle, Y: high}},
			[]vg.Point{{X: middle - cap, Y: low}, {X: middle + cap, Y: low}},
			[]vg.Point{{X: middle - cap, Y: high}, {X: middle + cap, Y: high}})
	}
}

// DataRange implements plot.DataRanger.
func (b *bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, v := range b.values {
		if v != nil {
			ymax = max(ymax, v.q3, v.median)
		}
	}
	return -0.5, float64(len(b.values)) - 0.5, 0, ymax
}

// Thumbnail implements plot.Thumbnailer.
func (b *bars) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.color, []vg.Point{{X: c.Min.X, Y: c.Min.Y}, {X: c.Min.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Max.Y}, {X: c.Max.X, Y: c.Min.Y}})
}

// addLine draws points joined, with a name in the legend if it is given one.
func addLine(p *plot.Plot, name string, xys plotter.XYs, c color.Color, dashed bool) error {
	l, err := plotter.NewLine(xys)
	if err != nil {
		return err
	}
	l.Color, l.Width = c, 1.4
	if dashed {
		l.Width, l.Dashes = 0.9, []vg.Length{4, 3}
	}
	p.Add(l)
	if name != "" {
		p.Legend.Add(name, l)
	}
	return nil
}

// addBand fills between two lines.
func addBand(p *plot.Plot, low, high plotter.XYs, c color.RGBA) error {
	back := slices.Clone(high)
	slices.Reverse(back)
	band, err := plotter.NewPolygon(slices.Concat(low, back))
	if err != nil {
		return err
	}
	c.A = 0x40
	c.R, c.G, c.B = c.R/4, c.G/4, c.B/4 // premultiplied
	band.Color, band.LineStyle.Width = c, 0
	p.Add(band)
	return nil
}

// points are medians over x with quartiles as whiskers, joined by a line.
type points struct {
	x      []float64
	values []*spread
	color  color.Color
}

// Plot implements plot.Plotter.
func (s *points) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.LineStyle{Color: s.color, Width: 1.4}
	thin := draw.LineStyle{Color: s.color, Width: 0.8}
	var joined []vg.Point
	for i, v := range s.values {
		at := vg.Point{X: x(s.x[i]), Y: y(v.median)}
		joined = append(joined, at)
		c.DrawGlyph(draw.GlyphStyle{Color: s.color, Radius: 2.4, Shape: draw.CircleGlyph{}}, at)
		low, high := y(v.q1), y(v.q3)
		c.StrokeLines(thin, []vg.Point{{X: at.X, Y: low}, {X: at.X, Y: high}},
			[]vg.Point{{X: at.X - 3, Y: low}, {X: at.X + 3, Y: low}}, []vg.Point{{X: at.X - 3, Y: high}, {X: at.X + 3, Y: high}})
	}
	c.StrokeLines(style, joined)
}

// DataRange implements plot.DataRanger.
func (s *points) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, v := range s.values {
		ymax = max(ymax, v.q3)
	}
	return slices.Min(s.x), slices.Max(s.x), 0, ymax
}

// Thumbnail implements plot.Thumbnailer.
func (s *points) Thumbnail(c *draw.Canvas) {
	y := c.Center().Y
	c.StrokeLine2(draw.LineStyle{Color: s.color, Width: 1.4}, c.Min.X, y, c.Max.X, y)
}

// quantile of samples, interpolated.
func quantile(samples []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	at := q * float64(len(s)-1)
	low, high := int(math.Floor(at)), int(math.Ceil(at))
	return s[low] + (s[high]-s[low])*(at-float64(low))
}

// smooth is the moving average over so many values, an odd number, fewer at the ends.
func smooth(v []float64, over int) []float64 {
	out := make([]float64, len(v))
	for i := range v {
		part := v[max(0, i-over/2):min(len(v), i+over/2+1)]
		for _, x := range part {
			out[i] += x / float64(len(part))
		}
	}
	return out
}
