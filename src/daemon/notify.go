package daemon

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"netcombiner/src/control"
)

// notifier tells a service manager how the tunnel fares, in the manner of
// sd_notify(3). The zero value, of a process that none started, tells nobody.
type notifier struct {
	socket   string        // a path, or a name that begins with @
	watchdog time.Duration // the manager ends a process that is silent for so long; 0: it does not
	said     string        // the last STATUS
}

// statusEvery is how often the text of the status is looked at anew.
const statusEvery = 10 * time.Second

// newNotifier reads the manager's wishes, and takes them out of the
// environment: they are not meant for the commands that we run.
func newNotifier() *notifier {
	n := &notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	pid := os.Getenv("WATCHDOG_PID")
	if err == nil && usec > 0 && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		os.Unsetenv(name)
	}
	return n
}

// tell sends lines of the protocol. A manager that does not listen is its own
// trouble: the tunnel does without.
func (n *notifier) tell(lines string) {
	if n.socket == "" {
		return
	}
	// Package net takes a leading @ for the abstract namespace, as the protocol does.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer conn.Close()
	_ = conn.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = conn.Write([]byte(lines))
}

// running tells that the tunnel runs, and keeps the manager's view of it fresh.
// What it returns, once and for all, tells that the tunnel is about to stop.
func (n *notifier) running(status func() control.Status) (stopping func() error) {
	if n.socket == "" {
		return func() error { return nil }
	}
	n.tell("READY=1\nSTATUS=" + n.news(status()))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		n.follow(stop, status)
	}()
	return func() error {
		close(stop)
		<-done
		n.tell("STOPPING=1\nSTATUS=stopping")
		return nil
	}
}

// follow tells what is new, and feeds the watchdog, until stop closes. That the
// engine answers status is what the watchdog watches.
func (n *notifier) follow(stop <-chan struct{}, status func() control.Status) {
	every := statusEvery
	if n.watchdog > 0 {
		every = min(every, n.watchdog/2)
	}
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-stop:
			return
		}
		var lines string
		if text := n.news(status()); text != "" {
			lines = "STATUS=" + text + "\n"
		}
		if n.watchdog > 0 {
			lines += "WATCHDOG=1"
		}
		if lines != "" {
			n.tell(lines)
		}
	}
}

// news is the state in one line, or nothing where that was said last.
func (n *notifier) news(s control.Status) string {
	text := summary(s)
	if text == n.said {
		return ""
	}
	n.said = text
	return text
}

// summary is a tunnel's state in one line, for systemctl status.
func summary(s control.Status) string {
	paths := "no path yet"
	if len(s.Paths) > 0 {
		up := 0
		for _, p := range s.Paths {
			if p.Works() {
				up++
			}
		}
		paths = fmt.Sprintf("%d of %d paths up", up, len(s.Paths))
	}
	return "session " + s.Session.State + ", " + paths
}
