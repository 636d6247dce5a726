package portal

import (
	"crypto/rand"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"netcombiner/src/eventlog"
)

// logBook is an end's log, as the daemon would write it.
type logBook struct {
	mu    sync.Mutex
	lines []string
}

func (b *logBook) of(e *end) *logBook {
	e.edit = func(o *Options) {
		o.Log = eventlog.New(eventlog.Format{NoTime: true}, func(_ slog.Level, line []byte) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.lines = append(b.lines, strings.TrimSuffix(string(line), "\n"))
		})
	}
	return b
}

func (b *logBook) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines = nil
	return lines
}

// expect checks that exactly these lines were written, in any order.
func (b *logBook) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	lines := b.take()
	left := slices.Clone(lines)
	for _, pattern := range want {
		i := slices.IndexFunc(left, func(line string) bool { return regexp.MustCompile("^" + pattern + "$").MatchString(line) })
		if i < 0 {
			t.Errorf("%s: no line like %s in:\n%s", when, pattern, strings.Join(lines, "\n"))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 {
		t.Errorf("%s: nobody expected:\n%s", when, strings.Join(left, "\n"))
	}
}

// The log has a line for what a person may act on, with how long and why, and
// no other.
func TestTheLogSaysHowLongAndWhy(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 20*time.Millisecond)}, func(tn *tunnel) {
		local, remote := new(logBook).of(tn.local), new(logBook).of(tn.remote)
		tn.start()
		time.Sleep(time.Minute)
		for end, b := range map[string]*logBook{"local": local, "remote": remote} {
			b.expect(t, end+" at first",
				`level=INFO msg="session keys made" suite=\S+ new_peer=true`,
				`level=INFO msg="path up" path=wan1 remote=\S+ after=\d+ms`,
				`level=INFO msg="path up" path=wan2 remote=\S+ after=\d+ms`)
		}
		time.Sleep(10 * time.Minute) // keys are renewed without a word
		local.expect(t, "while all is well")

		tn.check.NewBulk(tn.remote.host, tn.local.host, false, 1000, 0, tn.net.Now()+30*time.Second)
		time.Sleep(5 * time.Second)
		tn.links[1].Cut(true)
		time.Sleep(10 * time.Second)
		local.expect(t, "cut", `level=WARN msg="path failed" path=wan2 remote=203.0.113.1:4725 up_for=11m\d+s why="no answer for \d+ms"`)
		tn.links[1].Cut(false)
		time.Sleep(5 * time.Second)
		local.expect(t, "back", `level=INFO msg="path back" path=wan2 remote=203.0.113.1:4725 down_for=(9|10)\.?\d*s`)
		remote.take()

		tn.local.stop()
		time.Sleep(time.Second)
		local.expect(t, "stopping") // what stops says nothing of its paths
		remote.expect(t, "left alone",
			`level=INFO msg="the other portal leaves"`,
			`level=WARN msg="path failed" path=wan1 .* why="the other portal stopped"`,
			`level=WARN msg="path failed" path=wan2 .* why="the other portal stopped"`)
		tn.local.start()
		time.Sleep(5 * time.Second)
		remote.expect(t, "again",
			`level=INFO msg="session keys made" suite=\S+ new_peer=true`,
			`level=INFO msg="path back" path=wan1 .* down_for=1\.?\d*s`,
			`level=INFO msg="path back" path=wan2 .* down_for=1\.?\d*s`)
		local.take()
		tn.remote.stop()
		time.Sleep(time.Second)
		local.expect(t, "the VPS stops",
			`level=INFO msg="the other portal leaves"`,
			`level=WARN msg="path failed" path=wan1 .* why="the other portal stopped"`,
			`level=WARN msg="path failed" path=wan2 .* why="the other portal stopped"`)
		tn.remote.start()
	})
}

