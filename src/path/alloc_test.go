package path

import (
	"testing"
	"time"

	"netcombiner/src/wire"
)

// inSteadyState checks that a round costs no memory once it has run a while.
func inSteadyState(t *testing.T, round func()) {
	t.Helper()
	for range 100 {
		round()
	}
	if n := testing.AllocsPerRun(1000, round); n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

// sender is a path in full use: each round a batch of packets is sent, and
// arrives, but for every lossEvery-th, where that is not 0.
type sender struct {
	*tester
	lossEvery, sent int
	ack             wire.Ack
}

func newSender(t testing.TB, lossEvery int) *sender {
	u := newUp(t, func(_ *Fixed, s *Settings) { s.Congestion = "newreno" })
	u.out = make([]Outgoing, 32)
	return &sender{tester: u, lossEvery: lossEvery}
}

func (s *sender) round() {
	s.fill()
	n := s.Poll(s.now, true, s.out)
	s.now = s.now.Add(time.Millisecond)
	for i := range s.out[:n] {
		o := &s.out[i]
		if o.Packet != nil {
			o.Packet.Release()
		}
		if s.sent++; s.lossEvery == 0 || s.sent%s.lossEvery != 0 {
			s.peer.receive(s.now, uint64(o.Header.Sequence), 1000)
		}
	}
	s.peer.tick(s.now, 0)
	s.peer.ack(s.now, &s.ack)
	s.Acknowledge(s.now, &s.ack)
	s.Tick(s.now, true, false)
	s.Deadline(s.now, true, false)
}

func TestSendingAllocatesNothing(t *testing.T) {
	for name, lossEvery := range map[string]int{"in order": 0, "with loss": 50, "with much loss": 3} {
		t.Run(name, func(t *testing.T) { inSteadyState(t, newSender(t, lossEvery).round) })
	}
}

// receiver is the other half: each round a batch arrives, some of it late.
type receiver struct {
	*tester
	seq      uint32
	disorder bool
}

func newReceiver(t testing.TB, disorder bool) *receiver {
	return &receiver{tester: newUp(t, nil), disorder: disorder}
}

func (r *receiver) round() {
	h := wire.Header{Type: wire.TypeData}
	for i := range uint32(32) {
		if h.Sequence = r.seq + i + 1; r.disorder {
			h.Sequence = r.seq + (i*5+2)%32 + 1 // a permutation
		}
		r.Receive(r.now, &h, 1000)
	}
	r.seq += 32
	r.now = r.now.Add(time.Millisecond)
	r.Tick(r.now, true, false)
	for n := r.Poll(r.now, true, r.out); n > 0; n = r.Poll(r.now, true, r.out) {
		for _, o := range r.out[:n] {
			r.peer.receive(r.now, uint64(o.Header.Sequence), 100)
		}
	}
}

func TestReceivingAllocatesNothing(t *testing.T) {
	for name, disorder := range map[string]bool{"in order": false, "out of order": true} {
		t.Run(name, func(t *testing.T) { inSteadyState(t, newReceiver(t, disorder).round) })
	}
}

// One packet is sent and acknowledged.
func BenchmarkSend(b *testing.B) {
	for name, lossEvery := range map[string]int{"in order": 0, "2 % loss": 50} {
		b.Run(name, func(b *testing.B) {
			s := newSender(b, lossEvery)
			b.ReportAllocs()
			for s.sent = 0; s.sent < b.N; {
				s.round()
			}
		})
	}
}

// One message is received.
func BenchmarkReceive(b *testing.B) {
	for name, disorder := range map[string]bool{"in order": false, "out of order": true} {
		b.Run(name, func(b *testing.B) {
			r := newReceiver(b, disorder)
			b.ReportAllocs()
			for i := 0; i < b.N; i += 32 {
				r.round()
			}
		})
	}
}

// One acknowledgement while a message is missing that thousands came after:
// its cost must not grow with the window.
func BenchmarkAcknowledgeBehindAGap(b *testing.B) {
	u := newUp(b, nil)
	u.give(8000, 100)
	sent := u.send()
	u.reach(sent[1:]...)
	var a wire.Ack
	u.peer.ack(u.now, &a)
	b.ReportAllocs()
	for b.Loop() {
		u.Acknowledge(u.now, &a)
	}
}
