package simnet

import (
	"io"
	"net/netip"
	"sync"
	"time"

	"netcombiner/src/transport"
)

const (
	notSentLimit  = 16 << 10 // unsent bytes at which Send waits (TCP_NOTSENT_LOWAT)
	receiveBuffer = 1 << 20  // bytes, offered to the sender as its window
	tcpMinRTO     = time.Second / 5
	synRetries    = 6  // then a half-open connection dies
	dataRetries   = 15 // tcp_retries2
	closeRetries  = 8  // tcp_orphan_retries
)

// segment is the TCP header of a packet.
type segment struct {
	kind           segKind
	seq            uint64 // kindData, kindFIN
	cum, got, mask uint64 // acknowledgement, see sender.ack
	acks           bool   // got and mask are meant; cum always is
	window         int    // bytes the sender of this will take beyond what it has
}

type segKind uint8

const (
	kindSYN segKind = iota
	kindSYNACK
	kindACK
	kindData
	kindFIN
	kindRST
)

type connState uint8

const (
	synSent connState = iota
	synReceived
	open
	dead
)

// tcpConn is one end of a connection, and the Flow of whoever uses it. Once
// closed by its user it lives on until what was sent has been delivered.
type tcpConn struct {
	net           *Network
	host          *Host
	link          *Link // or nil: routed
	local, remote netip.AddrPort
	listener      *tcpListener // until accepted
	state         connState
	err           error // why it is dead
	opened        chan struct{}
	closed        bool // by the user
	trusted       bool // dialled, or Authenticated

	// Sending: out holds the messages from snd.una on; a nil one is the FIN.
	snd      sender
	out      ring[*packet]
	unsent   int  // bytes
	unacked  int  // bytes sent
	window   int  // the peer's, bytes
	sending  bool // a Send is at work; others wait for their turn
	writable *sync.Cond

	// Receiving.
	rcv      receiver
	next     uint64             // segment that the reader gets next
	early    map[uint64]*packet // later ones
	in       ring[*packet]
	held     int // bytes in early and in
	eof      bool
	shut     bool // the last window offered was under half
	readable *sync.Cond

	handshakes int // SYNs sent
	firstSYN   time.Duration
	nextSYN    time.Duration
	src        uint32 // orders its timers among simultaneous events, see event
	timers     uint64
	armed      time.Duration // when the earliest timer event comes; never: none
	onTimer    func()
}

func (h *Host) newConn(link *Link, local, remote netip.AddrPort, state connState) *tcpConn {
	c := &tcpConn{
		net: h.net, host: h, link: link, local: local, remote: remote, state: state,
		opened: make(chan struct{}),
		snd:    newSender(tcpMinRTO), window: receiveBuffer,
		writable: sync.NewCond(&h.net.mu), readable: sync.NewCond(&h.net.mu),
		early: make(map[uint64]*packet),
		src:   1<<31 | uint32(local.Port())<<16 ^ uint32(remote.Port()), armed: never,
	}
	c.onTimer = c.timer
	h.tcp[connKey{local, remote}] = c
	return c
}

func (c *tcpConn) Local() netip.AddrPort  { return c.local }
func (c *tcpConn) Remote() netip.AddrPort { return c.remote }

// Authenticated implements transport.Authenticator.
func (c *tcpConn) Authenticated() {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	c.trusted = true
}

func (c *tcpConn) Receive(ms []transport.Message) (n int, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for {
		for c.in.len() == 0 && !c.closed && !c.eof && c.state != dead {
			c.readable.Wait()
		}
		switch {
		case c.closed:
			return 0, transport.ErrClosed
		case c.in.len() > 0:
		case c.state == dead:
			return 0, c.err
		default:
			return 0, io.EOF
		}
		for n < len(ms) && c.in.len() > 0 {
			pkt := c.in.pop()
			c.held -= len(pkt.data)
			if len(pkt.data) <= len(ms[n].Buf) {
				m := &ms[n]
				m.N = copy(m.Buf, pkt.data)
				m.Remote, m.Local = c.remote, c.local
				n++
			}
			c.net.recycle(pkt)
		}
		if c.shut && c.held < receiveBuffer/2 && c.state == open {
			c.sendControl(kindACK) // the window is open again
		}
		if n > 0 {
			return n, nil
		}
	}
}

