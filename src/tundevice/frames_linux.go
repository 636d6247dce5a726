package tundevice

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/superpacket"
)

// readBatch is how many packets a Read returns at most: about as many as a
// super-packet of full size holds. More would make the first one wait.
const readBatch = 64

// maxFaults is how many packets in a row the kernel may fail to hand over.
const maxFaults = 1000

// system is what a TUN is made of here: a file from which each read takes, and
// to which each write gives, one frame (package superpacket).
type system struct {
	f   *os.File
	raw syscall.RawConn
	log *slog.Logger
	in  reader
	out writer
	// handed says that the file was given away: another process may use the TUN,
	// as this one left it.
	handed atomic.Bool
}

// reader belongs to the goroutine that reads.
type reader struct {
	frame [superpacket.MaxFrame]byte
	cut   superpacket.Segmenter // of what is in frame
	// What try is told, and what it found.
	wait   bool
	n      int
	err    error
	faults int // errors in a row, none of them final
	try    func(fd uintptr) bool
}

// writer belongs to the goroutine that writes.
type writer struct {
	joins bool // the kernel takes super-packets
	runs  superpacket.Coalescer
	head  [superpacket.MaxHeaders]byte
	iov   [1 + superpacket.MaxRun]unix.Iovec
	// What try is told, and what it found.
	parts int
	errno unix.Errno
	try   func(fd uintptr) bool
}

func (s *system) file() *os.File {
	s.handed.Store(true)
	return s.f
}

// leave closes the file: the interface is as long as anybody has it.
func (s *system) leave() error { return s.f.Close() }

// close takes back what was asked of an interface that may stay: who opens it
// next need not know super-packets.
func (s *system) close() error {
	if s.raw != nil && !s.handed.Load() {
		_ = s.raw.Control(func(fd uintptr) { _ = unix.IoctlSetInt(int(fd), unix.TUNSETOFFLOAD, 0) })
	}
	if err := s.f.Close(); !errors.Is(err, os.ErrClosed) { // it was left
		return err
	}
	return nil
}

// start readies the file for Read and Write.
func (s *system) start(o Options) (err error) {
	if s.log = o.Log; s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.in.try, s.out.try = s.in.tryRead, s.out.tryWrite // made once: each would be an allocation
	s.raw, err = s.f.SyscallConn()
	return err
}

// BatchSize is how many buffers a Read may fill at most.
func (t *TUN) BatchSize() int { return readBatch }

// Read implements Device. After the first frame it takes what else is there.
func (t *TUN) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	for n < len(bufs) {
		if !t.in.cut.More() {
			length, err := t.readFrame(n == 0)
			if t.excuses(err) {
				t.unread.Add(1)
				continue
			}
			switch {
			case err != nil && n > 0:
				return n, nil // nothing more, or an error that will come again
			case err != nil:
				return 0, t.finalError(err)
			}
			if t.in.cut.Reset(t.in.frame[:length]) != nil {
				t.unread.Add(1)
				continue
			}
		}
		if sizes[n] = t.in.cut.Next(bufs[n][offset:]); sizes[n] == 0 {
			t.unread.Add(1)
			continue
		}
		n++
	}
	return n, nil
}

// excuses says whether an error of a read is about one packet, which the kernel
// then threw away: it has no header for some, and says EINVAL. A long row of them
// is about the file.
func (s *system) excuses(err error) bool {
	if err == nil {
		s.in.faults = 0
	}
	if err == nil || err == unix.EAGAIN || final(err) {
		return false
	}
	s.in.faults++
	return s.in.faults <= maxFaults
}

// readFrame reads a frame and returns its length; without wait, EAGAIN where
// there is none.
func (s *system) readFrame(wait bool) (int, error) {
	s.in.wait = wait
	if err := s.raw.Read(s.in.try); err != nil {
		// Closed, or else nothing to wait for any more: the interface is being
		// deleted, and the file will say so in a moment.
		return 0, errors.Join(err, unix.EBADFD)
	}
	return s.in.n, s.in.err
}

