// Package transporttest proves that a transport keeps the contract of package
// transport. Every transport's tests run it, the simulated ones' too: it makes
// no sockets of its own, and waits for nothing but its flows.
package transporttest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"

	"netcombiner/src/transport"
)

// Setup is what a test runs on: two ends that reach each other, over a network
// that loses, reorders and duplicates nothing.
type Setup struct {
	// Dialer and Listener are the two ends' transports; they may be one.
	Dialer, Listener transport.Transport
	// At is where the listener listens; its port may be 0.
	At netip.AddrPort
	// Target is where a listener at a wildcard address is reached; zero: at
	// Bind's, which is this host's.
	Target netip.Addr
	// Bind is how the dialer leaves, and More how a second and a third do where
	// ports do not tell them apart.
	Bind transport.Bind
	More [2]transport.Bind
	// Portless says that the transport has no ports: they are all 0.
	Portless bool
	// Longest is the longest message that the network carries, in bytes.
	Longest int
}

// Run runs every test of the contract, each on a new Setup.
func Run(t *testing.T, setup func(t *testing.T) Setup) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s Setup)
	}{
		{"Exchange", testExchange},
		{"OrderWithinBatch", testOrder},
		{"Sizes", testSizes},
		{"OversizeDropped", testOversize},
		{"EmptyRefused", testEmpty},
		{"Addresses", testAddresses},
		{"CloseEndsReceive", testCloseEndsReceive},
		{"CloseEndsSend", testCloseEndsSend},
		{"ListenerClose", testListenerClose},
		{"SeveralDialers", testSeveralDialers},
		{"Concurrent", testConcurrent},
		{"NothingKept", testNothingKept},
		{"DialCancelled", testDialCancelled},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, setup(t)) })
	}
}

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

func testExchange(t *testing.T, s Setup) {
	e := connect(t, s)
	for i := range 100 {
		send(t, e.accepted, e.answer(text(i, 100)))
		if m := e.atDialled.take(t); !bytes.Equal(m.Buf, text(i, 100)) {
			t.Fatalf("answer %d came as %x", i, m.Buf)
		}
		send(t, e.dialled, transport.Message{Buf: text(i, 200)})
		if m := e.atAccepted.take(t); !bytes.Equal(m.Buf, text(i, 200)) {
			t.Fatalf("question %d came as %x", i, m.Buf)
		}
	}
}

func testOrder(t *testing.T, s Setup) {
	e := connect(t, s)
	const n = 200 // more than any implementation moves at once
	up, down := make([]transport.Message, n), make([]transport.Message, n)
	for i := range n {
		up[i] = transport.Message{Buf: text(i, 60+i)}
		down[i] = e.answer(text(n+i, 300-i))
	}
	send(t, e.dialled, up...)
	send(t, e.accepted, down...)
	for i := range n {
		if m := e.atAccepted.take(t); !bytes.Equal(m.Buf, up[i].Buf) {
			t.Fatalf("instead of message %d came %x", i, m.Buf)
		}
		if m := e.atDialled.take(t); !bytes.Equal(m.Buf, down[i].Buf) {
			t.Fatalf("instead of answer %d came %x", i, m.Buf)
		}
	}
}

func testSizes(t *testing.T, s Setup) {
	e := connect(t, s)
	for i, size := range []int{4, 5, 63, 1400, 1472, s.Longest - 1, s.Longest} {
		if size > s.Longest {
			continue
		}
		send(t, e.dialled, transport.Message{Buf: text(i, size)})
		if m := e.atAccepted.take(t); !bytes.Equal(m.Buf, text(i, size)) {
			t.Fatalf("a message of %d bytes came as another of %d", size, m.N)
		}
		send(t, e.accepted, e.answer(text(i, size)))
		if m := e.atDialled.take(t); !bytes.Equal(m.Buf, text(i, size)) {
			t.Fatalf("an answer of %d bytes came as another of %d", size, m.N)
		}
	}
}

