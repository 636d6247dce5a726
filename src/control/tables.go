package control

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// table is columns under their titles.
type table struct {
	columns []column
	rows    int
}

// column is one of a table.
type column struct {
	title string
	cell  func(row int) cell
	words bool // stand at the left; numbers at the right
}

// cell is a text and its colour.
type cell struct {
	text   string
	colour colour
}

// tables are what is to be told of paths, for one table would be too wide: how
// each is, how it went lately, what it has carried, between which addresses, and
// what it carried by months.
func tables(now *Status, recent *Recent, style Style) []table {
	if len(now.Paths) == 0 {
		return monthTables(now)
	}
	before := recent.before()
	path := func(do func(*Path) cell) func(int) cell {
		return func(row int) cell { return do(&now.Paths[row]) }
	}
	text := func(do func(*Path) string) func(int) cell {
		return path(func(p *Path) cell { return cell{text: do(p)} })
	}
	all := func(columns ...column) table { return table{columns, len(now.Paths)} }
	name := column{"path", text(func(p *Path) string { return pathName(p.Name) }), true}

	is := all(name,
		column{"state", path(state), true},
		column{"share", text(func(p *Path) string { return share(now, before, p) }), false},
		column{"rate", text(func(p *Path) string { return rate(p.RateBps) }), false},
		column{"rtt", text(func(p *Path) string { return rtt(p.RTTMs) }), false},
		column{"loss", path(loss), false},
	)
	if slices.ContainsFunc(now.Paths, func(p Path) bool { return p.Quota != nil }) {
		is.columns = append(is.columns, column{"quota", path(quotaShare), false})
	}
	result := []table{is}
	if before != nil {
		width := recent.width(now)
		result = append(result, all(name,
			column{"out", text(func(p *Path) string { return speed(now, before, p.Tx, earlier(before, p).Tx) }), false},
			column{"", text(func(p *Path) string { return recent.spark(p.Name, out, width, style) }), true},
			column{"in", text(func(p *Path) string { return speed(now, before, p.Rx, earlier(before, p).Rx) }), false},
			column{"", text(func(p *Path) string { return recent.spark(p.Name, in, width, style) }), true},
		))
	}
	carried := all(name,
		column{"sent", text(func(p *Path) string { return size(p.Tx.Bytes) }), false},
		column{"received", text(func(p *Path) string { return size(p.Rx.Bytes) }), false},
		column{"lost", text(func(p *Path) string { return fmt.Sprint(p.LostPackets) }), false},
		column{"rescued", text(func(p *Path) string { return fmt.Sprint(p.ReinjectedPackets) }), false},
		column{"flight", text(flight), false},
		column{"min rtt", text(func(p *Path) string { return rtt(p.RTTMinMs) }), false},
	)
	leads := all(name,
		column{"by", text(by), true},
		column{"metric", text(func(p *Path) string { return fmt.Sprint(p.Metric) }), false},
		column{"local", text(func(p *Path) string { return orDash(printable(p.Local)) }), true},
		column{"remote", text(func(p *Path) string { return orDash(printable(p.Remote)) }), true},
	)
	return append(append(result, carried, leads), monthTables(now)...)
}

// monthTables is what was carried in this month and the one before: by each path
// that carried anything then, and inside the tunnel.
func monthTables(now *Status) []table {
	if len(now.Totals) == 0 {
		return nil
	}
	months := now.Totals[:min(len(now.Totals), 2)]
	var names []string
	for _, m := range months {
		for _, p := range m.Paths {
			if !slices.Contains(names, p.Name) {
				names = append(names, p.Name)
			}
		}
	}
	slices.Sort(names)
	total := table{rows: len(names) + 1}
	total.columns = []column{{"month", func(row int) cell {
		if row == len(names) {
			return cell{text: "in the tunnel"}
		}
		return cell{text: pathName(names[row])}
	}, true}}
	for i := range months {
		m := &months[i]
		of := func(row int) Carried {
			if row == len(names) {
				return m.Tunnel
			}
			return m.of(names[row])
		}
		total.columns = append(total.columns,
			column{orDash(m.Month) + " sent", func(row int) cell { return cell{text: size(of(row).Tx.Bytes)} }, false},
			column{"received", func(row int) cell { return cell{text: size(of(row).Rx.Bytes)} }, false})
	}
	return []table{total}
}

