package control

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/clients"
)

// What one client, or all of them, may take.
const (
	maxConns     = 16
	idleTimeout  = time.Minute     // between two requests
	writeTimeout = 5 * time.Second // for an answer to be taken
)

// Server answers on an interface's control socket.
//
// Its Close lets answers under way go out, and removes the socket; Unlisten only
// removes it.
type Server struct{ *clients.Server }

// Serve opens the control socket of iface and answers on it until Close. The
// caller holds the interface's Lock: so a socket that is there already is a
// dead daemon's.
func Serve(iface string, h Handler) (*Server, error) {
	path := SocketPath(iface)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// The mask, not a chmod afterwards, closes the socket to others: at no
	// moment can they connect. Who they are (SO_PEERCRED) is not asked: Linux and
	// FreeBSD let nobody connect who may not write the file, and where root opens it
	// to a group, say for monitoring, that is meant.
	old := unix.Umask(0o077)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		if errors.Is(err, unix.EINVAL) {
			return nil, fmt.Errorf("control socket %s: the path is too long", path)
		}
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return &Server{clients.Serve(l, clients.Kind{
		Most:   maxConns,
		Serve:  func(s *clients.Server, c net.Conn) { serveOne(s, c, h) },
		Refuse: refuse,
		End:    func(c net.Conn) { _ = c.SetReadDeadline(time.Now()) },
	})}, nil
}

func refuse(c net.Conn) {
	_ = c.SetDeadline(time.Now().Add(time.Millisecond)) // an empty buffer takes it at once
	_, _ = c.Write([]byte(`{"ok":false,"error":"too many connections"}` + "\n"))
}

func serveOne(s *clients.Server, c net.Conn, h Handler) {
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, MaxLine)
	for s.Await(c, idleTimeout) && lines.Scan() {
		text := answer(lines.Bytes(), h)
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.Write(text); err != nil {
			return
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		_ = c.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, _ = fmt.Fprintf(c, `{"ok":false,"error":"request longer than %d bytes"}`+"\n", MaxLine)
	}
}
