package udpsocket

import (
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

// Batch is how many datagrams cross into the kernel in one call at most.
const Batch = 64

// maxFaults bounds how often one call takes up a fault and tries again before
// it waits for the kernel to say that there is something new.
const maxFaults = 16

// header is the kernel's struct mmsghdr: one datagram of a batch. Nothing in
// it points at memory that the garbage collector does not see.
type header struct {
	unix.Msghdr
	n uint32 // bytes received
}

// slots is the storage that the kernel reads and fills in a batch, made once
// for each direction of a socket, about 14 KiB.
type slots struct {
	headers [Batch]header
	iovecs  [Batch]unix.Iovec
	names   [Batch]unix.RawSockaddrInet6 // or Inet4, which is shorter
	control [Batch]controlBuffer
}

func (s *slots) init() {
	for i := range s.headers {
		h := &s.headers[i]
		h.Iov = &s.iovecs[i]
		h.SetIovlen(1)
	}
}

// point makes slot i speak of buf.
func (s *slots) point(i int, buf []byte) {
	s.iovecs[i].Base = unsafe.SliceData(buf)
	s.iovecs[i].SetLen(len(buf))
}

// receiver is the receiving half of a Socket.
type receiver struct {
	slots
	zones    zones
	oneByOne bool
	step     func(fd uintptr) bool // readable, bound once: a closure made in Receive would be garbage each time
	want     int                   // how many slots are ready
	got      int                   // how many were filled
}

func (r *receiver) init(s *Socket, oneByOne bool) {
	r.slots.init()
	r.oneByOne = oneByOne
	r.step = r.readable
	for i := range r.headers {
		h := &r.headers[i]
		if !s.remote.IsValid() {
			h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		}
		if s.info {
			h.Control = (*byte)(unsafe.Pointer(&r.control[i]))
		}
	}
}

// Receive waits for a datagram, takes with it those that are there already, at
// most Batch, and returns how many; see transport.Flow. The kernel writes
// straight into the Bufs of ms, which are the caller's own again when Receive
// returns. Empty datagrams are dropped. The only error is transport.ErrClosed.
func (s *Socket) Receive(ms []transport.Message) (int, error) {
	if len(ms) == 0 {
		return 0, nil
	}
	r := &s.in
	for {
		r.want = min(len(ms), Batch)
		for i := range r.want {
			r.point(i, ms[i].Buf)
			h := &r.headers[i]
			if h.Name != nil {
				h.Namelen = unix.SizeofSockaddrInet6
			}
			if h.Control != nil {
				h.SetControllen(int(unsafe.Sizeof(r.control[i])))
			}
		}
		if err := s.raw.Read(r.step); err != nil {
			return 0, closed(err)
		}
		if n := s.handUp(ms, r.got); n > 0 {
			return n, nil
		}
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
			return false
		case unix.ENOSYS: // an old kernel, or a sandbox that forbids the call
			r.oneByOne = true
		}
		// Anything else is a fault, which is now taken off the socket: an ICMP
		// error that an earlier Send brought about, for one.
	}
	return false
}

// handUp describes the first got slots in ms and returns how many messages
// that makes: those that are empty or were cut off are left out, and later
// ones moved into their place.
func (s *Socket) handUp(ms []transport.Message, got int) int {
	r := &s.in
	n := 0
	for i := range got {
		h := &r.headers[i]
		if h.n == 0 || h.Flags&unix.MSG_TRUNC != 0 {
			continue
		}
		m := &ms[n]
		if n != i {
			if len(m.Buf) < int(h.n) {
				continue // fitted its own Buf, does not fit the one left free
			}
			copy(m.Buf, ms[i].Buf[:h.n])
		}
		m.N = int(h.n)
		m.Remote, m.Local = s.remote, s.local
		if h.Name != nil {
			m.Remote = readName(&r.names[i], &r.zones)
		}
		if h.Control != nil {
			if at, ok := readPacketInfo(&r.control[i], int(h.Controllen), s.mapped); ok {
				m.Local = unmapTo(at, s.local.Port())
			}
		}
		n++
	}
	return n
}

