package udpsocket

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

const (
	// places is how many reads of the kernel's fit in the slab that a joining
	// socket has: few, because each is as long as datagrams joined can be, and
	// enough for all of a batch. Of the slab's 512 KiB only those pages take
	// memory that were ever filled.
	places    = 8
	placeSize = 64 << 10
)

// receiver is the receiving half of a Socket.
type receiver struct {
	slots
	zones    zones
	oneByOne bool
	step     func(fd uintptr) bool // readable, bound once: a closure made in Receive would be garbage each time
	want     int                   // how many slots are ready
	got      int                   // how many were filled
	waits    bool                  // there is nothing to hand up without a new datagram

	// Where the kernel joins datagrams, it fills the slab's places instead of
	// the callers' Bufs, and split copies what is in them.
	slab []byte
	next int  // slots[next:got] are still to be split
	left part // and, before these, what is left of the one before
}

// part is what the kernel gave in one piece: datagrams of size bytes, the last
// of which may be shorter, that came the same way.
type part struct {
	data          []byte
	size          int
	remote, local netip.AddrPort
}

func (r *receiver) init(s *Socket, o Options, joins bool) {
	r.oneByOne = o.OneByOne
	r.step = r.readable
	if joins {
		r.slab = make([]byte, places*placeSize)
	}
	for i := range r.headers {
		h := &r.headers[i]
		h.Iov = &r.iovecs[i]
		h.SetIovlen(1)
		if !s.remote.IsValid() {
			h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		}
		if s.info || joins {
			h.Control = (*byte)(unsafe.Pointer(&r.control[i]))
		}
	}
}

// Receive waits for a datagram, takes with it those that are there already, at
// most len(ms), and returns how many; see transport.Flow. The Bufs of ms are the
// caller's own again when Receive returns. Empty datagrams are dropped. The
// only error is transport.ErrClosed.
func (s *Socket) Receive(ms []transport.Message) (int, error) {
	switch {
	case len(ms) == 0:
		return 0, nil
	case s.in.slab != nil:
		return s.receiveJoined(ms)
	}
	r := &s.in
	r.waits = true
	for {
		r.want = min(len(ms), Batch)
		for i := range r.want {
			r.ready(i, ms[i].Buf) // the kernel writes straight into it
		}
		if err := s.raw.Read(r.step); err != nil {
			return 0, closed(err)
		}
		if n := s.handUp(ms, r.got); n > 0 {
			return n, nil
		}
	}
}

// receiveJoined is Receive on a socket for which the kernel joins datagrams.
// What does not fit in ms is handed up by the next calls.
func (s *Socket) receiveJoined(ms []transport.Message) (int, error) {
	r := &s.in
	for n := 0; ; {
		n += s.split(ms[n:])
		if n == len(ms) || n > 0 && r.got < r.want {
			return n, nil // the kernel had no more
		}
		r.want, r.got, r.next, r.waits = places, 0, 0, n == 0
		for i := range places {
			r.ready(i, r.slab[i*placeSize:(i+1)*placeSize])
		}
		if err := s.raw.Read(r.step); err != nil && n == 0 {
			return 0, closed(err)
		}
	}
}

// ready makes slot i ready to be filled, with the datagram itself in buf.
func (r *receiver) ready(i int, buf []byte) {
	r.point(i, buf)
	h := &r.headers[i]
	if h.Name != nil {
		h.Namelen = unix.SizeofSockaddrInet6
	}
	if h.Control != nil {
		h.SetControllen(int(unsafe.Sizeof(r.control[i])))
	}
}

// readable is called when the socket may have a datagram; it returns false to
// wait until it may have another.
func (r *receiver) readable(fd uintptr) bool {
	for range maxFaults {
		var errno unix.Errno
		if r.oneByOne {
			r.got, errno = receiveEach(fd, r.headers[:r.want])
		} else {
			r.got, errno = receiveBatch(fd, r.headers[:r.want])
		}
		switch errno {
		case 0:
			return true
		case unix.EAGAIN:
			return !r.waits
		case unix.ENOSYS: // an old kernel, or a sandbox that forbids the call
			r.oneByOne = true
		}
		// Anything else is a fault, which is now taken off the socket: an ICMP
		// error that an earlier Send brought about, for one.
	}
	return !r.waits
}

// handUp describes the first got slots in ms and returns how many messages
// that makes: those that are empty or were cut off are left out, and later
// ones moved into their place.
func (s *Socket) handUp(ms []transport.Message, got int) int {
	n := 0
	for i := range got {
		p := s.describe(i, ms[i].Buf)
		if len(p.data) == 0 {
			continue
		}
		m := &ms[n]
		if n != i {
			if len(m.Buf) < len(p.data) {
				continue // fitted its own Buf, does not fit the one left free
			}
			copy(m.Buf, p.data)
		}
		m.N, m.Remote, m.Local = len(p.data), p.remote, p.local
		n++
	}
	return n
}

// split copies datagrams from the slab to ms, and returns how many, until ms is
// full or nothing is left.
func (s *Socket) split(ms []transport.Message) int {
	r := &s.in
	n := 0
	for n < len(ms) {
		if len(r.left.data) == 0 {
			if r.next == r.got {
				break
			}
			r.left = s.describe(r.next, r.slab[r.next*placeSize:])
			r.next++
			continue
		}
		data := r.left.data[:min(r.left.size, len(r.left.data))]
		r.left.data = r.left.data[len(data):]
		m := &ms[n]
		if len(data) > len(m.Buf) {
			continue
		}
		m.N, m.Remote, m.Local = copy(m.Buf, data), r.left.remote, r.left.local
		n++
	}
	return n
}

// describe tells what the kernel put in slot i, whose storage is buf. It is
// empty if the datagram was, or was cut off.
func (s *Socket) describe(i int, buf []byte) part {
	r := &s.in
	h := &r.headers[i]
	if h.n == 0 || h.Flags&unix.MSG_TRUNC != 0 {
		return part{}
	}
	p := part{data: buf[:h.n], size: int(h.n), remote: s.remote, local: s.local}
	if h.Name != nil {
		p.remote = readName(&r.names[i], &r.zones)
	}
	if h.Control != nil {
		note := readControl(&r.control[i], int(h.Controllen), s.mapped)
		if s.info && note.at.IsValid() {
			p.local = unmapTo(note.at, s.local.Port())
		}
		if note.segment > 0 {
			p.size = note.segment
		}
	}
	return p
}
