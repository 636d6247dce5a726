// Package eventlog writes the daemon's log: a line for each event that a person
// would act on, as text or JSON, and not more of them than one can read.
package eventlog

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"
)

// Format is how a line is written.
type Format struct {
	JSON bool // else text: key=value
	// NoTime and NoLevel leave out what the log that the lines go to has of its own.
	NoTime, NoLevel bool
}

// Write takes a whole line, with its newline, and how grave it is. It is called
// by one goroutine at a time, and may not keep the line.
type Write func(level slog.Level, line []byte)

// New returns a logger of what is not for debugging, limited as Limit says.
func New(f Format, write Write) *slog.Logger {
	s := &sink{write: write}
	o := &slog.HandlerOptions{ReplaceAttr: f.replace}
	if f.JSON {
		return slog.New(Limit(writer{slog.NewJSONHandler(&s.line, o), s}))
	}
	return slog.New(Limit(writer{slog.NewTextHandler(&s.line, o), s}))
}

// replace leaves out what is not wanted, and writes times as people do: JSON
// would have them in nanoseconds.
func (f Format) replace(groups []string, a slog.Attr) slog.Attr {
	own := len(groups) == 0
	switch {
	case own && f.NoTime && a.Key == slog.TimeKey, own && f.NoLevel && a.Key == slog.LevelKey:
		return slog.Attr{}
	case a.Value.Kind() == slog.KindDuration && f.JSON:
		return slog.Float64(a.Key+"_s", a.Value.Duration().Round(time.Millisecond).Seconds())
	}
	return a
}

// sink is where handlers leave a line.
type sink struct {
	mu    sync.Mutex
	line  bytes.Buffer
	write Write
}

// writer hands every line on with its level.
type writer struct {
	slog.Handler // writes to the sink's line
	sink         *sink
}

func (w writer) Handle(ctx context.Context, r slog.Record) error {
	w.sink.mu.Lock()
	defer w.sink.mu.Unlock()
	w.sink.line.Reset()
	err := w.Handler.Handle(ctx, r)
	w.sink.write(r.Level, w.sink.line.Bytes())
	return err
}

func (w writer) WithAttrs(attrs []slog.Attr) slog.Handler {
	return writer{w.Handler.WithAttrs(attrs), w.sink}
}

func (w writer) WithGroup(name string) slog.Handler { return writer{w.Handler.WithGroup(name), w.sink} }
