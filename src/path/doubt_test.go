package path

import (
	"testing"
	"time"
)

func TestAPathThatLosesIsDoubtful(t *testing.T) {
	u := newUp(t, nil)
	send := func(n, lost int) {
		u.give(n, 1000)
		sent := u.send()
		u.reach(sent[lost:]...)
		u.now = u.now.Add(minReorderWait)
		u.hear()
	}
	for range 20 {
		send(50, 0)
	}
	if u.Doubtful(u.now) {
		t.Fatal("in doubt of a path that lost nothing")
	}
	if send(50, 5); u.Lost != 5 || !u.Doubtful(u.now) {
		t.Errorf("%d lost, %.4f of all, and no doubt", u.Lost, u.Loss())
	}
	for range 100 {
		send(50, 0)
	}
	if u.Doubtful(u.now) {
		t.Errorf("in doubt of a path that has lost nothing for long: %.4f of all", u.Loss())
	}
}

func TestAPathThatWasSuspectIsDoubtfulForAWhile(t *testing.T) {
	u := newUp(t, nil)
	u.give(1, 1000)
	sent := u.send()
	if u.Doubtful(u.now) {
		t.Fatal("in doubt of a healthy path")
	}
	u.wait(initialTimeout)
	if !u.Suspect() || !u.Doubtful(u.now) {
		t.Fatal("no doubt of a suspect path")
	}
	u.reach(sent...)
	u.hear()
	if u.Suspect() || !u.Doubtful(u.now) {
		t.Error("no doubt of one that was suspect just now")
	}
	if u.now = u.now.Add(doubtTime); u.Doubtful(u.now) {
		t.Error("doubt never ends")
	}
}

func TestAPathThatFailedAndCameBackIsDoubtful(t *testing.T) {
	u := newUp(t, nil)
	u.give(1, 1000)
	u.send()
	for range 20 {
		u.wait(initialTimeout)
	}
	u.is(Failed)
	u.now = u.now.Add(time.Minute)
	if u.Doubtful(u.now) {
		t.Error("doubt never ends")
	}
	u.respond(u.home, u.send()...)
	u.is(Up)
	if !u.Doubtful(u.now) {
		t.Error("no doubt of a path that was away a minute")
	}
}

func TestWhatItsTwinDeliveredIsNotRescued(t *testing.T) {
	u := newUp(t, nil)
	in := u.give(3, 1000)
	u.send()
	in[1].Delivered = true // on another path
	rescued := u.TakeUnacknowledged(nil)
	if len(rescued) != 2 || rescued[0] != in[0] || rescued[1] != in[2] || u.Reinjected != 2 {
		t.Errorf("%d rescued, %d counted; want the first and the last", len(rescued), u.Reinjected)
	}
}
