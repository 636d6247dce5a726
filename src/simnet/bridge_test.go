package simnet

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"slices"
	"sync"
	"time"

	"netcombiner/src/transport"
	"netcombiner/src/tundevice"
)

// bridge is the least that can stand for a portal in the tests of simnet: it
// sends every inner packet on every path, and forwards what comes first. It
// has no security, only a checksum. A frame is
//
//	crc 4, from epoch 8, to epoch 8, seq 8 (0: hello), inner packet
//
// An epoch is when a bridge was started, in virtual time; a younger one
// replaces an older.
type bridge struct {
	*Host
	tun    *Tun
	epoch  uint64
	faulty func(b *bridge, seq uint64, inner []byte) // breaks a rule, for tests of the checker

	wait   sync.WaitGroup
	ctx    context.Context
	cancel func()

	mu    sync.Mutex
	peer  uint64
	seq   uint64
	seen  map[uint64]bool
	paths map[netip.AddrPort]*bridgePath // by the peer's address, or ours
	order []*bridgePath                  // an iteration over paths would be different each time
}

type bridgePath struct {
	flow  transport.Flow
	to    netip.AddrPort // not connected: where
	heard time.Duration
	out   chan []byte
}

const frameHeader = 28

func startBridge(h *Host, s *Scenario, faulty func(*bridge, uint64, []byte)) (stop func(), err error) {
	b := &bridge{
		Host: h, faulty: faulty, epoch: uint64(h.Network().Now()) + 1,
		seen: make(map[uint64]bool), paths: make(map[netip.AddrPort]*bridgePath),
	}
	if b.tun, err = h.OpenTun("nc0", 1400); err != nil {
		return nil, err
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.wait.Go(b.readTun)
	if h.Name() == "remote" {
		for _, tr := range []transport.Transport{h.UDP(), h.TCP()} {
			ln, err := tr.Listen(b.ctx, netip.AddrPortFrom(netip.IPv6Unspecified(), ScenarioPort))
			if err != nil {
				return nil, err
			}
			b.wait.Go(func() { b.accept(tr, ln) })
			context.AfterFunc(b.ctx, func() { ln.Close() })
		}
	} else {
		for i, l := range s.Links {
			tr := h.UDP()
			if l.Transport == "tcp" {
				tr = h.TCP()
			}
			b.wait.Go(func() { b.connect(tr, s.Links[i]) })
		}
	}
	return func() {
		b.cancel()
		b.tun.Close()
		b.wait.Wait()
	}, nil
}

// connect keeps a path up.
func (b *bridge) connect(tr transport.Transport, l LinkPlan) {
	for b.ctx.Err() == nil {
		ctx, cancel := context.WithTimeout(b.ctx, 700*time.Millisecond)
		flow, err := tr.Dial(ctx, transport.Bind{Device: l.Name}, l.Remote)
		cancel()
		if err != nil {
			select {
			case <-time.After(100 * time.Millisecond):
			case <-b.ctx.Done():
			}
			continue
		}
		p := b.addPath(flow.Local(), flow, netip.AddrPort{})
		b.wait.Go(func() { b.receive(flow, p) })
		b.sendHellos(p, 800*time.Millisecond)
		flow.Close()
		b.dropPath(flow.Local(), p)
	}
}

func (b *bridge) accept(tr transport.Transport, ln transport.Listener) {
	for {
		flow, err := ln.Accept()
		if err != nil {
			return
		}
		if tr.Datagram() {
			b.wait.Go(func() { b.receive(flow, nil) })
			continue
		}
		flow.(transport.Authenticator).Authenticated()
		p := b.addPath(flow.Remote(), flow, netip.AddrPort{})
		b.wait.Go(func() { b.receive(flow, p) })
		b.wait.Go(func() {
			b.sendHellos(p, time.Second)
			flow.Close()
			b.dropPath(flow.Remote(), p)
		})
	}
}

func (b *bridge) addPath(key netip.AddrPort, flow transport.Flow, to netip.AddrPort) *bridgePath {
	p := &bridgePath{flow: flow, to: to, heard: b.Network().Now(), out: make(chan []byte, 64)}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.paths[key] = p
	b.order = append(b.order, p)
	b.wait.Go(func() {
		for m := range p.out {
			flow.Send([]transport.Message{{Buf: m, Remote: to}})
		}
	})
	return p
}

func (b *bridge) dropPath(key netip.AddrPort, p *bridgePath) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paths[key] == p {
		delete(b.paths, key)
	}
	b.order = slices.DeleteFunc(b.order, func(q *bridgePath) bool { return p == q })
	close(p.out)
	p.out = nil
}

