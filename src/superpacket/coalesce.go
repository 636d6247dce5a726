package superpacket

import (
	"bytes"
	"encoding/binary"
)

// Coalescer sorts packets into runs, each to be written as one super-packet.
// Within a flow the order stays; flows may overtake each other, so that those
// which take turns coalesce too. The zero value is ready, and leaves UDP alone.
type Coalescer struct {
	// UDP says that the system takes UDP super-packets.
	UDP bool

	runs []Run
	next []int32 // of each packet, the one behind it in its run; -1: none
	// recent holds for each hash of a flow the run that began last, + 1. When
	// two flows share a hash, each packet of the other's ends a run.
	recent [64]int32
}

// Run is packets of one flow.
type Run struct {
	First   int // index of its first packet
	Count   int // how many packets
	Headers int // of each, in bytes; what follows them is payload

	last    int  // index of its last packet
	start   int  // offset of the transport header
	size    int  // payload of each packet but the last, in bytes
	payload int  // of all, in bytes
	udp     bool // it is TCP otherwise
	open    bool // it may get longer
	checked bool // the first packet's checksums are right
}

// Plan sorts the packets bufs[i][offset:] into runs, in the order in which
// they are to be written. What it returns is good until the next Plan.
func (c *Coalescer) Plan(bufs [][]byte, offset int) []Run {
	c.runs, c.next = c.runs[:0], c.next[:0]
	clear(c.recent[:])
	for i := range bufs {
		c.next = append(c.next, -1)
		c.add(bufs, offset, i)
	}
	return c.runs
}

// Next is the packet behind packet i in its run; -1: none.
func (c *Coalescer) Next(i int) int { return int(c.next[i]) }

func (c *Coalescer) add(bufs [][]byte, offset, i int) {
	p := bufs[i][offset:]
	f := inspect(p)
	switch f.class {
	case unclear:
		clear(c.recent[:]) // it may be of any flow: nothing overtakes it
		fallthrough
	case other:
		c.runs = append(c.runs, Run{First: i, Count: 1, last: i})
		return
	}
	f.joins = f.joins && (c.UDP || !f.udp)
	recent := &c.recent[hash(p, f.start)]
	if f.joins && *recent > 0 {
		r := &c.runs[*recent-1]
		if r.open && r.takes(bufs[r.First][offset:], p, &f) {
			c.next[r.last], r.last = int32(i), i
			return
		}
	}
	c.runs = append(c.runs, Run{First: i, Count: 1, last: i, Headers: f.headers, start: f.start,
		size: f.payload, payload: f.payload, udp: f.udp, open: f.joins && !f.ends})
	*recent = int32(len(c.runs))
}

// takes appends p to the run that begins with first, if it belongs there.
func (r *Run) takes(first, p []byte, f *found) bool {
	if f.udp != r.udp || f.start != r.start || f.headers != r.Headers ||
		f.payload > r.size || r.Count == MaxRun || r.Headers+r.payload+f.payload > maxLength ||
		!sameIP(first, p, r.Count) || !r.sameTransport(first, p) {
		return false
	}
	// The kernel makes checksums anew: a wrong one would come out right.
	if r.checked = r.checked || sumsRight(first, r.start); !r.checked {
		r.open = false
		return false
	}
	if !sumsRight(p, r.start) {
		f.joins = false
		return false
	}
	r.Count++
	r.payload += f.payload
	r.open = !f.ends && f.payload == r.size
	return true
}

// sameIP says whether the IP headers, without options, of a run's first packet
// and of the one behind n others are such as the kernel gives to segments.
func sameIP(first, p []byte, n int) bool {
	if first[0] != p[0] || first[1] != p[1] { // with them the ECN bits
		return false
	}
	if p[0]>>4 == 6 {
		return bytes.Equal(first[2:4], p[2:4]) && bytes.Equal(first[6:40], p[6:40])
	}
	// An ID means nothing in a packet that must not be fragmented (RFC 6864):
	// some senders count, others do not.
	id, want := binary.BigEndian.Uint16(p[4:]), binary.BigEndian.Uint16(first[4:])
	counts := id == want+uint16(n) || id == want && p[6]&0x40 != 0
	return counts && bytes.Equal(first[6:10], p[6:10]) && bytes.Equal(first[12:20], p[12:20])
}

// sameTransport says whether p continues the run.
func (r *Run) sameTransport(first, p []byte) bool {
	a, b := first[r.start:r.Headers], p[r.start:r.Headers]
	if !bytes.Equal(a[:4], b[:4]) {
		return false
	}
	if r.udp {
		return true
	}
	sequence := binary.BigEndian.Uint32(a[4:]) + uint32(r.payload)
	return binary.BigEndian.Uint32(b[4:]) == sequence && bytes.Equal(a[8:13], b[8:13]) &&
		a[13] == b[13]&^tcpPSH && bytes.Equal(a[14:16], b[14:16]) && bytes.Equal(a[18:], b[18:])
}

// Frame appends to dst, which is empty and has room for MaxHeaders, what
// precedes the payloads of a run of more than one packet: the virtio-net header
// and the super-packet's own headers.
func (c *Coalescer) Frame(dst []byte, r *Run, bufs [][]byte, offset int) []byte {
	first, last := bufs[r.First][offset:], bufs[r.last][offset:]
	dst = append(dst[:HeaderSize], first[:r.Headers]...)
	h := header{flags: needsSum, kind: kindTCP4, headers: r.Headers, size: r.size, sumStart: r.start, sumAt: tcpSumAt}
	p := dst[HeaderSize:]
	proto, length := protoTCP, r.Headers-r.start+r.payload
	if p[0]>>4 == 4 {
		binary.BigEndian.PutUint16(p[2:], uint16(r.Headers+r.payload))
		binary.BigEndian.PutUint16(p[ipSumAt:], 0)
		putSum(p[ipSumAt:], ^fold(sum(p[:ipv4Header], 0)))
	} else {
		h.kind = kindTCP6
		binary.BigEndian.PutUint16(p[4:], uint16(length))
	}
	t := p[r.start:]
	if r.udp {
		h.kind, h.sumAt, proto = kindUDP, udpSumAt, protoUDP
		binary.BigEndian.PutUint16(t[4:], uint16(length))
	} else {
		t[13] |= last[r.start+13] & tcpPSH
	}
	// The pseudo-header's part; the kernel adds the rest.
	putSum(t[h.sumAt:], fold(addresses(p, proto)+word(length)))
	h.put(dst)
	return dst
}
