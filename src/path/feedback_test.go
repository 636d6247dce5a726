package path

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"netcombiner/src/wire"
)

// isData leaves out all but inner packets.
func isData(messages []Outgoing) (data []Outgoing) {
	for _, o := range messages {
		if o.Header.Type == wire.TypeData {
			data = append(data, o)
		}
	}
	return data
}

func TestAcknowledgedPacketsGoHome(t *testing.T) {
	u := newUp(t, nil)
	given := u.give(10, 1000)
	sent := isData(u.send())
	if len(sent) != 10 || u.InFlight() != 10 || u.pool.Outstanding() != 10 {
		t.Fatalf("%d sent, %d in flight, %d out of the pool", len(sent), u.InFlight(), u.pool.Outstanding())
	}
	given[0].Retain() // somebody has it besides
	u.reach(sent[:4]...)
	u.hear()
	if u.InFlight() != 6 || u.pool.Outstanding() != 7 {
		t.Errorf("%d in flight, %d out of the pool", u.InFlight(), u.pool.Outstanding())
	}
	if !given[0].Delivered {
		t.Error("the packet does not know that it was delivered")
	}
	given[0].Release()
	u.reach(sent[4:]...)
	u.hear()
	u.noneLeft()
	if u.Lost != 0 || u.Loss() != 0 {
		t.Errorf("%d lost, share %v", u.Lost, u.Loss())
	}
}

func TestAcknowledgementsOfWhatWasNeverSentAreIgnored(t *testing.T) {
	u := newUp(t, nil)
	u.give(10, 1000)
	last := uint32(0)
	for _, o := range u.send() {
		last = o.Header.Sequence
	}
	full := wire.Ack{Words: wire.MaxAckWords}
	for i := range full.Received {
		full.Received[i] = ^uint64(0)
	}
	for name, a := range map[string]wire.Ack{
		"largest never sent":    {Ack: last, Largest: last + 1},
		"far ahead":             {Ack: last + 1<<30, Largest: last + 1<<30},
		"half the numbers away": {Ack: last + 1<<31, Largest: last + 1<<31},
		"ACK above largest":     {Ack: last, Largest: last - 1},
		"NACK above ACK":        {Ack: last - 5, Nack: last - 4, Largest: last},
	} {
		for _, words := range []wire.Ack{{}, full} {
			a.Words, a.Received = words.Words, words.Received
			before := u.rtt
			u.Acknowledge(u.now, &a)
			if u.InFlight() != 10 || u.Lost != 0 || u.rtt != before {
				t.Fatalf("%s: %d in flight, %d lost", name, u.InFlight(), u.Lost)
			}
		}
	}
	u.Acknowledge(u.now, &wire.Ack{Ack: last, Largest: last})
	u.noneLeft()
	u.Acknowledge(u.now, &wire.Ack{Ack: last - 5, Nack: last - 5, Largest: last - 5}) // late, and no news
	if u.Lost != 0 {
		t.Error("what is settled was lost afterwards")
	}
}

func TestTheBitmapAcknowledgesBehindAGap(t *testing.T) {
	u := newUp(t, nil)
	u.give(60, 1000)
	sent := isData(u.send())
	for i, o := range sent {
		if i%10 != 3 {
			u.reach(o)
		}
	}
	u.hear()
	if u.InFlight() != 6 || u.Lost != 0 {
		t.Fatalf("%d in flight, %d lost; want the 6 in the gaps to be waited for", u.InFlight(), u.Lost)
	}
	u.now = u.now.Add(minReorderWait / 2)
	u.reach(sent[3]) // one of them was only late
	u.now = u.now.Add(minReorderWait)
	u.hear()
	if u.InFlight() != 0 || u.Lost != 5 {
		t.Errorf("%d in flight, %d lost; want 0, 5", u.InFlight(), u.Lost)
	}
	u.noneLeft()
}

func TestALostAcknowledgementIsMadeUpForByTheNext(t *testing.T) {
	u := newUp(t, nil)
	u.give(60, 1000)
	sent := isData(u.send())
	u.reach(sent[:20]...)
	u.reach(sent[25:40]...)
	var lost wire.Ack
	u.peer.ack(u.now, &lost)
	u.reach(sent[41:]...)
	u.now = u.now.Add(minReorderWait)
	u.hear() // all holes were given up before the sender heard of any
	if u.Lost != 6 || u.InFlight() != 0 {
		t.Errorf("%d lost, %d in flight; want 6, 0", u.Lost, u.InFlight())
	}
}

func TestLossIsToldOnceAndShrinksTheWindow(t *testing.T) {
	u := newUp(t, func(_ *Fixed, s *Settings) { s.Congestion = "newreno" })
	window := u.Window()
	u.give(window, 1000)
	sent := isData(u.send())
	u.reach(sent[2:]...)
	u.now = u.now.Add(minReorderWait)
	u.hear()
	u.hear()
	if u.Lost != 2 || u.Window() >= window {
		t.Errorf("%d lost, window %d → %d", u.Lost, window, u.Window())
	}
	if want := 2 / float64(window); u.Loss() > want || u.Loss() < want/2 {
		t.Errorf("loss is %.3f, about %.3f was lost", u.Loss(), want)
	}
}

