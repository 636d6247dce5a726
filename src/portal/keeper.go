package portal

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/mono"
	"netcombiner/src/path"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

const (
	// dialTime bounds resolving and connecting, each.
	dialTime = 2 * time.Second
	// dialAgain is how long after a dial that failed the next begins; one that
	// took longer is followed at once, so that a connection is asked for about
	// every second.
	dialAgain = time.Second
	// A path that does not come up, or back, is dialled anew after this long:
	// perhaps the name has another address, or this host has.
	giveUpConnecting = 3 * time.Second
	giveUpFailed     = time.Second
	// A stream that stalled long enough for its path to fail is left at once:
	// a new connection is through sooner than the old one's next retry.
	giveUpStream = 1500 * time.Millisecond
)

// keeper keeps one path of the local portal alive: it finds the remote's
// address, dials, and dials again when the path fails for long, its flow ends,
// its interface changes, or it is to go another way. It never waits for another
// path's keeper.
type keeper struct {
	portal    *Portal
	id        uint8 // its path's
	name      string
	transport transport.Transport
	changed   chan struct{} // buffered: something happened on the interface, or to the way that the path is to go
	look      chan struct{} // buffered: the path's state changed

	// Under the portal's lock.
	config config.Path
	path   *path.Path         // the last one, while it is down
	stop   context.CancelFunc // ends run; nil: the path is down
	ended  chan struct{}      // closed when it did, and the path is no more

	// Of run alone.
	way       way // last dialled
	attempt   int
	addresses []netip.Addr // last resolved
	complaint string       // last logged
}

// way is where a path's flow leaves, and where it goes.
type way struct {
	bind   transport.Bind
	remote config.HostPort
}

func wayOf(c config.Path) way {
	return way{transport.Bind{Device: c.Device, Addr: c.Source}, c.Remote}
}

// newKeeper makes a keeper of a path that is down.
func newKeeper(p *Portal, id uint8, c config.Path) *keeper {
	return &keeper{portal: p, id: id, name: c.Name, config: c, transport: p.transport(c.Transport, c.Protocol),
		changed: make(chan struct{}, 1), look: make(chan struct{}, 1)}
}

// start makes the path, and runs the keeper. Under the lock.
func (k *keeper) start(now mono.Time) error {
	p := k.portal
	settings, join := k.settings()
	q, err := p.core.addPath(now, path.Fixed{ID: k.id, Datagram: k.transport.Datagram(), Transport: k.transport.Name(), Join: join}, settings)
	if err != nil {
		return fmt.Errorf("path %s: %w", k.name, err)
	}
	if k.path != nil {
		q.Counters = k.path.Counters
		p.core.tally.resume(q)
	}
	k.path, k.ended = q, make(chan struct{})
	var ctx context.Context
	ctx, k.stop = context.WithCancel(p.ctx)
	ended := k.ended
	p.goRun(func() {
		defer close(ended)
		k.run(ctx)
	})
	return nil
}

// settings is pathSettings, as the path's quota lets it be. Under the lock.
func (k *keeper) settings() (path.Settings, wire.Join) {
	s, j := pathSettings(k.config, k.transport.Datagram())
	if k.portal.quotas.usedUp(k.name) {
		s.Metric, j.Metric = wire.ReserveMetric, wire.ReserveMetric
	}
	return s, j
}

// set follows another configuration. Under the lock.
func (k *keeper) set(c config.Path) error {
	moved := wayOf(c) != wayOf(k.config)
	k.config = c
	if k.stop == nil {
		return nil
	}
	if moved {
		k.tellChanged()
	}
	return k.path.Change(k.settings())
}

// part takes the path out of use: it carries no more data from here at once, and
// is gone when the remote knows. Under the lock.
func (k *keeper) part(now mono.Time) {
	if k.stop != nil {
		k.portal.core.leave(now, k.path)
		k.stop()
		k.stop = nil
	}
}

// pathSettings is what the configuration says of a path: for this end, and
// for the other.
func pathSettings(c config.Path, datagram bool) (path.Settings, wire.Join) {
	s := path.Settings{Name: c.Name, Metric: c.Metric, Congestion: c.Congestion, Rate: c.RateUp,
		Send: c.Direction != config.Receive, Receive: c.Direction != config.Send}
	if !datagram {
		s.Congestion = "none" // the transport has its own
	}
	j := wire.Join{Name: c.Name, Metric: uint16(c.Metric), Rate: uint64(c.RateDown)}
	if s.Send {
		j.Direction |= wire.DirectionSend
	}
	if s.Receive {
		j.Direction |= wire.DirectionReceive
	}
	j.Congestion = wire.Congestion(max(0, slices.Index(congestionNames[:], s.Congestion)))
	return s, j
}

func (k *keeper) run(ctx context.Context) {
	var f *flow
	for ctx.Err() == nil {
		switch {
		case f == nil:
			f = k.connect(ctx)
		case k.watch(ctx, f):
			f = k.move(ctx, f)
		case ctx.Err() == nil:
			if state, _ := k.patience(); state == path.Connecting {
				k.attempt++ // it never came up: perhaps another of its addresses answers
			}
			f = hangUp(f)
		}
	}
	k.awaitParting()
	if k.portal.ctx.Err() != nil {
		return // all ends, and the flow has a goodbye to carry yet
	}
	if f != nil {
		hangUp(f)
	}
	k.portal.forget(k)
}

// connect dials, and gives the path the flow. It returns nil where that failed,
// once it is time to try again.
func (k *keeper) connect(ctx context.Context) *flow {
	began := k.portal.clock.Now()
	f, changed, err := k.dialUnlessChanged(ctx)
	if err != nil && changed {
		return nil // it went out by an interface that is no longer as it was
	}
	if err != nil {
		k.complain(ctx, err)
		k.attempt++
		k.wait(ctx, dialAgain-k.portal.clock.Now().Sub(began))
		return nil
	}
	k.complaint = ""
	k.attach(f)
	return f
}

