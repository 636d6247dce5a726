//go:build linux

package testbed

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"netcombiner/src/control"
	"netcombiner/src/testbed/emulator"
	"netcombiner/src/testbed/lab"
)

// view shows what goes on in a lab while it goes on: on a terminal a few lines
// that are redrawn in place below what was said, elsewhere a line now and then.
type view struct {
	out      io.Writer
	terminal bool
	width    int
	lab      *lab.Lab

	mu     sync.Mutex // all below
	drawn  int        // lines of the block on the screen
	phase  string
	began  time.Time // the phase
	long   time.Duration
	notes  map[string]string // of a link: why it is as it is
	tunnel *lab.Tunnel       // nil before it is started
	before []counted

	stop, done chan struct{}
}

// counted is what had crossed a link by a time.
type counted struct {
	at    time.Time
	bytes [2]uint64 // each way
}

// How often the view is redrawn, and how often a line is told where it cannot be.
const (
	redraw = 250 * time.Millisecond
	retell = 2 * time.Second
)

func newView(out *os.File, l *lab.Lab) *view {
	v := &view{out: out, lab: l, notes: map[string]string{}, before: make([]counted, len(l.Links)), stop: make(chan struct{}), done: make(chan struct{})}
	if v.terminal = term.IsTerminal(int(out.Fd())); v.terminal {
		v.width, _, _ = term.GetSize(int(out.Fd()))
	}
	go v.run()
	return v
}

// Close takes the block off the screen.
func (v *view) Close() {
	close(v.stop)
	<-v.done
}

func (v *view) run() {
	defer close(v.done)
	every := retell
	if v.terminal {
		every = redraw
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-v.stop:
			v.mu.Lock()
			v.erase()
			v.mu.Unlock()
			return
		case <-tick.C:
		}
		v.mu.Lock()
		tunnel := v.tunnel
		v.mu.Unlock()
		var status *control.Status
		if tunnel != nil {
			status, _ = tunnel.Local.Status() // a view goes on without
		}
		lines := v.lines(status)
		v.mu.Lock()
		if v.terminal {
			v.erase()
			for _, l := range lines {
				fmt.Fprintln(v.out, cutTo(l, v.width))
			}
			v.drawn = len(lines)
		} else if v.phase != "" {
			fmt.Fprintln(v.out, "    "+strings.Join(lines, " | "))
		}
		v.mu.Unlock()
	}
}

// Say tells something that stays.
func (v *view) Say(format string, a ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.erase()
	fmt.Fprintf(v.out, format+"\n", a...)
}

// Phase begins something that lasts about long; an empty one ends it.
func (v *view) Phase(long time.Duration, format string, a ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.phase, v.began, v.long = fmt.Sprintf(format, a...), time.Now(), long
	if !v.terminal && v.phase != "" {
		fmt.Fprintln(v.out, "  "+v.phase)
	}
}

// Note says something about a link until it is said anew.
func (v *view) Note(link, text string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.notes[link] = text
}

// Tunnel makes the view show a tunnel's paths too.
func (v *view) Tunnel(t *lab.Tunnel) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tunnel = t
}

// erase removes the block. The lock is held.
func (v *view) erase() {
	if v.drawn > 0 {
		fmt.Fprintf(v.out, "\x1b[%dA\x1b[J", v.drawn)
		v.drawn = 0
	}
}

// lines are the block, or the parts of the line.
func (v *view) lines(status *control.Status) (lines []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	passed := time.Since(v.began)
	if v.terminal && v.phase != "" {
		lines = append(lines, fmt.Sprintf("  %s  %s %2.0f s", v.phase, gauge(passed.Seconds()/v.long.Seconds(), 20), passed.Seconds()))
	}
	var total [2]float64
	for i, l := range v.lab.Links {
		now := counted{at: time.Now()}
		var rate [2]float64
		for _, way := range []emulator.Way{emulator.Up, emulator.Down} {
			s, err := l.Stats(way)
			if err != nil {
				return []string{err.Error()}
			}
			now.bytes[way] = s.DeliveredBytes
			if b := v.before[i]; !b.at.IsZero() {
				rate[way] = float64(now.bytes[way]-b.bytes[way]) * 8 / now.at.Sub(b.at).Seconds()
				total[way] += rate[way]
			}
		}
		v.before[i] = now
		lines = append(lines, v.line(l, rate, pathOf(status, l.Config.Name)))
	}
	if v.terminal {
		lines = append(lines, fmt.Sprintf("  %-5s down %5.1f %20s  up %5.1f Mbit/s", "sum", total[emulator.Down]/1e6, "", total[emulator.Up]/1e6))
	}
	return lines
}

// line is one link.
func (v *view) line(l *lab.Link, rate [2]float64, path *control.Path) string {
	name, note := l.Config.Name, v.notes[l.Config.Name]
	state := ""
	if path != nil {
		state = fmt.Sprintf("%s, RTT %.0f ms, %d in flight", path.State, path.RTTMs, path.InFlightPackets)
	}
	if note != "" {
		state = strings.TrimPrefix(state+", "+note, ", ")
	}
	down, up := rate[emulator.Down], rate[emulator.Up]
	if !v.terminal {
		line := fmt.Sprintf("%s down %.1f up %.1f Mbit/s", name, down/1e6, up/1e6)
		if state != "" {
			line += " (" + state + ")"
		}
		return line
	}
	return fmt.Sprintf("  %-5s down %5.1f %s  up %5.1f %s Mbit/s  %s", name,
		down/1e6, gauge(down/float64(l.Config.Down.Rate), 20), up/1e6, gauge(up/float64(l.Config.Up.Rate), 10), state)
}

func pathOf(s *control.Status, name string) *control.Path {
	if s == nil {
		return nil
	}
	for i := range s.Paths {
		if s.Paths[i].Name == name {
			return &s.Paths[i]
		}
	}
	return nil
}

// gauge is a bar for a part of 1.
func gauge(part float64, width int) string {
	n := int(part*float64(width) + 0.5)
	n = max(0, min(width, n))
	return strings.Repeat("█", n) + strings.Repeat("░", width-n)
}

// cutTo keeps a line from wrapping, which would break the redrawing.
func cutTo(line string, width int) string {
	if width <= 0 || utf8.RuneCountInString(line) < width {
		return line
	}
	return string([]rune(line)[:width-1])
}
