package path

import (
	"testing"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

func TestReady(t *testing.T) {
	u := newUp(t, func(_ *Fixed, s *Settings) { s.Congestion = "newreno" })
	if !u.Ready(u.now, 1400) {
		t.Fatal("an idle path takes nothing")
	}
	if u.Ready(u.now, MaxMTU) || u.Carries(MaxMTU) {
		t.Error("it takes a packet that is too long with its headers")
	}
	window := u.Window()
	if window >= outboxLimit {
		t.Fatalf("a window of %d", window)
	}
	u.give(window-1, 100)
	if !u.Ready(u.now, 100) {
		t.Error("not ready with room for one more")
	}
	u.give(1, 100)
	if u.Ready(u.now, 100) {
		t.Error("ready with the window in the outbox")
	}
	flying := u.send()
	if u.Ready(u.now, 100) {
		t.Error("ready with the window in flight")
	}
	u.reach(flying[0])
	u.hear()
	if !u.Ready(u.now, 100) {
		t.Error("not ready after an acknowledgement")
	}
}

func TestTheOutboxIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		edit  func(*Fixed, *Settings)
		limit int
	}{"datagrams": {nil, outboxLimit}, "stream": {stream, outboxLimitStream}} {
		u := newUp(t, c.edit)
		n := 0
		for ; u.Ready(u.now, 100) && n < 1000; n++ {
			u.give(1, 100)
		}
		if n != c.limit {
			t.Errorf("%s: an outbox of %d, want %d", name, n, c.limit)
		}
		u.send()
		if !u.Ready(u.now, 100) {
			t.Errorf("%s: not ready with an empty outbox", name)
		}
	}
}

func TestAReceiveOnlyPathTakesNothing(t *testing.T) {
	u := newUp(t, func(_ *Fixed, s *Settings) { s.Send = false })
	if u.Usable() || u.Ready(u.now, 100) {
		t.Error("it takes packets")
	}
}

func TestFillRisesWithWhatIsOnThePath(t *testing.T) {
	u := newUp(t, nil)
	last := u.Fill()
	for range 20 {
		u.give(20, 1400)
		u.send()
		if f := u.Fill(); f <= last {
			t.Fatalf("filled %v, and before the last packets %v", f, last)
		} else {
			last = f
		}
	}
}

func TestPacingKeepsTheRate(t *testing.T) {
	const rate = 8_000_000
	u := newUp(t, func(_ *Fixed, s *Settings) { s.Rate = rate })
	bytes, begin := 0, u.now
	for u.now < begin.Add(time.Second) {
		for u.Ready(u.now, 1000) {
			u.give(1, 1000)
			bytes += u.outer(1000)
		}
		u.reach(u.send()...)
		u.hear()
		next := u.PaceDeadline(u.now)
		if next <= u.now || next > u.now.Add(5*ms) {
			t.Fatalf("the next packet may go %v from now", next.Sub(u.now))
		}
		u.now = next
	}
	if got := 8 * bytes; got < rate || got > rate*102/100 { // and one burst at the start
		t.Errorf("%d bit in a second of %d bit/s", got, rate)
	}
	u.now = u.now.Add(time.Minute)
	burst := 0
	for u.Ready(u.now, 1000) {
		u.give(1, 1000)
		burst += 8 * u.outer(1000)
	}
	if most := int(rate*paceBurst.Seconds()) + 2*8*u.outer(1000); burst > most {
		t.Errorf("%d bit at once after a pause, want %d at most", burst, most)
	}
}

func TestAnAcknowledgementRidesOnAnyMessageWithRoom(t *testing.T) {
	u := newUp(t, nil)
	seq := uint32(0)
	receive := func() {
		seq++
		u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: seq}, 1000)
	}
	receive()
	if sent := u.send(); len(sent) != 0 {
		t.Errorf("one message is acknowledged at once: %+v", sent)
	}
	u.give(1, 100)
	if sent := u.send(); len(sent) != 1 || !sent[0].Header.HasAck || sent[0].Ack.Ack != seq {
		t.Errorf("the next message carries no acknowledgement: %+v", sent)
	}
	for range ackEvery - 1 {
		receive()
	}
	if u.HasOutput(u.now, true) {
		t.Error("an acknowledgement goes alone too early")
	}
	receive()
	if sent := u.send(); len(sent) != 1 || sent[0].Header.Type != wire.TypeAck || sent[0].Ack.Ack != seq {
		t.Errorf("after %d messages: %+v", ackEvery, sent)
	}
	receive()
	if at := u.Deadline(u.now, true, false); at != u.now.Add(maxAckDelay) {
		t.Errorf("the acknowledgement is due %v from now", at.Sub(u.now))
	}
	u.wait(maxAckDelay)
	if sent := u.send(); len(sent) != 1 || sent[0].Header.Type != wire.TypeAck {
		t.Errorf("after %v: %+v", maxAckDelay, sent)
	}
	receive()
	u.AcknowledgeNow(u.now) // a ping
	if sent := u.send(); len(sent) != 1 || sent[0].Header.Type != wire.TypeAck {
		t.Errorf("a ping is answered by %+v", sent)
	}
	u.Receive(u.now, &wire.Header{Type: wire.TypeAck, Sequence: seq + 1}, 100)
	u.wait(time.Millisecond)
	if sent := u.send(); len(sent) != 0 {
		t.Errorf("an acknowledgement is acknowledged: %+v", sent)
	}
}