func (k *keeper) attach(f *flow) {
	k.portal.do(func(now mono.Time) {
		e := path.Endpoint{Flow: f, Local: f.Local(), Remote: f.Remote()}
		k.portal.core.attach(now, k.path, e, k.transport.Overhead(e.Remote.Addr()))
	})
}

// hangUp closes a flow and waits for its reader. It returns nil: what there is then.
func hangUp(f *flow) *flow {
	f.Close()
	<-f.dead
	return nil
}

// dialUnlessChanged dials, and gives up as soon as the interface changes: what
// was sent from an address that has gone is never answered. A change that came
// too late for that is kept for watch.
func (k *keeper) dialUnlessChanged(ctx context.Context) (f *flow, changed bool, err error) {
	dialling, cancel := context.WithCancel(ctx)
	defer cancel()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-k.changed:
			changed = true
			cancel()
		case <-dialling.Done():
		}
	}()
	f, err = k.dial(dialling)
	cancel()
	<-watched
	if changed && err == nil {
		k.tellChanged()
	}
	return f, changed, err
}

// tellChanged makes the keeper look at its interface. It does not wait.
func (k *keeper) tellChanged() {
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// dial resolves the remote and opens a flow to it. When attempts fail it goes
// round the addresses that the name has.
func (k *keeper) dial(ctx context.Context) (*flow, error) {
	resolving, cancel := context.WithTimeout(ctx, dialTime)
	defer cancel()
	w := k.wanted()
	if w.remote.Host != k.way.remote.Host || w.bind.Addr != k.way.bind.Addr {
		k.addresses, k.attempt = nil, 0
	}
	k.way = w
	addresses, err := k.portal.Resolve(resolving, w.remote.Host, w.bind)
	if source := w.bind.Addr; source.IsValid() {
		addresses = slices.DeleteFunc(addresses, func(a netip.Addr) bool { return a.Unmap().Is4() != source.Unmap().Is4() })
	}
	if err == nil && len(addresses) > 0 {
		k.addresses = addresses
	} else if len(k.addresses) == 0 {
		return nil, fmt.Errorf("cannot resolve %s: %w", w.remote.Host, err)
	}
	remote := netip.AddrPortFrom(k.addresses[k.attempt%len(k.addresses)], w.remote.Port)
	dialling, cancelDial := context.WithTimeout(ctx, dialTime)
	defer cancelDial()
	t, err := k.transport.Dial(dialling, w.bind, remote)
	if err != nil {
		return nil, err
	}
	f := k.portal.addFlow(t, k.transport, nil)
	if f == nil {
		return nil, transport.ErrClosed
	}
	return f, nil
}

// wanted is the way that the configuration has now.
func (k *keeper) wanted() way {
	k.portal.mu.Lock()
	defer k.portal.mu.Unlock()
	return wayOf(k.config)
}

// nudge makes the keeper look at its path's state. It does not wait.
func (k *keeper) nudge() {
	select {
	case k.look <- struct{}{}:
	default:
	}
}

// watch waits until the flow should be dialled anew. elsewhere says that it works,
// but is to go another way.
func (k *keeper) watch(ctx context.Context, f *flow) (elsewhere bool) {
	patience := time.NewTimer(0)
	defer patience.Stop()
	for {
		state, left := k.patience()
		if left <= 0 {
			return false
		}
		patience.Reset(left)
		select {
		case <-ctx.Done():
			return false
		case <-f.dead:
			return false
		case <-k.changed:
			if state != path.Up || !k.holdsAddress(f) {
				return false
			}
			if k.wanted() != k.way {
				return true
			}
		case <-k.look:
		case <-patience.C:
		}
	}
}

// patience is how much longer the path may stay as it is before it is dialled
// anew.
func (k *keeper) patience() (path.State, time.Duration) {
	k.portal.mu.Lock()
	defer k.portal.mu.Unlock()
	state, since := k.path.State()
	age := k.portal.clock.Now().Sub(since)
	switch {
	case state == path.Failed && k.path.Datagram:
		return state, giveUpFailed - age
	case state == path.Failed:
		return state, 0
	case state == path.Connecting && k.path.Datagram:
		return state, giveUpConnecting - age
	case state == path.Connecting:
		return state, giveUpStream - age
	}
	return state, time.Hour
}

// holdsAddress says whether this host still has the flow's local address.
func (k *keeper) holdsAddress(f *flow) bool {
	if k.portal.Addresses == nil || k.way.bind.Device == "" {
		return true
	}
	have, err := k.portal.Addresses(k.way.bind.Device)
	return err != nil || slices.Contains(have, f.Local().Addr())
}

// complain logs why a path cannot be dialled, once for each reason.
func (k *keeper) complain(ctx context.Context, err error) {
	if text := err.Error(); text != k.complaint && ctx.Err() == nil {
		k.complaint = text
		k.portal.Log.Warn("path cannot connect; trying again", "path", k.name, "why", err)
	}
}

// wait waits, but not longer than until the interface changes.
func (k *keeper) wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-k.changed:
	case <-ctx.Done():
	}
}

// spreadLinks tells the keepers of changes on their interfaces.
func (p *Portal) spreadLinks(ctx context.Context) {
	for {
		select {
		case e, ok := <-p.Links:
			if !ok {
				return
			}
			p.mu.Lock()
			for _, k := range p.keepers {
				if e.Device != "" && k.config.Device != "" && e.Device != k.config.Device {
					continue
				}
				k.tellChanged()
			}
			p.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}
