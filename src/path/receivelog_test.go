package path

import (
	"testing"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

const (
	ms    = time.Millisecond
	start = mono.Time(time.Hour)
)

// logAt is a receive log with a clock of its own and a path without delay, so
// that a missing message is waited for minReorderWait unless disorder is seen.
type logAt struct {
	receiveLog
	t   *testing.T
	now mono.Time
	rtt time.Duration
}

func newLogAt(t *testing.T) *logAt { return &logAt{receiveLog: newReceiveLog(), t: t, now: start} }

// arrive takes messages, a microsecond apart.
func (l *logAt) arrive(sequences ...uint64) {
	l.t.Helper()
	for _, s := range sequences {
		l.now = l.now.Add(time.Microsecond)
		if !l.receive(l.now, s, 100) {
			l.t.Fatalf("%d was refused", s)
		}
	}
}

func (l *logAt) wait(d time.Duration) {
	l.now = l.now.Add(d)
	l.tick(l.now, l.rtt)
}

// says checks the acknowledgement that would go now.
func (l *logAt) says(ack, nack uint32) {
	l.t.Helper()
	var a wire.Ack
	l.ack(l.now, &a)
	if a.Ack != ack || a.Nack != nack || uint64(a.Largest) != l.largest {
		l.t.Errorf("ACK %d, NACK %d, largest %d; want %d, %d, %d", a.Ack, a.Nack, a.Largest, ack, nack, l.largest)
	}
}

// The three columns of the paper's Figure 3.2.

func TestAcknowledgementsInOrder(t *testing.T) {
	l := newLogAt(t)
	for s := uint64(1); s <= 7; s++ {
		l.arrive(s)
		l.says(uint32(s), 0)
	}
}

func TestAMissingMessageHoldsTheACK(t *testing.T) {
	l := newLogAt(t)
	l.arrive(1, 2, 3, 5, 6, 7)
	l.wait(minReorderWait - time.Microsecond*10)
	l.says(3, 0)
	l.arrive(4)
	l.says(7, 0)
}

func TestTheNACKGoesPastWhatNeverCame(t *testing.T) {
	l := newLogAt(t)
	l.arrive(1, 2, 3, 5, 6, 7)
	l.wait(minReorderWait)
	l.says(7, 4)
	l.arrive(8)
	l.says(8, 4)
	l.arrive(10)
	l.says(8, 4) // 9 is waited for now
	l.wait(minReorderWait)
	l.says(10, 9)
}

func TestAMessageAfterItsNACKIsStillFresh(t *testing.T) {
	l := newLogAt(t)
	l.arrive(1, 3)
	l.wait(minReorderWait)
	l.says(3, 2)
	l.arrive(2)
	l.says(3, 2) // what was said stays said …
	if l.receive(l.now, 2, 100) {
		t.Error("… and its replay was taken")
	}
}

func TestAllBeforeTheFirstMessageIsGivenUp(t *testing.T) {
	l := newLogAt(t)
	l.arrive(1000)
	l.says(1000, 999)
	l.arrive(999) // but may still come
	l.says(1000, 999)
}

func TestTheWaitFollowsTheRTT(t *testing.T) {
	for _, c := range []struct{ rtt, wait time.Duration }{
		{0, minReorderWait}, {4 * ms, minReorderWait}, {160 * ms, 10 * ms}, {10 * time.Second, maxReorderWait},
	} {
		l := newLogAt(t)
		if got := l.reorderWait(c.rtt); got != c.wait {
			t.Errorf("RTT %v: waits %v, want %v", c.rtt, got, c.wait)
		}
	}
}

func TestTheWaitFollowsTheLinksDisorder(t *testing.T) {
	l := newLogAt(t)
	l.arrive(1, 3)
	l.wait(40 * ms) // given up long ago
	l.arrive(2)
	if got := l.reorderWait(0); got < 50*ms || got > 51*ms {
		t.Fatalf("waits %v after a message was 40 ms late", got)
	}
	l.arrive(5)
	l.wait(45 * ms)
	l.says(3, 2) // now it has the patience
	l.arrive(4)
	l.says(5, 2)

	l.arrive(7)
	l.wait(maxReorderWait)
	before := l.late
	l.wait(holeMemory / 2)
	if l.arrive(6); l.late != before {
		t.Errorf("a message %v late made the wait %v: it is longer than any", maxReorderWait+holeMemory/2, l.late)
	}

	for range 10 {
		l.wait(lateMemory + ms)
	}
	if got := l.reorderWait(0); got != minReorderWait {
		t.Errorf("still waits %v, long after the last disorder", got)
	}
}

func TestTickAsksForAnAcknowledgementOnce(t *testing.T) {
	l := newLogAt(t)
	l.arrive(1, 3)
	if at := l.deadline(0); at != l.now.Add(minReorderWait) {
		t.Errorf("the deadline is %v from now", at.Sub(l.now))
	}
	if l.tick(l.now.Add(minReorderWait-1), 0) {
		t.Error("gave up too early")
	}
	if !l.tick(l.now.Add(minReorderWait), 0) {
		t.Error("did not give up in time")
	}
	if l.tick(l.now.Add(minReorderWait+1), 0) {
		t.Error("gave up twice")
	}
	if l.deadline(0) != mono.Never {
		t.Error("nothing is waited for, and there is a deadline")
	}
}

func TestReplaysAreRefused(t *testing.T) {
	l := newLogAt(t)
	l.arrive(1, 2, 5)
	for _, s := range []uint64{0, 1, 2, 5} {
		if l.receive(l.now, s, 100) {
			t.Errorf("%d was taken again", s)
		}
	}
	const far = 10 * receiveWindow
	l.arrive(far)
	for _, s := range []uint64{3, 5, far, far - receiveWindow} {
		if l.receive(l.now, s, 100) {
			t.Errorf("%d was taken with %d behind it", s, far)
		}
	}
	l.arrive(far-receiveWindow+1, far-1) // what is within the window was never here
}

func TestTheWindowForgetsNothingAsItMoves(t *testing.T) {
	l := newLogAt(t)
	for s := uint64(1); s < 3*receiveWindow; s += 7 {
		l.arrive(s)
	}
	for s := l.largest - receiveWindow + 1; s <= l.largest; s++ {
		if want := s%7 == 1; l.has(s) != want {
			t.Fatalf("%d: received %v, want %v", s, !want, want)
		}
	}
}

func TestHolesAreBounded(t *testing.T) {
	l := newLogAt(t)
	const n = 4 * maxHoles
	for s := uint64(1); s <= n; s += 2 {
		l.arrive(s) // every other one is missing
	}
	if len(l.holes) != maxHoles || cap(l.holes) != maxHoles {
		t.Errorf("%d holes, room for %d", len(l.holes), cap(l.holes))
	}
	gaveUp := uint32(n - 1 - 2*maxHoles - 1) // the even number before the oldest that is left
	l.says(gaveUp+1, gaveUp)

	// A hole that cannot be split stays, and is given up in the end.
	l = newLogAt(t)
	l.arrive(1, 10)
	for s := uint64(12); len(l.holes) < maxHoles; s += 2 {
		l.arrive(s)
	}
	l.arrive(5)
	l.says(1, 0)
	l.wait(minReorderWait)
	l.says(uint32(l.largest), uint32(l.largest-1))
}

func TestTheBitmapTellsWhatArrivedBetweenHoles(t *testing.T) {
	for _, c := range []struct {
		missing []uint64
		words   int
	}{
		{nil, 0},
		{[]uint64{999}, 1},
		{[]uint64{936}, 1},
		{[]uint64{935}, 2},
		{[]uint64{500, 900, 901, 999}, 8},
		{[]uint64{3, 400, 999}, 8}, // further back than it reaches
	} {
		l := newLogAt(t)
		missing := map[uint64]bool{}
		for _, s := range c.missing {
			missing[s] = true
		}
		for s := uint64(1); s <= 1000; s++ {
			if !missing[s] {
				l.arrive(s)
			}
		}
		var a wire.Ack
		l.ack(l.now, &a)
		if a.Words != c.words {
			t.Errorf("missing %v: %d words, want %d", c.missing, a.Words, c.words)
		}
		for back := range uint64(64 * a.Words) {
			s := l.largest - 1 - back
			if got := a.Received[back/64]>>(back%64)&1 != 0; got == missing[s] {
				t.Fatalf("missing %v: the bit of %d is %v", c.missing, s, got)
			}
		}
	}
}

func TestTheAcknowledgementsOtherFields(t *testing.T) {
	l := newLogAt(t)
	l.arrive(1, 2)
	arrived := l.now
	var a wire.Ack
	l.ack(l.now.Add(3*ms), &a)
	if want := uint16(3 * ms / ackDelayUnit); a.Delay != want {
		t.Errorf("delay %d, want %d", a.Delay, want)
	}
	if want := uint32(int64(arrived) / 1000); a.ReceivedAt != want || a.Delivered != 200 {
		t.Errorf("received at %d, delivered %d; want %d, 200", a.ReceivedAt, a.Delivered, want)
	}
	if l.ack(l.now.Add(time.Hour), &a); a.Delay != maxDelay {
		t.Errorf("delay %d after an hour, want the longest", a.Delay)
	}
}
