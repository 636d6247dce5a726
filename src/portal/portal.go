// Package portal is one end of a tunnel: it joins the TUN, the exchange, the
// session and the paths. It is the one package that knows the others.
//
// core is its pure heart (core*.go, diagnosis.go, mtu.go); the rest is the shell: goroutines that read a device,
// take the lock once a batch, tell the core, and write what it says.
//
//	reader of the TUN    inner packets  → core.ingress          (tunreader.go)
//	sender of a path     core.poll      → seal → the path's flow  (sender.go)
//	reader of a flow     messages → open → core.receive → TUN     (receiver.go)
//	timekeeper           core.settle when something is due        (portal.go)
//	keeper of a path     resolves, dials, dials again             (keeper.go)
//	keeper of quotas     counts what is carried in a month        (quotas.go),
//	                     and gives back what a burst took         (buffers.go)
//
// No path's goroutines ever wait for another's, but for the lock, which nobody
// holds while it waits for a device.
package portal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/config"
	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/transport"
	"netcombiner/src/tundevice"
	"netcombiner/src/wire"
)

// LinkEvent says that something changed on one of the host's interfaces.
type LinkEvent struct {
	Device string // "": look at all
}

// Options is what a portal needs of its host.
type Options struct {
	Config     *config.Config // what it starts with; see Apply
	Version    string
	Device     tundevice.Device
	Transports []transport.Transport
	// Resolve finds the addresses of a remote's name, best first, asking by
	// the path's own way out.
	Resolve func(ctx context.Context, host string, bind transport.Bind) ([]netip.Addr, error)
	// Links tells of changes on the host's interfaces; may be nil.
	Links <-chan LinkEvent
	// Addresses lists the addresses of an interface; may be nil.
	Addresses func(device string) ([]netip.Addr, error)
	Log       *slog.Logger
	// QuotaFile is where quotas and totals are counted across restarts; "": they
	// are not.
	QuotaFile string
	// Wall is time.Now, but for tests: the clock that tells the month.
	Wall func() time.Time
	// Random is crypto/rand.Reader, but for tests.
	Random io.Reader
	// Packets bounds the buffers of inner packets. 0: as many as poolPart holds.
	Packets int
}

// What the MemoryLimit is divided by for the buffers of all inner packets, and
// for those among them that wait for a path. The rest is for the sockets' slabs,
// the logs of what was sent, and the runtime.
const (
	poolPart  = 2
	queuePart = 16
)

// A path of the configuration has its number on the wire.
var _ [wire.MaxPaths - config.MaxPaths]struct{}

// Portal is one end of a tunnel.
type Portal struct {
	Options
	clock      mono.Clock
	started    mono.Time
	pool       *packet.Pool
	shrunk     atomic.Uint32 // how often shrink made the pool smaller
	transports map[string]transport.Transport
	egress     egress
	mtu        atomic.Int64                  // the tunnel's, for the TUN's reader
	keys       atomic.Pointer[session.Table] // for the flows' readers
	quotas     *quotas                       // nil before Run

	mu      sync.Mutex
	core    *core
	senders [wire.MaxPaths]*sender
	flows   map[*flow]struct{}
	keepers []*keeper              // of the local portal, in the order of its configuration
	kept    [wire.MaxPaths]*keeper // the same by their paths' IDs, and those that part
	listens []*listening           // of the remote portal
	alarm   *time.Timer
	alarmAt mono.Time
	resized chan struct{} // the TUN is to learn of another mtu
	closed  bool

	applying sync.Mutex     // held by Apply, which waits
	applied  *config.Config // what runs

	running sync.WaitGroup
	ctx     context.Context // of Run
	cancel  context.CancelCauseFunc
}

// New makes a portal. It opens nothing yet.
func New(o Options) (*Portal, error) {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Wall == nil {
		o.Wall = time.Now
	}
	memory := o.Config.Interface.MemoryLimit
	if memory == 0 {
		memory = config.DefaultMemoryLimit
	}
	if o.Packets == 0 {
		if least := o.Config.LeastMemory(); memory < least {
			return nil, fmt.Errorf("MemoryLimit is %d bytes, and so many paths and listeners need %d", memory, least)
		}
		o.Packets = int(memory) / poolPart / bufferSize(o.Config.Interface.MTU)
	}
	offer, err := auth.Offer(o.Config.Interface.Suite)
	if err != nil {
		return nil, err
	}
	p := &Portal{Options: o, clock: mono.NewClock(), transports: map[string]transport.Transport{},
		flows: map[*flow]struct{}{}}
	for _, t := range o.Transports {
		p.transports[t.Name()] = t
	}
	p.started = p.clock.Now()
	i := o.Config.Interface
	p.core, err = newCore(coreConfig{
		session: session.Config{Initiator: i.Role == config.Local, PSK: i.Key, Offer: offer,
			Addresses: i.AuthenticateAddresses, Random: o.Random},
		scheduler: i.Scheduler, bind: i.AuthenticateAddresses, addresses: i.Address, mtu: i.MTU, floorMTU: floorMTU(i.Address),
	}, p.started)
	if err != nil {
		return nil, err
	}
	p.core.exchange.LimitQueue(int(memory) / queuePart)
	p.pool = packet.NewPool(bufferSize(i.MTU), o.Packets)
	p.egress.device = o.Device
	p.mtu.Store(int64(p.core.mtu))
	return p, nil
}

// floorMTU is the smallest MTU the tunnel interface may get: IPv6 needs 1280.
func floorMTU(addresses []netip.Prefix) int {
	for _, a := range addresses {
		if a.Addr().Is6() {
			return tundevice.MinMTU6
		}
	}
	return path.SmallestMTU
}

