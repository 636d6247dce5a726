package linkwatch

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func drain(p *pending) (got []Event) {
	for {
		e, ok := p.next()
		if !ok {
			return got
		}
		p.take(e)
		got = append(got, e)
	}
}

func TestPendingKeepsTheLastOfEqualEvents(t *testing.T) {
	var p pending
	for _, kind := range []Kind{LinkUp, AddrAdded, LinkDown, LinkUp, LinkDown, LinkUp} {
		p.add(Event{"eth1", kind})
	}
	want := []Event{{"eth1", AddrAdded}, {"eth1", LinkDown}, {"eth1", LinkUp}}
	if diff := cmp.Diff(want, drain(&p)); diff != "" {
		t.Error(diff)
	}
}

func TestPendingIsBounded(t *testing.T) {
	var p pending
	for i := range 10 * maxPending {
		p.add(Event{fmt.Sprint("eth", i), LinkUp})
		if len(p.events) > maxPending {
			t.Fatalf("%d events wait", len(p.events))
		}
	}
	if got := drain(&p); got[0].Kind != Resync {
		t.Errorf("the first of too many is %v, want a resync", got[0])
	}
}

func TestPendingResyncSwallowsWhatWaits(t *testing.T) {
	var p pending
	p.add(Event{"eth1", LinkUp})
	p.add(Event{Kind: Resync})
	p.add(Event{"eth2", LinkUp})
	want := []Event{{Kind: Resync}, {"eth2", LinkUp}}
	if diff := cmp.Diff(want, drain(&p)); diff != "" {
		t.Error(diff)
	}
}

func TestPendingTakesOnlyWhatWasDelivered(t *testing.T) {
	var p pending
	down, up := Event{"eth1", LinkDown}, Event{"eth1", LinkUp}
	p.add(down)
	p.add(up)
	e, _ := p.next()
	p.add(down) // again, while it is being delivered
	p.take(e)
	if diff := cmp.Diff([]Event{up, down}, drain(&p)); diff != "" {
		t.Error(diff)
	}
}
