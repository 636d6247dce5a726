package control

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Text is a status for a person: a few lines about the tunnel, then a table of
// its paths. With a status of a moment before it also tells how fast each path
// goes; before may be nil.
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
	if len(now.Paths) == 0 {
		line("  paths: none yet")
		return b.String()
	}
	b.WriteByte('\n')
	writeTable(&b, pathTable(now, before))
	return b.String()
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

// pathTable has a row for each path under a row of titles.
func pathTable(now, before *Status) [][]string {
	titles := []string{"path", "state", "rtt", "min", "loss", "rate", "flight", "sent", "received", "lost", "rescued", "metric", "by", "local", "remote"}
	if before != nil {
		titles = append(titles[:7:7], append([]string{"out", "in"}, titles[7:]...)...)
	}
	rows := [][]string{titles}
	earlier := make(map[string]*Path)
	if before != nil {
		for i := range before.Paths {
			earlier[before.Paths[i].Name] = &before.Paths[i]
		}
	}
	for i := range now.Paths {
		p := &now.Paths[i]
		row := []string{p.Name, p.State, rtt(p.RTTMs), rtt(p.RTTMinMs), fmt.Sprintf("%.1f %%", 100*p.Loss), rate(p.RateBps),
			fmt.Sprintf("%d/%d", p.InFlightPackets, p.WindowPackets)}
		if before != nil {
			old := earlier[p.Name]
			if old == nil {
				old = p
			}
			row = append(row, speed(now, before, p.Tx, old.Tx), speed(now, before, p.Rx, old.Rx))
		}
		by := p.Transport
		if p.Congestion != "" && p.Congestion != "none" {
			by += "/" + p.Congestion
		}
		rows = append(rows, append(row, size(p.Tx.Bytes), size(p.Rx.Bytes), fmt.Sprint(p.LostPackets), fmt.Sprint(p.ReinjectedPackets),
			fmt.Sprint(p.Metric), by, orDash(p.Local), orDash(p.Remote)))
	}
	return rows
}

// leftAligned are the columns of words; numbers stand at the right.
var leftAligned = map[string]bool{"path": true, "state": true, "by": true, "local": true, "remote": true}

func writeTable(b *strings.Builder, rows [][]string) {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if leftAligned[rows[0][i]] {
				line.WriteString("  " + cell + pad)
			} else {
				line.WriteString("  " + pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
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

func scaled(v, step float64, units ...string) string {
	i := 0
	for v >= step && i < len(units)-1 {
		v /= step
		i++
	}
	if i == 0 {
		return fmt.Sprintf("%.0f %s", v, units[0])
	}
	return fmt.Sprintf("%.2f %s", v, units[i])
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
