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
