package quota

import (
	"testing"
	"time"

	"netcombiner/src/mono"
)

const gb = 1e9

// tester is a book with both clocks in hand.
type tester struct {
	*Book
	t    *testing.T
	file string
	day  int
	now  mono.Time
	wall time.Time
}

func newTester(t *testing.T, file string, day int) *tester {
	u := &tester{t: t, file: file, day: day, now: mono.Time(time.Hour), wall: date("2026-11-10 12:00")}
	u.open()
	return u
}

func date(s string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", s)
	if err != nil {
		panic(err)
	}
	return t
}

// open opens the book as a process that has just been started does.
func (u *tester) open() error {
	b, err := Open(u.file, u.now, []Plan{{Path: "lte", Limit: 50 * gb, Day: u.day}})
	u.Book = b
	u.Observe(u.now, u.wall)
	return err
}

// restart does what a stop and a start do.
func (u *tester) restart() {
	u.t.Helper()
	if err := u.Write(u.Text(u.now)); err != nil {
		u.t.Fatal(err)
	}
	u.now = mono.Time(time.Hour) // another process, another clock
	if err := u.open(); err != nil {
		u.t.Fatal(err)
	}
}

// pass lets time pass on both clocks, with so many bytes a minute.
func (u *tester) pass(d time.Duration, bytes uint64) {
	for ; d > 0; d -= time.Minute {
		u.now, u.wall = u.now.Add(time.Minute), u.wall.Add(time.Minute)
		u.Count("lte", Traffic{TxPackets: 1, TxBytes: bytes - bytes/2, RxBytes: bytes / 2})
		u.Observe(u.now, u.wall)
	}
}

// jump sets the wall clock.
func (u *tester) jump(to string) { u.wall = date(to); u.Observe(u.now, u.wall) }

func (u *tester) expect(used uint64, resets string) {
	u.t.Helper()
	if got, ok := u.Use("lte"); !ok || got.Used != used || got.Resets != resets {
		u.t.Errorf("%s: %d bytes used until %q, want %d until %q", u.wall.Format(time.DateTime), got.Used, got.Resets, used, resets)
	}
}

func TestAMonthIsCountedAndBeginsAnew(t *testing.T) {
	u := newTester(t, "", 1)
	u.pass(10*time.Minute, gb)
	u.Count("dsl", Traffic{TxBytes: gb}) // which has no quota
	u.expect(10*gb, "2026-12-01")
	if use, _ := u.Use("lte"); use.UsedUp() {
		t.Error("used up at 10 of 50")
	}
	u.pass(40*time.Minute, gb)
	if use, _ := u.Use("lte"); !use.UsedUp() {
		t.Error("not used up at 50 of 50")
	}
	u.jump("2026-11-30 23:50")
	u.pass(9*time.Minute, 1)
	u.expect(50*gb+9, "2026-12-01")
	u.pass(time.Hour, 1) // to 0:59; the clock was seen in December at 0:00
	u.expect(50*gb+69, "2026-12-01")
	u.pass(time.Minute, 1)
	u.expect(60, "2027-01-01") // since 0:00, when what went until then was counted
	if _, ok := u.Use("dsl"); ok {
		t.Error("a path without a quota has one")
	}
}

func TestTheResetDay(t *testing.T) {
	for _, c := range []struct {
		day                int
		at, begins, resets string
	}{
		{1, "2026-11-01 00:00", "2026-11-01", "2026-12-01"},
		{1, "2026-12-31 23:59", "2026-12-01", "2027-01-01"},
		{15, "2026-11-14 23:59", "2026-10-15", "2026-11-15"},
		{15, "2026-11-15 00:00", "2026-11-15", "2026-12-15"},
		{15, "2027-01-03 00:00", "2026-12-15", "2027-01-15"},
		{31, "2026-11-29 12:00", "2026-10-31", "2026-11-30"},
		{31, "2026-11-30 12:00", "2026-11-30", "2026-12-31"},
		{31, "2027-02-28 12:00", "2027-02-28", "2027-03-31"},
		{30, "2028-02-28 12:00", "2028-01-30", "2028-02-29"},
	} {
		m := newMeter[bytes](c.day, monthsKept, nil)
		m.observe(1, date(c.at))
		if got := m.current().Begins; got != c.begins || m.resets() != c.resets {
			t.Errorf("day %d at %s: from %s to %s, want %s to %s", c.day, c.at, got, m.resets(), c.begins, c.resets)
		}
	}
}