func (c *tcpConn) Send(ms []transport.Message) (n int, err error) {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	for c.sending && !c.closed && c.state != dead {
		c.writable.Wait()
	}
	c.sending = true
	defer func() {
		c.sending = false
		c.writable.Broadcast()
	}()
	for i := range ms {
		for c.unsent >= notSentLimit && !c.closed && c.state != dead {
			c.writable.Wait()
		}
		switch {
		case c.closed:
			return i, transport.ErrClosed
		case c.state == dead:
			return i, c.err
		case len(ms[i].Buf) == 0 || len(ms[i].Buf) > transport.MaxMessage:
			err = &transport.RefusedError{Err: errTooLong}
			continue
		}
		c.out.push(c.net.packet(protoTCP, c.local, c.remote, ms[i].Buf))
		c.unsent += len(ms[i].Buf)
		c.pump()
	}
	c.arm()
	return len(ms), err
}

func (c *tcpConn) Close() error {
	c.net.mu.Lock()
	defer c.net.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	c.readable.Broadcast()
	c.writable.Broadcast()
	switch {
	case c.state != open:
		c.die(transport.ErrClosed)
	case c.in.len() > 0:
		c.reset() // data that nobody will read
	default:
		c.out.push(nil)
		c.pump()
		c.arm()
	}
	return nil
}

// reset ends the connection and tells the peer, once.
func (c *tcpConn) reset() {
	if c.state != dead {
		c.sendControl(kindRST)
	}
	c.die(transport.ErrClosed)
}

// die forgets the connection; the user's calls fail with err.
func (c *tcpConn) die(err error) {
	if c.state == dead {
		return
	}
	opened := c.state == open
	c.state, c.err = dead, err
	delete(c.host.tcp, connKey{c.local, c.remote})
	for c.out.len() > 0 {
		if pkt := c.out.pop(); pkt != nil {
			c.net.recycle(pkt)
		}
	}
	for _, pkt := range c.early {
		c.net.recycle(pkt)
	}
	clear(c.early)
	if !opened {
		close(c.opened)
	}
	c.readable.Broadcast()
	c.writable.Broadcast()
}

// pump sends what the windows allow.
func (c *tcpConn) pump() {
	if c.state != open {
		return
	}
	now := c.net.Now()
	for {
		// What the peer has no room for waits; but one segment may always be under
		// way, to find out when there is room again.
		fresh := c.snd.lost == 0
		if fresh && c.snd.outst > 0 && c.unacked >= c.window {
			break
		}
		seq, ok := c.snd.next(now, c.snd.una+uint64(c.out.len()))
		if !ok {
			break
		}
		if pkt := *c.out.at(int(seq - c.snd.una)); fresh && pkt != nil {
			c.unsent -= len(pkt.data)
			c.unacked += len(pkt.data)
		}
		c.sendSegment(now, seq)
	}
	if c.unsent < notSentLimit {
		c.writable.Broadcast() // Send, and who waits for its turn to Send
	}
}

func (c *tcpConn) sendSegment(now time.Duration, seq uint64) {
	kind, data := kindFIN, []byte(nil)
	if msg := *c.out.at(int(seq - c.snd.una)); msg != nil {
		kind, data = kindData, msg.data
	}
	pkt := c.net.packet(protoTCP, c.local, c.remote, data)
	pkt.size += len(data) / 1400 * (pkt.size - len(data))
	pkt.seg = segment{kind: kind, seq: seq, cum: c.rcv.cum, window: c.offer()}
	_ = c.host.send(now, c.link, pkt) // what the system refuses is lost, and sent again
}

func (c *tcpConn) sendControl(kind segKind) { c.control(segment{kind: kind}) }

func (c *tcpConn) control(seg segment) {
	pkt := c.net.packet(protoTCP, c.local, c.remote, nil)
	seg.cum, seg.window = c.rcv.cum, c.offer()
	pkt.seg = seg
	_ = c.host.send(c.net.Now(), c.link, pkt)
	if seg.kind == kindSYN || seg.kind == kindSYNACK {
		now := c.net.Now()
		if c.handshakes == 0 {
			c.firstSYN = now
		}
		c.nextSYN = now + time.Second<<c.handshakes
		c.handshakes++
	}
}

// offer is the window to advertise.
func (c *tcpConn) offer() int {
	w := max(0, receiveBuffer-c.held)
	c.shut = w < receiveBuffer/2
	return w
}

