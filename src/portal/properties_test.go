package portal

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/simnet"
	"netcombiner/src/wire"
)

// What must hold over any network, whatever crosses it, in each direction:
//
//   - A path takes a packet only while what it has in flight, in packets and in
//     bytes, is less than its window: also a twin, and what goes again. So in
//     flight is at most the window and one packet; what may come on top are
//     control messages, which ask nobody, and the headers of what waited in the
//     outbox. A window that shrinks calls nothing back.
//   - No packet waits in the ingress queue for longer than staleAfter, nor are
//     there more bytes than queueLimit.
//   - No packet waits in the resequencer for longer than that says it may, and
//     that is never longer than maxHeld.
//   - Every packet that came from the TUN was dropped, by the ingress queue or
//     for want of a buffer, and counted there, or given to a path and counted
//     there. Each of the latter was delivered once, unless every time it was sent
//     the link lost it, or the receiver for want of a buffer.
//   - Every message that a path counts was on its link, and every one that its
//     link did not lose is counted by the path's other end.
const (
	staleAfter = time.Second            // exchange's
	queueLimit = 4 << 20                // the same
	maxHeld    = 800 * time.Millisecond // its maxRecovery
)

func TestPropertiesOverRandomNetworks(t *testing.T) {
	seeds := uint64(24)
	if testing.Short() {
		seeds = 4
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			s := simnet.NewScenario(seed)
			var specs []linkSpec
			for _, l := range s.Links { // without their faults
				specs = append(specs, linkSpec{up: l.Up, down: l.Down})
			}
			sim(t, seed, specs, func(tn *tunnel) {
				for _, e := range []*end{tn.local, tn.remote} {
					e.config.Interface.Suite = "blake2s" // sequences can be read on the links
				}
				out, in := newWitness(t, tn, true), newWitness(t, tn, false)
				tn.start()
				time.Sleep(3 * time.Second)
				out.attend()
				in.attend()
				out.traffic(in)
				in.traffic(out)
				for end := tn.net.Now() + 8*time.Second; tn.net.Now() < end; {
					time.Sleep(3*time.Millisecond + 7*time.Microsecond)
					out.look()
					in.look()
				}
				out.conclude()
				in.conclude()
				if t.Failed() {
					t.Logf("%v", s)
				}
			})
		})
	}
}

// witness watches one direction of a tunnel: the paths that take packets, the
// links that carry them, the resequencer that holds them.
type witness struct {
	t        *testing.T
	tunnel   *tunnel
	from, to *end
	out      bool
	flows    []*simnet.Flow

	mu      sync.Mutex
	fates   []fate // of inner packets, by sequence
	shakes  pipeCount
	longest time.Duration // in the ingress queue
}

// fate is on how many messages a packet was, and how many of them got lost.
type fate struct{ sent, lost int }

// pipeCount is so many messages in a link's direction, by link.
type pipeCount map[*simnet.Pipe]*fate

func newWitness(t *testing.T, tn *tunnel, out bool) *witness {
	w := &witness{t: t, tunnel: tn, from: tn.local, to: tn.remote, out: out, shakes: pipeCount{}}
	if !out {
		w.from, w.to = tn.remote, tn.local
	}
	for _, l := range tn.links {
		w.shakes[w.pipe(l)] = &fate{}
	}
	tn.net.Tap(func(d simnet.Datagram) { w.note(d, func(f *fate) { f.sent++ }) })
	tn.net.TapDrops(func(d simnet.Datagram, _ simnet.Cause) { w.note(d, func(f *fate) { f.lost++ }) })
	return w
}

func (w *witness) pipe(l *simnet.Link) *simnet.Pipe {
	if w.out {
		return l.Up
	}
	return l.Down
}

// note notes a datagram of this direction: a handshake message, or one with an
// inner packet.
func (w *witness) note(d simnet.Datagram, f func(*fate)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shakes[d.Pipe] == nil {
		return
	}
	switch kind, _, _, _ := wire.Prefix(d.Data); {
	case kind < wire.TypeData:
		f(w.shakes[d.Pipe])
	case kind == wire.TypeData:
		const mac = 16
		seq := binary.BigEndian.Uint64(d.Data[len(d.Data)-mac-8:])
		for uint64(len(w.fates)) <= seq {
			w.fates = append(w.fates, fate{})
		}
		f(&w.fates[seq])
	}
}

// attend puts the witness in front of every path of the sending portal.
func (w *witness) attend() {
	p := w.from.portal
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, q := range p.core.order {
		p.core.consumers[i] = &attended{q, w}
	}
}

// attended is a path with a witness.
type attended struct {
	*path.Path
	witness *witness
}

// Consume implements exchange.Consumer. The portal's lock is held.
func (a *attended) Consume(now mono.Time, p *packet.Packet) {
	w := a.witness
	if n, max := a.InFlight(), a.Window(); n >= max {
		w.t.Errorf("%s takes a packet with %d in flight; the window is %d", a.Name, n, max)
	}
	if n, max := a.InFlightBytes(), a.WindowBytes(); n >= max {
		w.t.Errorf("%s takes a packet with %d bytes in flight; the window is %d", a.Name, n, max)
	}
	if p.Sent == now {
		w.longest = max(w.longest, now.Sub(p.Queued))
	}
	a.Path.Consume(now, p)
}

