package quota

import (
	"slices"
	"time"

	"netcombiner/src/mono"
)

const (
	// believeAfter is how long the clock must show another month.
	believeAfter = time.Hour
	// firstYear is the first in which this program could run: a clock before it
	// was never set.
	firstYear = 2025
)

// dateForm is how a month's name is written.
const dateForm = time.DateOnly

// amount is what a month adds up. Both methods may change the receiver's memory.
type amount[T any] interface {
	plus(T) T
	minus(T) T
}

// month is what was counted in one.
type month[T any] struct {
	Begins string `json:"begins"` // a date; "": the clock was not set
	Used   T      `json:"used"`
}

// meter counts by months.
type meter[T amount[T]] struct {
	day    int        // of the month on which it begins; the last one, where the month is shorter
	keep   int        // how many months are remembered
	months []month[T] // the current one first, then those before, latest first; never empty

	shown string    // another month, which the clock shows…
	since mono.Time // …since then…
	moved T         // …and what was counted meanwhile: it would be that month's
}

// newMeter goes on with the months that a file held; there may be none.
func newMeter[T amount[T]](day, keep int, months []month[T]) *meter[T] {
	if len(months) == 0 {
		months = []month[T]{{}}
	}
	return &meter[T]{day: day, keep: keep, months: months}
}

func (m *meter[T]) current() *month[T] { return &m.months[0] }

func (m *meter[T]) count(a T) {
	m.current().Used = m.current().Used.plus(a)
	if m.shown != "" {
		m.moved = m.moved.plus(a)
	}
}

// observe takes the wall clock's word for what month it is, sooner or later.
func (m *meter[T]) observe(now mono.Time, wall time.Time) {
	shown := begins(wall, m.day)
	switch {
	case wall.Year() < firstYear || shown == m.current().Begins:
		m.shown = ""
	case m.current().Begins == "":
		m.current().Begins = shown
	case shown != m.shown:
		var none T
		m.shown, m.since, m.moved = shown, now, none
	case now.Sub(m.since) >= believeAfter:
		m.turnTo(shown)
	}
}

// turnTo makes another month the current one.
func (m *meter[T]) turnTo(name string) {
	m.current().Used = m.current().Used.minus(m.moved)
	next := month[T]{Begins: name}
	if i := slices.IndexFunc(m.months, func(o month[T]) bool { return o.Begins == name }); i >= 0 {
		next = m.months[i]
		m.months = slices.Delete(m.months, i, i+1)
	}
	next.Used = next.Used.plus(m.moved)
	m.months = slices.Insert(m.months, 0, next)
	m.months = m.months[:min(len(m.months), m.keep)]
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
func (m *meter[T]) resets() string {
	t, err := time.Parse(dateForm, m.current().Begins)
	if err != nil {
		return ""
	}
	first := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return resetDay(first.AddDate(0, 1, 0), m.day).Format(dateForm)
}