// bufferSize is what holds the longest message for the MTU: an odd number of
// cache lines, or the headers of all packets would compete for the same few.
func bufferSize(mtu int) int {
	const line = 64
	lines := (packet.Headroom + max(mtu, maxTunnelMTU) + innerRoom + line - 1) / line
	return (lines | 1) * line
}

// Run runs the portal until ctx ends or the device goes away, and undoes all
// it opened before it returns. The error is nil after a wanted end. ready is
// called once the portal is listening, or trying to connect.
func (p *Portal) Run(ctx context.Context, ready func()) error {
	ctx, p.cancel = context.WithCancelCause(ctx)
	defer p.cancel(nil)
	p.ctx = ctx
	p.alarm, p.resized = time.NewTimer(time.Hour), make(chan struct{}, 1)
	p.openQuotas()
	if err := p.open(); err != nil {
		p.cancel(err)
		p.shut()
		return err
	}
	p.goRun(func() { p.keepQuotas(ctx) })
	p.goRun(func() { p.keepTime(ctx) })
	p.goRun(func() { p.readTUN(ctx) })
	if ready != nil {
		ready()
	}
	<-ctx.Done()
	p.leave()
	p.shut()
	p.closeQuotas()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (p *Portal) goRun(f func()) {
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		f()
	}()
}

// open makes the paths of the local portal, or the listeners of the remote.
func (p *Portal) open() error {
	p.applying.Lock()
	err := p.apply(&config.Config{Interface: p.Config.Interface}, p.Config)
	p.applying.Unlock()
	if err != nil {
		return err
	}
	if p.Links != nil {
		p.goRun(func() { p.spreadLinks(p.ctx) })
	}
	return nil
}

// transport returns the transport of that name, or nil; number is 0 but where
// there is one for each IP protocol number.
func (p *Portal) transport(name string, number uint8) transport.Transport {
	t := p.transports[name]
	if n, ok := t.(transport.Numbered); ok {
		return n.Number(number)
	}
	return t
}

// leave tells the peer goodbye, so that it need not find out by silence.
func (p *Portal) leave() {
	p.do(func(now mono.Time) {
		p.core.stopping = true
		for _, q := range p.core.order {
			if s, _ := q.State(); s == path.Up {
				q.Tell(wire.AppendFrame(nil, wire.FrameClose, nil))
			}
		}
	})
	time.Sleep(20 * time.Millisecond) // the senders' time to send it
}

// shut ends every goroutine and waits for it.
func (p *Portal) shut() {
	p.Device.Close()
	p.mu.Lock()
	p.closed = true
	for _, l := range p.listens { // not before: by them the other portal was told
		l.listener.Close()
	}
	for f := range p.flows {
		f.Close()
	}
	for _, s := range p.senders {
		if s != nil {
			s.stop()
		}
	}
	p.mu.Unlock()
	p.running.Wait()
	p.egress.close()
	p.mu.Lock()
	p.core.close()
	p.mu.Unlock()
}

// do runs f under the lock and then does all that follows from it: settles the
// core, wakes senders, writes to the TUN, sets the alarm. Everything that
// changes the core goes through here, once a batch.
func (p *Portal) do(f func(now mono.Time)) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return
	}
	now := p.clock.Now()
	f(now)
	p.core.settle(now)
	p.wakeSenders(now)
	p.egress.add(p.core.deliver)
	clear(p.core.deliver) // what is not needed is not to be kept: see packet.Pool.Shrink
	p.core.deliver = p.core.deliver[:0]
	answers := p.core.answers
	p.core.answers = nil
	notes, retired := p.core.notes, p.core.retired
	p.core.notes, p.core.retired = nil, nil
	for ; p.core.changed != 0; p.core.changed &= p.core.changed - 1 {
		if k := p.kept[bits.TrailingZeros64(p.core.changed)]; k != nil {
			k.nudge()
		}
	}
	if t := p.core.session.Table(); t != p.keys.Load() {
		p.keys.Store(t)
	}
	p.resize()
	p.setAlarm(now)
	p.mu.Unlock()

	p.egress.flush()
	for _, f := range retired {
		f.Close()
	}
	for _, a := range answers {
		p.answer(a)
	}
	for _, n := range notes {
		p.Log.Log(context.Background(), n.level, n.message, n.args...)
	}
}

// resize has the TUN follow the core's MTU. Under the lock.
func (p *Portal) resize() {
	if mtu := int64(p.core.mtu); p.mtu.Swap(mtu) != mtu {
		select {
		case p.resized <- struct{}{}:
		default:
		}
	}
}

// alarmSlack is how much later than needed the timekeeper is not woken: to put
// the alarm off costs more than to wake under load, and less when all is idle.
const alarmSlack = time.Second

// setAlarm makes the timekeeper wake when the core next has something to do.
// Under the lock, after every change to the core.
func (p *Portal) setAlarm(now mono.Time) {
	if at := p.core.deadline(now); at < p.alarmAt || p.alarmAt <= now || at.Sub(p.alarmAt) > alarmSlack {
		p.alarmAt = at
		p.alarm.Reset(at.Sub(now))
	}
}

// keepTime calls the core when something is due, and sets the TUN's MTU.
func (p *Portal) keepTime(ctx context.Context) {
	mtu := 0
	for {
		if m := int(p.mtu.Load()); m != mtu {
			mtu = m
			if err := p.Device.SetMTU(m); err != nil {
				p.Log.Warn("cannot set the tunnel's MTU", "mtu", m, "why", err)
			}
		}
		p.do(func(mono.Time) {})
		select {
		case <-p.alarm.C:
		case <-p.resized:
		case <-ctx.Done():
			return
		}
	}
}
