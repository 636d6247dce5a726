package transporttest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"testing"

	"netcombiner/src/transport"
)

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

// testRuns sends lengths in a row as a busy tunnel does, which a transport may
// carry in one piece, and takes them up a few at a time.
func testRuns(t *testing.T, s Setup) {
	e := connect(t, s)
	long := min(1000, s.Longest)
	var sizes []int
	for range 70 { // more than any implementation carries in one piece
		sizes = append(sizes, long)
	}
	sizes = append(sizes, long/2, long, long, 40, 40, 40, 50, 30, long)
	up, down := make([]transport.Message, len(sizes)), make([]transport.Message, len(sizes))
	for i, size := range sizes {
		up[i] = transport.Message{Buf: text(i, size)}
		down[i] = e.answer(text(1000+i, size))
	}
	e.atAccepted.ms, e.atDialled.ms = e.atAccepted.ms[:3], e.atDialled.ms[:3]
	send(t, e.dialled, up...)
	send(t, e.accepted, down...)
	for i := range sizes {
		m := e.atAccepted.take(t)
		if !bytes.Equal(m.Buf, up[i].Buf) || m.Remote != e.question.Remote || m.Local != e.question.Local {
			t.Fatalf("instead of message %d came %d bytes from %v to %v", i, m.N, m.Remote, m.Local)
		}
		if m := e.atDialled.take(t); !bytes.Equal(m.Buf, down[i].Buf) {
			t.Fatalf("instead of answer %d came %d bytes", i, m.N)
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
