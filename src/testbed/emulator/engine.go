//go:build linux

package emulator

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/mono"
	"netcombiner/src/testbed/link"
)

const (
	ethernet = 14   // header bytes, which do not count against a link's rate
	frame    = 2048 // longest frame, bytes
	burst    = 64   // frames read from one TAP before the others have a turn
)

// engine is the busy thread's state; no other touches it.
type engine struct {
	clock mono.Clock
	wires []*wire
	free  [][]byte // frame buffers
	late  Lateness
	polls []unix.PollFd // the socket, then two for each wire

	in, oob  []byte // what was just received, and beside it
	line     []byte // of a request, not yet whole
	received []int  // descriptors not yet claimed by a request
}

// wire is a link: two descriptors and what happens between them.
type wire struct {
	fds  [2]int // of the first and the second end
	dirs [2]*link.Direction
	tape [2][][]byte // recording, up to its capacity; nil: none
}

func newEngine() *engine {
	return &engine{
		clock: mono.NewClock(),
		polls: []unix.PollFd{{Fd: requests, Events: unix.POLLIN}},
		in:    make([]byte, 4096),
		oob:   make([]byte, 256),
	}
}

func (e *engine) add(q request, now mono.Time) (int, error) {
	if len(e.received) != 2 {
		return 0, fmt.Errorf("a link needs two descriptors, %d came", len(e.received))
	}
	if q.Shape == nil || q.ShapeDown == nil {
		return 0, errors.New("a link needs a shape each way")
	}
	w := &wire{fds: [2]int(e.received)}
	e.received = nil
	w.dirs[Up] = link.NewDirection(*q.Shape, 2*q.Seed, now)
	w.dirs[Down] = link.NewDirection(*q.ShapeDown, 2*q.Seed+1, now)
	e.wires = append(e.wires, w)
	for _, fd := range w.fds {
		e.polls = append(e.polls, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
	}
	return len(e.wires) - 1, nil
}

// run serves the links until the socket is closed.
//
// Its system calls are raw: the thread keeps its Go processor while it sleeps,
// and has not to ask the scheduler for one when it wakes. That costs
// nobody anything, as nothing else runs in this process.
func (e *engine) run() error {
	for {
		next := e.write()
		var timeout *unix.Timespec
		if next != mono.Never {
			ts := unix.NsecToTimespec(max(0, int64(next.Sub(e.clock.Now()))))
			timeout = &ts
		}
		_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&e.polls[0])), uintptr(len(e.polls)), uintptr(unsafe.Pointer(timeout)), 0, 0, 0)
		if errno != 0 {
			if errno != unix.EINTR && errno != unix.EAGAIN {
				return fmt.Errorf("ppoll: %w", errno)
			}
			continue
		}
		for i, w := range e.wires {
			for way := range w.dirs {
				if e.polls[1+2*i+way].Revents != 0 {
					e.read(w, Way(way))
				}
			}
		}
		if e.polls[0].Revents != 0 && e.control() {
			return nil
		}
	}
}

// read takes frames off the sending end of a direction.
func (e *engine) read(w *wire, way Way) {
	now := e.clock.Now()
	for range burst {
		buf := e.get()
		size, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(w.fds[way]), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)))
		n := int(size)
		if errno != 0 || n < ethernet {
			e.free = append(e.free, buf)
			if errno != 0 {
				return // EAGAIN, or EIO while the interface is down
			}
			continue
		}
		if tape := w.tape[way]; len(tape) < cap(tape) {
			w.tape[way] = append(tape, append([]byte(nil), buf[:n]...))
		}
		if w.dirs[way].Arrive(now, link.Packet{Data: buf[:n], Size: n - ethernet}) != link.Queued {
			e.free = append(e.free, buf)
		}
	}
}

// write puts due frames out at the receiving ends, and says when the next is due.
func (e *engine) write() mono.Time {
	next := mono.Never
	now := e.clock.Now()
	for _, w := range e.wires {
		for way, d := range w.dirs {
			for p, fate, ok := d.Depart(now); ok; p, fate, ok = d.Depart(now) {
				if fate == link.Delivered {
					unix.RawSyscall(unix.SYS_WRITE, uintptr(w.fds[1-way]), uintptr(unsafe.Pointer(&p.Data[0])), uintptr(len(p.Data)))
					e.late.count(now.Sub(p.Due()))
				}
				e.free = append(e.free, p.Data[:cap(p.Data)])
			}
			next = min(next, d.Next())
		}
	}
	return next
}

func (l *Lateness) count(behind time.Duration) {
	l.Frames++
	l.Sum += behind
	l.Max = max(l.Max, behind)
	if behind > time.Millisecond {
		l.Late++
	}
}

func (e *engine) get() []byte {
	if len(e.free) == 0 {
		slab := make([]byte, 64*frame)
		for i := range 64 {
			e.free = append(e.free, slab[i*frame:(i+1)*frame:(i+1)*frame])
		}
	}
	last := len(e.free) - 1
	buf := e.free[last]
	e.free = e.free[:last]
	return buf
}
