package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/syslog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"netcombiner/src/config"
)

// procd tells the log that what comes by stderr is an error: only that goes there,
// and says itself how grave it is.
func TestProcdLog(t *testing.T) {
	for _, test := range []struct{ form, out, err string }{
		{"text", "nc0: level=INFO msg=\"path up\" path=dsl\n", "nc0: level=WARN msg=\"path failed\" path=dsl\n"},
		{"json", `{"level":"INFO","msg":"path up","tunnel":"nc0","path":"dsl"}` + "\n", `{"level":"WARN","msg":"path failed","tunnel":"nc0","path":"dsl"}` + "\n"},
	} {
		var out, err bytes.Buffer
		log := procdLog("nc0", &config.Config{Interface: config.Interface{Log: test.form}}, &out, &err)
		log.Info("path up", "path", "dsl")
		log.Warn("path failed", "path", "dsl")
		if out.String() != test.out || err.String() != test.err {
			t.Errorf("%s: %q and %q", test.form, out.String(), err.String())
		}
	}
}

// What daemon(8) runs stays in the foreground, and logs to syslog nevertheless. Without
// one its lines go where they can be read.
func TestForegroundsLog(t *testing.T) {
	o := Options{Interface: "nc0", Config: &config.Config{}}
	line := func() { foregroundLog(o).Warn("path failed") }
	heard := stubSyslog(t)
	t.Setenv("NETCOMBINER_LOG", "syslog")
	if writesToStderr(t, line) {
		t.Error("a line for syslog is on stderr")
	}
	tag, before := syslogName(runtime.GOOS, "nc0")
	if got, want := heard(), fmt.Sprintf("%s[%d]: %smsg=\"path failed\"\n", tag, os.Getpid(), before); !strings.HasPrefix(got, "<28>") || !strings.HasSuffix(got, want) {
		t.Errorf("syslog has %q, want <28> and %q", got, want)
	}
	openSyslog = func(string) (*syslog.Writer, error) { return nil, errors.New("no syslogd") }
	if !writesToStderr(t, line) {
		t.Error("without syslogd nobody has the line")
	}
	t.Setenv("NETCOMBINER_LOG", "")
	if !writesToStderr(t, line) {
		t.Error("the terminal does not have the line")
	}
}

// What FreeBSD's syslogd is to sort by program begins with letters and [123]: alone.
func TestSyslogName(t *testing.T) {
	for system, want := range map[string][2]string{"linux": {"netcombiner[nc0]", ""}, "freebsd": {"netcombiner", "nc0: "}} {
		if tag, before := syslogName(system, "nc0"); [2]string{tag, before} != want {
			t.Errorf("%s: %q, %q", system, tag, before)
		}
	}
}

// stubSyslog stands for the host's syslog, and returns what tells the next line.
func stubSyslog(t *testing.T) (next func() string) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	was := openSyslog
	t.Cleanup(func() { c.Close(); openSyslog = was })
	openSyslog = func(tag string) (*syslog.Writer, error) {
		return syslog.Dial("udp", c.LocalAddr().String(), syslog.LOG_DAEMON|syslog.LOG_INFO, tag)
	}
	return func() string {
		b := make([]byte, 1<<10)
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, _, err := c.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
}

// writesToStderr says whether do writes to stderr.
func writesToStderr(t *testing.T, do func()) bool {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	was := os.Stderr
	os.Stderr = file
	do()
	os.Stderr = was
	info, err := file.Stat()
	return err == nil && info.Size() > 0
}