// of is what a path carried in the month.
func (m *Month) of(name string) Carried {
	for i := range m.Paths {
		if m.Paths[i].Name == name {
			return Carried{m.Paths[i].Tx, m.Paths[i].Rx}
		}
	}
	return Carried{}
}

// nameWidth is how much of a path's name is shown: it may be three times as long.
const nameWidth = 11

func pathName(name string) string {
	name = printable(name)
	if runes := []rune(name); len(runes) > nameWidth { // ends differ more often than beginnings
		return string(runes[:nameWidth/2]) + "~" + string(runes[len(runes)-nameWidth/2:])
	}
	return orDash(name)
}

func state(p *Path) cell {
	switch p.State {
	case "up":
		return cell{p.State, green}
	case "standby":
		return cell{p.State, cyan}
	case "connecting":
		return cell{p.State, yellow}
	case "failed":
		return cell{p.State, red}
	}
	return cell{orDash(p.State), grey}
}

func loss(p *Path) cell {
	c := cell{text: fmt.Sprintf("%.1f %%", 100*p.Loss)}
	switch {
	case p.Loss >= 0.05:
		c.colour = red
	case p.Loss >= 0.01:
		c.colour = yellow
	}
	return c
}

func quotaShare(p *Path) cell {
	if p.Quota == nil || p.Quota.LimitBytes == 0 {
		return cell{text: "-"}
	}
	used := float64(p.Quota.UsedBytes) / float64(p.Quota.LimitBytes)
	c := cell{text: fmt.Sprintf("%.0f %%", min(100*used, 9999))}
	switch {
	case used >= 1:
		c.colour = red
	case used >= 0.8:
		c.colour = yellow
	}
	return c
}

// share is what part of all bytes p carried, both ways together: lately, or
// where nothing moved lately, or nobody looked, since the start.
func share(now, before *Status, p *Path) string {
	for _, since := range []*Status{before, nil} {
		var own, all uint64
		for i := range now.Paths {
			bytes := carriedSince(since, &now.Paths[i])
			all += bytes
			if &now.Paths[i] == p {
				own = bytes
			}
		}
		if all > 0 {
			return fmt.Sprintf("%.0f %%", 100*float64(own)/float64(all))
		}
	}
	return "-"
}

// carriedSince is 0 for a path whose counters began anew meanwhile.
func carriedSince(before *Status, p *Path) uint64 {
	now := p.Tx.Bytes + p.Rx.Bytes
	if before == nil {
		return now
	}
	old := earlier(before, p)
	return now - min(now, old.Tx.Bytes+old.Rx.Bytes)
}

// earlier is p as it was before; p itself if it is new.
func earlier(before *Status, p *Path) *Path {
	for i := range before.Paths {
		if before.Paths[i].Name == p.Name {
			return &before.Paths[i]
		}
	}
	return p
}

// flight is how many packets are on their way, of how many there may be.
func flight(p *Path) string {
	if !controlled(p) {
		return fmt.Sprintf("%d/-", p.InFlightPackets)
	}
	return fmt.Sprintf("%d/%d", p.InFlightPackets, p.WindowPackets)
}

// controlled says whether p has a congestion window of ours.
func controlled(p *Path) bool { return p.Congestion != "" && p.Congestion != "none" }

func by(p *Path) string {
	if !controlled(p) {
		return orDash(p.Transport)
	}
	return orDash(p.Transport) + "/" + p.Congestion
}

// write writes the table, without the empty ends of lines.
func (t *table) write(b *strings.Builder, style Style) {
	lines := make([]string, 1+t.rows) // the titles, and one for each row
	gaps := make([]string, 1+t.rows)  // blanks before the next cell
	for _, c := range t.columns {
		cells := []cell{{c.title, grey}}
		for row := range t.rows {
			cells = append(cells, c.cell(row))
		}
		width := 0
		for _, cell := range cells {
			width = max(width, utf8.RuneCountInString(cell.text))
		}
		for i, cell := range cells {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(cell.text))
			gaps[i] += "  "
			if !c.words {
				gaps[i], pad = gaps[i]+pad, ""
			}
			if cell.text != "" {
				lines[i] += gaps[i] + style.paint(cell.colour, cell.text)
				gaps[i] = ""
			}
			gaps[i] += pad
		}
	}
	for _, line := range lines {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}
