package portal

import (
	"netcombiner/src/path"
	"netcombiner/src/quota"
	"netcombiner/src/wire"
)

// tally is what the paths carried and the book does not have yet. Paths come
// and go between two looks at it: with each restart of the local portal, the remote's
// counters begin at 0.
type tally struct {
	counted map[*path.Path]quota.Traffic // of its counters, that was taken
	gone    map[string]quota.Traffic     // of paths that are no more, by name: maxGone, and the others
}

// maxGone is how many paths that went are told apart until the book is looked at. A
// peer may have paths come and go, each with another name, as fast as it can send.
const maxGone = wire.MaxPaths

// leave notes what p, which is about to be forgotten, carried in the end.
func (t *tally) leave(p *path.Path) {
	if t.gone == nil {
		t.gone = map[string]quota.Traffic{}
	}
	name := p.Name
	if _, known := t.gone[name]; !known && len(t.gone) >= maxGone {
		name = quota.Others
	}
	t.gone[name] = t.gone[name].Plus(traffic(p).Minus(t.counted[p]))
	delete(t.counted, p)
}

// resume takes what p's counters begin with for counted.
func (t *tally) resume(p *path.Path) {
	if t.counted == nil {
		t.counted = map[*path.Path]quota.Traffic{}
	}
	t.counted[p] = traffic(p)
}

// take calls each with what every path carried since it was last called.
func (t *tally) take(paths []*path.Path, each func(name string, carried quota.Traffic)) {
	if t.counted == nil {
		t.counted = map[*path.Path]quota.Traffic{}
	}
	for name, carried := range t.gone {
		each(name, carried)
	}
	clear(t.gone)
	for _, p := range paths {
		now := traffic(p)
		if carried := now.Minus(t.counted[p]); carried != (quota.Traffic{}) {
			each(p.Name, carried)
			t.counted[p] = now
		}
	}
}

// traffic is what p carried in all its life.
func traffic(p *path.Path) quota.Traffic {
	return quota.Traffic{TxPackets: p.TxPackets, TxBytes: p.TxBytes, RxPackets: p.RxPackets, RxBytes: p.RxBytes, Lost: p.Lost}
}