func TestAWrongClockAtBoot(t *testing.T) {
	for _, boot := range []string{"1970-01-01 00:00", "2026-09-20 12:00" /* of an old file */, "2031-01-01 00:00"} {
		t.Run(boot, func(t *testing.T) {
			u := newTester(t, t.TempDir()+"/q", 1)
			u.pass(20*time.Minute, gb)
			right := u.wall
			u.wall = date(boot)
			u.restart()
			u.expect(20*gb, "2026-12-01")
			u.pass(10*time.Minute, gb)
			u.expect(30*gb, "2026-12-01")
			u.wall = right
			u.pass(3*time.Hour, 0)
			u.expect(30*gb, "2026-12-01")
		})
	}
}

func TestTheFirstMonthWaitsForAClock(t *testing.T) {
	u := newTester(t, t.TempDir()+"/q", 1)
	u.Book, _ = Open(u.file, u.now, []Plan{{Path: "lte", Limit: 50 * gb, Day: 1}})
	u.wall = date("1970-01-01 00:00")
	u.pass(5*time.Hour, gb)
	u.expect(300*gb, "")
	u.restart()
	u.expect(300*gb, "")
	u.jump("2026-11-10 12:00")
	u.expect(300*gb, "2026-12-01")
}

// The clock goes back, for minutes or for days, and returns: the count of the
// month goes on, and what was counted meanwhile is in one month only.
func TestTheClockJumpsBack(t *testing.T) {
	u := newTester(t, "", 1)
	u.pass(10*time.Minute, gb)
	u.jump("2026-10-31 23:00")
	u.pass(30*time.Minute, gb) // and then over the month's end again
	u.expect(40*gb, "2026-12-01")
	u.pass(2*time.Hour, 0)
	u.expect(40*gb, "2026-12-01")

	u.jump("2026-10-02 00:00")
	u.pass(24*time.Hour, 1) // it means it
	u.expect(24*60, "2026-11-01")
	u.jump("2026-11-12 00:00")
	u.pass(30*time.Minute, gb)
	u.pass(time.Hour, 0)
	u.expect(70*gb, "2026-12-01")
	for range 3 { // and never is there a fresh quota in it
		u.jump("2026-10-20 00:00")
		u.pass(2*time.Hour, 0)
		u.expect(24*60, "2026-11-01")
		u.jump("2026-11-13 00:00")
		u.pass(2*time.Hour, 0)
		u.expect(70*gb, "2026-12-01")
	}
}

func TestTheClockJumpsForward(t *testing.T) {
	u := newTester(t, t.TempDir()+"/q", 1)
	u.pass(10*time.Minute, gb)
	u.jump("2038-01-19 03:14")
	u.pass(59*time.Minute, 1)
	u.expect(10*gb+59, "2026-12-01")
	u.jump("2026-11-10 13:00")
	u.expect(10*gb+59, "2026-12-01")

	u.jump("2038-01-19 03:14")
	u.pass(2*time.Hour, 1) // it means it
	u.expect(120, "2038-02-01")
	u.restart()
	u.jump("2026-11-10 15:00")
	u.pass(2*time.Hour, 1)
	u.expect(10*gb+59+120, "2026-12-01") // November is as it was, and not stuck in 2038
	u.restart()
	u.jump("2026-12-01 00:00")
	u.pass(61*time.Minute, 0)
	u.expect(0, "2027-01-01")
}

// A router that was off for months begins a new one, though it was on in none
// of those between.
func TestMonthsWithoutTheRouter(t *testing.T) {
	u := newTester(t, t.TempDir()+"/q", 1)
	for i := range 8 {
		u.pass(2*time.Hour, uint64(i))
		u.restart()
		u.wall = u.wall.AddDate(0, 2, 0)
		u.Observe(u.now, u.wall)
	}
	u.pass(2*time.Hour, 1)
	u.expect(120, "2028-04-01")
	if n := len(u.meters["lte"].months); n != monthsKept {
		t.Errorf("%d months are kept", n)
	}
}
