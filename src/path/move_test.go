package path

import (
	"testing"
	"time"

	"netcombiner/src/wire"
)

func TestAPathMovesOnceTheNewAddressIsProved(t *testing.T) {
	u := newUp(t, remote)
	old, next := u.home, from("home", 50_000) // a NAT gave the peer another port
	u.give(5, 500)
	u.send()
	u.Moved(u.now, next)
	sent := u.send()
	if len(sent) != 1 || sent[0].To != next || framed(sent[0], wire.FrameChallenge) == nil {
		t.Fatalf("the new address is not challenged, but: %+v", sent)
	}
	if u.Endpoint() != old {
		t.Error("moved before the proof")
	}
	u.Moved(u.now, next) // each message from there says so
	if again := u.send(); len(again) != 0 {
		t.Errorf("challenged again at once: %+v", again)
	}
	if u.respond(old, sent...) != 0 || u.Endpoint() != old {
		t.Error("the old address proved the new one")
	}
	u.wait(10 * ms)
	if events := u.respond(next, sent...); events != EventRescue {
		t.Errorf("events %b, want what went to the old address to be rescued", events)
	}
	if u.Endpoint() != next || u.RTT() != 0 {
		t.Errorf("at %v, RTT %v", u.Endpoint(), u.RTT())
	}
	u.is(Up)
}

func TestTheLocalPortalFollowsNoMessageToAnotherAddress(t *testing.T) {
	u := newUp(t, nil)
	u.Moved(u.now, from("home", 50_000))
	if sent := u.send(); len(sent) != 0 {
		t.Errorf("it challenged: %+v", sent)
	}
}

func TestAnAddressThatNeverAnswersIsNotAskedForEver(t *testing.T) {
	u := newUp(t, remote)
	forged := from("home", 50_000)
	u.Moved(u.now, forged)
	asked := 0
	for range 1000 {
		for _, o := range u.send() {
			if o.To == forged {
				asked++
			} else {
				u.reach(o)
			}
		}
		u.wait(20 * ms)
		u.hear()
	}
	if asked != moveProofs {
		t.Errorf("asked %d times in 20 s, want %d", asked, moveProofs)
	}
	u.is(Up)
	if u.Endpoint() != u.home {
		t.Errorf("at %v", u.Endpoint())
	}
}

// Somebody who throws the peer's messages at us from elsewhere, before they
// come themselves, must not keep a path that has failed from coming back.
func TestAForgedMoveDoesNotKeepAFailedPathDown(t *testing.T) {
	u := newUp(t, remote)
	u.fail()
	for port := range uint16(20) {
		u.Moved(u.now, from("home", 50_000+port))
		sent := u.send()
		u.wait(100 * ms) // a round trip, in which the next is forged
		u.Moved(u.now, from("home", 60_000+port))
		if u.respond(u.home, sent...)&EventUp != 0 {
			u.is(Up)
			return
		}
	}
	t.Error("the address that was proved once is not asked any more")
}

func TestAMoveIsASignOfLife(t *testing.T) {
	u := newUp(t, remote)
	next := from("home", 50_000)
	u.give(5, 500)
	u.send()
	u.Moved(u.now, next)
	sent := u.send()
	for range 9 { // what went to the old address is not acknowledged
		u.wait(10 * ms)
	}
	u.respond(next, sent...)
	if u.Suspect() {
		t.Error("suspect at the moment of its proof")
	}
	if events := u.wait(ms); events != 0 {
		t.Errorf("events %b right after the move", events)
	}
	u.is(Up)
}

func TestFailingWhileMovingDoesNotForgetWhereTo(t *testing.T) {
	u := newUp(t, remote)
	next := from("home", 50_000)
	u.Moved(u.now, next)
	sent := u.send()
	u.fail()
	if u.respond(next, sent...)&EventUp == 0 || u.Endpoint() != next {
		t.Errorf("at %v after the new address answered", u.Endpoint())
	}
	u.is(Up)
}

func TestAJoinFromElsewhereMovesThePath(t *testing.T) {
	u := newUp(t, remote)
	next := from("redialled", 4725)
	if events, err := u.Joined(u.now, u.Settings, next, overhead); events != 0 || err != nil {
		t.Fatalf("events %b, %v", events, err)
	}
	if events := u.respond(next, u.send()...); events != EventRescue|EventMoved || u.Endpoint() != next {
		t.Errorf("events %b, at %v", events, u.Endpoint())
	}
	u.Joined(u.now, u.Settings, next, overhead) // a late twin
	for _, o := range u.send() {
		if framed(o, wire.FrameChallenge) != nil {
			t.Error("a join from where the path is was challenged")
		}
	}
}

func TestAJoinChangesTheSettings(t *testing.T) {
	u := newUp(t, remote)
	s := u.Settings
	s.Metric, s.Congestion = 7, "newreno"
	if _, err := u.Joined(u.now, s, u.home, overhead); err != nil || u.Cost() != 7 || u.Window() > 100 {
		t.Errorf("%v, metric %d, window %d", err, u.Cost(), u.Window())
	}
	s.Congestion = "nonesuch"
	if _, err := u.Joined(u.now, s, u.home, overhead); err == nil || u.Congestion != "newreno" {
		t.Errorf("%v, congestion %q", err, u.Congestion)
	}
}