func TestALostProbeIsNoCongestion(t *testing.T) {
	u := newTester(t, func(_ *Fixed, s *Settings) { s.Congestion = "newreno" })
	u.comeUp()
	window := u.Window()
	for range 100 { // the search, over a path of 1,400
		for _, o := range u.send() {
			if overhead+wire.HeaderSize+len(o.Frames)+o.Pad+macSize <= 1400 {
				u.reach(o)
			}
		}
		u.wait(u.roundTrip)
		u.hear()
	}
	if u.MTU() != 1400 {
		t.Fatalf("found an MTU of %d", u.MTU())
	}
	if u.Lost != 0 || u.Loss() != 0 || u.Window() < window {
		t.Errorf("%d lost, loss %v, window %d → %d", u.Lost, u.Loss(), window, u.Window())
	}
}

func TestRTTLeavesOutWhatThePeerWaited(t *testing.T) {
	u := newUp(t, nil)
	u.rtt.restart()
	u.give(1, 1000)
	seq := u.send()[0].Header.Sequence
	u.now = u.now.Add(50 * ms)
	u.Acknowledge(u.now, &wire.Ack{Ack: seq, Largest: seq, Delay: uint16(30 * ms / ackDelayUnit)})
	if u.RTT() < 20*ms || u.RTT() > 20*ms+ackDelayUnit {
		t.Errorf("RTT %v, want 20 ms", u.RTT())
	}

	u.give(1, 1000)
	seq = u.send()[0].Header.Sequence
	before := u.rtt
	u.now = u.now.Add(5 * time.Second)
	u.Acknowledge(u.now, &wire.Ack{Ack: seq, Largest: seq, Delay: maxDelay}) // that, or more
	if u.rtt != before {
		t.Errorf("RTT %v learnt from a delay that is not known", u.RTT())
	}
}

func TestTheLogGrowsWithTheWindowAndNotWithTime(t *testing.T) {
	u := newUp(t, nil)
	room := len(u.sent.entries)
	for seq := range uint32(10_000) { // nothing but acknowledgements, which nobody acknowledges
		u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: seq + 1}, 100)
		u.AcknowledgeNow(u.now)
		u.reach(u.send()...)
	}
	if len(u.sent.entries) != room || u.InFlight() != 0 {
		t.Errorf("the log grew from %d to %d, %d in flight", room, len(u.sent.entries), u.InFlight())
	}
	for range 10_000 { // one message in flight, and acknowledgements alone
		u.give(1, 100)
		for range 5 {
			u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: uint32(u.received.largest + 1)}, 100)
			u.AcknowledgeNow(u.now)
			u.reach(u.send()...)
		}
		u.hear()
	}
	if len(u.sent.entries) != room {
		t.Errorf("the log grew from %d to %d with %d in flight", room, len(u.sent.entries), u.InFlight())
	}
	u.give(5000, 100)
	sent := u.send()
	if u.InFlight() != 5000 || len(u.sent.entries) != 8192 {
		t.Errorf("%d in flight, a log of %d", u.InFlight(), len(u.sent.entries))
	}
	u.reach(sent...)
	u.hear()
	u.noneLeft()
}

// Whatever arrives, gets lost, is rescued or forgotten: every reference that
// the path had goes back exactly once. (Packet panics at the second time.)
func TestEveryReferenceIsSettledOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		u := newUp(t, nil)
		given, rescued := 0, 0
		var flying []Outgoing
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			switch rapid.IntRange(0, 6).Draw(rt, "step") {
			case 0, 1:
				n := rapid.IntRange(1, 40).Draw(rt, "packets")
				u.give(n, 500)
				given += n
			case 2:
				flying = append(flying, u.send()...)
			case 3, 4: // some arrive, some do not, in any order
				for _, i := range rapid.Permutation(flying).Draw(rt, "order") {
					if rapid.IntRange(0, 9).Draw(rt, "luck") > 1 {
						u.reach(i)
					}
				}
				flying = nil
				u.now = u.now.Add(time.Duration(rapid.IntRange(0, 5).Draw(rt, "ms")) * ms)
				u.hear()
			case 5:
				for _, p := range u.TakeUnacknowledged(nil) {
					rescued++
					p.Release()
				}
			case 6:
				u.Forget()
			}
			if u.pool.Outstanding() > u.sent.inFlight+u.outbox.Len() {
				rt.Fatalf("%d packets out, %d in flight and %d in the outbox", u.pool.Outstanding(), u.sent.inFlight, u.outbox.Len())
			}
		}
		u.Forget()
		if u.pool.Outstanding() != 0 || u.sent.inFlight != 0 || rescued > given {
			rt.Fatalf("%d of %d packets out, %d in flight, %d rescued", u.pool.Outstanding(), given, u.sent.inFlight, rescued)
		}
	})
}

func TestAPacketIsRescuedOnce(t *testing.T) {
	u := newUp(t, nil)
	u.give(5, 500)
	u.send()
	u.give(3, 500) // still in the outbox
	first := u.TakeUnacknowledged(nil)
	if len(first) != 8 || u.Reinjected != 5 {
		t.Errorf("%d rescued, %d counted; want 8, 5 of which were sent", len(first), u.Reinjected)
	}
	if again := u.TakeUnacknowledged(nil); len(again) != 0 {
		t.Errorf("%d rescued again", len(again))
	}
	u.give(1, 500)
	u.send()
	if more := u.TakeUnacknowledged(nil); len(more) != 1 {
		t.Errorf("%d rescued, want the new one", len(more))
	} else {
		first = append(first, more...)
	}
	for _, p := range first {
		p.Release()
	}
	u.Forget()
	u.noneLeft()
}
