// Package quota counts what each path may still carry in its month, across
// restarts and on routers whose clock is not to be trusted: they boot in 1970,
// or when they were last shut down, until NTP sets them right.
//
// Glossary
//
//	month   from one reset day up to the next, named by the day it begins on
//	book    the counts of all paths of a tunnel, and the file they are kept in
//
// A change of month, forward or back, is believed when the clock has kept to it
// for an hour; what was counted in that hour then moves to the new month. A month
// that comes again goes on with the count it had. So a clock that jumps costs no
// month its count, and gives none twice.
//
// A Book has no clock and no lock of its own: the portal's do.
package quota

import (
	"cmp"
	"slices"
	"time"

	"netcombiner/src/mono"
)

// Plan is what the configuration says of a path.
type Plan struct {
	Path  string // its name
	Limit uint64 // bytes a month
	Day   int    // of the month on which it begins anew; the last one, where the month is shorter
}

const (
	// believeAfter is how long the clock must show another month.
	believeAfter = time.Hour
	// firstYear is the first in which this program could run: a clock before it
	// was never set.
	firstYear = 2025
	// monthsKept is how many months a path's count is remembered, so that a
	// clock may come back to them.
	monthsKept = 4
)

// dateForm is how a month's name is written.
const dateForm = time.DateOnly

// month is what a path carried in one.
type month struct {
	Begins string `json:"begins"` // a date; "": the clock was not set
	Used   uint64 `json:"used"`   // bytes
}

// meter counts for one path.
type meter struct {
	plan   Plan
	months []month // the current one first, then those before, latest first; never empty
	saved  uint64  // the current one's count in the file

	shown string    // another month, which the clock shows…
	since mono.Time // …since then…
	moved uint64    // …and what was counted meanwhile: it would be that month's
}

func (m *meter) current() *month { return &m.months[0] }

func (m *meter) count(bytes uint64) {
	m.current().Used += bytes
	m.moved += bytes
}

// observe takes the wall clock's word for what month it is, sooner or later.
func (m *meter) observe(now mono.Time, wall time.Time) {
	shown := begins(wall, m.plan.Day)
	switch {
	case wall.Year() < firstYear || shown == m.current().Begins:
		m.shown = ""
	case m.current().Begins == "":
		m.current().Begins = shown
	case shown != m.shown:
		m.shown, m.since, m.moved = shown, now, 0
	case now.Sub(m.since) >= believeAfter:
		m.turnTo(shown)
	}
}

// turnTo makes another month the current one.
func (m *meter) turnTo(name string) {
	m.current().Used -= m.moved
	next := month{Begins: name}
	if i := slices.IndexFunc(m.months, func(o month) bool { return o.Begins == name }); i >= 0 {
		next = m.months[i]
		m.months = slices.Delete(m.months, i, i+1)
	}
	next.Used += m.moved
	m.months = slices.Insert(m.months, 0, next)
	m.months = m.months[:min(len(m.months), monthsKept)]
	m.shown = ""
}

// begins is the name of the month that t is in.
func begins(t time.Time, day int) string {
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	if at := resetDay(first, day); t.Day() >= at.Day() {
		return at.Format(dateForm)
	}
	return resetDay(first.AddDate(0, -1, 0), day).Format(dateForm)
}

// resetDay is the given day of a month, of which first is the first.
func resetDay(first time.Time, day int) time.Time {
	return first.AddDate(0, 0, min(day, first.AddDate(0, 1, -1).Day())-1)
}

// resets is the day on which the current month is over; "" where the clock was
// never set.
func (m *meter) resets() string {
	t, err := time.Parse(dateForm, m.current().Begins)
	if err != nil {
		return ""
	}
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return resetDay(first.AddDate(0, 1, 0), m.plan.Day).Format(dateForm)
}

// Use is how a path stands.
type Use struct {
	Path        string
	Used, Limit uint64 // bytes
	Resets      string // the date on which it begins anew, as 2006-01-02; "": not known yet
}

// UsedUp says that nothing is left.
func (u Use) UsedUp() bool { return u.Used >= u.Limit }

// Book holds the counts of all paths that have a quota.
type Book struct {
	file   string
	meters map[string]*meter
	others map[string][]month // in the file, of paths that have no quota now
	saved  mono.Time
}

// Count adds bytes to what path carried. A path without a quota is not counted.
func (b *Book) Count(path string, bytes uint64) {
	if m := b.meters[path]; m != nil {
		m.count(bytes)
	}
}

// Observe tells what the wall clock shows, in the zone whose months count. Call
// it often: what it shows between two calls is not known.
func (b *Book) Observe(now mono.Time, wall time.Time) {
	for _, m := range b.meters {
		m.observe(now, wall)
	}
}

// Use tells how path stands; ok is false where it has no quota.
func (b *Book) Use(path string) (u Use, ok bool) {
	m := b.meters[path]
	if m == nil {
		return Use{}, false
	}
	return Use{path, m.current().Used, m.plan.Limit, m.resets()}, true
}

// Uses lists how all stand, by name.
func (b *Book) Uses() (all []Use) {
	for path := range b.meters {
		u, _ := b.Use(path)
		all = append(all, u)
	}
	slices.SortFunc(all, func(x, y Use) int { return cmp.Compare(x.Path, y.Path) })
	return all
}