// sender is the sending half of a Socket.
type sender struct {
	mu sync.Mutex // taken once a batch
	slots
	zones    zones
	oneByOne bool
	step     func(fd uintptr) bool // writable, bound once

	next, end int        // headers[next:end] are still to go out
	again     bool       // headers[next] met a fault once
	refused   unix.Errno // the first refusal
}

func (w *sender) init(oneByOne bool) {
	w.slots.init()
	w.oneByOne = oneByOne
	w.step = w.writable
}

// Send sends ms in order; see transport.Flow. The Bufs are read during the
// call and are the caller's own again afterwards. An ICMP error, which anybody
// can forge and every MTU probe that is too long brings, is no refusal.
func (s *Socket) Send(ms []transport.Message) (int, error) {
	w := &s.out
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refused = 0
	for done := 0; done < len(ms); {
		batch := ms[done:min(done+Batch, len(ms))]
		w.next, w.end, w.again = 0, 0, false
		for i := range batch {
			s.prepare(&batch[i])
		}
		if err := s.raw.Write(w.step); err != nil {
			return done + w.next, closed(err)
		}
		done += len(batch)
	}
	if w.refused != 0 {
		return len(ms), &transport.RefusedError{Err: w.refused}
	}
	return len(ms), nil
}

// prepare puts m in the next slot, or refuses it.
func (s *Socket) prepare(m *transport.Message) {
	w := &s.out
	i := w.end
	h := &w.headers[i]
	if len(m.Buf) == 0 {
		w.refuse(unix.EINVAL)
		return
	}
	if !s.remote.IsValid() {
		length, ok := writeName(&w.names[i], m.Remote, s.mapped, &w.zones)
		if !ok {
			w.refuse(unix.EAFNOSUPPORT)
			return
		}
		h.Name = (*byte)(unsafe.Pointer(&w.names[i]))
		h.Namelen = length
	}
	h.Control = nil
	h.SetControllen(0)
	if from := m.Local.Addr(); s.info && from.IsValid() && !from.IsUnspecified() {
		length, ok := writePacketInfo(&w.control[i], from, s.mapped)
		if !ok {
			w.refuse(unix.EAFNOSUPPORT)
			return
		}
		h.Control = (*byte)(unsafe.Pointer(&w.control[i]))
		h.SetControllen(length)
	}
	w.point(i, m.Buf)
	w.end++
}

// writable is called when the socket may have room; it returns false to wait
// until it has.
func (w *sender) writable(fd uintptr) bool {
	for w.next < w.end {
		var n int
		var errno unix.Errno
		if w.oneByOne {
			n, errno = sendEach(fd, w.headers[w.next:w.end])
		} else {
			n, errno = sendBatch(fd, w.headers[w.next:w.end])
		}
		switch errno {
		case 0:
			w.next += n
			w.again = false
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		case unix.ENOSYS:
			if w.oneByOne {
				w.next = w.end // no way to send at all
			}
			w.oneByOne = true
		default:
			// The fault is this datagram's own, or what an ICMP error left on
			// the socket, from which it is now taken off. A second try tells.
			if w.again {
				w.refuse(errno)
				w.next++
			}
			w.again = !w.again
		}
	}
	return true
}

func (w *sender) refuse(errno unix.Errno) {
	if w.refused == 0 {
		w.refused = errno
	}
}

// receiveEach does the work of recvmmsg with a call for each datagram.
func receiveEach(fd uintptr, hs []header) (int, unix.Errno) {
	for i := range hs {
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&hs[i].Msghdr)), unix.MSG_DONTWAIT)
		if errno != 0 {
			if i > 0 {
				errno = 0 // what is there is handed up first
			}
			return i, errno
		}
		hs[i].n = uint32(n)
	}
	return len(hs), 0
}

// sendEach does the work of sendmmsg with a call for each datagram.
func sendEach(fd uintptr, hs []header) (int, unix.Errno) {
	for i := range hs {
		_, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&hs[i].Msghdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno != 0 {
			if i > 0 {
				errno = 0 // the caller goes on at this datagram and meets it again
			}
			return i, errno
		}
	}
	return len(hs), 0
}
