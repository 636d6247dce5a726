package portal

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"netcombiner/src/config"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

var errStopping = errors.New("the tunnel is about to stop")

// Apply makes a portal that runs follow another configuration, whose [Interface]
// differs in nothing but the Scheduler and what is the routing's alone;
// config.Config.Reload makes such a one.
// Paths that stay as they are notice nothing. The error says why nothing was
// changed. It may be called from any goroutine.
func (p *Portal) Apply(next *config.Config) error {
	p.applying.Lock()
	defer p.applying.Unlock()
	if p.applied == nil {
		return errors.New("the tunnel does not run yet")
	}
	return p.apply(p.applied, next)
}

// apply leads from one configuration to another.
func (p *Portal) apply(from, to *config.Config) error {
	if limit, least := from.Interface.MemoryLimit, to.LeastMemory(); limit > 0 && limit < least {
		return fmt.Errorf("MemoryLimit is %d bytes, and so many paths and listeners need %d", limit, least)
	}
	have := *from
	have.Listens = p.listened()
	d := config.Diff(&have, to)
	for _, c := range d.AddPaths {
		if p.transport(c.Transport, c.Protocol) == nil {
			return fmt.Errorf("path %s: no transport %q", c.Name, c.Transport)
		}
	}
	p.awaitEnds(d.SetPaths)
	if err := p.applyListens(d); err != nil {
		return err
	}
	err := errStopping // do does nothing then
	p.do(func(now mono.Time) { err = p.applyPaths(now, d, to) })
	if err == nil {
		p.applied = to
	}
	return err
}

// awaitEnds waits for the end of paths that were just set down and are to be up.
func (p *Portal) awaitEnds(paths []config.Path) {
	for _, c := range paths {
		p.mu.Lock()
		k := keeperOf(p.keepers, c)
		down, ended := k.stop == nil, k.ended
		p.mu.Unlock()
		if down && !c.Down && ended != nil {
			<-ended
		}
	}
}

// applyPaths changes the paths of the local portal, the new ones first: so there
// is always one. Under the lock.
func (p *Portal) applyPaths(now mono.Time, d config.Changes, to *config.Config) (err error) {
	ids := p.freeIDs()
	if len(ids) < len(d.AddPaths) {
		return fmt.Errorf("at most %d paths at once, with those that are about to go: try again in a second", wire.MaxPaths)
	}
	if d.Scheduler {
		if err := p.core.setScheduler(to.Interface.Scheduler); err != nil {
			return err
		}
	}
	p.quotas.replan(p.core, to)
	before := p.keepers
	p.keepers = make([]*keeper, 0, len(to.Paths))
	for _, c := range to.Paths {
		k := keeperOf(before, c)
		if k == nil {
			k, ids = newKeeper(p, ids[0], c), ids[1:]
			p.kept[k.id] = k
		}
		p.keepers = append(p.keepers, k)
		if !c.Down {
			err = errors.Join(err, k.follow(now, c))
		}
	}
	for i, c := range to.Paths {
		if c.Down {
			p.keepers[i].config = c
			p.keepers[i].part(now)
		}
	}
	for _, k := range before {
		if !p.configured(k) {
			k.part(now)
			p.release(k)
		}
	}
	return err
}

// follow makes a path what c says: up, for one. Under the lock.
func (k *keeper) follow(now mono.Time, c config.Path) error {
	switch {
	case k.stop == nil:
		k.config = c
		return k.start(now)
	case !reflect.DeepEqual(k.config, c):
		return k.set(c)
	}
	return nil
}

// keeperOf is, of some keepers, that of a path.
func keeperOf(keepers []*keeper, c config.Path) *keeper {
	i := slices.IndexFunc(keepers, func(k *keeper) bool { return config.SamePath(k.config, c) })
	if i < 0 {
		return nil
	}
	return keepers[i]
}

// configured says that a keeper's path is, up or down. Under the lock.
func (p *Portal) configured(k *keeper) bool { return slices.Contains(p.keepers, k) }

// release makes the ID of a path that is configured no more free for another, as
// soon as the path is gone. Under the lock.
func (p *Portal) release(k *keeper) {
	if k.path == nil || p.core.paths[k.id] != k.path {
		p.kept[k.id] = nil
	}
}

// freeIDs lists the IDs that no path has, first those of which the remote knows
// that too. Under the lock.
func (p *Portal) freeIDs() (ids []uint8) {
	var later []uint8
	for id, k := range p.kept {
		switch {
		case k != nil:
		case p.core.leaving(uint8(id)):
			later = append(later, uint8(id))
		default:
			ids = append(ids, uint8(id))
		}
	}
	return append(ids, later...)
}
