package quota

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"netcombiner/src/mono"
)

func TestTheCountSurvivesARestart(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "made", "nc0.quota"), 1)
	u.pass(7*time.Minute, gb)
	u.restart()
	u.pass(time.Minute, gb)
	u.restart()
	u.expect(8*gb, "2026-12-01")
	if _, err := os.Stat(u.file + ".new"); err == nil {
		t.Error("the new file is still there")
	}
}

// A path that has no quota for a while is not forgotten.
func TestOtherPathsStayInTheFile(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 1)
	u.pass(7*time.Minute, gb)
	u.restart()
	b, err := Open(u.file, u.now, []Plan{{Path: "dsl", Limit: gb, Day: 1}})
	if err != nil {
		t.Fatal(err)
	}
	b.Count("dsl", Traffic{RxBytes: 5})
	if err := b.Write(b.Text(u.now)); err != nil {
		t.Fatal(err)
	}
	if err := u.open(); err != nil {
		t.Fatal(err)
	}
	u.expect(7*gb, "2026-12-01")
}

func TestAMissingOrDamagedFileMeansNothingUsed(t *testing.T) {
	for name, text := range map[string]string{
		"missing": "", "empty": " ", "half": `{"paths":{"lte":[{"begins":"2026-11-01","us`, "zeros": strings.Repeat("\x00", 200),
		"negative":   `{"paths":{"lte":[{"begins":"2026-11-01","used":-5}]}}`,
		"no month":   `{"paths":{"lte":[]}}`,
		"bad month":  `{"paths":{"lte":[{"begins":"soon","used":5}]}}`,
		"two values": `{"paths":{"lte":[{"begins":"2026-11-01","used":5}]}}{}`,
	} {
		t.Run(name, func(t *testing.T) {
			u := &tester{t: t, file: filepath.Join(t.TempDir(), "q"), day: 1, now: 1, wall: date("2026-11-10 12:00")}
			if name != "missing" {
				if err := os.WriteFile(u.file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := u.open()
			if err == nil || !strings.Contains(err.Error(), u.file) {
				t.Errorf("the warning is %v", err)
			}
			u.expect(0, "2026-12-01")
			u.pass(3*time.Minute, 1)
			u.restart() // and now there is a good one
			u.expect(3, "2026-12-01")
			if kept, _ := os.ReadFile(u.file + ".bad"); string(kept) != text {
				t.Errorf("of the old file %d bytes are kept, of %d", len(kept), len(text))
			}
		})
	}
}

// What is no file is neither waited for nor in the way afterwards.
func TestNotAFile(t *testing.T) {
	for name, make := range map[string]func(string) error{
		"FIFO":   func(name string) error { return syscall.Mkfifo(name, 0o600) },
		"folder": func(name string) error { return os.MkdirAll(filepath.Join(name, "x"), 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			u := &tester{t: t, file: filepath.Join(t.TempDir(), "q"), day: 1, now: 1, wall: date("2026-11-10 12:00")}
			if err := make(u.file); err != nil {
				t.Fatal(err)
			}
			defer time.AfterFunc(5*time.Second, func() { // whoever waits for the FIFO waits no longer
				if f, err := os.OpenFile(u.file, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
					f.Close()
				}
			}).Stop()
			if err := u.open(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
				t.Errorf("the warning is %v", err)
			}
			u.pass(3*time.Minute, 1)
			u.restart()
			u.expect(3, "2026-12-01")
		})
	}
}

// A disk that cannot be written (durable has a full one): the file stays the old
// one, and the count goes on.
func TestAFailedWriteLeavesTheOldFile(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 1)
	u.pass(7*time.Minute, gb)
	u.restart()
	u.pass(2*time.Minute, gb)
	inTheWay := filepath.Join(u.file+".new", "x")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := u.Write(u.Text(u.now)); err == nil {
		t.Fatal("it was written")
	}
	u.expect(9*gb, "2026-12-01")
	kept, err := Open(u.file, u.now, []Plan{{Path: "lte", Limit: gb, Day: 1}})
	if use, _ := kept.Use("lte"); err != nil || use.Used != 7*gb {
		t.Errorf("in the file are %d bytes, %v", use.Used, err)
	}
	if err := os.RemoveAll(filepath.Dir(inTheWay)); err != nil {
		t.Fatal(err)
	}
	u.restart()
	u.expect(9*gb, "2026-12-01")
}

// What a write that was cut short has left behind stands in nobody's way.
func TestAHalfWrittenFileIsNotRead(t *testing.T) {
	u := newTester(t, filepath.Join(t.TempDir(), "q"), 1)
	u.pass(7*time.Minute, gb)
	u.restart()
	if err := os.WriteFile(u.file+".new", []byte(`{"paths":{"lte":[{"beg`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := u.open(); err != nil {
		t.Fatal(err)
	}
	u.expect(7*gb, "2026-12-01")
	u.restart()
	u.expect(7*gb, "2026-12-01")
}

func TestTheFileIsWrittenRarely(t *testing.T) {
	u := newTester(t, "", 1)
	var times []mono.Time
	run := func(d time.Duration, bytes uint64) {
		for ; d > 0; d -= time.Minute {
			u.pass(time.Minute, bytes)
			if u.Due(u.now) {
				times = append(times, u.now)
				u.Text(u.now)
			}
		}
	}
	run(time.Hour, gb/10)
	if len(times) != 12 {
		t.Errorf("written %d times in a busy hour", len(times))
	}
	times = nil
	run(5*time.Hour, 1000)
	if len(times) != 5 {
		t.Errorf("written %d times in five idle hours", len(times))
	}
	times = nil
	run(5*time.Hour, 0)
	if len(times) != 0 {
		t.Errorf("written %d times while nothing was counted", len(times))
	}
}
