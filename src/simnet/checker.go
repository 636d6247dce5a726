package simnet

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// Checker makes flows of inner packets and judges what comes out of the hosts'
// TUN devices: every packet must have been sent, to that host, come unchanged
// (but for an ECN mark) and at most once.
type Checker struct {
	net *Network

	mu     sync.Mutex
	flows  []*Flow
	hosts  map[*Host]bool
	errs   []error
	faults uint64
	buf    []byte // to build an expected packet in
}

// NewChecker returns one. It takes over OnInner of the hosts that its flows
// join.
func (n *Network) NewChecker() *Checker { return &Checker{net: n, hosts: make(map[*Host]bool)} }

// Flow is a one-directional flow of inner UDP packets.
type Flow struct {
	checker  *Checker
	id       uint32
	from, to *Host
	src, dst netip.AddrPort
	ecn      byte
	packets  []record
	highest  uint64 // one past the highest number delivered
	handler  func(h *header)
	buf      []byte
}

// record is what became of a packet.
type record struct {
	at      time.Duration // sent
	arrived time.Duration // 0: not
	size    uint16
	refused bool // the TUN device did not take it
	late    bool // a later one arrived before it
	marked  bool // with congestion
}

// Flow returns a new flow from the TUN device of host from to that of host to.
// Each has ports of its own, so it is a flow to the tunnel too.
func (c *Checker) Flow(from, to *Host, v6 bool) *Flow {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, h := range []*Host{from, to} {
		if !c.hosts[h] {
			c.hosts[h] = true
			h.OnInner(func(pkt []byte) { c.deliver(h, pkt) })
		}
	}
	src, dst := netip.AddrFrom4([4]byte{10, 0, 0, 1}), netip.AddrFrom4([4]byte{10, 9, 0, 1})
	if v6 {
		src, dst = netip.AddrFrom16([16]byte{0xfd, 15: 1}), netip.AddrFrom16([16]byte{0xfd, 9, 15: 1})
	}
	id := uint32(len(c.flows))
	f := &Flow{
		checker: c, id: id, from: from, to: to, ecn: ecnECT0,
		src: netip.AddrPortFrom(src, uint16(10000+id)), dst: netip.AddrPortFrom(dst, 5201),
	}
	c.flows = append(c.flows, f)
	return f
}

// Send sends one packet of size bytes, IP header included, at least
// MinInner4 or MinInner6. It reports whether the TUN device took it.
func (f *Flow) Send(size int) bool { return f.send(size, [3]uint64{}) }

func (f *Flow) send(size int, notes [3]uint64) bool {
	c := f.checker
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.src.Addr().Is4() {
		size = max(size, MinInner4)
	} else {
		size = max(size, MinInner6)
	}
	now := c.net.Now()
	h := header{flow: f.id, seq: uint64(len(f.packets)), at: uint64(now), notes: notes}
	f.buf = appendInner(f.buf[:0], f.src, f.dst, f.ecn, &h, size)
	// Under the lock: the packet must not come out before it is known.
	took := f.from.Inject(f.buf)
	f.packets = append(f.packets, record{at: now, size: uint16(size), refused: !took})
	return took
}

// deliver judges a packet that came out at host h.
func (c *Checker) deliver(h *Host, pkt []byte) {
	c.mu.Lock()
	f, head, err := c.judge(h, pkt)
	if err != nil {
		c.faults++
		if len(c.errs) < 20 {
			c.errs = append(c.errs, fmt.Errorf("at %v, %s: %w", c.net.Now(), h.name, err))
		}
		c.mu.Unlock()
		return
	}
	handler := f.handler
	c.mu.Unlock()
	if handler != nil {
		handler(&head)
	}
}

