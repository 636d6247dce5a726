package simnet

import (
	"time"

	"netcombiner/src/congestion"
	"netcombiner/src/mono"
)

// sender decides which numbered segment leaves when: a TCP sender's loss
// recovery and congestion window without its bytes. It is pure. The tcp
// transport and the Bulk traffic stand on it.
//
// It is Reno with a scoreboard as good as SACK's: slow start, one halving for
// each window with a loss, a segment counts as lost when three that were sent
// after it were acknowledged (so a lost retransmission is found too), a tail
// loss probe after two round trips, and a timeout that doubles (RFC 6298).
type sender struct {
	una    uint64        // oldest segment that is not acknowledged
	flight ring[segSent] // una and later
	outst  int           // segments believed to be under way
	lost   int           // segments to send again
	hint   uint64        // no lost segment is older
	minRTO time.Duration

	cwnd, ssthresh float64           // segments
	maxCwnd        float64           // 0: none
	cubic          *congestion.Cubic // nil: Reno
	order          uint64            // transmissions so far
	acked          uint64            // latest transmission that is acknowledged
	recover        uint64            // losses of transmissions up to it halved the window already
	sent           ring[segSend]     // in order of transmission

	srtt, rttvar time.Duration
	minRTT       time.Duration
	now          time.Duration // of the acknowledgement that is being handled
	backoff      int
	probed       bool          // since the last progress
	touched      time.Duration // last progress, or start of sending
	retransmits  uint64
}

// segSent is the state of one segment.
type segSent struct {
	order uint64 // of its latest transmission
	at    time.Duration
	state segState
	again bool // was sent more than once: no RTT from it (Karn)
}

type segState uint8

const (
	segFlying segState = iota
	segLost
	segAcked
)

// segSend is one transmission.
type segSend struct{ order, seq uint64 }

const dupThreshold = 3

func newSender(minRTO time.Duration) sender {
	return sender{cwnd: 10, ssthresh: 1 << 30, minRTO: minRTO, srtt: time.Second, rttvar: 0}
}

// next returns a segment that may leave now, given that those below avail
// exist, and counts it as sent.
func (s *sender) next(now time.Duration, avail uint64) (seq uint64, ok bool) {
	if s.outst >= int(s.cwnd) {
		return 0, false
	}
	if s.lost > 0 {
		for seq = max(s.hint, s.una); s.seg(seq).state != segLost; seq++ {
		}
		s.hint = seq + 1
		s.lost--
		s.retransmits++
		s.seg(seq).again = true
	} else {
		if seq = s.una + uint64(s.flight.len()); seq >= avail {
			return 0, false
		}
		s.flight.push(segSent{})
	}
	if s.outst == 0 {
		s.touched = now
	}
	s.transmit(now, seq)
	s.outst++
	return seq, true
}

func (s *sender) transmit(now time.Duration, seq uint64) {
	s.order++
	g := s.seg(seq)
	g.order, g.at, g.state = s.order, now, segFlying
	s.sent.push(segSend{s.order, seq})
}

func (s *sender) seg(seq uint64) *segSent { return s.flight.at(int(seq - s.una)) }

// end is one past the newest segment sent.
func (s *sender) end() uint64 { return s.una + uint64(s.flight.len()) }

// ack takes an acknowledgement: everything below cum, seq itself, and seq-1-i
// for each bit i of mask.
func (s *sender) ack(now time.Duration, cum, seq, mask uint64) {
	if cum > s.end() || seq >= s.end() {
		return
	}
	limited := s.outst+1 >= int(s.cwnd)
	s.now = now
	fresh := 0
	if seq >= s.una {
		if g := s.seg(seq); g.state != segAcked && !g.again {
			s.sample(now - g.at)
		}
		fresh += s.deliver(seq)
	}
	for i := uint64(0); mask>>i != 0 && seq > i; i++ {
		if mask>>i&1 == 1 && seq-1-i >= s.una {
			fresh += s.deliver(seq - 1 - i)
		}
	}
	for q := s.una; q < cum; q++ {
		fresh += s.deliver(q)
	}
	for s.flight.len() > 0 && s.flight.at(0).state == segAcked {
		s.flight.pop()
		s.una++
	}
	if fresh == 0 {
		return
	}
	s.backoff, s.probed, s.touched = 0, false, now
	if limited && s.acked > s.recover {
		if s.cwnd < s.ssthresh {
			s.cwnd += float64(fresh)
		} else if s.cubic != nil {
			s.cubic.Window = s.cwnd
			s.cubic.Grow(mono.Time(now), s.srtt, float64(fresh))
			s.cwnd = s.cubic.Window
		} else {
			s.cwnd += float64(fresh) / s.cwnd
		}
		if s.maxCwnd > 0 {
			s.cwnd = min(s.cwnd, s.maxCwnd)
		}
	}
	for s.sent.len() > 0 && s.sent.at(0).order+dupThreshold <= s.acked {
		t := s.sent.pop()
		if t.seq < s.una {
			continue
		}
		if g := s.seg(t.seq); g.order == t.order && g.state == segFlying {
			s.lose(t.seq)
			if t.order > s.recover {
				s.recover = s.order
				s.cwnd = s.cut()
				s.ssthresh = s.cwnd
			}
		}
	}
}

