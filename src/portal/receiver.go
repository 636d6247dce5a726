package portal

import (
	"net/netip"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

const (
	// receiveBatch is how many messages a reader takes at once.
	receiveBatch = 64
	// strangerBatch is how many before one of them was authentic, on a flow
	// that a stranger opened: many of those must not drain the pool.
	strangerBatch = 2
)

// flow is a transport's flow as the portal knows it: with its kind, and with
// senders that take turns.
type flow struct {
	transport.Flow
	kind transport.Transport
	from *listening    // nil: this portal dialled it
	turn chan struct{} // held, once a batch, by whoever sends
	dead chan struct{} // closed when its reader ended
}

// Send waits for its turn, and while the flow is full.
func (f *flow) Send(ms []transport.Message) (int, error) {
	f.turn <- struct{}{}
	defer func() { <-f.turn }()
	return f.Flow.Send(ms)
}

// answer sends one message without keeping the caller, a reader, waiting. Where
// somebody else is sending, the message is dropped: the peer will ask again.
func (p *Portal) answer(a answer) {
	f, ok := a.to.Flow.(*flow)
	if !ok {
		return
	}
	select {
	case f.turn <- struct{}{}:
		p.goRun(func() {
			defer func() { <-f.turn }()
			_, _ = f.Flow.Send([]transport.Message{{Buf: a.message, Remote: a.to.Remote, Local: a.to.Local}})
		})
	default:
	}
}

// addFlow takes a flow and reads it until it ends. It returns nil if the
// portal is closed, or the listener that it comes from.
func (p *Portal) addFlow(t transport.Flow, kind transport.Transport, from *listening) *flow {
	f := &flow{Flow: t, kind: kind, from: from, turn: make(chan struct{}, 1), dead: make(chan struct{})}
	p.mu.Lock()
	closed := p.closed || from != nil && from.closed
	if !closed {
		p.flows[f] = struct{}{}
		p.running.Add(1)
	}
	p.mu.Unlock()
	if closed {
		t.Close()
		return nil
	}
	go func() {
		defer p.running.Done()
		newReceiver(p, f).run()
		f.Close()
		close(f.dead)
		p.do(func(now mono.Time) { p.core.flowDied(now, f) })
		p.mu.Lock()
		delete(p.flows, f)
		p.mu.Unlock()
	}()
	return f
}

// flowDied takes a flow that is finished from the paths that used it.
func (k *core) flowDied(now mono.Time, f *flow) {
	for _, p := range k.order {
		k.act(now, p, p.FlowDied(now, f))
	}
}

// receiver reads one flow: it opens messages outside the lock, and hands the
// core a batch of what was authentic.
//
// It owns a batch of buffers; the core keeps those with inner packets, and
// they are replaced from the pool. When that is exhausted, inner packets are
// dropped as a full link would, and everything else goes on.
type receiver struct {
	portal   *Portal
	flow     *flow
	local    netip.AddrPort
	messages []transport.Message
	packets  []*packet.Packet
	spare    []*packet.Packet
	opened   []received
	opener   opener
	holder   holder
	vouched  bool // a message of this flow was authentic and fresh
}

func newReceiver(p *Portal, f *flow) *receiver {
	r := &receiver{portal: p, flow: f, local: f.Local(),
		messages: make([]transport.Message, receiveBatch), packets: make([]*packet.Packet, receiveBatch),
		spare: make([]*packet.Packet, receiveBatch), opened: make([]received, receiveBatch),
		opener: opener{bind: p.core.bind, guard: handshake.NewGuard(p.Config.Interface.Key)}}
	batch := receiveBatch
	if _, stranger := f.Flow.(transport.Authenticator); stranger {
		batch = strangerBatch
	}
	r.packets = r.packets[:p.pool.Get(r.packets[:batch])]
	r.messages = r.messages[:len(r.packets)]
	return r
}

// vouch notes that a message of the flow was authentic and no recording.
func (r *receiver) vouch() {
	r.vouched = true
	a, stranger := r.flow.Flow.(transport.Authenticator)
	if !stranger {
		return
	}
	a.Authenticated()
	had := len(r.packets)
	more := r.portal.pool.Get(r.packets[had:receiveBatch])
	r.packets = r.packets[:had+more]
	r.messages = r.messages[:had+more]
}

func (r *receiver) run() {
	defer func() {
		for _, p := range r.packets {
			p.Release()
		}
	}()
	if len(r.packets) == 0 {
		return // a full pool at birth: the path dials again
	}
	for {
		r.holder.repick(r.portal, r.packets)
		for i, p := range r.packets {
			r.messages[i].Buf = p.Buffer()[packet.Headroom:]
		}
		n, err := r.flow.Receive(r.messages)
		if err != nil {
			return
		}
		r.batch(n)
	}
}

// batch opens the first n messages and hands them to the core.
func (r *receiver) batch(n int) {
	p := r.portal
	keys := p.keys.Load()
	var rejected rejections
	count := 0
	for i := range n {
		m := &r.messages[i]
		o := &r.opened[count]
		if !r.flow.from.allows(m.Remote.Addr()) {
			rejected.count[rejectSource]++
			continue
		}
		o.from = path.Endpoint{Flow: r.flow, Local: m.Local, Remote: m.Remote}
		o.packet = r.packets[i]
		if why := r.opener.open(m.Buf[:m.N], o, keys); why != rejectNone {
			rejected.count[why]++
			if why == rejectKey {
				rejected.stranger = m.Remote.Addr()
			}
			continue
		}
		kind := r.flow.kind
		o.overhead, o.datagram, o.transport = kind.Overhead(m.Remote.Addr()), kind.Datagram(), kind.Name()
		o.index = i
		count++
	}
	if count == 0 { // noise: nothing follows from it
		p.mu.Lock()
		p.core.reject(&rejected)
		p.mu.Unlock()
		return
	}
	spare := p.pool.Get(r.spare[:count])
	used, fresh := 0, false
	p.do(func(now mono.Time) {
		p.core.reject(&rejected)
		for i := range count {
			o := &r.opened[i]
			if used == spare && o.header.Type == wire.TypeData && !o.raw {
				p.core.unheard++
				continue
			}
			p.core.receive(now, o)
			fresh = fresh || o.fresh
			if o.packet == nil {
				r.packets[o.index] = r.spare[used]
				used++
			}
			o.packet, o.payload = nil, nil
		}
	})
	for _, s := range r.spare[used:spare] {
		s.Release()
	}
	clear(r.spare[:spare])
	if fresh && !r.vouched {
		r.vouch()
	}
}

// Why a message was rejected before the core saw it.
const (
	rejectNone = iota
	rejectMAC
	rejectKey // a handshake message, made with another key
	rejectMalformed
	rejectSource
	reasons // how many
)

// rejections are those of one batch.
type rejections struct {
	count    [reasons]uint64
	stranger netip.Addr // where the last one for rejectKey came from
}

func (k *core) reject(r *rejections) {
	k.rejected.Mac += r.count[rejectMAC] + r.count[rejectKey]
	k.rejected.Malformed += r.count[rejectMalformed]
	k.rejected.Source += r.count[rejectSource]
	if n := r.count[rejectKey]; n > 0 {
		k.strangers.handshakes += n
		k.strangers.last = r.stranger
	}
}

// opener checks messages. Its MAC state belongs to one goroutine.
type opener struct {
	bind     bool
	guard    *handshake.Guard
	epochs   session.Table // for which the verifiers are
	macs     [wire.Epochs]auth.MacVerifier
	sequence auth.DataSequence
}

// open checks and parses the message m into o. m must have nothing believed of
// it yet but its length; noise costs one MAC at most. It allocates nothing but
// the state for new keys.
func (op *opener) open(m []byte, o *received, keys *session.Table) int {
	t, n, id, ok := wire.Prefix(m)
	if !ok {
		return rejectMalformed
	}
	o.size = len(m)
	if t <= wire.TypeRetry {
		var err error
		if o.shake, err = op.guard.Open(m); err != nil {
			if err == handshake.ErrMalformed {
				return rejectMalformed
			}
			return rejectKey
		}
		o.raw, o.fresh = true, false
		return rejectNone
	}
	if keys == nil || keys[n] == nil {
		return rejectMAC // sealed with keys that we do not have, or no more
	}
	if e := keys[n]; op.epochs[n] != e {
		op.epochs[n] = e
		op.macs[n] = e.Suite.NewVerifier(e.Keys.Receive, op.bind)
	}
	var err error
	if o.header, _, err = wire.ParseHeader(m); err != nil {
		return rejectMalformed
	}
	o.meta = auth.Meta{Path: id, PathSequence: o.header.Sequence, HeaderLen: wire.HeaderSize,
		Source: o.from.Remote, Destination: o.from.Local}
	body, err := op.macs[n].Verify(m, &o.meta)
	if err != nil {
		if err == auth.ErrMalformed {
			return rejectMalformed
		}
		return rejectMAC
	}
	rest := body[wire.HeaderSize:]
	if o.header.HasAck {
		if rest, err = wire.ParseAck(rest, &o.ack); err != nil {
			return rejectMalformed
		}
	}
	if t == wire.TypeData {
		if rest, err = op.sequence.Verify(rest, &o.meta); err != nil {
			return rejectMalformed
		}
	}
	o.raw, o.fresh, o.payload, o.epoch = false, false, rest, op.epochs[n]
	return rejectNone
}
