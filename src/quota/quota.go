// Package quota counts what each path may still carry in its month, and what
// all carried in each month of the last year, across restarts and on routers whose
// clock is not to be trusted: they boot in 1970, or when they were last shut down,
// until NTP sets them right.
//
// Glossary
//
//	month   from one reset day up to the next, named by the day it begins on
//	totals  what the tunnel and its paths carried in a calendar month
//	book    the quotas and totals of a tunnel, and the file they are kept in
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
	"maps"
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

// monthsKept is how many months a path's use of its quota is remembered, so that a
// clock may come back to them.
const monthsKept = 4

// bytes is what a quota adds up.
type bytes uint64

func (b bytes) plus(o bytes) bytes  { return b + o }
func (b bytes) minus(o bytes) bytes { return b - o }

// allowance is a path's quota.
type allowance struct {
	*meter[bytes]
	limit uint64
	saved bytes // the current month's use in the file
}

// Use is how a path stands.
type Use struct {
	Path        string
	Used, Limit uint64 // bytes
	Resets      string // the date on which it begins anew, as 2006-01-02; "": not known yet
}

// UsedUp says that nothing is left.
func (u Use) UsedUp() bool { return u.Used >= u.Limit }

// Book holds the quotas of all paths that have one, and the totals.
type Book struct {
	file    string
	meters  map[string]*allowance
	idle    map[string][]month[bytes] // in the file, of paths that have no quota now
	totals  *meter[totals]
	fresh   bool   // there is no file yet
	spoiled bool   // there is one that could not be read; Write's
	unsaved uint64 // bytes of the totals that the file lacks
	saved   mono.Time
}

// Replan takes other plans over. A path that has no quota any more keeps its
// count, for when it has one again.
func (b *Book) Replan(plans []Plan) {
	before := b.meters
	b.meters = map[string]*allowance{}
	for _, p := range plans {
		if a := before[p.Path]; a != nil {
			a.limit, a.day = p.Limit, p.Day
			b.meters[p.Path] = a
			delete(before, p.Path)
		} else {
			b.plan(p)
		}
	}
	for path, a := range before {
		b.idle[path] = a.months
	}
	b.forgetIdle()
}

// forgetIdle bounds the paths that have no quota: those go first whose count is
// of the oldest month, for it matters least.
func (b *Book) forgetIdle() {
	for len(b.idle) > maxNames {
		oldest := slices.MinFunc(slices.Collect(maps.Keys(b.idle)), func(x, y string) int {
			return cmp.Or(cmp.Compare(b.idle[x][0].Begins, b.idle[y][0].Begins), cmp.Compare(x, y))
		})
		delete(b.idle, oldest)
	}
}

// plan gives a path its quota, with the count that it had.
func (b *Book) plan(p Plan) {
	a := &allowance{meter: newMeter(p.Day, monthsKept, b.idle[p.Path]), limit: p.Limit}
	a.saved = a.current().Used
	b.meters[p.Path] = a
	delete(b.idle, p.Path)
}

// Count adds what path carried to the totals, and its bytes to its quota, if it
// has one.
func (b *Book) Count(path string, t Traffic) {
	b.totals.count(totals{Paths: map[string]Traffic{path: t}})
	b.unsaved += t.Bytes()
	if a := b.meters[path]; a != nil {
		a.count(bytes(t.Bytes()))
	}
}

// CountTunnel adds what the tunnel carried to the totals.
func (b *Book) CountTunnel(t Traffic) { b.totals.count(totals{Tunnel: t}) }

// Observe tells what the wall clock shows, in the zone whose months count. Call
// it often: what it shows between two calls is not known.
func (b *Book) Observe(now mono.Time, wall time.Time) {
	b.totals.observe(now, wall)
	for _, a := range b.meters {
		a.observe(now, wall)
	}
}

// Use tells how path stands; ok is false where it has no quota.
func (b *Book) Use(path string) (u Use, ok bool) {
	a := b.meters[path]
	if a == nil {
		return Use{}, false
	}
	return Use{path, uint64(a.current().Used), a.limit, a.resets()}, true
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
