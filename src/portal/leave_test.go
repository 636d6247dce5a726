package portal

import (
	"fmt"
	"slices"
	"testing"

	"netcombiner/src/path"
	"netcombiner/src/quota"
	"netcombiner/src/wire"
)

// parter is two cores of two paths, of which the second leaves and comes back,
// and a network that somebody listens on.
type parter struct {
	*joined
	heard [][]byte // what the local portal sent on the second path, and its words on either
	lost  bool     // none of it arrives
}

func newParter(t *testing.T) *parter {
	p := &parter{joined: newJoined(t, 2)}
	p.carry = func(h *half, m []byte, e path.Endpoint) {
		if h == p.local {
			p.heard = append(p.heard, slices.Clone(m))
			if p.lost {
				return
			}
		}
		h.peer.receive(p.joined, m, path.Endpoint{Flow: h.peer.flow, Local: e.Remote, Remote: e.Local})
	}
	return p
}

func (p *parter) run(steps int) {
	for range steps {
		p.local.ingress(p.now, 1, 1)
		p.remote.ingress(p.now, 1, 1)
		p.step()
	}
}

// leave takes the second path away, until both know.
func (p *parter) leave() {
	p.t.Helper()
	core := p.local.core
	q := core.paths[1]
	core.leave(p.now, q)
	p.run(20)
	if core.leaving(1) || p.remote.core.paths[1] != nil {
		p.t.Fatalf("the remote does not know: %v", p.remote.core.paths[1])
	}
	core.dropPath(p.now, q)
}

// come makes another one with its ID.
func (p *parter) come() {
	p.t.Helper()
	p.addPath(1)
	p.run(40)
	p.expectUp()
}

func (p *parter) expectUp() {
	p.t.Helper()
	for _, h := range []*half{p.local, p.remote} {
		if q := h.core.paths[1]; q == nil {
			p.t.Fatal("there is no second path")
		} else if s, _ := q.State(); s != path.Up {
			p.t.Fatalf("the second path is %v", s)
		}
	}
}

// inject gives the remote what was heard.
func (p *parter) inject(messages [][]byte) {
	elsewhere := p.endpoint(p.remote, 9)
	elsewhere.Flow = p.remote.flow
	for _, m := range messages {
		p.remote.receive(p.joined, m, elsewhere)
	}
}

// TestRecordingsOfAPathThatLeft: make no path, and bring nothing a second time; nor
// when another path has its ID.
func TestRecordingsOfAPathThatLeft(t *testing.T) {
	p := newParter(t)
	p.local.core.paths[1].SetMetric(3) // a Join alone
	p.run(50)
	p.leave()
	recorded := slices.Clone(p.heard)
	for _, again := range []bool{false, true} {
		if again {
			p.come()
		}
		got, rejected := p.remote.got, p.remote.core.rejected.Replay+p.remote.core.rejected.Source
		p.inject(recorded)
		switch q := p.remote.core.paths[1]; {
		case p.remote.got != got:
			t.Errorf("%d packets came twice", p.remote.got-got)
		case !again && q != nil:
			t.Error("a recording made a path")
		case again && q.Metric != 0:
			t.Errorf("a recording gave the path metric %d", q.Metric)
		case p.remote.core.rejected.Replay+p.remote.core.rejected.Source < rejected+50:
			t.Error("recordings were not counted")
		}
	}
	p.expectUp()
}

// TestWordsThatComeLate: a Join from before the path left makes none; a Leave
// from before it came back ends none.
func TestWordsThatComeLate(t *testing.T) {
	p := newParter(t)
	p.heard, p.lost = nil, true
	p.local.core.paths[1].SetMetric(3)
	p.step()
	join := p.heard
	p.lost = false
	p.local.core.paths[1].SetMetric(5)
	p.run(20)
	p.inject(join)
	if m := p.remote.core.paths[1].Metric; m != 5 {
		t.Errorf("a Join that was overtaken gave the path metric %d", m)
	}

	p.heard, p.lost = nil, true
	p.local.core.paths[1].SetMetric(7)
	p.step()
	join = p.heard
	p.lost = false
	p.leave()
	p.inject(join)
	if p.remote.core.paths[1] != nil {
		t.Error("a Join that was late made a path")
	}
	p.come()

	q := p.local.core.paths[1]
	p.heard, p.lost = nil, true
	p.local.core.leave(p.now, q)
	p.step()
	leave := p.heard
	p.lost = false
	p.run(300)
	if p.remote.core.paths[1] != nil {
		t.Fatal("the remote was not told again")
	}
	p.local.core.dropPath(p.now, q)
	p.come()
	p.inject(leave)
	p.run(40)
	p.expectUp()
}

// TestAnIDIsUsedAgainWithoutALeave: where the remote was never told that the path left.
func TestAnIDIsUsedAgainWithoutALeave(t *testing.T) {
	for range 3 {
		p := newParter(t)
		p.run(30)
		p.lost = true
		p.local.core.leave(p.now, p.local.core.paths[1])
		p.run(3)
		p.local.core.dropPath(p.now, p.local.core.paths[1])
		p.local.core.parting = nil
		p.lost = false
		p.come()
	}
}

// TestTheRemoteIsToldForAWhile: not for ever, where it does not listen.
func TestTheRemoteIsToldForAWhile(t *testing.T) {
	p := newParter(t)
	q := p.local.core.paths[1]
	p.local.core.leave(p.now, q)
	p.lost = true
	p.run(int(partTries*partAgain/1e6) + 10)
	if p.local.core.leaving(1) {
		t.Error("it still waits for the remote's word")
	}
	told := 0
	for _, m := range p.heard {
		if kind, _, _, _ := wire.Prefix(m); kind == wire.TypeControl {
			told++
		}
	}
	if told < partTries {
		t.Errorf("told %d times", told)
	}
}

// TestAPeerThatNamesPathsForEver: what is remembered of them is bounded, and none
// of what they carried is lost.
func TestAPeerThatNamesPathsForEver(t *testing.T) {
	p := newParter(t)
	k := p.remote.core
	for i := range 1000 {
		q, err := k.addPath(p.now, path.Fixed{ID: 2, Datagram: true}, path.Settings{Name: fmt.Sprint("path", i), Congestion: "none"})
		if err != nil {
			t.Fatal(err)
		}
		q.RxBytes = 1
		k.dropPath(p.now, q)
	}
	if n := len(k.tally.gone); n != maxGone+1 {
		t.Errorf("%d names are remembered", n)
	}
	sum, others := uint64(0), uint64(0)
	k.tally.take(nil, func(name string, carried quota.Traffic) {
		sum += carried.RxBytes
		if name == quota.Others {
			others = carried.RxBytes
		}
	})
	if sum != 1000 || others != 1000-maxGone {
		t.Errorf("%d bytes of 1000 are counted, %d of them as the others'", sum, others)
	}
}
