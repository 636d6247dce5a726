package daemon

import (
	"context"
	"log/slog"
	"net/netip"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/linkwatch"
	"netcombiner/src/routing"
)

// resolvePatience is how long Route waits for the names of remote portals:
// with the routing in force, a question to a name server may go into a tunnel
// that is not there yet.
const resolvePatience = 3 * time.Second

// CleanUpRouting is System.CleanUp of a real host.
func CleanUpRouting(iface string) (undone []string, err error) {
	return routing.Cleanup(control.Dir, iface)
}

// InheritRouting is System.Inherit of a real host.
func InheritRouting(iface string, c *config.Config) (kept bool, err error) {
	if !routing.Needed(c) {
		_, err := routing.Cleanup(control.Dir, iface)
		return false, err
	}
	return routing.Inherit(control.Dir, iface)
}

// Route is System.Route of a real host: it carries out Routing = nat or
// portal, and on FreeBSD each path's egress, and follows the host's links and
// the remote portals' addresses until it is undone.
func Route(o RouteOptions) (undo func() error, err error) {
	if !routing.Needed(o.Config) {
		return func() error { return nil }, nil
	}
	f := &follower{RouteOptions: o, began: time.Now()}
	f.awaitNames()
	f.inForce = f.spec()
	if f.routing, err = routing.Apply(control.Dir, f.inForce); err != nil {
		return nil, err
	}
	o.Settle(f.routing.FIB)
	for _, w := range f.routing.Warnings() {
		o.Log.Warn(w)
	}
	f.remark()
	f.tell()
	ctx, cancel := context.WithCancel(context.Background())
	f.done.Go(func() { f.follow(ctx) })
	return func() error {
		cancel()
		f.done.Wait()
		return f.routing.Undo()
	}, nil
}

// follower keeps a tunnel's routing right.
type follower struct {
	RouteOptions
	routing *routing.Routing
	inForce routing.Spec // what routing was last told
	done    sync.WaitGroup
	wakes   wakes
	stale   bool   // the routing is to be refreshed
	trouble string // why the last refresh failed; "": it did not
	noted   []string

	// What goes beside the tunnel; see beside.go.
	began  time.Time
	judge  routing.Judge
	direct bool          // the fallback is on
	lost   []routing.WAN // by which no bypass goes
	told   Beside
}

// spec is what the configuration asks for, with the remote addresses that are
// known by now. A path that is to go another way may still go the old one: the
// addresses that it has count too.
func (f *follower) spec() routing.Spec {
	now := f.Current()
	s := routing.SpecOf(f.Interface, now)
	s.Direct, s.Lost = f.direct && now.Interface.Fallback, f.lost
	status := f.Status().Paths
	for _, c := range now.Paths {
		if remote, ok := literal(c.Remote); ok {
			addRemote(&s, c, remote)
		}
		i := slices.IndexFunc(status, func(p control.Path) bool { return p.Name == c.Name })
		if i < 0 {
			continue
		}
		if remote, ok := resolved(status[i].Remote); ok {
			addRemote(&s, c, remote)
		}
		if local, ok := resolved(status[i].Local); ok {
			s.WANs = append(s.WANs, routing.WAN{Source: local.Addr()})
		}
	}
	return s
}

func addRemote(s *routing.Spec, c config.Path, remote netip.AddrPort) {
	end := routing.Endpoint{Transport: c.Transport, Protocol: c.Protocol, Addr: remote}
	if !slices.Contains(s.Remotes, end) {
		s.Remotes = append(s.Remotes, end)
	}
}

func literal(h config.HostPort) (netip.AddrPort, bool) {
	a, err := netip.ParseAddr(h.Host)
	return netip.AddrPortFrom(a, h.Port), err == nil
}

// resolved is where a path goes, by its status: an address, with a port where
// its transport has them. Until the name is known there is none.
func resolved(remote string) (netip.AddrPort, bool) {
	if ap, err := netip.ParseAddrPort(remote); err == nil {
		return ap, true
	}
	a, err := netip.ParseAddr(remote)
	return netip.AddrPortFrom(a, 0), err == nil
}

