package transporttest

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"testing"

	"netcombiner/src/transport"
)

func testAddresses(t *testing.T, s Setup) {
	e := connect(t, s)
	at := target(s, e.listener)
	if got := e.dialled.Remote(); got != at {
		t.Errorf("the dialled flow's Remote is %v, want %v", got, at)
	}
	from := e.dialled.Local()
	if !from.Addr().IsValid() || from.Addr().IsUnspecified() || (from.Port() == 0) != s.Portless {
		t.Errorf("the dialled flow's Local is %v, want where it leaves from", from)
	}
	if s.Bind.Addr.IsValid() && from.Addr() != s.Bind.Addr {
		t.Errorf("the dialled flow's Local is %v, but bound to %v", from, s.Bind.Addr)
	}
	if got := e.question.Remote; got != from {
		t.Errorf("a message's Remote is %v, want %v", got, from)
	}
	if got := e.question.Local; got != at {
		t.Errorf("a message's Local is %v, want %v", got, at)
	}
	if s.Listener.Datagram() {
		if got := e.accepted.Remote(); got.IsValid() {
			t.Errorf("the listening flow's Remote is %v, want none", got)
		}
	} else if got := e.accepted.Remote(); got != from {
		t.Errorf("the accepted flow's Remote is %v, want %v", got, from)
	}
	send(t, e.accepted, e.answer(text(1, 50)))
	if m := e.atDialled.take(t); m.Remote != at || m.Local != from {
		t.Errorf("an answer's Remote and Local are %v and %v, want %v and %v", m.Remote, m.Local, at, from)
	}
	for _, a := range []netip.Addr{from.Addr(), e.question.Remote.Addr(), e.question.Local.Addr(), e.accepted.Local().Addr()} {
		if a.Is4In6() {
			t.Errorf("%v is an IPv4 address in IPv6's clothes", a)
		}
	}
}

func testCloseEndsReceive(t *testing.T, s Setup) {
	e := connect(t, s)
	for _, f := range []transport.Flow{e.dialled, e.accepted} {
		started := make(chan struct{})
		failed := make(chan error)
		go func() {
			close(started)
			_, err := f.Receive(batch(1, 2000))
			failed <- err
		}()
		<-started
		f.Close()
		// The far end of a stream hears of the close, and may say so instead.
		if err := <-failed; !errors.Is(err, transport.ErrClosed) && (f == e.dialled || s.Listener.Datagram()) {
			t.Errorf("Receive ended with %v, want ErrClosed", err)
		}
		if err := f.Close(); err != nil {
			t.Errorf("the second Close: %v", err)
		}
		if _, err := f.Receive(batch(1, 2000)); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Receive after Close: %v, want ErrClosed", err)
		}
		if _, err := f.Send([]transport.Message{e.answer(text(1, 50))}); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("Send after Close: %v, want ErrClosed", err)
		}
	}
}

// testCloseEndsSend closes a flow that sends to somebody who does not read, so
// that Send soon waits, where it does.
func testCloseEndsSend(t *testing.T, s Setup) {
	e := connect(t, s)
	ms := make([]transport.Message, 64)
	for i := range ms {
		ms[i] = transport.Message{Buf: text(i, min(1400, s.Longest))}
	}
	ended := make(chan error)
	first := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			if i == 1 {
				close(first)
			}
			_, err := e.dialled.Send(ms)
			if _, ok := errors.AsType[*transport.RefusedError](err); err != nil && !ok {
				ended <- err
				return
			}
		}
	}()
	<-first
	e.dialled.Close()
	if err := <-ended; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Send ended with %v, want ErrClosed", err)
	}
}

func testListenerClose(t *testing.T, s Setup) {
	l := listen(t, s)
	failed := make(chan error)
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				failed <- err
				return
			}
		}
	}()
	l.Close()
	if err := <-failed; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Accept ended with %v, want ErrClosed", err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	// The port is free again.
	again, err := s.Listener.Listen(context.Background(), l.Addr())
	if err != nil {
		t.Fatalf("Listen again: %v", err)
	}
	again.Close()
}

func testSeveralDialers(t *testing.T, s Setup) {
	l := listen(t, s)
	const dialers = 3
	flows := map[netip.AddrPort]transport.Flow{}
	var accepted *inbox
	for i := range dialers {
		if i > 0 && s.Portless {
			s.Bind = s.More[i-1]
		}
		f := dial(t, s, l)
		flows[f.Local()] = f
		send(t, f, transport.Message{Buf: text(i, 40)})
		if accepted == nil || !s.Listener.Datagram() {
			accepted = newInbox(accept(t, l))
		}
		m := accepted.take(t)
		if m.Remote != f.Local() || !bytes.Equal(m.Buf, text(i, 40)) {
			t.Fatalf("dialer %d at %v came as %x from %v", i, f.Local(), m.Buf, m.Remote)
		}
		send(t, accepted.flow, transport.Message{Buf: text(100+i, 40), Remote: m.Remote, Local: m.Local})
		if m := newInbox(f).take(t); !bytes.Equal(m.Buf, text(100+i, 40)) {
			t.Fatalf("dialer %d was answered %x", i, m.Buf)
		}
	}
	if len(flows) != dialers {
		t.Errorf("%d dialers have %d addresses", dialers, len(flows))
	}
}

func testDialCancelled(t *testing.T, s Setup) {
	l := listen(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if f, err := s.Dialer.Dial(ctx, s.Bind, target(s, l)); err == nil {
		f.Close()
		if !s.Dialer.Datagram() {
			t.Error("Dial waited for nothing though its context had ended")
		}
	}
}