func (c *Checker) judge(h *Host, pkt []byte) (*Flow, header, error) {
	head, ecn, ok := parseInner(pkt)
	if !ok || int(head.flow) >= len(c.flows) {
		return nil, head, fmt.Errorf("invented packet %x", pkt[:min(len(pkt), 64)])
	}
	f := c.flows[head.flow]
	if f.to != h {
		return nil, head, fmt.Errorf("flow %d packet %d came out at the wrong end", f.id, head.seq)
	}
	if head.seq >= uint64(len(f.packets)) || f.packets[head.seq].refused {
		return nil, head, fmt.Errorf("flow %d packet %d was never sent", f.id, head.seq)
	}
	r := &f.packets[head.seq]
	if ecn != ecnCE {
		ecn = f.ecn
	}
	c.buf = appendInner(c.buf[:0], f.src, f.dst, ecn, &head, int(r.size))
	if uint64(r.at) != head.at || !bytes.Equal(c.buf, pkt) {
		return nil, head, fmt.Errorf("flow %d packet %d was changed:\n%x instead of\n%x", f.id, head.seq, pkt, c.buf)
	}
	if r.arrived != 0 {
		return nil, head, fmt.Errorf("flow %d packet %d came twice, at %v and again", f.id, head.seq, r.arrived)
	}
	r.arrived = c.net.Now()
	r.late = head.seq < f.highest
	r.marked = ecn == ecnCE
	f.highest = max(f.highest, head.seq+1)
	return f, head, nil
}

// Err is what was wrong, or nil: the first errors, and how many there were.
func (c *Checker) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.faults == 0 {
		return nil
	}
	return errors.Join(append(slices.Clone(c.errs), fmt.Errorf("simnet: %d packets were not as sent", c.faults))...)
}

// Stats sums up the packets of a flow that were sent in some time.
type Stats struct {
	Sent       int // taken by the TUN device
	Refused    int // not taken by it
	Delivered  int
	Lost       int // sent and not delivered, yet
	OutOfOrder int // delivered after a later one of the flow
	Marked     int // delivered with a congestion mark
	Bytes      int // delivered, inner packets
	// LongestGap is the longest time between arrivals, counted from the first
	// sending to the last.
	LongestGap time.Duration
	latency    []time.Duration // sorted
}

// Latency returns the p-quantile (0…1) of the delivered packets' latency.
func (s *Stats) Latency(p float64) time.Duration {
	if len(s.latency) == 0 {
		return 0
	}
	return s.latency[min(int(p*float64(len(s.latency))), len(s.latency)-1)]
}

func (s *Stats) String() string {
	return fmt.Sprintf("%d sent, %d lost, %d out of order, longest gap %v, latency %v median, %v p99",
		s.Sent, s.Lost, s.OutOfOrder, s.LongestGap, s.Latency(.5), s.Latency(.99))
}

// Stats sums up what was sent from the one time until before the other.
func (f *Flow) Stats(from, until time.Duration) Stats {
	f.checker.mu.Lock()
	defer f.checker.mu.Unlock()
	var s Stats
	var times []time.Duration
	var last time.Duration
	for i := range f.packets {
		r := &f.packets[i]
		if r.at < from || r.at >= until {
			continue
		}
		if r.refused {
			s.Refused++
			continue
		}
		if s.Sent == 0 {
			times = append(times, r.at)
		}
		s.Sent++
		last = r.at
		if r.arrived == 0 {
			s.Lost++
			continue
		}
		s.Delivered++
		s.Bytes += int(r.size)
		if r.late {
			s.OutOfOrder++
		}
		if r.marked {
			s.Marked++
		}
		times = append(times, r.arrived)
		s.latency = append(s.latency, r.arrived-r.at)
	}
	if s.Sent > 0 {
		times = append(times, last)
	}
	slices.Sort(times)
	for i := 1; i < len(times); i++ {
		s.LongestGap = max(s.LongestGap, times[i]-times[i-1])
	}
	slices.Sort(s.latency)
	return s
}

// All is Stats of the whole flow.
func (f *Flow) All() Stats { return f.Stats(0, never) }

// AliveAfter is how long after t the first packet sent since then was
// delivered; ok is false when none was.
func (f *Flow) AliveAfter(t time.Duration) (d time.Duration, ok bool) {
	f.checker.mu.Lock()
	defer f.checker.mu.Unlock()
	d = never
	for i := range f.packets {
		if r := &f.packets[i]; r.at >= t && r.arrived != 0 {
			d = min(d, r.arrived-t)
		}
	}
	return d, d != never
}
