// Package clients serves a listener's clients, a bounded number at once, and ends
// without leaving one behind.
package clients

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Server accepts on one listener.
type Server struct {
	listener net.Listener
	kind     Kind

	mu      sync.Mutex
	conns   map[net.Conn]bool
	closing bool
	done    sync.WaitGroup
}

// Kind says how clients are treated. Its functions are called from several
// goroutines.
type Kind struct {
	Most int // at once
	// Serve serves one; the connection is closed when it returns. It is told the
	// Server, whose first client may come before the function Serve has returned.
	Serve  func(*Server, net.Conn)
	Refuse func(net.Conn) // one too many, who is hung up on then; nil: without a word
	End    func(net.Conn) // makes Serve return soon
}

// Serve begins to accept on l, which the server owns from now on.
func Serve(l net.Listener, k Kind) *Server {
	s := &Server{listener: l, kind: k, conns: make(map[net.Conn]bool)}
	s.done.Go(s.accept)
	return s
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Unlisten accepts nobody any more. Who is connected is still served.
func (s *Server) Unlisten() error {
	if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Close ends every client, and returns when nothing runs any more.
func (s *Server) Close() error {
	err := s.Unlisten()
	s.mu.Lock()
	s.closing = true
	for c := range s.conns {
		s.kind.End(c)
	}
	s.mu.Unlock()
	s.done.Wait()
	return err
}

// Await gives c so long to say something; or returns false, once Close has begun:
// what End did to c is not undone.
func (s *Server) Await(c net.Conn, patience time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closing && c.SetReadDeadline(time.Now().Add(patience)) == nil
}

func (s *Server) accept() {
	for {
		c, err := s.listener.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // out of files: others will close some
			time.Sleep(100 * time.Millisecond)
		case s.admit(c):
			s.done.Go(func() { s.serve(c) })
		default:
			if s.kind.Refuse != nil {
				s.kind.Refuse(c)
			}
			c.Close()
		}
	}
}

func (s *Server) admit(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing || len(s.conns) >= s.kind.Most {
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
	s.kind.Serve(s, c)
}
