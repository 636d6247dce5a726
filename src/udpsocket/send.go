package udpsocket

import (
	"fmt"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

const (
	// maxSegments is the most that every kernel with UDP_SEGMENT takes in a
	// run (UDP_MAX_SEGMENTS; 128 since 6.12).
	maxSegments = 64
	// maxRun is the longest run, in bytes: what a UDP datagram over IPv4
	// can carry.
	maxRun = 65535 - 20 - 8
	// cutAgainAfter is for how long nothing is sent in runs once the kernel
	// refused one: the way may have been by another device then.
	cutAgainAfter = 10 * time.Minute
)

// sender is the sending half of a Socket.
type sender struct {
	mu sync.Mutex // taken once a batch
	slots
	runs     [Batch]run // headers[i] sends runs[i]
	zones    zones
	oneByOne bool
	cuts     bool                  // the kernel cuts runs into datagrams; else each is of one message
	step     func(fd uintptr) bool // writable, bound once
	system   func(fd uintptr, hs []header) (int, unix.Errno)

	next, end int        // headers[next:end] are still to go out
	again     bool       // headers[next] met a fault once
	unpacked  bool       // headers[next] sends only the first message of its run, and then the others
	suspect   unix.Errno // why it was unpacked, if that may be the kernel's inability to cut
	refused   unix.Errno // the first refusal
	inability unix.Errno // why the kernel no longer cuts, until it is reported
	cutAgain  time.Time  // when to see whether it does again; zero: no need, or no use
}

// run is consecutive messages of a batch that leave the same way: all of size
// bytes, but for the last, which may be shorter. iovecs[first:first+count]
// speak of them.
type run struct {
	first, count int
	size, bytes  int // of one message, of all
}

func (w *sender) init(o Options, cuts bool) {
	w.cuts = cuts
	w.step = w.writable
	w.system = sendBatch
	if o.OneByOne {
		w.oneByOne, w.system = true, sendEach
	}
}

// Send sends ms in order; see transport.Flow. The Bufs are read during the
// call and are the caller's own again afterwards. An ICMP error, which anybody
// can forge and every MTU probe that is too long brings, is no refusal.
func (s *Socket) Send(ms []transport.Message) (int, error) {
	w := &s.out
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = 0
	if !w.cutAgain.IsZero() && !time.Now().Before(w.cutAgain) {
		w.cuts, w.cutAgain = true, time.Time{}
	}
	for done := 0; done < len(ms); {
		batch := ms[done:min(done+Batch, len(ms))]
		w.next, w.end, w.again, w.unpacked = 0, 0, false, false
		w.runs[0].first = 0 // all may be refused
		for i := range batch {
			s.prepare(batch, i)
		}
		if err := s.raw.Write(w.step); err != nil {
			return done + w.runs[w.next].first, closed(err)
		}
		done += len(batch)
	}
	if w.inability != 0 {
		s.report(fmt.Sprintf("the kernel or a device cannot cut datagrams (%v)", w.inability))
		w.inability, w.cutAgain = 0, time.Now().Add(cutAgainAfter)
	}
	if w.refused != 0 {
		return len(ms), &transport.RefusedError{Err: w.refused}
	}
	return len(ms), nil
}

// prepare puts batch[i] in the last run, or in the next slot as a run of its
// own, or refuses it.
func (s *Socket) prepare(batch []transport.Message, i int) {
	w := &s.out
	m := &batch[i]
	if len(m.Buf) == 0 {
		w.refuse(unix.EINVAL)
		return
	}
	w.point(i, m.Buf)
	if w.cuts && w.end > 0 && s.joins(&w.runs[w.end-1], batch, i) {
		w.join(len(m.Buf))
		return
	}
	h := &w.headers[w.end]
	if !s.remote.IsValid() {
		length, ok := writeName(&w.names[w.end], m.Remote, s.mapped, &w.zones)
		if !ok {
			w.refuse(unix.EAFNOSUPPORT)
			return
		}
		h.Name = (*byte)(unsafe.Pointer(&w.names[w.end]))
		h.Namelen = length
	}
	control := 0
	if from := m.Local.Addr(); s.info && from.IsValid() && !from.IsUnspecified() {
		var ok bool
		if control, ok = writePacketInfo(&w.control[w.end], from, s.mapped); !ok {
			w.refuse(unix.EAFNOSUPPORT)
			return
		}
	}
	w.setControl(w.end, control)
	h.Iov = &w.iovecs[i]
	h.SetIovlen(1)
	w.runs[w.end] = run{first: i, count: 1, size: len(m.Buf), bytes: len(m.Buf)}
	w.end++
}

// joins says whether batch[i] can be the next message of r.
func (s *Socket) joins(r *run, batch []transport.Message, i int) bool {
	m, first := &batch[i], &batch[r.first]
	return r.first+r.count == i && r.count < maxSegments &&
		r.bytes == r.count*r.size && // no shorter one was its last
		len(m.Buf) <= r.size && r.bytes+len(m.Buf) <= maxRun &&
		(s.remote.IsValid() || m.Remote == first.Remote) &&
		(!s.info || m.Local == first.Local)
}

// join puts the next message, of n bytes, in the last run.
func (w *sender) join(n int) {
	i := w.end - 1
	r, h := &w.runs[i], &w.headers[i]
	if r.count == 1 {
		used := int(h.Controllen)
		w.setControl(i, used+writeSegment(&w.control[i], used, r.size))
	}
	r.count++
	r.bytes += n
	h.SetIovlen(r.count)
}

// setControl makes headers[i] carry the first n bytes of its control buffer.
func (w *sender) setControl(i, n int) {
	h := &w.headers[i]
	h.Control = nil
	if n > 0 {
		h.Control = (*byte)(unsafe.Pointer(&w.control[i]))
	}
	h.SetControllen(n)
}

// writable is called when the socket may have room; it returns false to wait
// until it has.
func (w *sender) writable(fd uintptr) bool {
	for w.next < w.end {
		hs := w.headers[w.next:w.end]
		if w.unpacked {
			hs = hs[:1]
		}
		n, errno := w.system(fd, hs)
		switch errno {
		case 0:
			w.accepted(n)
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		case unix.ENOSYS:
			if w.oneByOne {
				w.next = w.end // no way to send at all
			}
			w.oneByOne, w.system = true, sendEach
		default:
			// The fault is this datagram's own, or what an ICMP error left on
			// the socket, from which it is now taken off. A second try tells.
			if w.again {
				w.fault(errno)
			}
			w.again = !w.again
		}
	}
	return true
}

// accepted goes on behind n headers that the kernel took.
func (w *sender) accepted(n int) {
	w.again = false
	if !w.unpacked {
		w.next += n
		return
	}
	if w.suspect != 0 { // the run was refused, and its first message is not
		w.cuts, w.inability, w.suspect = false, w.suspect, 0
	}
	w.unpack()
}

// fault goes on behind a header that the kernel refused for good. The messages
// of a run then go one by one: which of them is at fault is not known, or
// whether the kernel cannot cut.
func (w *sender) fault(errno unix.Errno) {
	switch {
	case w.unpacked:
		w.suspect = 0
		w.refuse(errno)
		w.unpack()
	case w.runs[w.next].count > 1:
		// EIO: the device fills in no checksums, or IPsec is on the way. EINVAL:
		// the socket has none; but also, up to 6.13, a message longer than the
		// device's MTU.
		w.suspect = 0
		if errno == unix.EIO || errno == unix.EINVAL {
			w.suspect = errno
		}
		w.unpacked = true
		h := &w.headers[w.next]
		h.SetIovlen(1)
		w.setControl(w.next, int(h.Controllen)-segmentSpace)
	default:
		w.refuse(errno)
		w.next++
	}
}

// unpack goes on behind a message of a run that goes one by one.
func (w *sender) unpack() {
	r := &w.runs[w.next]
	r.first++
	r.count--
	if r.count == 0 {
		w.unpacked = false
		w.next++
		return
	}
	w.headers[w.next].Iov = &w.iovecs[r.first]
}

func (w *sender) refuse(errno unix.Errno) {
	if w.refused == 0 {
		w.refused = errno
	}
}
