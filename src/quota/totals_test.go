package quota

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

func (u *tester) expectMonths(want ...string) {
	u.t.Helper()
	var got []string
	for _, m := range u.Months() {
		got = append(got, fmt.Sprintf("%s %d %d", m.Begins, m.Tunnel.TxBytes, m.Paths["lte"].Bytes()))
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		u.t.Errorf("%s: %v, want %v", u.wall.Format(time.DateTime), got, want)
	}
}

func TestTotalsFollowTheMonths(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 15)
	u.pass(10*time.Minute, 3)
	u.CountTunnel(Traffic{TxBytes: 7})
	u.expectMonths("2026-11-01 7 30")
	u.restart()
	u.jump("2026-12-01 00:00")
	u.pass(59*time.Minute, 1)
	u.CountTunnel(Traffic{TxBytes: 2})
	u.expectMonths("2026-11-01 9 89")
	u.pass(time.Minute, 1) // believed: what the hour brought moves along
	u.expectMonths("2026-12-01 2 60", "2026-11-01 7 30")
	u.expect(60, "2026-12-15") // since its own reset day
	u.restart()
	u.expectMonths("2026-12-01 2 60", "2026-11-01 7 30")
}

// Boots in 1970 and jumps of the clock leave each month with its own.
func TestTotalsAndAWrongClock(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 1)
	u.pass(10*time.Minute, 1)
	for _, wrong := range []string{"1970-01-01 00:00", "2038-01-19 03:14", "2026-10-20 00:00"} {
		right := u.wall
		u.wall = date(wrong)
		u.restart()
		u.pass(30*time.Minute, 1)
		u.wall = right
		u.pass(time.Hour, 0)
	}
	u.expectMonths("2026-11-01 0 100")
}

func TestTotalsGoBackAYear(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 1)
	for i := range 20 {
		u.wall = date("2026-01-10 12:00").AddDate(0, i, 0)
		u.pass(2*time.Hour, 1)
		u.restart()
	}
	months := u.Months()
	if len(months) != 13 || months[0].Begins != "2027-08-01" || months[12].Begins != "2026-08-01" {
		t.Errorf("%d months, from %s to %s", len(months), months[len(months)-1].Begins, months[0].Begins)
	}
}

// Whoever adds and removes paths all day long does not fill the disk, and
// nothing that they carried is lost.
func TestPathNamesAreBounded(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 1)
	for i := range 1000 {
		u.Count(fmt.Sprintf(`"path\%d"`, i), Traffic{TxBytes: 1})
	}
	u.restart()
	paths, sum := u.Months()[0].Paths, uint64(0)
	for _, c := range paths {
		sum += c.TxBytes
	}
	if len(paths) > maxNames+1 || sum != 1000 || paths[Others].TxBytes != 1000-maxNames {
		t.Errorf("%d names, %d bytes, %d of them others'", len(paths), sum, paths[Others].TxBytes)
	}
	u.jump("2026-12-02 00:00") // and the hour that moves knows which name is whose
	u.pass(30*time.Minute, 1)
	u.Count("path 2000", Traffic{TxBytes: 5})
	u.pass(31*time.Minute, 1)
	if got := u.Months()[1].Paths[Others].TxBytes; got != 1000-maxNames {
		t.Errorf("November's others carried %d bytes afterwards", got)
	}
}

// Nor with quotas of paths that are no more; those of the past go first.
func TestQuotasOfOldPathsAreBounded(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 1)
	for i := range 300 {
		name := fmt.Sprintf("path%03d", i)
		u.Replan([]Plan{{Path: name, Limit: gb, Day: 1}})
		u.Observe(u.now, u.wall.AddDate(0, i/100, 0))
		u.Count(name, Traffic{TxBytes: 5})
	}
	u.Replan(nil)
	u.restart()
	if n := len(u.idle); n != maxNames {
		t.Errorf("%d paths without a quota are remembered", n)
	}
	for name, want := range map[string]bool{"path000": false, "path171": false, "path200": true, "path299": true} {
		if _, kept := u.idle[name]; kept != want {
			t.Errorf("%s is remembered: %v", name, kept)
		}
	}
}

// Without a quota the totals alone are written, four times a busy hour.
func TestTotalsAreWrittenRarely(t *testing.T) {
	u := newTester(t, "", 1)
	u.Book, _ = Open("", u.now, nil)
	writes := func(d time.Duration, bytes uint64) (n int) {
		for ; d > 0; d -= time.Minute {
			u.pass(time.Minute, bytes)
			if u.Due(u.now) {
				n++
				u.Text(u.now)
			}
		}
		return n
	}
	if n := writes(2*time.Hour, gb); n != 8 {
		t.Errorf("written %d times in two busy hours", n)
	}
	if n := writes(5*time.Hour, 1000); n != 5 {
		t.Errorf("written %d times in five idle hours", n)
	}
	if n := writes(5*time.Hour, 0); n != 0 {
		t.Errorf("written %d times while nothing was counted", n)
	}
}

// A new file is written soon: if that cannot be, it is said while somebody looks.
func TestANewFileIsWrittenAtOnce(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 1)
	if !u.Due(u.now) {
		t.Error("a new file can wait")
	}
	u.restart()
	if u.Due(u.now) {
		t.Error("a file with nothing new in it is written again")
	}
}
