package portal

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/wire"
)

// joined is two cores whose messages are carried by hand: the whole of both
// portals but their sockets, goroutines and clock.
type joined struct {
	t             testing.TB
	now           mono.Time
	local, remote *half
	// carry says how a message goes on; nil: it arrives at once.
	carry func(from *half, m []byte, e path.Endpoint)
	// sealed, if not nil, is told of every message that is sealed.
	sealed func(e *session.Epoch, h *wire.Header)
}

// half is one core with what its goroutines would own.
type half struct {
	core     *core
	peer     *half
	pool     *packet.Pool
	opener   opener
	sealers  [wire.MaxPaths]sealer
	flow     *flow
	received received
	out      []path.Outgoing
	buf      []byte
	batch    []*packet.Packet
	spare    []*packet.Packet
	template []byte
	got      int // packets delivered
}

var joinedPSK = [handshake.KeySize]byte{5}

func newHalf(t testing.TB, initiator bool, edit func(*coreConfig)) *half {
	c := coreConfig{scheduler: "greedy", session: session.Config{Initiator: initiator, PSK: joinedPSK,
		Offer: []auth.ID{auth.Blake2s}, Random: rand.Reader}}
	if edit != nil {
		edit(&c)
	}
	k, err := newCore(c, mono.Time(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	h := &half{core: k, pool: packet.NewPool(bufferSize(0), 1<<14), flow: &flow{},
		opener: opener{guard: handshake.NewGuard(joinedPSK)}, out: make([]path.Outgoing, sendBatch), buf: make([]byte, 2048),
		spare: make([]*packet.Packet, 1), template: innerUDP(1200)}
	h.pool.Get(h.spare)
	return h
}

// innerUDP is an inner packet of size bytes.
func innerUDP(size int) []byte {
	b := make([]byte, size)
	b[0], b[8], b[9] = 0x45, 64, 17
	binary.BigEndian.PutUint16(b[2:], uint16(size))
	copy(b[12:], []byte{10, 0, 0, 1, 10, 9, 0, 1, 0x30, 0x39, 0x14, 0x51})
	return b
}

// newJoined is a tunnel of so many paths, all up and their MTU known.
func newJoined(t testing.TB, paths int) *joined { return newJoinedWith(t, paths, nil) }

func newJoinedWith(t testing.TB, paths int, edit func(*coreConfig)) *joined {
	j := &joined{t: t, now: mono.Time(time.Hour), local: newHalf(t, true, edit), remote: newHalf(t, false, edit)}
	j.local.peer, j.remote.peer = j.remote, j.local
	for i := range paths {
		j.addPath(i)
	}
	for range 40 {
		j.step()
	}
	for _, h := range []*half{j.local, j.remote} {
		for i := range paths {
			if p := h.core.paths[i]; p == nil || p.MTU() != path.MaxMTU {
				t.Fatalf("path %d did not come up", i)
			}
		}
	}
	return j
}

// addPath adds the i-th path to the local core, and attaches it.
func (j *joined) addPath(i int) {
	s := path.Settings{Name: "wan", Send: true, Receive: true, Congestion: "none"}
	p, err := j.local.core.addPath(j.now, path.Fixed{ID: uint8(i), Datagram: true,
		Join: wire.Join{Name: "wan", Direction: wire.DirectionSend | wire.DirectionReceive}}, s)
	if err != nil {
		j.t.Fatal(err)
	}
	j.local.core.attach(j.now, p, j.endpoint(j.local, i), 28)
}

func (j *joined) endpoint(h *half, i int) path.Endpoint {
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 2}), 40000)
	remote := netip.AddrPortFrom(vps, 4725)
	if h == j.remote {
		local, remote = remote, local
	}
	return path.Endpoint{Flow: h.flow, Local: local, Remote: remote}
}

// step lets a millisecond pass, and carries what either core has to say.
func (j *joined) step() {
	j.now += mono.Time(time.Millisecond)
	j.turn(j.local)
	j.turn(j.remote)
}

func (j *joined) turn(h *half) {
	h.core.settle(j.now)
	h.drain()
	for _, p := range h.core.order {
		for {
			n, epoch := h.core.poll(j.now, p, h.out)
			if n == 0 {
				break
			}
			for i := range n {
				o := &h.out[i]
				m := o.Raw
				if m == nil {
					if j.sealed != nil {
						j.sealed(epoch, &o.Header)
					}
					m = h.sealers[p.ID].seal(h.buf[:0], o, epoch)
				}
				if o.Packet != nil {
					o.Packet.Release()
					o.Packet = nil
				}
				j.pass(h, m, o.To)
			}
		}
	}
	for _, a := range h.core.answers {
		j.pass(h, a.message, a.to)
	}
	h.core.answers, h.core.notes, h.core.retired = h.core.answers[:0], h.core.notes[:0], nil
}

func (j *joined) pass(h *half, m []byte, e path.Endpoint) {
	if j.carry != nil {
		j.carry(h, m, e)
		return
	}
	h.peer.receive(j, m, path.Endpoint{Flow: h.peer.flow, Local: e.Remote, Remote: e.Local})
}

// receive opens m and hands it to the core. It returns why it was rejected.
func (h *half) receive(j *joined, m []byte, from path.Endpoint) int {
	r := &h.received
	*r = received{from: from, overhead: 28, datagram: true, packet: h.spare[0]}
	b := r.packet.Buffer()[packet.Headroom:]
	b = b[:copy(b, m)]
	if why := h.opener.open(b, r, h.core.session.Table()); why != rejectNone {
		return why
	}
	h.core.receive(j.now, r)
	if r.packet == nil {
		h.pool.Get(h.spare)
	}
	h.drain()
	return rejectNone
}

// drain takes what is for the TUN.
func (h *half) drain() {
	h.got += len(h.core.deliver)
	for _, p := range h.core.deliver {
		p.Release()
	}
	h.core.deliver = h.core.deliver[:0]
}

// ingress sends n inner packets, of flows that take turns.
func (h *half) ingress(now mono.Time, n, flows int) {
	h.batch = slices.Grow(h.batch[:0], n)[:n]
	if h.pool.Get(h.batch) != n {
		panic("the pool is exhausted")
	}
	for i, p := range h.batch {
		p.Data = p.Buffer()[packet.Headroom:][:len(h.template)]
		copy(p.Data, h.template)
		p.Data[21] = byte(i % flows)
		h.core.prepare(now, p, 1400)
	}
	h.core.ingress(now, h.batch)
}

// disorder makes every 7th message arrive behind the next ones.
func (j *joined) disorder(on bool) {
	if !on {
		return
	}
	var late [8][]byte
	var where [8]path.Endpoint
	var from [8]*half
	for i := range late {
		late[i] = make([]byte, 0, 2048)
	}
	n := 0
	j.carry = func(h *half, m []byte, e path.Endpoint) {
		n++
		back := path.Endpoint{Flow: h.peer.flow, Local: e.Remote, Remote: e.Local}
		if n%7 == 0 {
			i := n / 7 % len(late)
			if l := late[i]; len(l) > 0 {
				from[i].peer.receive(j, l, where[i])
			}
			late[i], where[i], from[i] = append(late[i][:0], m...), back, h
			return
		}
		h.peer.receive(j, m, back)
	}
}