// awaitNames waits for a moment until every remote's address is known.
func (f *follower) awaitNames() {
	known := func() bool {
		status := f.Status().Paths
		for _, c := range f.Current().Paths {
			if _, ok := literal(c.Remote); ok {
				continue
			}
			if !slices.ContainsFunc(status, func(p control.Path) bool {
				_, ok := resolved(p.Remote)
				return ok && p.Name == c.Name
			}) {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(resolvePatience); !known() && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
}

// restPart is how many times as long as a refresh took the next one is put off:
// on a host where a hundred tunnels start at once, each hears of all the others,
// and has the more to read the more there are.
const restPart = 10

// settleTime is how long after a change of the configuration the paths are where
// it wants them.
const settleTime = 5 * time.Second

// settleTables is how long after a change of the host's nft tables they are looked
// at: a firewall that starts changes them many times.
const settleTables = 300 * time.Millisecond

// wakes are what a follower waits for. A nil one never comes.
type wakes struct {
	links   <-chan linkwatch.Event
	tables  <-chan struct{}
	tick    <-chan time.Time // see follower.tick
	check   <-chan time.Time // then the tables are looked at
	settled <-chan time.Time // then the addresses that paths have left need no routing
	rest    <-chan time.Time // until then no refresh but one that was asked for
}

// follow refreshes the routing when a link, a path's address or the
// configuration changes.
func (f *follower) follow(ctx context.Context) {
	links, err := linkwatch.Watch(ctx)
	if err != nil {
		f.Log.Warn("routing will not follow changes of links", "why", err)
	}
	tables, err := f.routing.Watch(ctx)
	if err != nil {
		f.Log.Warn("routing will not outlast a restart of the firewall", "why", err)
	}
	f.wakes = wakes{links: links, tables: tables, tick: f.tick()}
	for {
		carriedOut, ok := f.await(ctx)
		if !ok {
			return
		}
		if f.stale && f.wakes.rest == nil {
			f.refresh()
		}
		if carriedOut != nil {
			close(carriedOut)
		}
	}
}

// await returns when something has happened that may make the routing stale:
// where somebody asked for it, with what is to be closed when that is carried out.
// It returns not ok when ctx ends.
func (f *follower) await(ctx context.Context) (carriedOut chan<- struct{}, ok bool) {
	w := &f.wakes
	select {
	case <-ctx.Done():
		return nil, false
	case e, open := <-w.links:
		if !open {
			w.links = nil
		}
		f.stale = f.stale || open && f.concerns(e.Device)
	case _, open := <-w.tables:
		if !open {
			w.tables = nil
		}
		if open && w.check == nil {
			w.check = time.After(settleTables)
		}
	case <-w.check:
		w.check = nil
		f.stale = f.stale || !f.routing.Intact()
	case <-w.tick:
		f.look()
		f.compare()
	case <-w.settled:
		w.settled = nil
		f.compare()
	case <-w.rest:
		w.rest = nil
	case carriedOut = <-f.Changed:
		f.stale, w.rest, w.settled, w.tick = true, nil, time.After(settleTime), f.tick()
		f.look()
	}
	return carriedOut, true
}

// compare finds the routing stale where it is not what the configuration asks for.
func (f *follower) compare() {
	f.stale = f.stale || !reflect.DeepEqual(f.spec(), f.inForce)
}

// refresh has the host follow, and rests then.
func (f *follower) refresh() {
	began := time.Now()
	f.inForce = f.spec()
	err := f.routing.Refresh(f.inForce)
	f.remark()
	f.tell()
	debug.FreeOSMemory() // what it read of the host is more than an idle tunnel needs
	pause := restPart * time.Since(began)
	trouble := ""
	if err != nil { // try again
		trouble, pause = err.Error(), max(pause, time.Second)
		if trouble != f.trouble {
			f.Log.Warn("routing is not as it should be; trying again", "why", err)
		}
	}
	f.stale, f.trouble = err != nil, trouble
	f.wakes.rest = time.After(pause)
}

// remark logs what the routing notes of the host, each once as long as it stands.
func (f *follower) remark() {
	notes := f.routing.Notes()
	for _, n := range notes {
		if !slices.Contains(f.noted, n) {
			f.Log.Warn(n)
		}
	}
	f.noted = notes
}

// tick is when to see whether names have other addresses, and how the paths are.
// Where nobody's address can change, and nothing goes beside the tunnel, it would
// wake the host for nothing.
func (f *follower) tick() <-chan time.Time {
	if !f.asksNames() && !f.judges() {
		return nil
	}
	return time.Tick(time.Second)
}

// asksNames says whether some path's remote is a name.
func (f *follower) asksNames() bool {
	return slices.ContainsFunc(f.Current().Paths, func(p config.Path) bool {
		_, ok := literal(p.Remote)
		return !ok
	})
}

// concerns says whether a change of a device may change the plan. The tunnels
// that a VPS has for other homes lead nowhere else.
func (f *follower) concerns(device string) bool {
	if device == f.Interface {
		return false
	}
	return f.Config.Interface.Role == config.Local || device == "" || !control.Locked(device)
}

// RouteOptions is what System.Route is told.
type RouteOptions struct {
	Interface string
	Config    *config.Config        // at the start
	Current   func() *config.Config // now; see Changed
	// Changed sends when Current changed, what is to be closed when that is
	// carried out.
	Changed <-chan chan<- struct{}
	Status  func() control.Status // the running portal's
	// Settle is told routing.Routing.FIB once the routing is in force.
	Settle func(fib func(device string, source netip.Addr) (table int, ok bool))
	Beside func(Beside) // is told what goes beside the tunnel; may be nil
	Log    *slog.Logger
}