// cut is the window after a loss.
func (s *sender) cut() float64 {
	if s.cubic != nil {
		s.cubic.Window = s.cwnd
		s.cubic.Cut()
		return s.cubic.Window
	}
	return max(2, s.cwnd/2)
}

func (s *sender) deliver(seq uint64) int {
	g := s.seg(seq)
	switch g.state {
	case segAcked:
		return 0
	case segFlying:
		s.outst--
	case segLost:
		s.lost--
	}
	g.state = segAcked
	if !g.again || s.now-g.at >= s.minRTT { // or it is the first transmission that came (RFC 8985, 6.2)
		s.acked = max(s.acked, g.order)
	}
	return 1
}

func (s *sender) lose(seq uint64) {
	s.seg(seq).state = segLost
	s.outst--
	s.lost++
	s.hint = min(s.hint, seq)
}

func (s *sender) sample(rtt time.Duration) {
	if s.minRTT == 0 || rtt < s.minRTT {
		s.minRTT = rtt
	}
	if s.rttvar == 0 {
		s.srtt, s.rttvar = rtt, rtt/2+1
		return
	}
	s.rttvar += ((s.srtt - rtt).Abs() - s.rttvar) / 4
	s.srtt += (rtt - s.srtt) / 8
}

// deadline is when timeout is to be called; ok is false while nothing is
// under way.
func (s *sender) deadline() (at time.Duration, ok bool) {
	if s.outst == 0 {
		return 0, false
	}
	rto := min(max(s.srtt+4*s.rttvar, s.minRTO)<<min(s.backoff, 10), maxRTO)
	if !s.probed && s.backoff == 0 {
		rto = min(rto, max(2*s.srtt, 10*time.Millisecond))
	}
	return s.touched + rto, true
}

const maxRTO = 120 * time.Second

// timeout acts on the deadline. The first time it names a segment to send
// again as a probe; after that all that is under way counts as lost.
func (s *sender) timeout(now time.Duration) (probe uint64, ok bool) {
	s.touched = now
	if !s.probed && s.backoff == 0 {
		s.probed = true
		for probe = s.una; s.seg(probe).state != segFlying; probe++ {
		}
		s.seg(probe).again = true // its order stays: a duplicate would tell on real TCP that it was in vain (DSACK)
		s.retransmits++
		return probe, true
	}
	s.backoff++
	s.ssthresh = s.cut()
	s.cwnd = 1
	s.recover = s.order
	for seq := s.una; seq < s.end(); seq++ {
		if s.seg(seq).state == segFlying {
			s.lose(seq)
		}
	}
	for s.sent.len() > 0 {
		s.sent.pop()
	}
	return 0, false
}

// receiver is the receiving half: which segments came, and what to
// acknowledge.
type receiver struct {
	cum  uint64     // all below came
	rest ring[bool] // cum and later
}

// take notes that seq came and reports whether it is new. It ignores what is
// absurdly far ahead.
func (r *receiver) take(seq uint64) (fresh bool) {
	if seq < r.cum || seq-r.cum > 1<<20 {
		return false
	}
	for uint64(r.rest.len()) <= seq-r.cum {
		r.rest.push(false)
	}
	p := r.rest.at(int(seq - r.cum))
	fresh = !*p
	*p = true
	for r.rest.len() > 0 && *r.rest.at(0) {
		r.rest.pop()
		r.cum++
	}
	return fresh
}

// has reports whether seq came.
func (r *receiver) has(seq uint64) bool {
	return seq < r.cum || seq-r.cum < uint64(r.rest.len()) && *r.rest.at(int(seq - r.cum))
}

// mask says which of the 64 segments before seq came.
func (r *receiver) mask(seq uint64) (m uint64) {
	if seq <= r.cum { // the usual case: nothing is missing
		return 1<<min(seq, 64) - 1
	}
	for i := uint64(0); i < 64 && i < seq; i++ {
		if r.has(seq - 1 - i) {
			m |= 1 << i
		}
	}
	return m
}