func TestRedialling(t *testing.T) {
	u := newUp(t, nil)
	u.give(3, 500)
	first := u.home
	u.home = from("redialled", 4725)
	if events := u.Attach(u.now, u.home, overhead); events != EventRescue {
		t.Errorf("events %b, want what is in flight to be rescued", events)
	}
	for _, p := range u.TakeUnacknowledged(nil) {
		p.Release()
	}
	u.Forget()
	u.is(Connecting)
	if events := u.FlowDied(u.now, first.Flow); events != 0 {
		t.Errorf("events %b when the flow before died", events)
	}
	u.wait(3 * time.Second)
	u.Attach(u.now, from("again", 4725), overhead)
	if _, since := u.State(); since != u.now {
		t.Error("a path dialled again has no more time to connect than was left")
	}
	u.home = u.candidate.to
	if u.RTT() != 0 {
		t.Errorf("RTT %v of another network", u.RTT())
	}
	if u.respond(u.home, u.send()...) != EventUp {
		t.Error("the path did not come up")
	}
	u.noneLeft()
}

// A path that fell silent on a quick network must get up again on a slow one.
func TestASlowNetworkAfterAQuickOne(t *testing.T) {
	u := newUp(t, nil)
	u.Attach(u.now, from("satellite", 1), overhead)
	sent := u.send()
	u.wait(600 * ms)
	u.reach(sent...)
	if u.respond(u.candidate.to, sent...) != EventUp {
		t.Fatal("the path did not come up")
	}
	flying := u.send()
	for range 600 {
		if u.wait(ms)&EventFailed != 0 {
			t.Fatal("failed before the first acknowledgement could be back")
		}
		u.send()
	}
	u.reach(flying...)
	u.hear()
	if u.RTT() < 500*ms {
		t.Errorf("RTT %v", u.RTT())
	}
}

func TestFlowsThatDie(t *testing.T) {
	other := from("other", 4725)
	begin := func(t *testing.T) *tester { // up at home, and proving another
		u := newUp(t, remote)
		u.Joined(u.now, u.Settings, other, overhead)
		return u
	}
	t.Run("neither of them", func(t *testing.T) {
		u := begin(t)
		if u.FlowDied(u.now, from("third", 1).Flow) != 0 {
			t.Error("something happened")
		}
		u.is(Up)
	})
	t.Run("the one in use", func(t *testing.T) {
		u := begin(t)
		if events := u.FlowDied(u.now, u.home.Flow); events != EventRescue {
			t.Errorf("events %b", events)
		}
		u.is(Connecting)
		u.Forget()
		if u.respond(other, u.send()...) != EventUp {
			t.Error("the one being proved did not take over")
		}
	})
	t.Run("the one being proved", func(t *testing.T) {
		u := begin(t)
		if events := u.FlowDied(u.now, other.Flow); events != 0 {
			t.Errorf("events %b", events)
		}
		u.is(Up)
		if u.Endpoint() != u.home || len(u.send()) != 0 {
			t.Error("the proof goes on")
		}
	})
	t.Run("the one being proved, after a failure", func(t *testing.T) {
		u := begin(t)
		u.fail()
		u.FlowDied(u.now, other.Flow)
		u.is(Failed)
		u.wait(time.Second)
		if u.respond(u.home, u.send()...) != EventUp {
			t.Error("nobody asks whether the old one lives again")
		}
	})
	t.Run("both", func(t *testing.T) {
		u := begin(t)
		u.FlowDied(u.now, other.Flow)
		if events := u.FlowDied(u.now, u.home.Flow); events != EventRescue {
			t.Errorf("events %b", events)
		}
		u.is(Down)
	})
}

func TestAnotherPeer(t *testing.T) {
	u := newUp(t, nil)
	u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: 1000}, 100)
	u.Tell([]byte("for the old peer"))
	u.Challenged(u.home, make([]byte, wire.ChallengeSize), false)
	if events := u.Reset(u.now); events != EventRescue {
		t.Errorf("events %b", events)
	}
	u.is(Connecting)
	u.Forget()
	sent := u.send()
	if len(sent) != 1 || framed(sent[0], wire.FrameJoin) == nil || sent[0].Header.HasAck {
		t.Errorf("it says %+v to the new peer, want a join alone", sent)
	}
	if fresh, _ := u.Receive(u.now, &wire.Header{Type: wire.TypeData, Sequence: 1}, 100); !fresh {
		t.Error("the new peer's numbers are measured by the old one's")
	}

	u = newUp(t, remote)
	u.Reset(u.now)
	u.is(Down)
}

// TestAPathThatIsDownKnowsWhereItWas: for the people who look at it.
func TestAPathThatIsDownKnowsWhereItWas(t *testing.T) {
	for name, lose := range map[string]func(*tester){
		"detached":      func(u *tester) { u.Detach(u.now) },
		"its flow died": func(u *tester) { u.FlowDied(u.now, u.home.Flow) },
		"the peer left": func(u *tester) { u.Reset(u.now) },
		"after a move": func(u *tester) {
			u.Joined(u.now, u.Settings, from("elsewhere", 9), overhead)
			u.home = from("elsewhere", 9)
			u.respond(u.home, u.send()...)
			u.Detach(u.now)
			u.FlowDied(u.now, u.home.Flow)
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newTester(t, remote)
			if local, remote := u.Addresses(); local.IsValid() || remote.IsValid() {
				t.Errorf("a new path was between %s and %s", local, remote)
			}
			u = newUp(t, remote)
			lose(u)
			u.is(Down)
			if local, remote := u.Addresses(); local != u.home.Local || remote != u.home.Remote {
				t.Errorf("between %s and %s, want %s and %s", local, remote, u.home.Local, u.home.Remote)
			}
			if u.Endpoint().Flow != nil || u.last.Flow != nil {
				t.Error("the path still holds a flow")
			}
		})
	}
}