// receive takes a segment that is for this connection.
func (c *tcpConn) receive(pkt *packet) Cause {
	seg := pkt.seg
	if seg.kind == kindData && c.state == open && !c.closed {
		c.keep(pkt) // and recycle it later
	} else {
		c.net.recycle(pkt)
	}
	switch seg.kind {
	case kindRST:
		if c.state == synSent {
			c.die(errRefused)
		} else {
			c.die(errReset)
		}
		return delivered
	case kindSYN:
		if c.state == synReceived {
			c.sendControl(kindSYNACK)
		}
		return delivered
	case kindSYNACK:
		if c.state == synSent {
			c.open()
		}
		if c.state == open {
			c.sendControl(kindACK)
		}
	case kindData, kindACK, kindFIN:
		if c.state == synReceived {
			c.open()
			if c.listener.closed {
				c.reset()
				return delivered
			}
			c.listener.accept(c)
			if seg.kind == kindData { // it came too early to be kept: it will come again
				return delivered
			}
		}
	}
	if c.state != open {
		return delivered
	}
	c.window = seg.window
	if seg.acks {
		c.acknowledged(seg.cum, seg.got, seg.mask)
	} else if seg.cum > 0 {
		c.acknowledged(seg.cum, seg.cum-1, 0)
	}
	if c.state != open {
		return delivered
	}
	switch {
	case seg.kind == kindData && c.closed:
		c.reset() // data for a user who has gone
		return delivered
	case seg.kind == kindFIN:
		c.rcv.take(seg.seq)
		fallthrough
	case seg.kind == kindData:
		got := seg.seq
		if !c.rcv.has(got) { // there was no room for it
			got = max(c.rcv.cum, 1) - 1
		}
		c.control(segment{kind: kindACK, acks: c.rcv.has(got), got: got, mask: c.rcv.mask(got)})
	}
	if seg.kind == kindFIN || c.next < c.rcv.cum {
		c.inOrder()
	}
	c.pump()
	c.arm()
	return delivered
}

// keep stores a data segment unless there is no room for it.
func (c *tcpConn) keep(pkt *packet) {
	if c.held+len(pkt.data) > receiveBuffer+notSentLimit || !c.rcv.take(pkt.seg.seq) {
		c.net.recycle(pkt)
		return
	}
	c.held += len(pkt.data)
	c.early[pkt.seg.seq] = pkt
}

// inOrder moves to the reader what has no gap before it. A number without a
// packet is the FIN.
func (c *tcpConn) inOrder() {
	for ; c.next < c.rcv.cum; c.next++ {
		pkt, ok := c.early[c.next]
		if !ok {
			c.eof = true
			continue
		}
		delete(c.early, c.next)
		c.in.push(pkt)
	}
	c.readable.Signal()
}

func (c *tcpConn) acknowledged(cum, got, mask uint64) {
	una := c.snd.una
	c.snd.ack(c.net.Now(), cum, got, mask)
	for ; una < c.snd.una; una++ {
		pkt := c.out.pop()
		if pkt == nil { // the FIN: all was delivered
			c.die(transport.ErrClosed)
			return
		}
		c.unacked -= len(pkt.data)
		c.net.recycle(pkt)
	}
}

func (c *tcpConn) open() {
	c.state = open
	if c.handshakes == 1 {
		c.snd.sample(c.net.Now() - c.firstSYN)
	}
	close(c.opened)
}

// deadline is when the connection must act by itself.
func (c *tcpConn) deadline() (time.Duration, bool) {
	switch c.state {
	case synSent, synReceived:
		return c.nextSYN, true
	case open:
		return c.snd.deadline()
	}
	return 0, false
}

// arm makes sure that a timer event comes no later than the deadline. Progress
// moves the deadline without touching the event, which then only arms again.
func (c *tcpConn) arm() {
	at, ok := c.deadline()
	if !ok || at >= c.armed {
		return
	}
	c.armed = at
	c.timers++
	c.net.schedule(event{at: at, src: c.src, seq: c.timers, call: c.onTimer})
}

func (c *tcpConn) timer() {
	now := c.net.Now()
	if now < c.armed {
		return // an event of a later deadline that an earlier one replaced
	}
	c.armed = never
	at, ok := c.deadline()
	if !ok || now < at {
		c.arm()
		return
	}
	switch {
	case c.state != open:
		if c.handshakes > synRetries {
			c.die(errTimeout)
			return
		}
		kind := kindSYN
		if c.state == synReceived {
			kind = kindSYNACK
		}
		c.sendControl(kind)
	case c.snd.backoff >= dataRetries || c.closed && c.snd.backoff >= closeRetries:
		c.die(errTimeout)
		return
	default:
		if probe, ok := c.snd.timeout(now); ok {
			c.sendSegment(now, probe)
		}
		c.pump()
	}
	c.arm()
}
