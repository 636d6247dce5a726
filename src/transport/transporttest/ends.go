package transporttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"net/netip"
	"testing"

	"netcombiner/src/transport"
)

// bufferSize is large enough for a message of every transport.
const bufferSize = transport.MaxMessage

// batch returns n messages with buffers of size bytes to receive into.
func batch(n, size int) []transport.Message {
	ms := make([]transport.Message, n)
	for i := range ms {
		ms[i].Buf = make([]byte, size)
	}
	return ms
}

// text returns a message whose bytes all follow from number and size.
func text(number, size int) []byte {
	b := make([]byte, max(size, 4))
	for i := range b {
		b[i] = byte(i*7 + number*13)
	}
	binary.BigEndian.PutUint32(b, uint32(number))
	return b
}

// inbox collects what a flow receives.
type inbox struct {
	flow transport.Flow
	ms   []transport.Message // buffers
	n    int                 // of ms filled
	next int                 // of those not yet taken
}

func newInbox(f transport.Flow) *inbox { return &inbox{flow: f, ms: batch(16, bufferSize)} }

// take returns the next message, whose Buf is cut to N; it is overwritten by
// later calls.
func (b *inbox) take(t *testing.T) transport.Message {
	t.Helper()
	if b.next == b.n {
		n, err := b.flow.Receive(b.ms)
		if err != nil {
			t.Fatalf("Receive: %v", err)
		}
		if n < 1 || n > len(b.ms) {
			t.Fatalf("Receive returned %d of %d messages and no error", n, len(b.ms))
		}
		b.n, b.next = n, 0
	}
	m := b.ms[b.next]
	b.next++
	m.Buf = m.Buf[:m.N]
	return m
}

func send(t *testing.T, f transport.Flow, ms ...transport.Message) {
	t.Helper()
	if n, err := f.Send(ms); n != len(ms) || err != nil {
		t.Fatalf("Send of %d messages: %d, %v", len(ms), n, err)
	}
}

// ends are both flows of a path.
type ends struct {
	setup    Setup
	listener transport.Listener
	// dialled is connected. Its first message has arrived at accepted, so that
	// accepted, which may be any number of remotes', knows where to answer:
	// question holds the addresses.
	dialled, accepted transport.Flow
	question          transport.Message
	atDialled         *inbox
	atAccepted        *inbox
}

func listen(t *testing.T, s Setup) transport.Listener {
	t.Helper()
	l, err := s.Listener.Listen(context.Background(), s.At)
	if err != nil {
		t.Fatalf("Listen: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, s Setup, l transport.Listener) transport.Flow {
	t.Helper()
	f, err := s.Dialer.Dial(context.Background(), s.Bind, target(s, l))
	if err != nil {
		t.Fatalf("Dial: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func accept(t *testing.T, l transport.Listener) transport.Flow {
	t.Helper()
	f, err := l.Accept()
	if err != nil {
		t.Fatalf("Accept: %v", err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// target is where to dial to reach l.
func target(s Setup, l transport.Listener) netip.AddrPort {
	addr := l.Addr()
	switch {
	case !addr.Addr().IsUnspecified():
		return addr
	case s.Target.IsValid():
		return netip.AddrPortFrom(s.Target, addr.Port())
	}
	return netip.AddrPortFrom(s.Bind.Addr, addr.Port())
}

// connect makes both flows and carries one message from the dialled to the
// accepted.
func connect(t *testing.T, s Setup) *ends {
	t.Helper()
	e := &ends{setup: s, listener: listen(t, s)}
	e.dialled = dial(t, s, e.listener)
	send(t, e.dialled, transport.Message{Buf: text(0, 20)})
	e.accepted = accept(t, e.listener)
	e.atDialled, e.atAccepted = newInbox(e.dialled), newInbox(e.accepted)
	e.question = e.atAccepted.take(t)
	if !bytes.Equal(e.question.Buf, text(0, 20)) {
		t.Fatalf("the first message came as %x", e.question.Buf)
	}
	if a, ok := e.accepted.(transport.Authenticator); ok {
		a.Authenticated()
	}
	return e
}

// answer returns a message to the dialled flow.
func (e *ends) answer(buf []byte) transport.Message {
	return transport.Message{Buf: buf, Remote: e.question.Remote, Local: e.question.Local}
}
