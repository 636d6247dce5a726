package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/control"
)

// example is a tunnel with a bit of everything.
var example = control.Status{
	Interface: "nc0", Role: "local", Version: "v1", UptimeS: 12.5, MTU: 1420,
	Session: control.Session{State: "established", Suite: "aes128gcm", Handshakes: 2},
	Paths: []control.Path{
		{Name: `d"s\l`, Transport: "udp", State: "up", Tx: control.Count{Packets: 5, Bytes: 700}, Quota: &control.Quota{LimitBytes: 50e9}},
		{Name: "lte", Transport: "tcp", State: "failed", Failures: 3},
	},
	Totals: []control.Month{{Month: "2026-11", Paths: []control.PathTotal{{Name: "lte", Tx: control.Count{Bytes: 4e9}}}}},
}

// daemon answers with a status.
type daemon struct {
	control.Handler
	status control.Status
}

func (d daemon) Status() control.Status { return d.status }

// host moves the control sockets to a folder of the test's own.
func host(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nc") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	old := control.Dir
	control.Dir = dir
	t.Cleanup(func() { control.Dir = old; os.RemoveAll(dir) })
}

func daemonOf(t *testing.T, s control.Status) {
	t.Helper()
	server, err := control.Serve(s.Interface, daemon{status: s})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
}

func scrape(t *testing.T) (text string, status int) {
	t.Helper()
	w := httptest.NewRecorder()
	handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	return w.Body.String(), w.Code
}

// lines are the sorted samples of an exposition.
func lines(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line[0] != '#' {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	return all
}

// A scrape has what `netcombiner show --metrics` prints, of all tunnels, and
// says which do not answer.
func TestAllTunnelsAreExported(t *testing.T) {
	host(t)
	if text, status := scrape(t); status != 200 || text != "" {
		t.Errorf("without a tunnel: %d\n%s", status, text)
	}
	other := example
	other.Interface = "nc1"
	daemonOf(t, example)
	daemonOf(t, other)
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: control.SocketPath("nc2"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	killed.Close()
	text, status := scrape(t)
	want := lines(control.MetricsText(&example, &other) +
		"netcombiner_up{interface=\"nc0\"} 1\nnetcombiner_up{interface=\"nc1\"} 1\nnetcombiner_up{interface=\"nc2\"} 0\n")
	if got := lines(text); status != 200 || !slices.Equal(got, want) {
		t.Errorf("%d\ngot  %q\nwant %q", status, got, want)
	}
	promtool(t, []byte(text))
}

// A hundred tunnels of 64 paths are no more than many lines.
func TestManyTunnels(t *testing.T) {
	host(t)
	s := example
	s.Paths, s.Totals = nil, nil
	for i := range 64 {
		s.Paths = append(s.Paths, control.Path{Name: fmt.Sprintf("path%d", i), Transport: "udp", State: "up"})
	}
	for i := range 100 {
		s.Interface = fmt.Sprintf("nc%d", i)
		daemonOf(t, s)
	}
	text, status := scrape(t)
	if n := strings.Count(text, "netcombiner_path_up{"); status != 200 || n != 6400 {
		t.Errorf("%d, %d paths", status, n)
	}
}

func promtool(t *testing.T, text []byte) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		if _, err := exec.LookPath("apt-get"); err != nil || os.Getuid() != 0 {
			t.Skip("promtool is missing, and only root on Debian can install it")
		}
		if out, err := exec.Command("../../ci/need", "promtool:prometheus").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = bytes.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

// The program as it is started: good use and bad.
func TestTheProgram(t *testing.T) {
	host(t)
	daemonOf(t, example)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	for _, c := range []struct {
		args      []string
		status    int
		out, errs string
	}{
		{[]string{"--help"}, 0, "Example: netcombiner-exporter --listen", ""},
		{[]string{"--version"}, 0, "netcombiner-exporter unknown\n", ""},
		{[]string{"nc0"}, 2, "", "netcombiner-exporter: too much: \"nc0\"\n"},
		{[]string{"--lsten", "x"}, 2, "", "not defined: -lsten\n"},
		{[]string{"--listen", busy.Addr().String()}, 1, "", "address already in use: name another place by --listen\n"},
		{[]string{"--listen", "nonsense"}, 1, "", "missing port"},
	} {
		var out, errs bytes.Buffer
		if got := run(t.Context(), c.args, &out, &errs); got != c.status || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.errs) || (c.errs == "") != (errs.Len() == 0) {
			t.Errorf("%q: %d, %q, %q", c.args, got, &out, &errs)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	said, out := io.Pipe()
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"--listen", "127.0.0.1:0"}, out, io.Discard) }()
	url, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Get(strings.TrimSpace(url))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(r.Body)
	r.Body.Close()
	if r.StatusCode != 200 || !strings.Contains(string(body), `netcombiner_path_failures_total{interface="nc0",path="lte",transport="tcp"} 3`) {
		t.Errorf("%s\n%s", r.Status, body)
	}
	cancel()
	if status := <-ended; status != 0 {
		t.Errorf("ended with %d", status)
	}
}
