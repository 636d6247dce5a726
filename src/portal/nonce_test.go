package portal

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/simnet"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

// nonce is what must never come twice: a suite that encrypts would give both
// messages away, and its key.
type nonce struct {
	key      handshake.Key
	path     uint8
	sequence uint32
}

// nonces are those of two cores, of all the processes that they ever were.
type nonces struct {
	*joined
	rng   *rand.Rand
	paths int
	seen  map[nonce]bool
	keys  map[handshake.Key]bool
}

func newNonces(t *testing.T, seed uint64) *nonces {
	n := &nonces{joined: newJoinedWith(t, 3, encrypted), rng: rand.New(rand.NewPCG(seed, 0)), paths: 3,
		seen: make(map[nonce]bool), keys: make(map[handshake.Key]bool)}
	n.sealed = func(e *session.Epoch, h *wire.Header) {
		x := nonce{e.Keys.Send, h.Path, h.Sequence}
		if n.seen[x] {
			t.Fatalf("seed %d: message %d of path %d is sealed twice with one key", seed, h.Sequence, h.Path)
		}
		n.seen[x], n.keys[x.key] = true, true
	}
	return n
}

func encrypted(c *coreConfig) { c.session.Offer = []auth.ID{auth.AES128GCM} }

// run lets so many milliseconds pass under traffic, and returns how many
// packets arrived.
func (n *nonces) run(steps int) int {
	before := n.local.got + n.remote.got
	for range steps {
		n.local.ingress(n.now, 2, 3)
		n.remote.ingress(n.now, 2, 3)
		n.step()
	}
	return n.local.got + n.remote.got - before
}

// pick is some path of a core, or nil.
func (n *nonces) pick(h *half) *path.Path { return h.core.paths[n.rng.IntN(n.paths)] }

// lose makes links lose messages for some time: one path's or all, one way or
// both.
func (n *nonces) lose(steps int) {
	id, all, from := uint8(n.rng.IntN(n.paths)), n.rng.IntN(3) == 0, []*half{n.local, n.remote, nil}[n.rng.IntN(3)]
	n.carry = func(h *half, m []byte, e path.Endpoint) {
		_, _, p, _ := wire.Prefix(m)
		if (all || p == id) && from != h {
			return
		}
		h.peer.receive(n.joined, m, path.Endpoint{Flow: h.peer.flow, Local: e.Remote, Remote: e.Local})
	}
	n.run(steps)
	n.carry = nil
}

// happenings are all the ways in which a path, its numbers or its keys change.
var happenings = map[string]func(n *nonces){
	"traffic":   func(n *nonces) { n.run(100) },
	"loss":      func(n *nonces) { n.lose(20) },
	"an outage": func(n *nonces) { n.lose(1500) },
	"a rekey":   func(n *nonces) { n.now += mono.Time(100 * time.Second) },
	"keys end":  func(n *nonces) { n.now += mono.Time(200 * time.Second) },
	"a path loses its flow": func(n *nonces) {
		if p := n.pick(n.local); p != nil {
			n.local.core.act(n.now, p, p.FlowDied(n.now, n.local.flow))
		}
	},
	"a path is dialled anew": func(n *nonces) {
		if p := n.pick(n.local); p != nil {
			n.local.core.act(n.now, p, p.Detach(n.now))
			n.local.core.attach(n.now, p, n.endpoint(n.local, int(p.ID)), 28)
		}
	},
	"a path is removed and added": func(n *nonces) {
		if p := n.pick(n.local); p != nil {
			n.local.core.dropPath(n.now, p)
			n.run(n.rng.IntN(3))
			n.addPath(int(p.ID))
		}
	},
	"a path leaves, and comes back": func(n *nonces) {
		if p := n.pick(n.local); p != nil {
			n.local.core.leave(n.now, p)
			n.run(n.rng.IntN(30))
			n.local.core.dropPath(n.now, p)
			n.run(n.rng.IntN(30))
			n.addPath(int(p.ID))
		}
	},
	"the remote drops a path": func(n *nonces) {
		if p := n.pick(n.remote); p != nil {
			n.remote.core.dropPath(n.now, p)
		}
	},
	"the local leaves, and comes back": func(n *nonces) {
		if p := n.pick(n.local); p != nil {
			p.Tell(wire.AppendFrame(nil, wire.FrameClose, nil))
		}
	},
	"the remote leaves, and comes back": func(n *nonces) {
		if p := n.pick(n.remote); p != nil {
			p.Tell(wire.AppendFrame(nil, wire.FrameClose, nil))
		}
	},
	"the local restarts":  func(n *nonces) { n.restart(true) },
	"the remote restarts": func(n *nonces) { n.restart(false) },
}

