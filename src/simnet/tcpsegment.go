package simnet

import (
	"time"

	"netcombiner/src/transport"
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