func testOversize(t *testing.T, s Setup) {
	e := connect(t, s)
	large := min(1000, s.Longest)
	send(t, e.dialled,
		transport.Message{Buf: text(1, 50)},
		transport.Message{Buf: text(2, large)},
		transport.Message{Buf: text(3, 60)},
		transport.Message{Buf: text(4, large)},
		transport.Message{Buf: text(5, large-1)})
	ms := batch(8, large-1)
	var got [][]byte
	for len(got) < 3 {
		n, err := e.accepted.Receive(ms)
		if err != nil {
			t.Fatalf("Receive: %v", err)
		}
		for _, m := range ms[:n] {
			got = append(got, bytes.Clone(m.Buf[:m.N]))
		}
	}
	for i, want := range [][]byte{text(1, 50), text(3, 60), text(5, large-1)} {
		if !bytes.Equal(got[i], want) {
			t.Fatalf("message %d is one of %d bytes, not of %d", i, len(got[i]), len(want))
		}
	}
}

func testEmpty(t *testing.T, s Setup) {
	e := connect(t, s)
	ms := []transport.Message{{Buf: text(1, 50)}, {}, {Buf: text(2, 50)}}
	n, err := e.dialled.Send(ms)
	if _, ok := errors.AsType[*transport.RefusedError](err); n != len(ms) || !ok {
		t.Fatalf("Send with an empty message: %d, %v, want all and a RefusedError", n, err)
	}
	for i := 1; i <= 2; i++ {
		if m := e.atAccepted.take(t); !bytes.Equal(m.Buf, text(i, 50)) {
			t.Fatalf("instead of message %d came %x", i, m.Buf)
		}
	}
}

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

// testConcurrent sends both ways at once and closes in the middle: for the
// race detector, and for order and content meanwhile.
func testConcurrent(t *testing.T, s Setup) {
	e := connect(t, s)
	size := min(1200, s.Longest)
	var wait sync.WaitGroup
	sendAll := func(f transport.Flow, to func(buf []byte) transport.Message) {
		for number := 0; ; {
			ms := make([]transport.Message, 1+number%40)
			for i := range ms {
				ms[i] = to(text(number, size))
				number++
			}
			_, err := f.Send(ms)
			if _, ok := errors.AsType[*transport.RefusedError](err); err != nil && !ok {
				return // closed, by either end
			}
		}
	}
	received := make(chan struct{}, 2)
	receiveAll := func(f transport.Flow) error {
		ms := batch(32, 2000)
		last, count := -1, 0
		for {
			n, err := f.Receive(ms)
			if err != nil {
				if count < 500 {
					return fmt.Errorf("ended after %d messages: %w", count, err)
				}
				return nil
			}
			for _, m := range ms[:n] {
				number := int(binary.BigEndian.Uint32(m.Buf))
				if !bytes.Equal(m.Buf[:m.N], text(number, size)) {
					return fmt.Errorf("message %d came changed", number)
				}
				if number <= last {
					return fmt.Errorf("message %d came after %d", number, last)
				}
				last = number
				if count++; count == 500 {
					received <- struct{}{}
				}
			}
		}
	}
	wait.Go(func() {
		sendAll(e.dialled, func(buf []byte) transport.Message { return transport.Message{Buf: buf} })
	})
	wait.Go(func() { sendAll(e.accepted, e.answer) })
	failed := make(chan error, 2)
	wait.Go(func() { failed <- receiveAll(e.dialled) })
	wait.Go(func() { failed <- receiveAll(e.accepted) })
	for range 2 {
		select {
		case <-received:
		case err := <-failed:
			t.Error(err)
		}
	}
	wait.Go(func() { e.dialled.Close() })
	wait.Go(func() { e.dialled.Close() })
	wait.Go(func() { e.accepted.Close() })
	wait.Wait()
	close(failed)
	for err := range failed {
		if err != nil {
			t.Error(err)
		}
	}
}

// testNothingKept overwrites each buffer as soon as it is the test's again.
func testNothingKept(t *testing.T, s Setup) {
	e := connect(t, s)
	buf := text(1, 100)
	for i := range 50 {
		copy(buf, text(i, 100))
		send(t, e.dialled, transport.Message{Buf: buf})
		clear(buf)
		if m := e.atAccepted.take(t); !bytes.Equal(m.Buf, text(i, 100)) {
			t.Fatalf("message %d came as %x", i, m.Buf)
		}
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
