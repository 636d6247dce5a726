package session

import (
	"crypto/rand"
	"testing"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

func TestRekeyTiming(t *testing.T) {
	local, _ := established(t, start)
	for _, c := range []struct {
		at   time.Duration
		sent uint64
		want bool
	}{
		{0, 0, false},
		{rekeyAfter - 1, 0, false},
		{rekeyAfter - 1, rekeyMessages - 1, false},
		{time.Second, rekeyMessages, true},
		{rekeyAfter, 0, true},
		{endAfter - 1, 0, true},
		{endAfter, 0, false}, // there is no session to do it in
	} {
		local.end(0)
		if got := local.Rekey(start.Add(c.at), c.sent) != nil; got != c.want {
			t.Errorf("at %v, %d sent: %v", c.at, c.sent, got)
		}
	}
	if local.Sending(start.Add(endAfter-1)) == nil || local.Sending(start.Add(endAfter)) != nil {
		t.Error("keys do not end after 120 s")
	}
}

// TestManyMessagesRekeyOnce: the caller's count starts anew with the keys.
func TestManyMessagesRekeyOnce(t *testing.T) {
	local, remote := established(t, start)
	hello := local.Rekey(start, rekeyMessages)
	reply, _, err := remote.HandleInside(start, wire.FrameHello, hello)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := local.HandleInside(start, wire.FrameReply, reply); err != nil {
		t.Fatal(err)
	}
	if local.Rekey(start, 1000) != nil {
		t.Error("rekeys again after 1000 messages")
	}
	if local.Rekey(start, rekeyMessages) == nil {
		t.Error("does not rekey after 2^31 more")
	}
}

func TestARekeyIsTriedAgain(t *testing.T) {
	local, _ := established(t, start)
	now, last, tries := start.Add(rekeyAfter), mono.Time(0), 0
	for ; now < start.Add(endAfter); now = now.Add(10 * time.Millisecond) {
		if local.Rekey(now, 0) == nil {
			continue
		}
		tries++
		if gap := now.Sub(last); gap < helloAgain || last != 0 && gap > helloAgainMax+10*time.Millisecond {
			t.Errorf("a try %v after the one before", gap)
		}
		last = now
		if at := local.RekeyAt(); at <= now {
			t.Fatalf("RekeyAt is %v ago", now.Sub(at))
		}
	}
	if tries < 15 {
		t.Errorf("%d tries in 20 s", tries)
	}
}

func TestOldKeysGo(t *testing.T) {
	local, remote := established(t, start)
	now := start
	for range 10 {
		now = now.Add(rekeyAfter)
		old := remote.Sending(now)
		rekey(t, now, local, remote)
		if remote.Sending(now) != old {
			t.Fatal("the remote seals with keys that nobody used yet")
		}
		if events := prove(t, now, local, remote); events != EventKeys|EventSend {
			t.Fatalf("events %b", events)
		}
		for name, s := range map[string]*Session{"local": local, "remote": remote} {
			if n := count(s.Table()); n != 2 {
				t.Errorf("%s: %d epochs in use after a rekeying", name, n)
			}
			s.Tick(now.Add(keepAfter))
			if n := count(s.Table()); n != 2 {
				t.Errorf("%s: %d epochs in use after 10 s", name, n)
			}
			if events := s.Tick(now.Add(keepAfter + 1)); events != EventKeys || count(s.Table()) != 1 {
				t.Errorf("%s: %d epochs in use after more than 10 s", name, count(s.Table()))
			}
		}
		if remote.Holds(old) {
			t.Error("the old keys are still held")
		}
	}
	for _, s := range []*Session{local, remote} {
		s.Tick(now.Add(endAfter + keepAfter + 1))
		if count(s.Table()) != 0 || s.Sending(now.Add(endAfter)) != nil {
			t.Error("keys outlive the session")
		}
	}
}

func TestARestartCountsOnceItIsProved(t *testing.T) {
	local, remote := established(t, start)
	remote.Window.Accept(1000)
	old, window := remote.Sending(start), remote.Window
	restarted := newSession(t, true, 3, nil)
	shake(t, start, restarted, remote)
	if !remote.Holds(old) || remote.Sending(start) != old || remote.Window != window {
		t.Fatal("a HELLO alone ended the session")
	}
	if opens(remote, local.Sending(start)) == nil {
		t.Fatal("the live peer is not heard any more")
	}
	if events := prove(t, start, restarted, remote); events != EventKeys|EventSend|EventPeer {
		t.Errorf("the proof: events %b", events)
	}
	if remote.Holds(old) || count(remote.Table()) != 1 {
		t.Error("the keys of the process before are still held")
	}
	if remote.Window == window || !remote.Window.Check(1000) {
		t.Error("the window remembers the process before")
	}
}

// TestNumbersNeverRunOut: whatever epochs an honest initiator holds, and
// however many handshakes came to nothing, there is one for new keys.
func TestNumbersNeverRunOut(t *testing.T) {
	for inUse := range uint8(1 << wire.Epochs) {
		if n := inUse&1 + inUse>>1&1 + inUse>>2&1 + inUse>>3; n > 2 {
			continue // an initiator holds two at most
		}
		local, remote := established(t, start)
		rekey(t, start.Add(rekeyAfter), local, remote)
		prove(t, start.Add(rekeyAfter), local, remote)
		guard := handshake.NewGuard(psk)
		sending := remote.Sending(start)
		for range 5 {
			_, hello, err := handshake.NewInitiator(guard, rand.Reader,
				handshake.Hello{Instance: 1, InUse: inUse, Suites: []auth.ID{auth.Blake2s}})
			if err != nil {
				t.Fatal(err)
			}
			if answer, _, err := remote.HandleInside(start, wire.FrameHello, hello); answer == nil || err != nil {
				t.Errorf("in use %04b: %v", inUse, err)
			}
			if len(remote.pending) > maxPending || !remote.Holds(sending) {
				t.Errorf("in use %04b: %d pending, the keys in use are held: %v", inUse, len(remote.pending), remote.Holds(sending))
			}
			for _, e := range remote.pending {
				if !remote.Holds(e) {
					t.Errorf("in use %04b: pending keys are not held", inUse)
				}
			}
		}
	}
}

func TestDropForgetsAllKeys(t *testing.T) {
	local, remote := established(t, start)
	for _, s := range []*Session{local, remote} {
		e := s.Sending(start)
		if events := s.Drop(); events != EventKeys || s.Sending(start) != nil || s.Holds(e) || count(s.Table()) != 0 {
			t.Errorf("keys after Drop: events %b", events)
		}
	}
	if local.RoundAt() > start {
		t.Error("the next HELLO is not due")
	}
	shake(t, start, local, remote)
	if events := prove(t, start, local, remote); events&EventPeer != 0 {
		t.Error("the same process is taken for another")
	}
}

func TestUnprovedKeysAreNoticed(t *testing.T) {
	local, remote := pair(t)
	if remote.Unproved(start) != 0 {
		t.Error("no keys, and they are unproved")
	}
	shake(t, start, local, remote)
	if d := remote.Unproved(start.Add(time.Second)); d != time.Second {
		t.Errorf("unproved for %v after a second", d)
	}
	prove(t, start, local, remote)
	if remote.Unproved(start.Add(time.Second)) != 0 {
		t.Error("proved, and unproved")
	}
}

// TestPendingKeysEnd: whoever holds the first message under new keys up until
// they seal nothing any more has them dropped, not used.
func TestPendingKeysEnd(t *testing.T) {
	for _, c := range []struct {
		age  time.Duration
		live bool
	}{{endAfter - 1, true}, {endAfter, false}, {endAfter + 1, false}, {endAfter + keepAfter, false}} {
		for _, tick := range []bool{false, true} {
			local, remote := pair(t)
			shake(t, start, local, remote)
			e, now := opens(remote, local.Sending(start)), start.Add(c.age)
			if tick {
				if dropped := remote.Tick(now) == EventKeys; dropped == c.live || remote.Holds(e) != c.live {
					t.Errorf("after %v: dropped: %v", c.age, dropped)
				}
			}
			events := remote.Opened(now, e)
			if (events&EventSend != 0) != c.live || (remote.Sending(now) != nil) != c.live {
				t.Errorf("after %v, ticked %v: events %b, sends: %v", c.age, tick, events, remote.Sending(now) != nil)
			}
		}
	}
}