// restart replaces one core by another process's.
func (n *nonces) restart(local bool) {
	h := newHalf(n.t, local, encrypted)
	if local {
		n.local = h
	} else {
		n.remote = h
	}
	n.local.peer, n.remote.peer = n.remote, n.local
	for i := range n.paths {
		if local {
			n.addPath(i)
		}
	}
}

// TestNoNonceComesTwice: whatever happens to paths and keys, in any order.
func TestNoNonceComesTwice(t *testing.T) {
	names := make([]string, 0, len(happenings))
	for name := range happenings {
		names = append(names, name)
	}
	slices.Sort(names)
	for seed := range uint64(3) {
		n := newNonces(t, seed)
		for range 40 {
			name := names[n.rng.IntN(len(names))]
			happenings[name](n)
			n.run(n.rng.IntN(300))
		}
		for _, p := range n.local.core.order { // those that have lost their flow
			n.local.core.attach(n.now, p, n.endpoint(n.local, int(p.ID)), 28)
		}
		n.run(5000)
		if got := n.run(100); got < 390 {
			t.Errorf("seed %d: only %d of 400 packets arrive in the end", seed, got)
		}
		if len(n.keys) < 12 || len(n.seen) < 10000 {
			t.Errorf("seed %d: %d keys and %d messages: too little happened", seed, len(n.keys), len(n.seen))
		}
	}
}

// TestSequencesComeRound: at 2^32 the sequence on the wire begins anew, which is
// no harm where there are new keys before it meets itself.
func TestSequencesComeRound(t *testing.T) {
	n := newNonces(t, 1)
	for _, h := range []*half{n.local, n.remote} {
		for i := range n.paths {
			h.core.dropPath(n.now, h.core.paths[i])
			h.core.numbers[i] = numbers{past: path.Past{Next: 1<<32 - 10}, keyed: 1<<32 - 10}
		}
	}
	for i := range n.paths {
		n.addPath(i)
	}
	n.run(5000)
	for _, h := range []*half{n.local, n.remote} {
		for _, p := range h.core.order {
			if p.NextSequence() < 1<<32+5 {
				t.Errorf("a path got no further than %d", p.NextSequence())
			}
		}
	}
	if got := n.run(100); got != 400 {
		t.Errorf("%d of 400 packets arrive after the sequences came round", got)
	}
}

// TestNewKeysBeforeSequencesMeet: at 2^31 messages on any path, in either core,
// keys are renewed; a path that got to 2^32 without is silent until they are.
func TestNewKeysBeforeSequencesMeet(t *testing.T) {
	n := newNonces(t, 1)
	count := func(h *half, sealed uint64) {
		p := h.core.paths[1] // not the one that sends most
		h.core.numbers[1].keyed = p.NextSequence() - sealed
	}
	handshakes := n.local.core.session.Handshakes
	n.run(10)
	count(n.local, 1<<31)
	n.run(10)
	if n.local.core.session.Handshakes != handshakes+1 || n.local.core.sealed(n.local.core.paths[1]) > 1000 {
		t.Error("no new keys after 2^31 messages")
	}

	for _, h := range []*half{n.local, n.remote} {
		count(h, maxSealed-sendBatch-8)
		n.carry = func(*half, []byte, path.Endpoint) {} // no new keys
		n.run(5000)
		if sealed := h.core.sealed(h.core.paths[1]); sealed > maxSealed || sealed <= maxSealed-sendBatch {
			t.Errorf("%d messages are sealed with one key", sealed)
		}
		n.carry = nil
		n.now += mono.Time(100 * time.Second)
		n.run(5000)
		if sealed := h.core.sealed(h.core.paths[1]); sealed < 10 || sealed > 1<<20 {
			t.Errorf("%d messages on the path since there are new keys", sealed)
		}
	}
}