func TestAQueueOfLongPacketsDoesNotKeepAcknowledgementsBack(t *testing.T) {
	u := newUp(t, nil)
	longest, _ := u.InnerMTU()
	u.give(outboxLimit, longest)
	for seq := range uint32(ackEvery) {
		u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: 1 + seq}, 1000)
	}
	n := u.Poll(u.now, true, u.out[:2])
	if n != 2 || u.out[0].Header.Type != wire.TypeAck || u.out[1].Header.Type != wire.TypeData || u.out[1].Header.HasAck {
		t.Errorf("sends %+v first", u.out[:n])
	}
}

func TestNoMessageIsLongerThanThePathCarries(t *testing.T) {
	u := newUp(t, nil)
	u.mtu.start(u.now, BaseMTU)
	longest, _ := u.InnerMTU()
	u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: 1}, 1000)
	u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: 400}, 1000) // a long bitmap
	for size := longest - 2*wire.AckMaxSize; size <= longest; size++ {
		u.AcknowledgeNow(u.now)
		u.give(1, size)
		for _, o := range u.send() {
			n := overhead + wire.HeaderSize + len(o.Frames) + o.Pad + macSize
			if o.Packet != nil {
				n = overhead + wire.HeaderSize + size + u.Trailer
			}
			if o.Header.HasAck {
				n += o.Ack.Size()
			}
			if o.Pad == 0 && n > BaseMTU {
				t.Fatalf("a packet of %d makes a message of %d, on a path of %d", size, n, BaseMTU)
			}
		}
	}
}

func TestWithoutASessionOnlyRawMessagesGo(t *testing.T) {
	u := newTester(t, nil)
	u.TellRaw([]byte("HELLO"))
	if u.HasOutput(u.now, false) {
		t.Error("a path without a flow would send")
	}
	u.Attach(u.now, u.home, overhead)
	u.TellRaw([]byte("HELLO 2"))
	if n := u.Poll(u.now, false, u.out); n != 1 || string(u.out[0].Raw) != "HELLO 2" || u.out[0].To != u.home {
		t.Errorf("%d messages, %+v", n, u.out[0])
	}
	if u.HasOutput(u.now, false) {
		t.Error("and then something else")
	}
	if n := u.Poll(u.now, true, u.out); n != 1 || u.out[0].Raw != nil {
		t.Errorf("with a session: %d messages", n)
	}
}

func TestControlFramesAreBounded(t *testing.T) {
	u := newUp(t, nil)
	for range 2 * maxTold {
		u.Tell([]byte{byte(wire.FrameClose), 0, 0})
	}
	if sent := u.send(); len(sent) != maxTold {
		t.Errorf("%d frames sent, want %d", len(sent), maxTold)
	}
}

func TestHasOutputAgreesWithPoll(t *testing.T) {
	u := newTester(t, nil)
	u.Attach(u.now, u.home, overhead)
	for step := range 3000 {
		if step == 500 {
			u.respond(u.home, Outgoing{Frames: wire.AppendFrame(nil, wire.FrameChallenge, u.candidate.nonce[:])})
		}
		if step%7 == 0 && u.Ready(u.now, 100) {
			u.give(1, 100)
		}
		has := u.HasOutput(u.now, true)
		searching := u.mtu.searching()
		n := u.Poll(u.now, true, u.out[:1])
		if n > 0 != has && searching == u.mtu.searching() { // the end of a search looks like output
			t.Fatalf("step %d: HasOutput %v, and Poll returns %d", step, has, n)
		}
		if n == 1 {
			u.reach(u.out[0])
			if u.out[0].Packet != nil {
				u.out[0].Packet.Release()
			}
			u.hear()
		}
		if at := u.Deadline(u.now, true, false); n == 0 && at != mono.Never {
			u.now = max(at, u.now+1)
			u.Tick(u.now, true, false)
		}
	}
	u.is(Up)
}