// A path that somebody takes away has not failed, and one that takes its number is not back.
func TestTheLogSaysWhatWasRemoved(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 20*time.Millisecond)}, func(tn *tunnel) {
		local, remote := new(logBook).of(tn.local), new(logBook).of(tn.remote)
		tn.start()
		time.Sleep(5 * time.Second)
		local.take()
		remote.take()
		removed := tn.local.config.Paths[1]
		tn.removePath("wan2")
		time.Sleep(5 * time.Second)
		local.expect(t, "removed here")
		remote.expect(t, "removed there", `level=INFO msg="path removed by the other portal" path=wan2`)
		tn.addPath(removed)
		time.Sleep(5 * time.Second)
		again := `level=INFO msg="path up" path=wan2 remote=\S+ after=\d+ms`
		local.expect(t, "added here", again)
		remote.expect(t, "added there", again)
	})
}

// A link that never gets through is said once, where another one works.
func TestTheLogSaysWhatIsBlocked(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 20*time.Millisecond)}, func(tn *tunnel) {
		local := new(logBook).of(tn.local)
		tn.links[1].Cut(true)
		tn.start()
		time.Sleep(10 * time.Minute)
		local.expect(t, "blocked",
			`level=INFO msg="session keys made" suite=\S+ new_peer=true`,
			`level=INFO msg="path up" path=wan1 remote=\S+ after=\d+ms`,
			`level=WARN msg="path gets no answer; trying on" path=wan2 remote=203.0.113.1:4725 for=\d+s transport=udp`)
		tn.links[1].Cut(false)
		time.Sleep(time.Minute)
		local.expect(t, "through", `level=INFO msg="path up" path=wan2 remote=\S+ after=10m\d*s`)
	})
}

// A link that flaps all hour leaves a log that can be read.
func TestAFlappingLinkDoesNotFillTheLog(t *testing.T) {
	slow(t)
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 20*time.Millisecond)}, func(tn *tunnel) {
		local := new(logBook).of(tn.local)
		tn.start()
		time.Sleep(5 * time.Second)
		local.take()
		call := tn.check.Flow(tn.local.host, tn.remote.host, false)
		const minutes = 20
		call.Call(20*time.Millisecond, 200, tn.net.Now()+minutes*time.Minute)
		for range minutes * 60 / 2 {
			tn.links[1].Cut(true)
			time.Sleep(time.Second)
			tn.links[1].Cut(false)
			time.Sleep(time.Second)
		}
		lines := local.take()
		failed, hidden := 0, 0
		for _, line := range lines {
			if strings.Contains(line, `msg="path failed" path=wan2`) {
				failed++
			}
			if strings.Contains(line, "were not shown") && strings.Contains(line, "path=wan2") {
				hidden++
			}
		}
		if len(lines) > minutes*12 || failed < minutes*3 || hidden < minutes-2 {
			t.Errorf("%d lines in %d minutes, %d of them failures, %d that others are hidden:\n%s", len(lines), minutes, failed, hidden, strings.Join(lines[:min(30, len(lines))], "\n"))
		}
		t.Logf("%d lines in %d minutes of %d failures", len(lines), minutes, tn.local.portal.Status().Paths[1].Failures)
	})
}

// brittle is a source of randomness that can fail.
type brittle struct{ broken atomic.Bool }

func (b *brittle) Read(p []byte) (int, error) {
	if b.broken.Load() {
		return 0, errors.New("no randomness")
	}
	return rand.Read(p)
}

// Keys that cannot be renewed, while data still crosses, are said.
func TestTheLogSaysThatKeysAreNotRenewed(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond)}, func(tn *tunnel) {
		local, random := new(logBook).of(tn.local), new(brittle)
		tn.remote.edit = func(o *Options) { o.Random = random }
		tn.start()
		time.Sleep(90 * time.Second)
		local.take()
		random.broken.Store(true) // the remote answers no HELLO
		time.Sleep(25 * time.Second)
		random.broken.Store(false)
		local.expect(t, "at 115 s", `level=WARN msg="the remote portal does not answer when asked for new keys.*" keys_age=1m5\ds`)
		time.Sleep(30 * time.Second)
		local.expect(t, "once it answers")
	})
}