// traffic starts flows at random in the direction of w: a call, pings, bursts
// or none, and a bulk flow mostly, whose acknowledgements go back.
func (w *witness) traffic(back *witness) {
	n := w.tunnel.net
	rng, until := n.Rand(fmt.Sprint("traffic out: ", w.out)), n.Now()+5*time.Second
	flow := func() *simnet.Flow {
		f := w.tunnel.check.Flow(w.from.host, w.to.host, false)
		w.flows = append(w.flows, f)
		return f
	}
	flow().Call(20*time.Millisecond, 200, until)
	flow().Poisson(10, 84, until)
	if rng.IntN(2) == 0 {
		flow().Bursts(1+rng.IntN(100), 500*time.Millisecond, 1200, until)
	}
	if rng.IntN(4) > 0 {
		b := w.tunnel.check.NewBulk(w.from.host, w.to.host, false, 1400, 0, until)
		w.flows, back.flows = append(w.flows, b.Data()), append(back.flows, b.Acks())
	}
}

// look compares what waits now with the bounds.
func (w *witness) look() {
	p := w.from.portal
	p.mu.Lock()
	_, bytes, _ := p.core.exchange.Queued(p.clock.Now())
	p.mu.Unlock()
	if bytes > queueLimit {
		w.t.Errorf("%d bytes wait", bytes)
	}

	p = w.to.portal
	p.mu.Lock()
	r := &p.core.exchange.Resequencer
	waited, may := r.Waited(p.clock.Now()), max(r.Hold(), r.Recovery())
	p.mu.Unlock()
	if waited > may || may > maxHeld {
		w.t.Errorf("a packet is held after %v, and might be for %v", waited, may)
	}
}

// conclude balances the books, when nothing is under way any more.
func (w *witness) conclude() {
	w.inner()
	w.messages()
}

// inner balances the inner packets.
func (w *witness) inner() {
	var sent, delivered, lost uint64
	for _, f := range w.flows {
		s := f.All()
		sent, delivered = sent+uint64(s.Sent), delivered+uint64(s.Delivered)
	}
	from, to := w.from.portal, w.to.portal
	from.mu.Lock()
	x := from.core.exchange
	given, dropped := x.TxPackets, x.Dropped()+from.core.unread
	waiting, _, _ := x.Queued(from.clock.Now())
	from.mu.Unlock()
	to.mu.Lock()
	received, held, unheard := to.core.rx.Packets, to.core.exchange.Resequencer.Held(), to.core.unheard
	to.mu.Unlock()
	w.mu.Lock()
	for seq := uint64(1); seq <= given; seq++ {
		if f := w.fates[seq]; f.sent == 0 {
			w.t.Errorf("packet %d was given to a path and not sent", seq)
		} else if f.sent == f.lost {
			lost++
		}
	}
	w.mu.Unlock()
	w.t.Logf("out %v: %d came, %d dropped, %d lost, %d delivered; longest in the queue %v", w.out, sent, dropped, lost, delivered, w.longest)
	if waiting != 0 || held != 0 {
		w.t.Errorf("%d packets wait and %d are held", waiting, held)
	}
	if sent != given+dropped {
		w.t.Errorf("%d packets came, %d were given to paths and %d dropped", sent, given, dropped)
	}
	if missing := given - lost - received; missing > unheard || received != delivered {
		w.t.Errorf("%d packets were given to paths; %d were lost, %d received, %d delivered, %d found no buffer", given, lost, received, delivered, unheard)
	}
	if w.longest > staleAfter {
		w.t.Errorf("a packet waited for %v in the ingress queue", w.longest)
	}
}

// messages balances what the paths and the links count.
func (w *witness) messages() {
	var arrived, heard uint64
	for i, l := range w.tunnel.links {
		sent, received := w.from.portal.counters(i).TxPackets, w.to.portal.counters(i).RxPackets
		w.mu.Lock()
		shakes := *w.shakes[w.pipe(l)]
		w.mu.Unlock()
		c := w.pipe(l).Counters()
		if !c.Balanced() || c.In != sent+uint64(shakes.sent) {
			w.t.Errorf("%s: %+v; %d of these are handshake messages; the path counts %d", l.Name(), c, shakes.sent, sent)
		}
		arrived, heard = arrived+c.Delivered, heard+received+uint64(shakes.sent-shakes.lost)
	}
	p := w.to.portal
	p.mu.Lock()
	defer p.mu.Unlock()
	if arrived != heard+p.core.unheard {
		w.t.Errorf("%d messages arrived; the paths count %d, and %d found no buffer", arrived, heard, p.core.unheard)
	}
}

// counters are those of a path.
func (p *Portal) counters(i int) path.Counters {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.paths[i].Counters
}
