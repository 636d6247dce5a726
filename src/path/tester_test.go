package path

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"testing"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/packet"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

const (
	overhead = 28 // IPv4 and UDP
	macSize  = 16
)

// fakeFlow stands for a flow: a path only compares it with others.
type fakeFlow struct {
	transport.Flow
	name string
}

var flows = map[string]*fakeFlow{}

// from is an endpoint; two of one flow's name and port are the same.
func from(flow string, port uint16) Endpoint {
	if flows[flow] == nil {
		flows[flow] = &fakeFlow{name: flow}
	}
	return Endpoint{Flow: flows[flow], Local: netip.MustParseAddrPort("10.0.0.2:4000"),
		Remote: netip.AddrPortFrom(netip.MustParseAddr("203.0.113.1"), port)}
}

// tester is a path with a clock, and a peer who is nothing but a receive log.
type tester struct {
	*Path
	t         testing.TB
	now       mono.Time
	home      Endpoint
	pool      *packet.Pool
	out       []Outgoing
	peer      receiveLog
	roundTrip time.Duration // what answer takes
}

// newTester returns a datagram path of the local portal, which is down. edit,
// which may be nil, changes what it is made of.
func newTester(t testing.TB, edit func(*Fixed, *Settings)) *tester {
	f := Fixed{ID: 3, Initiator: true, Datagram: true, Random: rand.Reader, Join: wire.Join{Name: "dsl", Direction: wire.DirectionSend}}
	s := Settings{Name: "dsl", Send: true, Receive: true, Congestion: "none"}
	if edit != nil {
		edit(&f, &s)
	}
	p, err := New(f, s)
	if err != nil {
		t.Fatal(err)
	}
	p.ControlTrailer, p.Trailer = macSize, macSize+8+2
	return &tester{Path: p, t: t, now: start, home: from("home", 4725), pool: packet.NewPool(2048, 10_000),
		out: make([]Outgoing, 8), peer: newReceiveLog(), roundTrip: 20 * ms}
}

// newUp returns a path that is up, has found its MTU and its RTT, and has
// nothing more to say.
func newUp(t testing.TB, edit func(*Fixed, *Settings)) *tester {
	u := newTester(t, edit)
	u.comeUp()
	for range 20 {
		u.exchange()
	}
	u.asked, u.pingDue = u.now, false
	if s, _ := u.State(); s != Up || u.sent.inFlight != 0 || u.Datagram && u.MTU() != MaxMTU {
		t.Fatalf("the path is %v, %d in flight, MTU %d", s, u.sent.inFlight, u.MTU())
	}
	return u
}

func (u *tester) wait(d time.Duration) Events {
	u.now = u.now.Add(d)
	return u.Tick(u.now, true, false)
}

// send takes out all that the path sends now.
func (u *tester) send() (all []Outgoing) {
	for {
		n := u.Poll(u.now, true, u.out)
		for _, o := range u.out[:n] {
			if o.Packet != nil {
				o.Packet.Release() // the sender has read it
			}
			o.Frames = slices.Clone(o.Frames)
			all = append(all, o)
		}
		if n == 0 {
			return all
		}
	}
}

// give hands n inner packets of size bytes to the path.
func (u *tester) give(n, size int) (given []*packet.Packet) {
	u.t.Helper()
	given = make([]*packet.Packet, n)
	if u.pool.Get(given) != n {
		u.t.Fatal("the pool is empty")
	}
	for _, p := range given {
		p.Data = p.Buffer()[packet.Headroom:][:size]
		u.Consume(u.now, p)
	}
	return given
}

// fill gives the path packets of 1,000 bytes as long as it takes them, 32 at
// most. It does not allocate.
func (u *tester) fill() {
	var one [1]*packet.Packet
	for range 32 {
		if !u.Ready(u.now, 1000) || u.pool.Get(one[:]) == 0 {
			return
		}
		one[0].Data = one[0].Buffer()[packet.Headroom:][:1000]
		u.Consume(u.now, one[0])
	}
}

// reach lets messages reach the peer.
func (u *tester) reach(messages ...Outgoing) {
	for _, o := range messages {
		u.peer.receive(u.now, uint64(o.Header.Sequence), 100)
	}
}

// hear lets the peer's acknowledgement of all that reached it arrive.
func (u *tester) hear() {
	var a wire.Ack
	u.peer.tick(u.now, 0)
	u.peer.ack(u.now, &a)
	u.Acknowledge(u.now, &a)
	for _, p := range u.TakeLost(nil) {
		p.Release()
	}
}

// exchange lets all that is sent now reach the peer, and a round trip later
// its acknowledgement.
func (u *tester) exchange() {
	u.reach(u.send()...)
	u.wait(u.roundTrip)
	var a wire.Ack
	if u.peer.any {
		u.peer.ack(u.now.Add(-u.roundTrip), &a) // it waited for nothing
		u.Acknowledge(u.now, &a)
	}
}

// comeUp brings the path up, at its home.
func (u *tester) comeUp() {
	u.t.Helper()
	if u.Initiator {
		u.Attach(u.now, u.home, overhead)
	} else if _, err := u.Joined(u.now, u.Settings, u.home, overhead); err != nil {
		u.t.Fatal(err)
	}
	sent := u.send()
	u.reach(sent...)
	if events := u.respond(u.home, sent...); events != EventUp {
		u.t.Fatalf("events %b after the response, want EventUp", events)
	}
}

// respond answers the challenges in messages, from the given place.
func (u *tester) respond(e Endpoint, messages ...Outgoing) (events Events) {
	for _, o := range messages {
		if nonce := framed(o, wire.FrameChallenge); nonce != nil {
			events |= u.Responded(u.now, e, nonce)
		}
	}
	return events
}

// framed returns the body of a frame of a message, or nil.
func framed(o Outgoing, t wire.FrameType) []byte {
	for rest := o.Frames; len(rest) > 0; {
		f, r, err := wire.NextFrame(rest)
		if err != nil {
			panic(err)
		}
		if f.Type == t {
			return f.Body
		}
		rest = r
	}
	return nil
}

// is checks the path's state.
func (u *tester) is(want State) {
	u.t.Helper()
	if got, _ := u.State(); got != want {
		u.t.Fatalf("the path is %v, want %v", got, want)
	}
}

// noneLeft checks that no packet is left anywhere but in the pool.
func (u *tester) noneLeft() {
	u.t.Helper()
	if n := u.pool.Outstanding(); n != 0 {
		u.t.Errorf("%d packets did not come home", n)
	}
}
