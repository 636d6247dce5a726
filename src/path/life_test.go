package path

import (
	"testing"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

func remote(f *Fixed, _ *Settings) { f.Initiator = false }
func stream(f *Fixed, _ *Settings) { f.Datagram = false }

// fail lets nothing reach the peer until the path has failed.
func (u *tester) fail() {
	u.t.Helper()
	u.give(1, 100)
	for range 100 {
		u.send()
		if u.wait(10*ms)&EventFailed != 0 {
			u.Forget()
			return
		}
	}
	u.t.Fatal("a second without acknowledgements, and the path did not fail")
}

func TestALifeOfAPath(t *testing.T) {
	for name, edit := range map[string]func(*Fixed, *Settings){"local": nil, "remote": remote, "stream": stream} {
		t.Run(name, func(t *testing.T) {
			u := newTester(t, edit)
			u.is(Down)
			if u.Poll(u.now, true, u.out) != 0 || u.Usable() {
				t.Error("it does something while it is down")
			}
			u.comeUp()
			u.is(Up)
			for range 30 {
				u.exchange()
			}
			if !u.Ready(u.now, 1000) || u.RTT() < u.roundTrip {
				t.Fatalf("ready: %v, RTT %v", u.Ready(u.now, 1000), u.RTT())
			}
			u.fail()
			u.is(Failed)
			if u.Ready(u.now, 1000) {
				t.Error("ready while it has failed")
			}
			u.wait(time.Second)
			if events := u.respond(u.home, u.send()...); events != EventUp {
				t.Errorf("events %b when it answers again", events)
			}
			u.is(Up)
			if events := u.Detach(u.now); events != EventRescue {
				t.Errorf("events %b when it loses its flow", events)
			}
			u.is(Down)
			u.Forget()
			u.noneLeft()
		})
	}
}

func TestOnlyTheAddressChallengedProvesThePath(t *testing.T) {
	u := newTester(t, nil)
	u.Attach(u.now, u.home, overhead)
	sent := u.send()
	if len(sent) != 1 || sent[0].To != u.home || framed(sent[0], wire.FrameJoin) == nil {
		t.Fatalf("the path begins with %+v", sent)
	}
	for name, e := range map[string]Endpoint{"port": from("home", 4726), "flow": from("other", 4725)} {
		if u.respond(e, sent...) != 0 {
			t.Errorf("another %s proved the path", name)
		}
	}
	for i := range wire.ChallengeSize {
		wrong := append([]byte(nil), framed(sent[0], wire.FrameChallenge)...)
		if wrong[i] ^= 2; u.Responded(u.now, u.home, wrong) != 0 {
			t.Errorf("a nonce with byte %d wrong proved the path", i)
		}
	}
	if u.Responded(u.now, u.home, nil) != 0 {
		t.Error("no nonce proved the path")
	}
	u.is(Connecting)
	if u.respond(u.home, sent...) != EventUp {
		t.Error("the right response did not prove the path")
	}
	if u.respond(u.home, sent...) != 0 {
		t.Error("the response counted twice")
	}
}

func TestProofsAreRepeatedAndFallBackToShortOnes(t *testing.T) {
	u := newTester(t, nil)
	u.Attach(u.now, u.home, overhead)
	var at []time.Duration
	var padded []bool
	begin := u.now
	for u.now < begin.Add(5*time.Second) {
		for _, o := range u.send() {
			at = append(at, u.now.Sub(begin))
			padded = append(padded, overhead+wire.HeaderSize+len(o.Frames)+o.Pad+macSize == BaseMTU)
		}
		u.now = u.Deadline(u.now, true, false)
	}
	want := []time.Duration{0, 200 * ms, 600 * ms, 1200 * ms, 2000 * ms, 3000 * ms, 4000 * ms}
	for i, w := range want {
		if i >= len(at) || at[i] != w {
			t.Fatalf("asked at %v, want %v", at, want)
		}
		if short := i == 3 || i == 5; padded[i] == short {
			t.Errorf("try %d: padded %v", i+1, padded[i])
		}
	}
	if u.sent.inFlight > 1 {
		t.Errorf("it remembers %d tries: a path may be dead for weeks", u.sent.inFlight)
	}
}

func TestTheAnswerTellsWhichTryCameThrough(t *testing.T) {
	for _, c := range []struct {
		answered int // try
		mtu      int
	}{{0, BaseMTU}, {3, SmallestMTU}, {4, BaseMTU}} {
		u := newTester(t, nil)
		u.Attach(u.now, u.home, overhead)
		var tries []Outgoing
		for range 6 {
			tries = append(tries, u.send()...)
			u.wait(time.Second)
		}
		if u.respond(u.home, tries[c.answered]) != EventUp || u.MTU() != c.mtu {
			t.Errorf("try %d answered: MTU %d, want %d", c.answered+1, u.MTU(), c.mtu)
		}
	}
}

func TestChallengesAreAnsweredWhereTheyCameFrom(t *testing.T) {
	u := newUp(t, nil)
	other := from("other", 9)
	for i := range byte(2 * maxAnswers) {
		u.Challenged(other, []byte{i, 0, 0, 0, 0, 0, 0, 0}, i == 0)
	}
	u.Challenged(other, []byte("short"), true)
	sent := u.send()
	if len(sent) != maxAnswers {
		t.Fatalf("%d answers; they are bounded to %d", len(sent), maxAnswers)
	}
	for i, o := range sent {
		if nonce := framed(o, wire.FrameResponse); o.To != other || len(nonce) != wire.ChallengeSize || nonce[0] != byte(i) {
			t.Errorf("answer %d: %+v", i, o)
		}
		if (o.Pad > 0) != (i == 0) {
			t.Errorf("answer %d has a padding of %d", i, o.Pad)
		}
	}
}

// Suspicion and failure come in units of the path's own RTT.
func TestSuspicionAndFailureFollowTheRTT(t *testing.T) {
	for _, c := range []struct{ rtt, suspect, failed time.Duration }{
		{2 * ms, 20 * ms, 130 * ms},
		{20 * ms, 45 * ms, 160 * ms},
		{100 * ms, 150 * ms, 450 * ms},
		{600 * ms, 900 * ms, 2700 * ms},
	} {
		u := newTester(t, nil)
		u.roundTrip = c.rtt
		u.comeUp()
		for range 60 {
			u.give(1, 100)
			u.exchange()
		}
		u.give(1, 100)
		u.send()
		begin, suspect, failed := u.now, time.Duration(0), time.Duration(0)
		for failed == 0 && u.now.Sub(begin) < 10*time.Second {
			events := u.wait(ms)
			u.send()
			if u.Suspect() && suspect == 0 {
				suspect = u.now.Sub(begin)
				if events&EventRescue == 0 {
					t.Error("suspect, and no rescue")
				}
			}
			if events&EventFailed != 0 {
				failed = u.now.Sub(begin)
			}
		}
		if suspect < c.rtt || suspect > c.suspect || failed < max(3*c.rtt, silenceFails) || failed > c.failed {
			t.Errorf("RTT %v: suspect after %v, failed after %v; want %v, %v at most", c.rtt, suspect, failed, c.suspect, c.failed)
		}
	}
}

// The peer has just filled the queue before its own link: its acknowledgements
// are behind all that.
func TestAPathOnWhichThePeerIsHeardFailsLater(t *testing.T) {
	u := newUp(t, nil)
	u.give(1, 100)
	u.send()
	begin, suspect := u.now, time.Duration(0)
	for seq := uint32(1); u.now.Sub(begin) < 2*deafFails; seq++ {
		u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: seq}, 1000)
		if u.wait(20*ms)&EventFailed != 0 {
			break
		}
		u.send()
		if u.Suspect() && suspect == 0 {
			suspect = u.now.Sub(begin)
		}
	}
	u.is(Failed)
	if failed := u.now.Sub(begin); suspect > 60*ms || failed < deafFails || failed > deafFails+200*ms {
		t.Errorf("suspect after %v, failed after %v", suspect, failed)
	}
}

