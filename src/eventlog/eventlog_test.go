package eventlog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// book takes lines.
type book struct{ lines []string }

func (b *book) write(level slog.Level, line []byte) {
	b.lines = append(b.lines, level.String()+" "+string(line))
}

func TestForms(t *testing.T) {
	for _, c := range []struct {
		form Format
		want string
	}{
		{Format{NoTime: true, NoLevel: true}, `WARN msg="path failed" interface=nc0 path="d\"s l" up_for=3h0m0.5s why="no answer for 312ms"` + "\n"},
		{Format{NoTime: true}, `WARN level=WARN msg="path failed" interface=nc0 path="d\"s l" up_for=3h0m0.5s why="no answer for 312ms"` + "\n"},
		{Format{JSON: true, NoTime: true}, `WARN {"level":"WARN","msg":"path failed","interface":"nc0","path":"d\"s l","up_for_s":10800.5,"why":"no answer for 312ms"}` + "\n"},
	} {
		var b book
		log := New(c.form, b.write).With("interface", "nc0")
		log.Debug("not this")
		log.Warn("path failed", "path", `d"s l`, "up_for", 3*time.Hour+500*time.Millisecond, "why", "no answer for 312ms")
		if len(b.lines) != 1 || b.lines[0] != c.want {
			t.Errorf("got %q, want %q", b.lines, c.want)
		}
	}
	var b bytes.Buffer
	New(Format{JSON: true}, func(_ slog.Level, line []byte) { b.Write(line) }).Info("x\ny")
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil || line["time"] == nil || line["msg"] != "x\ny" || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("%q: %v", b.String(), err)
	}
}

// In virtual time: a link that flaps every second for an hour leaves eleven
// lines a minute, which tell how many there were, and others stay readable.
func TestAFlappingPathIsLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b book
		log := New(Format{NoTime: true}, b.write)
		const flaps = 3600
		for i := range flaps {
			log.Warn("path failed", "path", "lte")
			log.Info("path back", "path", "lte")
			if i%600 == 0 {
				log.Info("path back", "path", "dsl")
				log.Warn("the quota is used up")
			}
			time.Sleep(time.Second)
		}
		time.Sleep(2 * window)
		synctest.Wait()
		shown, hidden, others := 0, 0, 0
		for _, line := range b.lines {
			var n int
			_, text, _ := strings.Cut(line, "were not shown\" ")
			switch got, _ := fmt.Sscanf(text, "lines=%d path=lte", &n); {
			case got == 1:
				hidden += n
			case strings.Contains(line, "path=lte"):
				shown++
			default:
				others++
			}
		}
		if shown+hidden != 2*flaps || shown != 60*perWindow || len(b.lines) > 60*(perWindow+1)+12 || others != 12 {
			t.Errorf("%d lines: %d about the path, %d of it hidden, %d others", len(b.lines), shown, hidden, others)
		}
		before := len(b.lines)
		log.Info("path back", "path", "lte") // later, it is heard again
		if len(b.lines) != before+1 {
			t.Error("silent for ever")
		}
	})
}

func TestErrorsAreNeverHidden(t *testing.T) {
	var b book
	log := New(Format{}, b.write)
	for range 100 {
		log.Error("ended")
	}
	if len(b.lines) != 100 {
		t.Errorf("%d of 100 errors", len(b.lines))
	}
}

// Names without end do not fill the memory.
func TestKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Limit(slog.NewTextHandler(&bytes.Buffer{}, nil)).(limiter)
		log := slog.New(h)
		for i := range 100 * maxKinds {
			log.Info("path up", "path", fmt.Sprint(i))
			time.Sleep(window / maxKinds)
		}
		if n := len(h.kinds.all); n > 2*maxKinds {
			t.Errorf("%d kinds are kept", n)
		}
	})
}
