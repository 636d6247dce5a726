package control

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Text is a status for a person: a few lines about the tunnel, then tables of
// its paths, which fit a terminal of 80 columns. With a status of a moment
// before it also tells how fast each path goes; before may be nil.
func Text(now, before *Status) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	t := &now.Tunnel
	line("interface: %s (%s portal)", now.Interface, now.Role)
	line("  running: %s, netcombiner %s, mtu %d", duration(now.UptimeS), now.Version, now.MTU)
	line("  session: %s", session(&now.Session))
	line("  tunnel: %s sent, %s received%s", size(t.Tx.Bytes), size(t.Rx.Bytes), tunnelSpeed(now, before))
	line("  queue: %s, %s, %s, %d dropped, %d marked", count(t.Queue.Packets, "packet"), size(uint64(max(t.Queue.Bytes, 0))),
		ms(t.Queue.DelayMs), t.Queue.Dropped, t.Queue.Marked)
	line("  resequencer: %d held, at most %s, %d released late", t.Resequencer.Held, ms(t.Resequencer.HoldMs), t.Resequencer.ReleasedLate)
	r := &now.Rejected
	line("  rejected: %d mac, %d replay, %d malformed, %d source", r.Mac, r.Replay, r.Malformed, r.Source)
	for i := range now.Paths {
		if p := &now.Paths[i]; p.Quota != nil {
			line("  quota: %s", quota(p))
		}
	}
	for _, h := range now.Hints {
		line("  hint: %s", h)
	}
	if len(now.Paths) == 0 {
		line("  paths: none yet")
		return b.String()
	}
	for _, columns := range pathTables(now, before) {
		b.WriteByte('\n')
		writeTable(&b, columns, now.Paths)
	}
	return b.String()
}

func quota(p *Path) string {
	q := p.Quota
	text := fmt.Sprintf("%s, %s of %s used", p.Name, decimal(q.UsedBytes), decimal(q.LimitBytes))
	if q.Resets != "" {
		text += ", anew on " + q.Resets
	}
	return text
}

// decimal writes a size as bills and the configuration do.
func decimal(bytes uint64) string {
	return scaled(float64(bytes), 1000, "B", "kB", "MB", "GB", "TB", "PB")
}

func session(s *Session) string {
	if s.Suite == "" {
		return s.State
	}
	return fmt.Sprintf("%s, %s, keys %s old, %s", s.State, s.Suite, duration(s.AgeS), count(int(s.Handshakes), "handshake"))
}

func tunnelSpeed(now, before *Status) string {
	if before == nil {
		return ""
	}
	return fmt.Sprintf(", now %s out, %s in", speed(now, before, now.Tunnel.Tx, before.Tunnel.Tx), speed(now, before, now.Tunnel.Rx, before.Tunnel.Rx))
}

// column is one of a table of paths.
type column struct {
	title string
	cell  func(*Path) string
	words bool // stand at the left; numbers at the right
}

// pathTables are three tables of the same paths, for one would be too wide: how
// each is, what it has carried, and between which addresses.
func pathTables(now, before *Status) [][]column {
	name := column{"path", func(p *Path) string { return p.Name }, true}
	is := []column{
		name,
		{"state", func(p *Path) string { return p.State }, true},
		{"rtt", func(p *Path) string { return rtt(p.RTTMs) }, false},
		{"min", func(p *Path) string { return rtt(p.RTTMinMs) }, false},
		{"loss", func(p *Path) string { return fmt.Sprintf("%.1f %%", 100*p.Loss) }, false},
		{"rate", func(p *Path) string { return rate(p.RateBps) }, false},
		{"flight", flight, false},
	}
	carried := []column{
		name,
		{"sent", func(p *Path) string { return size(p.Tx.Bytes) }, false},
		{"received", func(p *Path) string { return size(p.Rx.Bytes) }, false},
		{"lost", func(p *Path) string { return fmt.Sprint(p.LostPackets) }, false},
		{"rescued", func(p *Path) string { return fmt.Sprint(p.ReinjectedPackets) }, false},
	}
	if before != nil {
		carried = append(carried,
			column{"out", func(p *Path) string { return speed(now, before, p.Tx, earlier(before, p).Tx) }, false},
			column{"in", func(p *Path) string { return speed(now, before, p.Rx, earlier(before, p).Rx) }, false})
	}
	leads := []column{
		name,
		{"by", by, true},
		{"metric", func(p *Path) string { return fmt.Sprint(p.Metric) }, false},
		{"local", func(p *Path) string { return orDash(p.Local) }, true},
		{"remote", func(p *Path) string { return orDash(p.Remote) }, true},
	}
	return [][]column{is, carried, leads}
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

func writeTable(b *strings.Builder, columns []column, paths []Path) {
	lines := make([]string, 1+len(paths)) // the titles, and one for each path
	for _, c := range columns {
		cells := []string{c.title}
		for i := range paths {
			cells = append(cells, c.cell(&paths[i]))
		}
		width := 0
		for _, cell := range cells {
			width = max(width, utf8.RuneCountInString(cell))
		}
		for i, cell := range cells {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(cell))
			if c.words {
				lines[i] += "  " + cell + pad
			} else {
				lines[i] += "  " + pad + cell
			}
		}
	}
	for _, line := range lines {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// speed is the bit/s between two counts, by the daemon's own clock. A daemon
// that was restarted in between counts from 0 again.
func speed(now, before *Status, to, from Count) string {
	seconds := now.UptimeS - before.UptimeS
	if seconds <= 0 || to.Bytes < from.Bytes {
		return "-"
	}
	return rate(float64(to.Bytes-from.Bytes) * 8 / seconds)
}

// rate writes bit/s in decimal units, size bytes in binary ones, as wg does.
func rate(bps float64) string {
	return scaled(bps, 1000, "bit/s", "kbit/s", "Mbit/s", "Gbit/s")
}

func size(bytes uint64) string {
	return scaled(float64(bytes), 1024, "B", "KiB", "MiB", "GiB", "TiB", "PiB")
}

// scaled writes v with the largest unit that it fills, to three digits.
func scaled(v, step float64, units ...string) string {
	i := 0
	for v >= step && i < len(units)-1 {
		v /= step
		i++
	}
	digits := 0
	switch {
	case i == 0 || v >= 100:
	case v >= 10:
		digits = 1
	default:
		digits = 2
	}
	return fmt.Sprintf("%.*f %s", digits, v, units[i])
}

func ms(v float64) string { return fmt.Sprintf("%.1f ms", v) }

func rtt(v float64) string {
	if v <= 0 {
		return "-"
	}
	return ms(v)
}

// duration writes whole seconds, and nothing smaller than a 1/3600 of it.
func duration(seconds float64) string {
	d := time.Duration(seconds) * time.Second
	days, d := d/(24*time.Hour), d%(24*time.Hour)
	switch {
	case days > 0:
		return fmt.Sprintf("%dd %dh", days, d/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh %dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm %ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
