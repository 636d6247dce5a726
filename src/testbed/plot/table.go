package main

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
)

// table compares, a line each, what was measured both ways over both transports.
type table struct{ Lines []*line }

// line is one thing that was measured.
type line struct {
	Figure, What, Metric string
	Paper                [2]string // down, up; alike in most
	Single               [2]string
	Cells                [4]cell // udp down, udp up, tcp down, tcp up

	targets [2]string // over udp, tcp
}

// cell is a median, empty if there is none.
type cell struct {
	Median, Range string
	Missed        bool
}

// paperTable is all that the paper measured.
func (r *results) paperTable() table {
	return r.table(func(row row) bool { return row.Paper != "" || row.Metric == metricSum })
}

// otherTable is what was measured beyond the paper and has a target.
func (r *results) otherTable() table {
	return r.table(func(row row) bool { return row.Paper == "" && row.Metric != metricSum && row.Target != nil })
}

// table makes lines of rows, those of one thing in one line.
func (r *results) table(which func(row) bool) (t table) {
	type key struct{ part, what, metric string }
	have := map[key]*line{}
	for _, row := range r.Rows {
		if !which(row) {
			continue
		}
		what, transport, direction := split(row.Case)
		k := key{row.Part, what, row.Metric}
		l := have[k]
		if l == nil {
			metric := row.Metric
			if row.Unit != "" {
				metric += ", " + row.Unit
			}
			l = &line{Figure: r.figure(row), What: what, Metric: metric}
			have[k] = l
			t.Lines = append(t.Lines, l)
		}
		d := 0
		if direction == "up" {
			d = 1
		}
		at := d
		if transport == "tcp" {
			at += 2
		}
		l.Paper[d] = row.Paper
		if row.Single != nil {
			l.Single[d] = number(*row.Single)
		}
		l.targets[at/2] = row.target()
		l.Cells[at] = cell{number(row.Median), number(row.Q1) + " … " + number(row.Q3), !row.Met}
	}
	// In the paper's order.
	slices.SortStableFunc(t.Lines, func(a, b *line) int { return figureOrder(a.Figure) - figureOrder(b.Figure) })
	return t
}

// figure is the paper's for a row, if it has one. A set of links is in several
// of them: this is the first.
func (r *results) figure(row row) string {
	for _, p := range r.Parts {
		if p.Name == row.Part && len(p.Figures) > 0 {
			return p.Figures[0]
		}
	}
	n := len(row.Links)
	switch {
	case n == 0:
		return ""
	case n == 2 && row.Links[0] != row.Links[1]:
		return "4.7"
	case n == 2 && row.Links[0] < 32e6:
		return "4.6"
	case n == 2:
		return "4.7"
	case n > 1 && n <= 4 && row.Links[0] == 16e6:
		return "4.8"
	default:
		return "4.10"
	}
}

// figureOrder is where a figure is in the paper.
func figureOrder(figure string) int {
	i := slices.Index([]string{"4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.7", "4.8", "4.9", "4.2.4", "4.10"}, figure)
	if i < 0 {
		return 100
	}
	return i
}

// pair is a value of down and one of up, as one where they are alike.
func pair(v [2]string) string {
	switch {
	case v[0] == v[1] || v[1] == "":
		return orDash(v[0])
	case v[0] == "":
		return v[1]
	default:
		return v[0] + ", " + v[1]
	}
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// Target is the line's, or its two.
func (l *line) Target() string {
	udp, tcp := l.targets[0], l.targets[1]
	if udp != "" && tcp != "" && udp != tcp {
		return "udp " + udp + "; tcp " + tcp
	}
	return cmp.Or(udp, tcp)
}

// PaperText and SingleText are the line's values in words.
func (l *line) PaperText() string  { return pair(l.Paper) }
func (l *line) SingleText() string { return pair(l.Single) }

// markdown is the table for a README: medians, down and up.
func (t table) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, "| figure | | the paper | single link | over `udp` | over `tcp` | target |\n|---|---|---|---|---|---|---|\n")
	for _, l := range t.Lines {
		over := func(first int) string {
			var v [2]string
			for i, c := range l.Cells[first : first+2] {
				v[i] = c.Median
				if c.Missed {
					v[i] += " (missed)"
				}
			}
			return pair(v)
		}
		fmt.Fprintf(&b, "| %s | %s: %s | %s | %s | %s | %s | %s |\n",
			l.Figure, l.What, l.Metric, l.PaperText(), l.SingleText(), over(0), over(2), l.Target())
	}
	return b.Bytes()
}
