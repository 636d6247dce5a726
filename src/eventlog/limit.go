package eventlog

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// So many lines about one path, or else with one message, are shown in a window
// of time that begins with the first of them. How many more there were is said
// when it is over. So a link that flaps all night leaves room for other lines
// in a router's small log.
const (
	perWindow = 10
	window    = time.Minute
	// maxKinds is when kinds are forgotten whose window is over.
	maxKinds = 256
)

// Limit returns a handler that hands on to next no more lines of a kind than
// that. Errors always go through.
func Limit(next slog.Handler) slog.Handler {
	return limiter{next, &kinds{all: make(map[string]*kind)}, ""}
}

type limiter struct {
	slog.Handler
	kinds *kinds
	path  string // of the attributes that all its lines have
}

type kinds struct {
	mu  sync.Mutex
	all map[string]*kind
}

// kind is what was shown of one kind of line, and what not.
type kind struct {
	began         time.Time
	shown, hidden int
}

func (l limiter) Handle(ctx context.Context, r slog.Record) error {
	if r.Level < slog.LevelError && !l.admit(l.kindOf(r), r.Time) {
		return nil
	}
	return l.Handler.Handle(ctx, r)
}

// pathKey is the attribute that names a path.
const pathKey = "path"

// kindOf is the path that a line is about, or else its message: the one has a
// sign before it that the other has not.
func (l limiter) kindOf(r slog.Record) string {
	path := l.path
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == pathKey {
			path = a.Value.String()
		}
		return path == ""
	})
	if path != "" {
		return "path " + path
	}
	return ":" + r.Message
}

// admit says whether a line of that kind may be shown, and counts it.
func (l limiter) admit(name string, now time.Time) bool {
	l.kinds.mu.Lock()
	defer l.kinds.mu.Unlock()
	k := l.kinds.all[name]
	if k == nil || now.Sub(k.began) >= window && k.hidden == 0 {
		l.kinds.prune(now)
		k = &kind{began: now}
		l.kinds.all[name] = k
	}
	if k.shown < perWindow {
		k.shown++
		return true
	}
	if k.hidden++; k.hidden == 1 {
		time.AfterFunc(k.began.Add(window).Sub(now), func() { l.summarise(name) })
	}
	return false
}

func (k *kinds) prune(now time.Time) {
	if len(k.all) < maxKinds {
		return
	}
	for name, old := range k.all {
		if now.Sub(old.began) >= window && old.hidden == 0 {
			delete(k.all, name)
		}
	}
}

// summarise ends a kind's window.
func (l limiter) summarise(name string) {
	l.kinds.mu.Lock()
	k := l.kinds.all[name]
	delete(l.kinds.all, name)
	l.kinds.mu.Unlock()
	r := slog.NewRecord(time.Now(), slog.LevelWarn, "more lines like those before were not shown", 0)
	r.AddAttrs(slog.Int("lines", k.hidden))
	if path, ok := strings.CutPrefix(name, "path "); ok && l.path == "" {
		r.AddAttrs(slog.String(pathKey, path))
	} else if !ok {
		r.AddAttrs(slog.String("of", name[1:]))
	}
	_ = l.Handler.Handle(context.Background(), r)
}

func (l limiter) WithAttrs(attrs []slog.Attr) slog.Handler {
	path := l.path
	for _, a := range attrs {
		if a.Key == pathKey {
			path = a.Value.String()
		}
	}
	return limiter{l.Handler.WithAttrs(attrs), l.kinds, path}
}

func (l limiter) WithGroup(name string) slog.Handler {
	return limiter{l.Handler.WithGroup(name), l.kinds, l.path}
}
