package control

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// What one client, or all of them, may take.
const (
	maxConns     = 16
	idleTimeout  = time.Minute     // between two requests
	writeTimeout = 5 * time.Second // for an answer to be taken
)

// Server answers on an interface's control socket.
type Server struct {
	listener *net.UnixListener
	path     string
	handler  Handler

	mu      sync.Mutex
	conns   map[net.Conn]bool
	closing bool
	done    sync.WaitGroup
}

// Serve opens the control socket of iface and answers on it until Close. The
// caller holds the interface's Lock: so a socket that is there already is a
// dead daemon's.
func Serve(iface string, h Handler) (*Server, error) {
	path := SocketPath(iface)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	// The mask, not a chmod afterwards, closes the socket to others: at no
	// moment can they connect.
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
	s := &Server{listener: l, path: path, handler: h, conns: make(map[net.Conn]bool)}
	s.done.Go(s.accept)
	return s, nil
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of files: others will close some
			time.Sleep(100 * time.Millisecond)
		case !s.admit(c):
			_ = c.SetDeadline(time.Now().Add(time.Millisecond)) // an empty buffer takes it at once
			_, _ = c.Write([]byte(`{"ok":false,"error":"too many connections"}` + "\n"))
			c.Close()
		default:
			s.done.Go(func() { s.serve(c) })
		}
	}
}

func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) >= maxConns {
		return false
	}
	s.conns[c] = true
	return true
}

func (s *Server) serve(c net.Conn) {
	defer func() {
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
		c.Close()
	}()
	lines := bufio.NewScanner(c)
	lines.Buffer(nil, MaxLine)
	for s.awaitRequest(c) && lines.Scan() {
		text := answer(lines.Bytes(), s.handler)
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

// awaitRequest sets how long c may stay silent; no longer at all once Close
// has begun.
func (s *Server) awaitRequest(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closing && c.SetReadDeadline(time.Now().Add(idleTimeout)) == nil
}

// Unlisten removes the socket. Clients that are connected are still answered.
func (s *Server) Unlisten() error {
	err := s.listener.Close() // removes the socket file
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close removes the socket, lets answers under way go out, and ends.
func (s *Server) Close() error {
	err := s.Unlisten()
	s.mu.Lock()
	s.closing = true
	for c := range s.conns {
		_ = c.SetReadDeadline(time.Now())
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}
