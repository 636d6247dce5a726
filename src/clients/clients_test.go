package clients

import (
	"io"
	"net"
	"testing"
	"time"
)

const patience = 10 * time.Second

func echo(t *testing.T, most int) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := Serve(l, Kind{
		Most:   most,
		Serve:  func(_ *Server, c net.Conn) { _, _ = io.Copy(c, c) },
		Refuse: func(c net.Conn) { _, _ = c.Write([]byte("full")) },
		End:    func(c net.Conn) { _ = c.SetReadDeadline(time.Now()) },
	})
	t.Cleanup(func() { s.Close() })
	return s
}

func dial(t *testing.T, s *Server) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// served says whether c is answered; otherwise it was told that the server is full.
func served(t *testing.T, c net.Conn) bool {
	t.Helper()
	_, _ = c.Write([]byte("ping"))
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return string(b) == "ping"
}

func TestNoMoreThanMost(t *testing.T) {
	s := echo(t, 2)
	first, second := dial(t, s), dial(t, s)
	if !served(t, first) || !served(t, second) {
		t.Fatal("two are one too many")
	}
	if served(t, dial(t, s)) {
		t.Error("a third is served")
	}
	first.Close()
	for end := time.Now().Add(patience); !served(t, dial(t, s)); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nobody is served in the place of one who left")
		}
	}
}

// A client that was there first is served as any other.
func TestFirstClientMayWaitForTheServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	awaited := make(chan bool, 1)
	s := Serve(l, Kind{
		Most:  1,
		Serve: func(s *Server, c net.Conn) { awaited <- s.Await(c, patience) },
		End:   func(c net.Conn) { c.Close() },
	})
	defer s.Close()
	if !<-awaited {
		t.Error("hung up on")
	}
}

func TestUnlistenLeavesClients(t *testing.T) {
	s := echo(t, 2)
	c := dial(t, s)
	if !served(t, c) {
		t.Fatal("not served")
	}
	if err := s.Unlisten(); err != nil {
		t.Fatal(err)
	}
	if !served(t, c) {
		t.Error("Unlisten ended a client")
	}
	if late, err := net.Dial("tcp", s.Addr().String()); err == nil {
		late.Close()
		t.Error("it still accepts")
	}
}

func TestCloseEndsAll(t *testing.T) {
	s := echo(t, 2)
	c := dial(t, s)
	if !served(t, c) {
		t.Fatal("not served")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a client outlived Close")
	}
	if s.Await(c, time.Minute) {
		t.Error("Await undoes what End did")
	}
}
