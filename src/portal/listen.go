package portal

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"

	"netcombiner/src/config"
	"netcombiner/src/mono"
	"netcombiner/src/transport"
)

// listening is one way in to the remote portal.
type listening struct {
	config   config.Listen // under Portal.applying
	listener transport.Listener
	kind     transport.Transport
	sources  atomic.Pointer[[]netip.Prefix] // allowed; empty: all
	closed   bool                           // under the portal's lock
}

// allows says whether a source may speak to the listener; nil stands for none, where
// this portal dialled.
func (l *listening) allows(a netip.Addr) bool {
	if l == nil {
		return true
	}
	list := *l.sources.Load()
	return len(list) == 0 || slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// set follows another configuration of the same place.
func (l *listening) set(c config.Listen) {
	l.config = c
	l.sources.Store(&c.Allow)
}

// applyListens opens what is new, closes what is gone, and changes who may speak.
// With an error all is as before.
func (p *Portal) applyListens(d config.Changes) error {
	removed := p.listening(d.RemoveListens)
	var opened []*listening
	open := func(c config.Listen) error {
		l, err := p.listen(c)
		if err == nil {
			opened = append(opened, l)
		}
		return err
	}
	var later []config.Listen
	var err error
	for _, c := range d.AddListens {
		if slices.ContainsFunc(removed, func(l *listening) bool { return inTheWay(l.config, c) }) {
			later = append(later, c)
		} else if err == nil {
			err = open(c)
		}
	}
	if err != nil {
		p.unlisten(opened)
		return err
	}
	p.unlisten(removed)
	for _, c := range later {
		if err == nil {
			err = open(c)
		}
	}
	if err != nil {
		p.unlisten(opened)
		for _, l := range removed {
			_, again := p.listen(l.config)
			err = errors.Join(err, again)
		}
		return err
	}
	for i, l := range p.listening(d.SetListens) {
		l.set(d.SetListens[i])
	}
	return nil
}

// inTheWay says that while the one listens the other cannot.
func inTheWay(a, b config.Listen) bool {
	return a.Transport == b.Transport && a.Protocol == b.Protocol && a.Address.Port() == b.Address.Port()
}

// listened is what the listeners that there are were made by. It may lack some of
// what was applied last: a change that failed could not have them again.
func (p *Portal) listened() (all []config.Listen) {
	for _, l := range p.listens {
		all = append(all, l.config)
	}
	return all
}

// listening returns the listeners of the given configurations, which there are.
func (p *Portal) listening(all []config.Listen) (found []*listening) {
	for _, c := range all {
		i := slices.IndexFunc(p.listens, func(l *listening) bool { return config.SameListen(l.config, c) })
		found = append(found, p.listens[i])
	}
	return found
}

// listen opens a listener and takes what comes.
func (p *Portal) listen(c config.Listen) (*listening, error) {
	t := p.transport(c.Transport, c.Protocol)
	if t == nil {
		return nil, fmt.Errorf("no transport %q", c.Transport)
	}
	listener, err := t.Listen(p.ctx, c.Address)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on %s %s: %w", c.Transport, place(c.Address), err)
	}
	l := &listening{listener: listener, kind: t}
	l.set(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		listener.Close()
		return nil, errStopping
	}
	p.listens = append(p.listens, l)
	p.goRun(func() { p.accept(l) })
	return l, nil
}

// unlisten closes listeners, and all that came by them, and returns when their
// places are free.
func (p *Portal) unlisten(gone []*listening) {
	for _, l := range gone {
		l.listener.Close()
		var dying []*flow
		p.mu.Lock()
		l.closed = true
		p.listens = slices.DeleteFunc(p.listens, func(o *listening) bool { return o == l })
		for f := range p.flows {
			if f.from == l {
				dying = append(dying, f)
			}
		}
		p.mu.Unlock()
		for _, f := range dying {
			hangUp(f)
		}
	}
}

// accept reads every flow of a listener.
func (p *Portal) accept(l *listening) {
	for {
		f, err := l.listener.Accept()
		if err != nil {
			return
		}
		if r := f.Remote(); r.IsValid() && !l.allows(r.Addr()) {
			f.Close()
			p.do(func(mono.Time) { p.core.rejected.Source++ })
			continue
		}
		p.addFlow(f, l.kind, l)
	}
}
