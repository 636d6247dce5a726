package portal

// How a path ends while the others go on.

import (
	"log/slog"
	"time"

	"netcombiner/src/exchange"
	"netcombiner/src/mono"
	"netcombiner/src/path"
	"netcombiner/src/wire"
)

// The remote is told of a path that left until it says that it knows: so often,
// and so many times at most. If all is lost, it will see that the path is silent.
const (
	partAgain = 200 * time.Millisecond
	partTries = 5
)

// parting is a path that left, of which the remote may not know yet.
type parting struct {
	sequence uint32 // see wire.Leave
	due      mono.Time
	tries    int
}

// leave begins the end of a path of the local portal: what it has goes on the
// others, and the remote is told to do the same. What comes on it is still taken,
// until dropPath.
func (k *core) leave(now mono.Time, p *path.Path) {
	p.Leave()
	k.rescue(p)
	if k.parting == nil {
		k.parting = map[uint8]*parting{}
	}
	k.parting[p.ID] = &parting{sequence: uint32(p.NextSequence()), due: now}
}

// leaving says that the remote has not yet said that it knows.
func (k *core) leaving(id uint8) bool { return k.parting[id] != nil }

// part tells the remote of the paths that left: on all others that work, or else
// on the path itself.
func (k *core) part(now mono.Time) {
	for id, g := range k.parting {
		if now < g.due {
			continue
		}
		if g.tries == partTries {
			k.partedFrom(id)
			continue
		}
		g.tries++
		g.due = now.Add(partAgain)
		frame := wire.Leave{Path: id, Sequence: g.sequence}.Append(nil)
		told := false
		for _, p := range k.order {
			if p.Usable() {
				p.Tell(frame)
				told = true
			}
		}
		if p := k.paths[id]; p != nil && !told {
			p.Tell(frame)
		}
	}
}

// parted takes the remote's word that it knows.
func (k *core) parted(l wire.Leave) {
	if g := k.parting[l.Path]; g != nil && g.sequence == l.Sequence {
		k.partedFrom(l.Path)
	}
}

func (k *core) partedFrom(id uint8) {
	delete(k.parting, id)
	k.changed |= 1 << id
}

// left is what the remote does when a path left. by is the one that brought the
// word.
func (k *core) left(now mono.Time, by *path.Path, l wire.Leave) {
	p := k.paths[l.Path]
	if by != p {
		by.Tell(l.Append(nil))
	}
	switch {
	case p == nil:
		k.numbers[l.Path].past.Left(l.Sequence)
	case p.Left(l.Sequence):
		k.note(slog.LevelInfo, "path removed by the other portal", "path", p.Name)
		k.retire(p)
		k.dropPath(now, p)
	}
}

// retire has a stream that p leaves closed: only p used it.
func (k *core) retire(p *path.Path) {
	if f := p.Endpoint().Flow; f != nil && !p.Datagram {
		k.retired = append(k.retired, f)
	}
}

// replaced handles a message of a path that has another transport than it had:
// the one before left, and nobody could say so.
func (k *core) replaced(now mono.Time, p *path.Path, r *received) *path.Path {
	if _, ok := k.joinOf(r); !ok || !p.MayJoin(r.header.Sequence) {
		return p
	}
	k.retire(p)
	k.dropPath(now, p)
	return nil
}

// pathless handles a message of no path. Data that was under way when its path
// left is as good as any.
func (k *core) pathless(now mono.Time, r *received) {
	if r.header.Type != wire.TypeData || !k.numbers[r.header.Path].past.Known() {
		k.rejected.Source++
		return
	}
	k.data(now, r)
}

// setScheduler changes what the exchange schedules by.
func (k *core) setScheduler(name string) error {
	s, err := exchange.NewScheduler(name)
	if err == nil {
		k.exchange.SetScheduler(s)
	}
	return err
}
