package daemon

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
)

// Prometheus gets the metrics while the tunnel runs, and no longer.
func TestMetricsAreServed(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(busy.Addr().String())
	busy.Close()
	o := options(t, &host{})
	o.Config.Interface.Metrics = at
	ended := start(t, t.Context(), o)
	var text string
	for deadline := time.Now().Add(5 * time.Second); text == "" && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if r, err := http.Get("http://" + at.String() + "/metrics"); err == nil {
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			text = string(b)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	for _, want := range []string{`netcombiner_info{interface="nc0",role="local",version="v1"} 1`, `netcombiner_mtu_bytes{interface="nc0"} 1400`} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	askDown(t)
	if err := await(t, ended); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", at.String()); err == nil {
		t.Error("it still listens")
	}
}

// A port in use keeps nobody from the Internet, and is said once.
func TestMetricsThatCannotBeServed(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	said := make(chan string, 10)
	log := slog.New(slog.NewTextHandler(writerFunc(func(b []byte) { said <- string(b) }), nil))
	var metrics scraped
	undo := metrics.serve(netip.MustParseAddrPort(busy.Addr().String()), func() control.Status { return control.Status{} }, log)
	if line := <-said; !strings.Contains(line, "address already in use") {
		t.Errorf("said %q", line)
	}
	_ = undo()

	// And whoever looks at the tunnel sees it.
	o := options(t, &host{})
	o.Config.Interface.Metrics = netip.MustParseAddrPort(busy.Addr().String())
	ended := start(t, t.Context(), o)
	var hints []string
	for deadline := time.Now().Add(5 * time.Second); hints == nil && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if c, err := control.Dial(o.Interface); err == nil {
			if s, err := c.Status(); err == nil {
				hints = s.Hints
			}
			c.Close()
		}
	}
	if len(hints) != 1 || !strings.Contains(hints[0], "nobody can ask for the metrics: listen tcp "+busy.Addr().String()) {
		t.Errorf("the hints are %q", hints)
	}
	askDown(t)
	if err := await(t, ended); err != nil {
		t.Fatal(err)
	}
}

type writerFunc func([]byte)

func (f writerFunc) Write(b []byte) (int, error) { f(b); return len(b), nil }

// What systemd gives as stderr is told from a terminal or file.
func TestTheJournalGetsSeverities(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	old := os.Stderr
	os.Stderr = f
	defer func() { os.Stderr = old }()
	c := &config.Config{}
	terminalLog("nc0", c).Warn("path failed", "path", "dsl")
	t.Setenv("JOURNAL_STREAM", streamOf(t, f.Name()))
	terminalLog("nc0", c).Warn("path failed", "path", "dsl")
	c.Interface.Log = "json"
	terminalLog("nc0", c).Error("ended")
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(b, []byte("\n"))
	if len(lines) != 4 || !bytes.HasPrefix(lines[0], []byte("time=")) || !bytes.HasSuffix(lines[0], []byte(` level=WARN msg="path failed" path=dsl`)) ||
		string(lines[1]) != `<4>msg="path failed" path=dsl` || string(lines[2]) != `<3>{"level":"ERROR","msg":"ended","tunnel":"nc0"}` {
		t.Errorf("%s", b)
	}
}

func streamOf(t *testing.T, file string) string {
	t.Helper()
	var st syscall.Stat_t
	if err := syscall.Stat(file, &st); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