// sendHellos returns when nothing has been heard for a time, or at the end.
func (b *bridge) sendHellos(p *bridgePath, idle time.Duration) {
	for {
		b.mu.Lock()
		alive := b.Network().Now()-p.heard < idle
		b.queue(p, b.frame(0, nil))
		b.mu.Unlock()
		select {
		case <-time.After(100 * time.Millisecond):
			if alive {
				continue
			}
		case <-b.ctx.Done():
		}
		return
	}
}

func (b *bridge) frame(seq uint64, inner []byte) []byte {
	m := make([]byte, 4, frameHeader+len(inner))
	m = binary.BigEndian.AppendUint64(m, b.epoch)
	m = binary.BigEndian.AppendUint64(m, b.peer)
	m = binary.BigEndian.AppendUint64(m, seq)
	m = append(m, inner...)
	binary.BigEndian.PutUint32(m, crc32.ChecksumIEEE(m[4:]))
	return m
}

func (b *bridge) queue(p *bridgePath, m []byte) {
	select {
	case p.out <- m:
	default: // full, or gone
	}
}

func (b *bridge) readTun() {
	bufs, sizes := make([][]byte, b.tun.BatchSize()), make([]int, b.tun.BatchSize())
	for i := range bufs {
		bufs[i] = make([]byte, 2000)
	}
	for {
		n, err := b.tun.Read(bufs, sizes, 0)
		if err != nil {
			return
		}
		b.mu.Lock()
		for i := range n {
			b.seq++
			m := b.frame(b.seq, bufs[i][:sizes[i]])
			for _, p := range b.order {
				b.queue(p, m)
			}
		}
		b.mu.Unlock()
	}
}

func (b *bridge) receive(flow transport.Flow, p *bridgePath) {
	ms := make([]transport.Message, 32)
	for i := range ms {
		ms[i].Buf = make([]byte, 2000)
	}
	buf := make([]byte, tundevice.Headroom, 2000)
	for {
		n, err := flow.Receive(ms)
		if err != nil {
			return
		}
		for _, m := range ms[:n] {
			seq, inner := b.check(m, flow, p)
			if seq != 0 {
				b.tun.Write([][]byte{append(buf[:tundevice.Headroom], inner...)}, tundevice.Headroom)
				if b.faulty != nil {
					b.faulty(b, seq, inner)
				}
			}
		}
	}
}

// check returns the inner packet of a frame that is new, with its number.
func (b *bridge) check(m transport.Message, flow transport.Flow, p *bridgePath) (seq uint64, inner []byte) {
	f := m.Buf[:m.N]
	if len(f) < frameHeader || crc32.ChecksumIEEE(f[4:]) != binary.BigEndian.Uint32(f) {
		return 0, nil
	}
	from, to := binary.BigEndian.Uint64(f[4:]), binary.BigEndian.Uint64(f[12:])
	seq = binary.BigEndian.Uint64(f[20:])
	b.mu.Lock()
	if from > b.peer {
		b.peer = from
		clear(b.seen)
	}
	if from != b.peer || to != b.epoch || seq != 0 && b.seen[seq] {
		seq = 0
	}
	b.seen[seq] = true
	now := b.Network().Now()
	var fresh bool
	if p == nil { // one flow for all of them
		if p = b.paths[m.Remote]; p == nil && b.ctx.Err() == nil {
			fresh = true
		}
	}
	if p != nil {
		p.heard = now
	}
	b.mu.Unlock()
	if fresh {
		remote := m.Remote
		p := b.addPath(remote, flow, remote)
		b.wait.Go(func() {
			b.sendHellos(p, time.Second)
			b.dropPath(remote, p)
		})
	}
	return seq, f[frameHeader:]
}
