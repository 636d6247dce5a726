package simnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Network is a set of hosts and links with a clock of their own. Make it with
// New inside a synctest bubble, and Close it before the bubble's function
// returns. Its methods may be called from any goroutine.
type Network struct {
	seed  uint64
	start time.Time

	mu      sync.Mutex
	hosts   []*Host
	links   []*Link
	wans    map[netip.Addr]*Link // by the address that the far end sees
	sources uint32               // event sources and random streams given out
	taps    []*func(Datagram)
	drops   []func(Datagram, Cause)
	closed  bool

	unrouted uint64

	// The engine: one goroutine, one timer. Senders that create an event before
	// the one the timer waits for move the timer themselves, so the goroutine
	// waits on a single channel.
	events  eventHeap
	timer   *time.Timer
	armed   time.Duration // what the timer waits for
	running bool          // the engine looks at the heap again by itself
	callSeq uint64
	ended   chan struct{}

	free []*packet
}

// never is later than any event.
const never = time.Duration(1<<63 - 1)

// New returns an empty network whose every random choice follows from seed.
func New(seed uint64) *Network {
	n := &Network{
		seed:    seed,
		start:   time.Now(),
		wans:    make(map[netip.Addr]*Link),
		sources: 1, // 0: calls made with At
		timer:   time.NewTimer(time.Hour),
		armed:   time.Hour,
		ended:   make(chan struct{}),
	}
	go n.run()
	return n
}

// Close ends the network and everything open on it, and waits for its
// goroutine.
func (n *Network) Close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		n.timer.Reset(0)
	}
	hosts := n.hosts
	n.mu.Unlock()
	<-n.ended
	for _, h := range hosts {
		h.Crash()
	}
}

// Seed is the seed given to New.
func (n *Network) Seed() uint64 { return n.seed }

// Now is the virtual time since New.
func (n *Network) Now() time.Duration { return time.Since(n.start) }

// At calls f at the virtual time at (since New), or at once when that has
// passed, from the network's goroutine: f may use the network, and must not
// wait for anything. Calls of one moment happen in the order of their At.
// Nothing is called once the network is closed.
func (n *Network) At(at time.Duration, f func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.callSeq++
	n.schedule(event{at: at, seq: n.callSeq, call: f, user: true})
}

// After calls f after d, as At does.
func (n *Network) After(d time.Duration, f func()) { n.At(n.Now()+d, f) }

// Rand returns a new stream of random numbers that follows from the network's
// seed and label alone, for what runs on the network.
func (n *Network) Rand(label string) *rand.Rand { return stream(n.seed, label) }

func stream(seed uint64, label string) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(label) {
		h = (h ^ uint64(label[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// Datagram is a packet as a Tap sees it.
type Datagram struct {
	At       time.Duration
	Pipe     *Pipe
	From, To netip.AddrPort // as seen by the host at the Link's far end: after the NAT
	TCP      bool           // a segment of the tcp transport
	Number   uint64         // in its Pipe, from 1: what LossList means
	Data     []byte         // the message; valid only during the call
}

// Tap calls f for every packet that enters a pipe, before anything happens to
// it, until stop is called. f runs with the network locked: it must not call
// the network, and must copy what it keeps.
func (n *Network) Tap(f func(Datagram)) (stop func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	tap := &f
	n.taps = append(n.taps, tap)
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.taps = slices.DeleteFunc(n.taps, func(t *func(Datagram)) bool { return t == tap })
	}
}

// TapDrops calls f for every packet that a pipe drops, and says why. Its Data
// may be corrupted by then. f runs as a Tap's does, as long as the network does.
func (n *Network) TapDrops(f func(Datagram, Cause)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.drops = append(n.drops, f)
}

// Inject makes a UDP datagram with any source address arrive now at the
// address to: a host's, or that of a link, where it must pass the NAT as all
// do. No pipe delays or counts it. It reports whether a socket took it.
func (n *Network) Inject(from, to netip.AddrPort, data []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	pkt := n.packet(protoUDP, from, to, data)
	var cause Cause
	if l := n.wans[to.Addr()]; l != nil {
		cause = l.arriveA(pkt)
	} else {
		cause = BySocket
		for _, h := range n.hosts {
			if h.owns(to.Addr()) {
				cause = h.receive(pkt, nil)
				break
			}
		}
	}
	if cause != delivered {
		n.recycle(pkt)
	}
	return cause == delivered
}

// Unrouted counts packets that hosts sent to addresses which lie on no link:
// the network dropped them.
func (n *Network) Unrouted() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.unrouted
}

// Links returns the network's links in the order in which they were added.
func (n *Network) Links() []*Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]*Link(nil), n.links...)
}

