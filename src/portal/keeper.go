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
// or its interface changes. It never waits for another path's keeper.
type keeper struct {
	portal    *Portal
	path      *path.Path
	config    config.Path
	transport transport.Transport
	changed   chan struct{} // buffered: something happened on the interface
	look      chan struct{} // buffered: the path's state changed
	attempt   int
	addresses []netip.Addr // last resolved
	complaint string       // last logged
}

// openPath makes the i-th path of the configuration and starts its keeper.
func (p *Portal) openPath(ctx context.Context, i int, c config.Path) error {
	t := p.transport(c.Transport, c.Protocol)
	if t == nil {
		return fmt.Errorf("path %s: no transport %q", c.Name, c.Transport)
	}
	settings, join := pathSettings(c, t.Datagram())
	p.mu.Lock()
	q, err := p.core.addPath(p.started, path.Fixed{ID: uint8(i), Datagram: t.Datagram(), Transport: t.Name(), Join: join}, settings)
	if err == nil {
		p.enforceQuota(q)
	}
	p.mu.Unlock()
	if err != nil {
		return fmt.Errorf("path %s: %w", c.Name, err)
	}
	k := &keeper{portal: p, path: q, config: c, transport: t, changed: make(chan struct{}, 1), look: make(chan struct{}, 1)}
	p.keepers = append(p.keepers, k)
	p.goRun(func() { k.run(ctx) })
	return nil
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
	for ctx.Err() == nil {
		began := k.portal.clock.Now()
		f, changed, err := k.dialUnlessChanged(ctx)
		if err != nil && changed {
			continue // it went out by an interface that is no longer as it was
		}
		if err != nil {
			k.complain(ctx, err)
			k.attempt++
			k.wait(ctx, dialAgain-k.portal.clock.Now().Sub(began))
			continue
		}
		k.complaint = ""
		k.portal.do(func(now mono.Time) {
			e := path.Endpoint{Flow: f, Local: f.Local(), Remote: f.Remote()}
			k.portal.core.attach(now, k.path, e, k.transport.Overhead(e.Remote.Addr()))
		})
		k.watch(ctx, f)
		if state, _ := k.patience(); state == path.Connecting {
			k.attempt++ // it never came up: perhaps another of its addresses answers
		}
		f.Close()
		<-f.dead
	}
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
	bind := transport.Bind{Device: k.config.Device, Addr: k.config.Source}
	addresses, err := k.portal.Resolve(resolving, k.config.Remote.Host, bind)
	if source := k.config.Source; source.IsValid() {
		addresses = slices.DeleteFunc(addresses, func(a netip.Addr) bool { return a.Unmap().Is4() != source.Unmap().Is4() })
	}
	if err == nil && len(addresses) > 0 {
		k.addresses = addresses
	} else if len(k.addresses) == 0 {
		return nil, fmt.Errorf("cannot resolve %s: %w", k.config.Remote.Host, err)
	}
	remote := netip.AddrPortFrom(k.addresses[k.attempt%len(k.addresses)], k.config.Remote.Port)
	dialling, cancelDial := context.WithTimeout(ctx, dialTime)
	defer cancelDial()
	t, err := k.transport.Dial(dialling, bind, remote)
	if err != nil {
		return nil, err
	}
	f := k.portal.addFlow(t, k.transport, nil)
	if f == nil {
		return nil, transport.ErrClosed
	}
	return f, nil
}

// nudge makes the keeper look at its path's state. It does not wait.
func (k *keeper) nudge() {
	select {
	case k.look <- struct{}{}:
	default:
	}
}

// watch waits until the flow should be dialled anew.
func (k *keeper) watch(ctx context.Context, f *flow) {
	patience := time.NewTimer(0)
	defer patience.Stop()
	for {
		state, left := k.patience()
		if left <= 0 {
			return
		}
		patience.Reset(left)
		select {
		case <-ctx.Done():
			return
		case <-f.dead:
			return
		case <-k.changed:
			if state != path.Up || !k.holdsAddress(f) {
				return
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
	if k.portal.Addresses == nil || k.config.Device == "" {
		return true
	}
	have, err := k.portal.Addresses(k.config.Device)
	return err != nil || slices.Contains(have, f.Local().Addr())
}

// complain logs why a path cannot be dialled, once for each reason.
func (k *keeper) complain(ctx context.Context, err error) {
	if text := err.Error(); text != k.complaint && ctx.Err() == nil {
		k.complaint = text
		k.portal.Log.Warn("path cannot connect; trying again", "path", k.config.Name, "why", err)
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
			for _, k := range p.keepers {
				if e.Device != "" && k.config.Device != "" && e.Device != k.config.Device {
					continue
				}
				k.tellChanged()
			}
		case <-ctx.Done():
			return
		}
	}
}
