package daemon

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

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
// one its words go where they can be read.
func TestForegroundsLog(t *testing.T) {
	o := Options{Interface: "nc0", Config: &config.Config{}}
	t.Setenv("NETCOMBINER_LOG", "syslog")
	_, err := dialSyslog(o.Interface, o.Config)
	toTerminal := writesToStderr(t, func() { foregroundLog(o).Info("path up") })
	if toTerminal == (err == nil) {
		t.Errorf("syslog: %v, and the terminal has the line: %v", err, toTerminal)
	}
	t.Setenv("NETCOMBINER_LOG", "")
	if !writesToStderr(t, func() { foregroundLog(o).Info("path up") }) {
		t.Error("the terminal does not have the line")
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
