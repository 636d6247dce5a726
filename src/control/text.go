package control

import (
	"fmt"
	"strings"
	"time"
	"unicode"
)

// Style is how a status is written.
type Style struct {
	Colour bool // as a terminal takes it; else plain
	ASCII  bool // where the terminal knows no other characters
}

// Text is a status for a person: a few lines about the tunnel, then tables of
// its paths, which fit a terminal of 80 columns. With what was recently, it also
// tells how fast each path goes; recent may be nil.
func Text(now *Status, recent *Recent, style Style) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }

	t := &now.Tunnel
	line("interface: %s (%s portal)", style.bold(now.Interface), now.Role)
	line("  running: %s, netcombiner %s, mtu %d", duration(now.UptimeS), now.Version, now.MTU)
	line("  session: %s", session(&now.Session))
	line("  tunnel: %s sent, %s received%s", size(t.Tx.Bytes), size(t.Rx.Bytes), tunnelSpeed(now, recent))
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
	for _, bypass := range now.Bypasses {
		line("  bypass: %s", printable(beside(&bypass)))
	}
	for _, h := range now.Hints {
		line("  %s %s", style.paint(yellow, "hint:"), printable(h))
	}
	if len(now.Paths) == 0 {
		line("  paths: none yet")
	}
	for _, t := range tables(now, recent, style) {
		b.WriteByte('\n')
		t.write(&b, style)
	}
	return b.String()
}

func beside(b *Bypass) string {
	text := b.What + ", by " + b.Via
	if b.State != "direct" {
		text += ": now " + b.State
	}
	if b.Why != "" {
		text += ", " + b.Why
	}
	return text
}

func quota(p *Path) string {
	q := p.Quota
	text := fmt.Sprintf("%s, %s of %s used", pathName(p.Name), size(q.UsedBytes), size(q.LimitBytes))
	if q.Resets != "" {
		text += ", anew on " + q.Resets
	}
	return text
}

func session(s *Session) string {
	if s.Suite == "" {
		return s.State
	}
	return fmt.Sprintf("%s, %s, keys %s old, %s", s.State, s.Suite, duration(s.AgeS), count(int(s.Handshakes), "handshake"))
}

func tunnelSpeed(now *Status, recent *Recent) string {
	before := recent.before()
	if before == nil {
		return ""
	}
	return fmt.Sprintf(", now %s out, %s in", speed(now, before, now.Tunnel.Tx, before.Tunnel.Tx), speed(now, before, now.Tunnel.Rx, before.Tunnel.Rx))
}

// speed is the bit/s between two counts, by the daemon's own clock. A daemon
// that was restarted in between counts from 0 again.
func speed(now, before *Status, to, from Count) string {
	bps, ok := bitsPerSecond(now, before, to, from)
	if !ok {
		return "-"
	}
	return rate(bps)
}

func bitsPerSecond(now, before *Status, to, from Count) (bps float64, ok bool) {
	seconds := now.UptimeS - before.UptimeS
	if seconds <= 0 || to.Bytes < from.Bytes {
		return 0, false
	}
	return float64(to.Bytes-from.Bytes) * 8 / seconds, true
}

func rate(bps float64) string { return scaled(bps, "bit/s", "kbit/s", "Mbit/s", "Gbit/s") }

// size writes bytes as bills and the configuration do, in thousands.
func size(bytes uint64) string {
	return scaled(float64(bytes), "B", "kB", "MB", "GB", "TB", "PB")
}

// scaled writes v with the largest unit that it fills, to three digits.
func scaled(v float64, units ...string) string {
	i := 0
	for v >= 1000 && i < len(units)-1 {
		v /= 1000
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

// printable makes text of the other portal's harmless: no control sequence of
// its own reaches the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}