func TestASuspectPathIsCleared(t *testing.T) {
	u := newUp(t, nil)
	given := u.give(1, 100)
	flying := u.send()
	for !u.Suspect() {
		u.wait(ms)
	}
	if u.Usable() || u.Ready(u.now, 100) {
		t.Error("a suspect path takes packets")
	}
	rescued := u.TakeUnacknowledged(nil)
	if len(rescued) != 1 || rescued[0] != given[0] {
		t.Fatalf("rescued %v", rescued)
	}
	pings := u.send()
	if len(pings) != 1 || len(pings[0].Frames) != 0 || pings[0].Header.Type != wire.TypeControl {
		t.Errorf("it does not ask for a sign of life, but sends %+v", pings)
	}
	u.reach(flying...)
	u.hear()
	if u.Suspect() || !u.Ready(u.now, 100) {
		t.Error("still suspect after an acknowledgement")
	}
	if !rescued[0].Delivered {
		t.Error("the rescued packet does not know that it need not be sent again")
	}
	rescued[0].Release()
	u.noneLeft()
}

func TestOverdueProbesMakeNoSuspect(t *testing.T) {
	u := newUp(t, nil)
	u.mtu.start(u.now, BaseMTU)
	begin := u.now
	for u.mtu.searching() && u.now.Sub(begin) < time.Minute {
		for _, o := range u.send() {
			if o.Pad == 0 {
				u.reach(o)
			}
		}
		if u.wait(5 * ms); u.Suspect() {
			t.Fatalf("suspect %v after the search began", u.now.Sub(begin))
		}
		u.hear()
	}
	u.is(Up)
	if u.mtu.searching() || u.MTU() != BaseMTU {
		t.Errorf("MTU %d, searching: %v", u.MTU(), u.mtu.searching())
	}
}

