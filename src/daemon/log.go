package daemon

import (
	"bytes"
	"io"
	"log/slog"
	"log/syslog"
)

// systemLog is where a detached daemon logs: the host's syslog, or nowhere on
// a host without one.
func systemLog(iface string) *slog.Logger {
	var out io.Writer = io.Discard
	if w, err := syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, "netcombiner["+iface+"]"); err == nil {
		out = syslogWriter{w}
	}
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{} // syslog has its own
			}
			return a
		},
	}))
}

// syslogWriter gives each line of a TextHandler the severity it begins with.
type syslogWriter struct{ w *syslog.Writer }

func (s syslogWriter) Write(line []byte) (int, error) {
	level, rest, _ := bytes.Cut(line, []byte(" "))
	text := string(rest)
	var err error
	switch string(level) {
	case "level=ERROR":
		err = s.w.Err(text)
	case "level=WARN":
		err = s.w.Warning(text)
	case "level=DEBUG":
		err = s.w.Debug(text)
	default:
		err = s.w.Info(text)
	}
	return len(line), err
}
