// Package packet holds inner IP packets: their buffers, the pool these come
// from, and the little that the portal must know of their headers.
//
// Glossary
//
//	inner packet   an IP packet of the user's, as the TUN gives or takes it
//	flow           packets of one 5-tuple: what must stay in order
//	sequence       the packet's number in the session, given once, when it is
//	               first put on a path; the twins of a packet share it
//	reference      a right to read Data; the last one released frees the buffer
package packet

import "netcombiner/src/mono"

// Headroom is how many bytes of its buffer lie before a packet read from the
// TUN or a message read from a path: what a TUN device may scribble on.
const Headroom = 16

// Packet is an inner packet on its way through a portal.
//
// One goroutine owns a fresh packet. Once it is handed to the exchange its
// references are counted, and Retain and Release are called only under the
// portal's lock; Data is then read-only, so that senders may read it without.
type Packet struct {
	Data []byte // the inner packet; a part of the buffer

	Sequence uint64    // 0: not yet on any path
	Previous uint16    // how far back the packet before it in its flow is; 0: none
	Flow     uint32    // hash of the 5-tuple
	Queued   mono.Time // when it came from the TUN
	Sent     mono.Time // when it first went on a path
	// Delivered says that the peer acknowledged it on some path: a twin that
	// still waits to be sent need not be.
	Delivered bool
	// Next is the packet behind it in the queue that holds it.
	Next *Packet

	buffer []byte
	refs   int32
	free   bool // it is in the pool, under whose lock this is
	slab   *slab
}

// Buffer is the whole storage. The owner of a fresh packet reads into
// Buffer()[Headroom:] and sets Data.
func (p *Packet) Buffer() []byte { return p.buffer }

// WithHeadroom returns Data with the n bytes of the buffer that lie before it.
func (p *Packet) WithHeadroom(n int) []byte {
	start := len(p.buffer) - cap(p.Data) // Data reaches to the buffer's end
	return p.buffer[start-n : start+len(p.Data)]
}

// Retain adds a reference.
func (p *Packet) Retain() { p.refs++ }

// Release gives a reference back; after the last one the packet returns to
// its pool, and must not be touched.
func (p *Packet) Release() {
	p.refs--
	switch {
	case p.refs == 0:
		p.slab.pool.put(p)
	case p.refs < 0:
		panic("packet: released twice")
	}
}

func (p *Packet) reset() {
	p.Data, p.Sequence, p.Previous, p.Flow, p.Queued, p.Sent, p.Delivered, p.Next = nil, 0, 0, 0, 0, 0, false, nil
}
