package portal

import (
	"errors"

	"netcombiner/src/auth"
	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

// sendBatch is how many messages a sender takes at once: all that may wait in
// the path's outbox, so that the kernel can take them in one run.
const sendBatch = 64

// sender is the goroutine that seals and sends a path's messages. Sealing
// copies each packet into the sender's own slab: the packet itself stays
// whole, for it may have to be rescued, and sealed again for another path.
type sender struct {
	portal *Portal
	path   *path.Path
	wake   chan struct{} // buffered; one signal however many reasons
	quit   chan struct{}

	out      []path.Outgoing
	done     []*packet.Packet // sealed
	slab     []byte
	messages []transport.Message
	sealer   sealer
}

// wakeSenders starts a sender for each new path, ends those of paths that are
// gone, and wakes those that have something to send. Under the lock.
func (p *Portal) wakeSenders(now mono.Time) {
	keyed := p.core.session.Sending(now) != nil
	for id, q := range p.core.paths {
		s := p.senders[id]
		if s != nil && s.path != q {
			s.stop()
			p.senders[id], s = nil, nil
		}
		if q == nil {
			continue
		}
		if s == nil {
			s = newSender(p, q)
			p.senders[id] = s
			p.goRun(s.run)
		}
		if q.HasOutput(now, keyed) {
			select {
			case s.wake <- struct{}{}:
			default:
			}
		}
	}
}

func newSender(p *Portal, q *path.Path) *sender {
	return &sender{portal: p, path: q, wake: make(chan struct{}, 1), quit: make(chan struct{}),
		out: make([]path.Outgoing, sendBatch), slab: make([]byte, sendBatch*p.pool.Size()),
		messages: make([]transport.Message, sendBatch), sealer: sealer{bind: p.core.bind}}
}

func (s *sender) stop() { close(s.quit) }

func (s *sender) run() {
	for {
		select {
		case <-s.wake:
		case <-s.quit:
			return
		}
		for s.send() {
		}
	}
}

// send takes one batch from the core and sends it. It returns whether there
// may be more.
func (s *sender) send() bool {
	p := s.portal
	p.mu.Lock()
	if p.core.paths[s.path.ID] != s.path {
		p.mu.Unlock()
		return false
	}
	now := p.clock.Now()
	n, epoch := p.core.poll(now, s.path, s.out)
	if n > 0 {
		p.wakeSenders(now)
		p.setAlarm(now)
	}
	p.mu.Unlock()
	if n == 0 {
		return false
	}
	size := p.pool.Size()
	for i := range n {
		o := &s.out[i]
		m := &s.messages[i]
		m.Remote, m.Local = o.To.Remote, o.To.Local
		if m.Buf = o.Raw; o.Raw == nil {
			m.Buf = s.sealer.seal(s.slab[i*size:i*size:(i+1)*size], o, epoch)
		}
	}
	s.release(n)
	for i := 0; i < n; { // mostly one run; two while a path moves
		j := i + 1
		for j < n && s.out[j].To.Flow == s.out[i].To.Flow {
			j++
		}
		s.dispatch(s.out[i].To.Flow, s.messages[i:j])
		i = j
	}
	return true
}

// release gives back the references to what is sealed.
func (s *sender) release(n int) {
	s.done = s.done[:0]
	for i := range n {
		if p := s.out[i].Packet; p != nil {
			s.done = append(s.done, p)
			s.out[i].Packet = nil
		}
	}
	s.portal.mu.Lock()
	packet.Release(s.done)
	s.portal.mu.Unlock()
}

func (s *sender) dispatch(f transport.Flow, messages []transport.Message) {
	_, err := f.Send(messages)
	var refused *transport.RefusedError
	switch {
	case err == nil:
	case errors.As(err, &refused):
		s.portal.do(func(now mono.Time) { s.path.Refused(now) })
	default: // the flow is finished; its reader says so to all
		f.Close()
	}
}

// sealer makes messages. Its MAC state belongs to one goroutine.
type sealer struct {
	bind     bool
	epoch    *session.Epoch
	mac      auth.MacGenerator
	data     auth.MacGenerator // the whole chain: sequence inside, MAC outside
	sequence auth.DataSequence
	meta     auth.Meta
}

// seal writes o to b, which is empty and has room, and returns the message.
// It reads o.Packet and keeps nothing.
func (s *sealer) seal(b []byte, o *path.Outgoing, e *session.Epoch) []byte {
	if s.epoch != e {
		s.epoch = e
		s.mac = e.Suite.NewGenerator(e.Keys.Send, s.bind)
		s.data = auth.Generators{s.sequence, s.mac}
	}
	o.Header.Epoch = e.Number
	b = o.Header.Append(b)
	if o.Header.HasAck {
		b = o.Ack.Append(b)
	}
	s.meta = auth.Meta{Path: o.Header.Path, PathSequence: o.Header.Sequence, HeaderLen: wire.HeaderSize,
		Source: o.To.Local, Destination: o.To.Remote}
	if o.Packet != nil {
		s.meta.Sequence, s.meta.Previous = o.Packet.Sequence, o.Packet.Previous
		return s.data.Generate(append(b, o.Packet.Data...), &s.meta)
	}
	b = append(b, o.Frames...)
	start := len(b)
	b = b[:start+o.Pad]
	clear(b[start:])
	return s.mac.Generate(b, &s.meta)
}
