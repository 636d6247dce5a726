package path

import (
	"time"

	"netcombiner/src/congestion"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

// Receive notes an authentic message of size bytes on this path. It returns
// whether the message is fresh; newest says that none before had a higher
// sequence. A message that is not fresh must be dropped.
func (p *Path) Receive(now mono.Time, h *wire.Header, size int) (fresh, newest bool) {
	seq := wire.Expand(h.Sequence, p.received.largest)
	newest = seq > p.received.largest || !p.received.any
	if !p.received.receive(now, seq, size) {
		return false, false
	}
	p.heard, p.arrived = now, seq
	p.RxPackets++
	p.RxBytes += uint64(size)
	if h.Type != wire.TypeAck {
		p.received.pending++
		if p.received.ackAt == 0 {
			p.received.ackAt = now.Add(maxAckDelay)
		}
	}
	return true, newest
}

// AcknowledgeNow sends the next acknowledgement without waiting: the message
// was one that asks for nothing else (a ping, a proof).
func (p *Path) AcknowledgeNow(now mono.Time) { p.received.ackAt = now }

// Acknowledge handles the peer's acknowledgement. One that speaks of what was
// never sent is ignored.
func (p *Path) Acknowledge(now mono.Time, a *wire.Ack) {
	l := &p.sent
	largest := wire.Expand(a.Largest, l.next)
	ack := wire.Expand(a.Ack, l.next)
	nack := wire.Expand(a.Nack, l.next)
	if largest >= l.next || ack > largest || nack > ack {
		return
	}
	good := congestion.Acknowledgement{InFlight: l.inFlight, Arrived: a.Delivered, ArrivedAt: a.ReceivedAt}
	bad := congestion.Loss{Next: l.next}
	var newest sent // that largest acknowledges, if it is news
	if largest >= l.first && l.at(largest).waits() {
		newest = *l.at(largest)
		if a.Delay != maxDelay {
			good.RTT = max(now.Sub(newest.at)-time.Duration(a.Delay)*ackDelayUnit, time.Microsecond)
			good.OneWay, good.Prior = p.oneWay(newest.at, a.ReceivedAt), newest.delivered
			good.SentAt, good.Unused = newest.at, newest.unused
		}
	}
	// Up to ack all is settled, and leaves the log for good; above it only the
	// bitmap speaks. So no message is looked at for longer than that reaches.
	for s := l.first; s <= ack; s++ {
		if e := l.at(s); !e.done {
			if s > nack || hasReceived(a, largest, s) {
				p.acknowledged(now, s, e, &good)
			} else {
				p.lost(now, s, e, &bad)
			}
		}
	}
	for s := max(l.first, ack+1, largest-min(largest, uint64(64*a.Words))); s <= largest; s++ {
		if e := l.at(s); !e.done && hasReceived(a, largest, s) {
			p.acknowledged(now, s, e, &good)
		}
	}
	l.trim()
	if good.Packets > 0 {
		good.Age /= time.Duration(good.Packets)
		if good.RTT != 0 {
			p.rtt.sample(now, good.RTT, good.Age-time.Duration(a.Delay)*ackDelayUnit)
		}
		p.capacity.sample(now, newest.delivered, newest.deliveredAt, p.rtt.min(), good.AppLimited)
		p.capacity.at = now
		good.Delivered = p.capacity.delivered
		packets, _ := p.control.Window()
		good.Limited = p.limited || 2*good.InFlight >= packets
		p.limited = false
		p.control.Acknowledged(now, good)
		p.progress, p.overdue, p.suspect = now, 0, false
	}
	if bad.Packets > 0 {
		p.control.Lost(now, bad)
	}
	p.loss.add(now, float64(good.Packets), float64(bad.Packets))
	if p.held && p.Room() { // what was refused may have gone elsewhere
		p.held, p.pace = false, max(p.pace, now.Add(-paceBurst))
	}
}

// oneWay is the delay of a message that left at sent and arrived at the given
// time of the peer's clock, in µs, compared with that of the first.
func (p *Path) oneWay(sent mono.Time, arrived uint32) time.Duration {
	raw := arrived - uint32(int64(sent)/int64(time.Microsecond))
	if !p.Clock.set {
		*p.Clock = PeerClock{zero: raw, set: true}
	}
	d := time.Duration(int32(raw-p.Clock.zero)) * time.Microsecond
	if !p.timed {
		p.delay, p.timed = d, true
	}
	p.delay += (d - p.delay) / 8
	return d
}

// hasReceived says whether a tells of s, at most largest, that it was received.
func hasReceived(a *wire.Ack, largest, s uint64) bool {
	if s == largest {
		return true
	}
	back := largest - s - 1
	return back < uint64(64*a.Words) && a.Received[back/64]>>(back%64)&1 != 0
}

func (p *Path) acknowledged(now mono.Time, seq uint64, e *sent, good *congestion.Acknowledgement) {
	if p.Datagram {
		p.mtu.arrived(now, int(e.size))
	}
	if e.elicits {
		good.Packets++
		good.Bytes += int(e.size)
		good.Age += now.Sub(e.at)
		good.AppLimited = good.AppLimited || e.idle
		good.Largest = seq
		p.capacity.delivered += uint64(e.size)
		p.rate.add(now, int(e.size))
	}
	if e.packet != nil {
		e.packet.Delivered = true
	}
	p.sent.settle(seq)
}

func (p *Path) lost(now mono.Time, seq uint64, e *sent, bad *congestion.Loss) {
	// A probe that was too long, and a lost acknowledgement, say nothing of
	// congestion.
	if e.elicits && !e.probe {
		bad.Packets++
		bad.Bytes += int(e.size)
		bad.Largest = seq
		p.Lost++
		if p.Datagram {
			p.mtu.lost(now, int(e.size), p.rtt.timeout())
		}
	}
	p.joinDue = p.joinDue || e.join
	if e.packet != nil && !e.packet.Delivered && !e.rescued {
		e.packet.Retain()
		p.gone = append(p.gone, e.packet)
		p.Reinjected++
	}
	p.sent.settle(seq)
}
