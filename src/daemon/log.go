package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"runtime"
	"syscall"

	"netcombiner/src/config"
	"netcombiner/src/eventlog"
)

// newLog writes in the form that is configured, without what lines get where
// they go, but JSON with its level. Where several tunnels share that place, whoever
// reads text sees whose a line is before it, and a program in the line itself.
func newLog(iface string, c *config.Config, f eventlog.Format, write eventlog.Write) *slog.Logger {
	if c.Interface.Log == "json" {
		f.JSON, f.NoLevel = true, false
		return eventlog.New(f, write).With("tunnel", iface)
	}
	return eventlog.New(f, write)
}

// systemLog is where a detached daemon logs: the host's syslog, or nowhere on
// a host without one.
func systemLog(iface string, c *config.Config) *slog.Logger {
	log, err := dialSyslog(iface, c)
	if err != nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

func dialSyslog(iface string, c *config.Config) (*slog.Logger, error) {
	tag, before := syslogName(runtime.GOOS, iface)
	w, err := openSyslog(tag)
	if err != nil {
		return nil, err
	}
	if c.Interface.Log == "json" {
		before = ""
	}
	return newLog(iface, c, eventlog.Format{NoTime: true, NoLevel: true}, func(level slog.Level, line []byte) {
		_ = bySeverity(w, level)(before + string(line)) // syslogd may be restarting, and nobody else is there to tell
	}), nil
}

// syslogName is what syslogd is to know a tunnel's lines by, and what text begins with.
// FreeBSD's syslogd takes the whole of netcombiner[nc0][123] for no name at all.
func syslogName(system, iface string) (tag, before string) {
	if system == "freebsd" {
		return "netcombiner", iface + ": "
	}
	return "netcombiner[" + iface + "]", ""
}

// openSyslog is the host's syslog, but in tests.
var openSyslog = func(tag string) (*syslog.Writer, error) { return syslog.New(syslog.LOG_DAEMON|syslog.LOG_INFO, tag) }

func bySeverity(w *syslog.Writer, level slog.Level) func(string) error {
	switch {
	case level >= slog.LevelError:
		return w.Err
	case level >= slog.LevelWarn:
		return w.Warning
	case level >= slog.LevelInfo:
		return w.Info
	}
	return w.Debug
}

// foregroundLog is where a daemon that stays in the foreground logs. To a service
// manager that knows no severities, FreeBSD's daemon(8) say, it leaves only what
// cannot go to syslog.
func foregroundLog(o Options) *slog.Logger {
	switch os.Getenv("NETCOMBINER_LOG") {
	case "procd":
		return procdLog(o.Interface, o.Config, os.Stdout, os.Stderr)
	case "syslog":
		if log, err := dialSyslog(o.Interface, o.Config); err == nil {
			return log
		}
	}
	return terminalLog(o.Interface, o.Config)
}

// procdLog writes for procd, which takes what comes by stderr for an error, and
// knows the time, but not whose of several tunnels a line is, nor whether it warns.
func procdLog(iface string, c *config.Config, out, err io.Writer) *slog.Logger {
	asText := c.Interface.Log != "json"
	return newLog(iface, c, eventlog.Format{NoTime: true}, func(level slog.Level, line []byte) {
		to := out
		if level >= slog.LevelWarn {
			to = err
		}
		if asText {
			line = append([]byte(iface+": "), line...)
		}
		_, _ = to.Write(line)
	})
}

// terminalLog is where a daemon in the foreground logs: stderr. Where that is
// systemd's journal, it says how grave a line is as sd-daemon(3) has it.
func terminalLog(iface string, c *config.Config) *slog.Logger {
	if !isJournal(os.Stderr) {
		return newLog(iface, c, eventlog.Format{}, func(_ slog.Level, line []byte) { _, _ = os.Stderr.Write(line) })
	}
	return newLog(iface, c, eventlog.Format{NoTime: true, NoLevel: true}, func(level slog.Level, line []byte) {
		_, _ = os.Stderr.Write(append([]byte(journalPrefix(level)), line...))
	})
}

// journalPrefix is the severity of syslog(3).
func journalPrefix(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return "<3>"
	case level >= slog.LevelWarn:
		return "<4>"
	}
	return "<6>"
}

// isJournal says that f is the stream that systemd has given to this process.
func isJournal(f *os.File) bool {
	var st syscall.Stat_t
	stream := os.Getenv("JOURNAL_STREAM")
	return stream != "" && syscall.Fstat(int(f.Fd()), &st) == nil && stream == fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