// recorder is a transport that remembers what one process seals.
type recorder struct {
	transport.Transport
	*record
}

type record struct {
	t     *testing.T
	mu    sync.Mutex
	seen  map[nonce]bool // without the key: the process uses no number twice
	paths map[uint8]bool
}

func (r recorder) Dial(ctx context.Context, bind transport.Bind, remote netip.AddrPort) (transport.Flow, error) {
	f, err := r.Transport.Dial(ctx, bind, remote)
	if err != nil {
		return nil, err
	}
	return recordedFlow{f, r.record}, nil
}

func (r recorder) Listen(ctx context.Context, local netip.AddrPort) (transport.Listener, error) {
	l, err := r.Transport.Listen(ctx, local)
	if err != nil {
		return nil, err
	}
	return recordedListener{l, r.record}, nil
}

type recordedListener struct {
	transport.Listener
	*record
}

func (l recordedListener) Accept() (transport.Flow, error) {
	f, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if a, ok := f.(transport.Authenticator); ok {
		return recordedStranger{recordedFlow{f, l.record}, a}, nil
	}
	return recordedFlow{f, l.record}, nil
}

type recordedFlow struct {
	transport.Flow
	*record
}

type recordedStranger struct {
	recordedFlow
	stranger transport.Authenticator
}

func (s recordedStranger) Authenticated() { s.stranger.Authenticated() }

func (f recordedFlow) Send(ms []transport.Message) (int, error) {
	f.note(ms)
	return f.Flow.Send(ms)
}

func (r *record) note(ms []transport.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range ms {
		h, _, err := wire.ParseHeader(ms[i].Buf)
		if err != nil {
			continue // a handshake message
		}
		x := nonce{path: h.Path, sequence: h.Sequence}
		if r.seen[x] {
			r.t.Errorf("message %d of path %d was sealed before", h.Sequence, h.Path)
		}
		r.seen[x], r.paths[h.Path] = true, true
	}
}

// TestNoNumberIsUsedTwice: by one process, whatever its keys, on whole portals
// whose links fail, move and change, and whose peers restart.
func TestNoNumberIsUsedTwice(t *testing.T) {
	seeds := uint64(10)
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			s := simnet.NewScenario(1000 + seed)
			s.Faults = append(s.Faults, simnet.Fault{Kind: simnet.RestartLocal, At: s.Calm / 3, For: 100 * time.Millisecond, Value: 1},
				simnet.Fault{Kind: simnet.RestartRemote, At: s.Calm * 2 / 3, For: 100 * time.Millisecond, Value: 1})
			slices.SortStableFunc(s.Faults, func(a, b simnet.Fault) int { return int(a.At - b.At) })
			var processes []*record
			s.Run(func(h *simnet.Host) (func(), error) {
				r := &record{t: t, seen: make(map[nonce]bool), paths: make(map[uint8]bool)}
				processes = append(processes, r)
				_, stop, err := startPortal(h, scenarioConfig(s, h.Name()), func(o *Options) {
					for i, kind := range o.Transports {
						o.Transports[i] = recorder{kind, r}
					}
				})
				return func() { _ = stop() }, err
			})
			sealed, paths := 0, 0
			for _, r := range processes {
				sealed += len(r.seen)
				paths = max(paths, len(r.paths))
			}
			if len(processes) < 4 || sealed < 1000 || paths < len(s.Links)-1 {
				t.Errorf("seed %d: %d messages of %d paths by %d processes: too little happened", s.Seed, sealed, paths, len(processes))
			}
		})
	}
}
