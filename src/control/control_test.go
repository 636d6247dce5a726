package control

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if iface := os.Getenv("LOCK_AND_WAIT"); iface != "" { // the other process of TestLockDiesWithItsHolder
		if _, err := AcquireLock(iface); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("locked")
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// daemon is the Handler of the tests.
type daemon struct {
	mu     sync.Mutex
	status Status
	downs  int
	down   func() error

	changes []Request
	notes   []string
	refusal error
}

func (d *daemon) Status() Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status
}

func (d *daemon) Down() error {
	d.mu.Lock()
	d.downs++
	d.mu.Unlock()
	if d.down != nil {
		return d.down()
	}
	return nil
}

func (d *daemon) Change(command string, c Change) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.changes = append(d.changes, Request{command, c})
	return d.notes, d.refusal
}

// inTempDir moves the sockets to a folder of the test's own.
func inTempDir(t *testing.T) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nc") // t.TempDir's names are too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	old := Dir
	Dir = filepath.Join(dir, "run")
	t.Cleanup(func() { Dir = old; os.RemoveAll(dir) })
}

func serve(t *testing.T, iface string, h Handler) *Server {
	t.Helper()
	if err := makeDir(); err != nil {
		t.Fatal(err)
	}
	s, err := Serve(iface, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func dial(t *testing.T, iface string) *Client {
	t.Helper()
	c, err := Dial(iface)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestStatusAndDown(t *testing.T) {
	inTempDir(t)
	d := &daemon{status: Status{Interface: "nc0", Role: "local", MTU: 1420, Paths: []Path{{Name: "dsl", State: "up"}}}}
	serve(t, "nc0", d)
	c := dial(t, "nc0")
	for range 2 { // a connection serves many requests
		s, err := c.Status()
		if err != nil || s.Interface != "nc0" || len(s.Paths) != 1 || s.Paths[0].Name != "dsl" {
			t.Fatalf("status %+v, %v", s, err)
		}
	}
	if err := c.Down(); err != nil || d.downs != 1 {
		t.Errorf("down: %v, called %d times", err, d.downs)
	}
	d.down = func() error { return errors.New("a route would not go") }
	if err := c.Down(); err == nil || err.Error() != "a route would not go" {
		t.Errorf("a failed down: %v", err)
	}
}

func TestSocketIsPrivate(t *testing.T) {
	inTempDir(t)
	serve(t, "nc0", &daemon{})
	info, err := os.Stat(SocketPath("nc0"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if dir, err := os.Stat(Dir); err != nil || dir.Mode().Perm() != 0o755 {
		t.Errorf("folder: %v, %v, want 0755", dir.Mode(), err)
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	inTempDir(t)
	if err := makeDir(); err != nil {
		t.Fatal(err)
	}
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: SocketPath("nc0"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if _, err := Dial("nc0"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a dead daemon's socket: %v", err)
	}
	s := serve(t, "nc0", &daemon{})
	dial(t, "nc0")
	if all, err := Interfaces(); err != nil || len(all) != 1 || all[0] != "nc0" {
		t.Errorf("interfaces %v, %v", all, err)
	}
	s.Close()
	if _, err := Dial("nc0"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after Close: %v", err)
	}
	if all, err := Interfaces(); err != nil || len(all) != 0 {
		t.Errorf("interfaces after Close %v, %v", all, err)
	}
}

// The answer to "down" goes out although it is the last thing that happens:
// the socket is gone by then, and Close waits for the answer.
func TestDownIsAnsweredLast(t *testing.T) {
	inTempDir(t)
	asked, undone := make(chan bool), make(chan bool)
	s := serve(t, "nc0", &daemon{down: func() error { close(asked); <-undone; return nil }})
	c := dial(t, "nc0")
	result := make(chan error, 1)
	go func() { result <- c.Down() }()
	<-asked
	if err := s.Unlisten(); err != nil {
		t.Error(err)
	}
	if _, err := Dial("nc0"); !errors.Is(err, ErrNotRunning) {
		t.Errorf("still listening: %v", err)
	}
	close(undone)
	s.Close()
	if err := <-result; err != nil {
		t.Errorf("down: %v", err)
	}
}

func TestServerIsBounded(t *testing.T) {
	inTempDir(t)
	serve(t, "nc0", &daemon{})
	for range maxConns {
		if _, err := dial(t, "nc0").Status(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := dial(t, "nc0").Status(); err == nil || err.Error() != "too many connections" {
		t.Errorf("connection %d: %v", maxConns+1, err)
	}
}

func TestLongRequestIsRefused(t *testing.T) {
	inTempDir(t)
	serve(t, "nc0", &daemon{})
	conn, err := net.Dial("unix", SocketPath("nc0"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// The server may close while we write: what counts is its answer.
	_, _ = conn.Write([]byte(strings.Repeat("x", 2*MaxLine)))
	line, err := bufio.NewReader(conn).ReadString('\n')
	if !strings.Contains(line, "longer than 65536 bytes") {
		t.Errorf("answer %q, %v", line, err)
	}
}

func TestAnswer(t *testing.T) {
	for request, want := range map[string]string{
		`{"command":"status"}`:           `{"ok":true,"status":{"interface":"nc0"`,
		`{"command":"down"}`:             `{"ok":true}` + "\n",
		`{"command":"dance"}`:            `unknown command \"dance\"; allowed: status, down`,
		`{}`:                             `unknown command \"\"`,
		``:                               `not a request`,
		`status`:                         `not a request`,
		`{"command":"status","x":1}`:     `unknown field`,
		`{"command":"status"} {}`:        `more than one object`,
		`{"command":` + "\x00" + `"sta"`: `not a request`,
	} {
		got := string(answer([]byte(request), &daemon{status: Status{Interface: "nc0"}}))
		if !strings.Contains(got, want) || strings.Contains(got, `"ok":true`) != strings.Contains(want, `"ok":true`) {
			t.Errorf("%s\n got %s want %s", request, got, want)
		}
	}
	got := string(answer([]byte(`{"command":"status"}`), &daemon{status: Status{UptimeS: math.NaN()}}))
	if !strings.Contains(got, `"ok":false,"error":"json:`) {
		t.Errorf("a status that JSON cannot hold: %s", got)
	}
}