// tryRead returns whether to go on without waiting for the file.
func (r *reader) tryRead(fd uintptr) bool {
	for {
		r.n, r.err = unix.Read(int(fd), r.frame[:])
		if r.err != unix.EINTR {
			return r.err != unix.EAGAIN || !r.wait
		}
	}
}

// Write implements Device. A run of packets that coalesce is one system call.
func (t *TUN) Write(bufs [][]byte, offset int) (n int, err error) {
	if offset < Headroom {
		return 0, fmt.Errorf("interface %s: write needs %d bytes before each packet, got %d", t.name, Headroom, offset)
	}
	if !t.out.joins || len(bufs) == 1 {
		for _, buf := range bufs {
			took, err := t.writeOne(buf, offset)
			if err != nil {
				return n, err
			}
			n += took
		}
		return n, nil
	}
	runs := t.out.runs.Plan(bufs, offset)
	for i := range runs {
		took, err := t.writeRun(&runs[i], bufs, offset)
		if n += took; err != nil {
			return n, err
		}
	}
	return n, nil
}

// writeRun writes a run, one by one where the kernel does not take it as one.
func (t *TUN) writeRun(r *superpacket.Run, bufs [][]byte, offset int) (n int, err error) {
	var refused error
	if r.Count > 1 && t.out.joins {
		if refused = t.writeJoined(r, bufs, offset); refused == nil {
			return r.Count, nil
		}
		if final(refused) {
			return 0, t.finalError(refused)
		}
	}
	for i := r.First; i >= 0; i = t.out.runs.Next(i) {
		took, err := t.writeOne(bufs[i], offset)
		if n += took; err != nil {
			return n, err
		}
	}
	// An interface that is down refuses either way.
	if n > 0 && (refused == unix.EINVAL || refused == unix.EIO) {
		t.out.joins = false
		t.log.Warn("the kernel refuses super-packets: writing packets one by one", "interface", t.name, "why", refused)
	}
	return n, nil
}

// writeJoined writes a run as one super-packet, from the buffers where its
// payloads are, with headers of its own: the packets stay as they were.
func (t *TUN) writeJoined(r *superpacket.Run, bufs [][]byte, offset int) error {
	w := &t.out
	w.part(0, w.runs.Frame(w.head[:0], r, bufs, offset))
	parts := 1
	for i := r.First; i >= 0; i = w.runs.Next(i) {
		w.part(parts, bufs[i][offset+r.Headers:])
		parts++
	}
	return t.write(parts)
}

// writeOne writes a packet as it is. One that the kernel refuses is no error.
func (t *TUN) writeOne(buf []byte, offset int) (n int, err error) {
	frame := buf[offset-superpacket.HeaderSize:]
	clear(frame[:superpacket.HeaderSize])
	t.out.part(0, frame)
	switch err := t.write(1); {
	case err == nil:
		return 1, nil
	case final(err):
		return 0, t.finalError(err)
	}
	return 0, nil
}

func (w *writer) part(i int, b []byte) {
	w.iov[i].Base = unsafe.SliceData(b)
	w.iov[i].SetLen(len(b))
}

// write writes the first parts of iov as one frame, and forgets them: they are the
// caller's, who may want to be rid of them.
func (s *system) write(parts int) error {
	defer clear(s.out.iov[:parts])
	s.out.parts = parts
	if err := s.raw.Write(s.out.try); err != nil {
		return err
	}
	if s.out.errno != 0 {
		return s.out.errno
	}
	return nil
}

// tryWrite returns whether to go on without waiting for the file.
func (w *writer) tryWrite(fd uintptr) bool {
	for {
		_, _, w.errno = unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.iov[0])), uintptr(w.parts))
		if w.errno != unix.EINTR {
			return w.errno != unix.EAGAIN
		}
	}
}

// final says whether an error is about the file, and not about the
// packet: the file is closed, or the interface gone.
func final(err error) bool {
	var errno unix.Errno
	return !errors.As(err, &errno) || gone(err)
}