func TestAnIdlePathIsAskedWhetherItLives(t *testing.T) {
	for _, c := range []struct {
		active, standby bool
		every           time.Duration
	}{{true, false, activePing}, {true, true, standbyPing}, {false, false, idlePing}} {
		u := newUp(t, nil)
		u.mtu.due = mono.Never
		asked := 0
		for end := u.now.Add(time.Minute); u.now < end; {
			u.Tick(u.now, c.active, c.standby)
			for _, o := range u.send() {
				asked++
				u.reach(o)
			}
			u.hear()
			u.now = min(u.Deadline(u.now, c.active, c.standby), end)
		}
		if want := int(time.Minute / c.every); asked < want-1 || asked > want+1 {
			t.Errorf("active %v, standby %v: asked %d times in a minute, want %d", c.active, c.standby, asked, want)
		}
	}
}

// The peer learns of another metric, however often that is lost, and once.
func TestANewMetricIsToldUntilItIsHeard(t *testing.T) {
	u := newUp(t, nil)
	u.SetMetric(7)
	joins := func(all []Outgoing) (n int) {
		for _, o := range all {
			if f, _, err := wire.NextFrame(o.Frames); err == nil && f.Type == wire.FrameJoin {
				if j, err := wire.ParseJoin(f.Body); err != nil || j.Metric != 7 {
					t.Errorf("%+v, %v", j, err)
				}
				n++
			}
		}
		return n
	}
	for try := range 3 {
		if n := joins(u.send()); n != 1 {
			t.Fatalf("try %d: told %d times", try, n)
		}
		lost := u.sent.next - 1
		u.Ping()
		u.send()
		u.Acknowledge(u.now, &wire.Ack{Largest: uint32(lost + 1), Ack: uint32(lost + 1), Nack: uint32(lost)})
	}
	if n := joins(u.send()); n != 1 {
		t.Fatalf("told %d times after the last loss", n)
	}
	told := uint32(u.sent.next - 1)
	u.Acknowledge(u.now, &wire.Ack{Largest: told, Ack: told, Nack: told - 1})
	if all := u.send(); len(all) != 0 {
		t.Errorf("%d messages more: %+v", len(all), all)
	}

	r := newUp(t, remote)
	r.SetMetric(7)
	if n := joins(r.send()); n != 0 {
		t.Error("the remote portal joins")
	}
}

func TestASparedPathTakesNothing(t *testing.T) {
	for name, edit := range map[string]func(*Fixed, *Settings){"udp": nil, "tcp": stream} {
		u := newUp(t, edit)
		u.Spared = true
		if u.Usable() || u.Ready(u.now, 100) {
			t.Errorf("%s: it takes data", name)
		}
		u.suspect, u.LastResort = true, true
		if u.Ready(u.now, 100) {
			t.Errorf("%s: it takes data as the last resort", name)
		}
		u.suspect, u.Spared = false, false
		if !u.Usable() || !u.Ready(u.now, 100) {
			t.Errorf("%s: it takes no data when it must", name)
		}
	}
}