// Balance checks that no pipe has lost or invented a packet unaccounted for.
func (n *Network) Balance() error {
	for _, l := range n.Links() {
		for _, p := range []*Pipe{l.Up, l.Down} {
			if c := p.Counters(); !c.Balanced() {
				return fmt.Errorf("simnet: pipe %s does not balance: %+v", p.name, c)
			}
		}
	}
	return nil
}

// run is the engine.
func (n *Network) run() {
	defer close(n.ended)
	for {
		<-n.timer.C
		n.mu.Lock()
		if !n.runDue() {
			n.mu.Unlock()
			return
		}
		n.mu.Unlock()
	}
}

// runDue handles every event whose time has come and sets the timer for the
// next. It reports false once the network is closed.
func (n *Network) runDue() bool {
	n.running = true
	now := n.Now()
	for !n.closed && len(n.events) > 0 && n.events[0].at <= now {
		e := n.events.pop()
		switch {
		case e.pkt != nil:
			e.pkt.pipe.exit(now, e.pkt)
		case e.user:
			n.mu.Unlock()
			e.call()
			n.mu.Lock()
			now = n.Now()
		default:
			e.call()
		}
	}
	n.running = false
	n.armed = never
	if !n.closed && len(n.events) > 0 {
		n.arm(now, n.events[0].at)
	}
	return !n.closed
}

func (n *Network) schedule(e event) {
	if n.closed {
		return
	}
	n.events.push(e)
	if !n.running && e.at < n.armed {
		n.arm(n.Now(), e.at)
	}
}

func (n *Network) arm(now, at time.Duration) {
	n.armed = at
	n.timer.Reset(max(0, at-now))
}

// source gives out a number that orders simultaneous events.
func (n *Network) source() uint32 {
	n.sources++
	return n.sources
}

// packet is a datagram or a segment on its way. It comes from the network's
// free list and returns there when it is dropped or read.
type packet struct {
	pipe     *Pipe
	number   uint64 // in its pipe
	from, to netip.AddrPort
	proto    proto
	twin     bool // is to be delivered twice
	size     int  // bytes on the link
	data     []byte
	seg      segment // proto == protoTCP
}

type proto uint8

const (
	protoUDP proto = iota
	protoTCP
)

// packet returns one with a copy of data.
func (n *Network) packet(pr proto, from, to netip.AddrPort, data []byte) *packet {
	var p *packet
	if last := len(n.free) - 1; last >= 0 {
		p = n.free[last]
		n.free = n.free[:last]
	} else {
		p = &packet{data: make([]byte, 0, 1536)}
	}
	p.proto, p.from, p.to = pr, from, to
	p.data = append(p.data[:0], data...)
	p.size = len(data) + overhead(pr, to.Addr())
	return p
}

func (n *Network) recycle(p *packet) {
	*p = packet{data: p.data[:0]}
	n.free = append(n.free, p)
}

// overhead is how many bytes of headers a message has around it on the link.
func overhead(pr proto, a netip.Addr) int {
	size := 20 // IPv4
	if a.Is6() && !a.Is4In6() {
		size = 40
	}
	if pr == protoTCP {
		return size + 20 + 12 + 4 // TCP, time stamp option, length prefix
	}
	return size + 8
}
