//go:build linux

package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/link"
)

// The emulator's process and its side of the socket: requests and replies are
// JSON, one a line; the descriptors of a new link come beside its request.

// environment tells this executable to be an emulator.
const environment = "NETCOMBINER_LINK_EMULATOR"

// requests is the descriptor on which they come.
const requests = 3

type op string

const (
	opAdd      op = "add"
	opShape    op = "shape"
	opStats    op = "stats"
	opCut      op = "cut"
	opCarrier  op = "carrier"
	opRecord   op = "record"
	opRecorded op = "recorded"
	opInject   op = "inject"
	opLateness op = "lateness"
)

type request struct {
	Op        op
	Link      int         `json:",omitempty"`
	Way       Way         `json:",omitempty"`
	Shape     *link.Shape `json:",omitempty"` // of Way, or of Up in opAdd
	ShapeDown *link.Shape `json:",omitempty"`
	Seed      uint64      `json:",omitempty"`
	On        bool        `json:",omitempty"`
	Max       int         `json:",omitempty"`
	Frame     []byte      `json:",omitempty"`
}

type reply struct {
	Error    string `json:",omitempty"`
	Link     int
	Shape    *link.Shape
	Stats    link.Stats
	Lateness Lateness
	Frames   [][]byte `json:",omitempty"`
}

// init makes the process that spawn starts what it is for. Nothing of the
// importing program runs in it.
func init() {
	if os.Getenv(environment) == "" {
		return
	}
	// A terminal's ^C is for the test bed, which ends us by closing the socket.
	signal.Ignore(os.Interrupt, unix.SIGTERM, unix.SIGHUP)
	runtime.LockOSThread()
	realTime()
	if err := newEngine().run(); err != nil {
		fmt.Fprintln(os.Stderr, "link emulator:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// realTime puts every thread before all ordinary ones: the busy one, and those of
// the Go runtime on which it may have to wait. Where the system refuses
// (some containers), the emulator is as exact as the host is idle.
func realTime() {
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		if tid, err := strconv.Atoi(t.Name()); err == nil {
			unix.SchedSetAttr(tid, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
		}
	}
}

// control answers what has come on the socket. It says end when the test bed
// closed it, or died.
func (e *engine) control() (end bool) {
	n, oobn, _, _, err := unix.Recvmsg(requests, e.in, e.oob, unix.MSG_DONTWAIT|unix.MSG_CMSG_CLOEXEC)
	if err == unix.EAGAIN || err == unix.EINTR {
		return false
	}
	if err != nil || n == 0 {
		return true
	}
	if messages, err := unix.ParseSocketControlMessage(e.oob[:oobn]); err == nil {
		for _, m := range messages {
			if fds, err := unix.ParseUnixRights(&m); err == nil {
				e.received = append(e.received, fds...)
			}
		}
	}
	e.line = append(e.line, e.in[:n]...)
	for {
		at := bytes.IndexByte(e.line, '\n')
		if at < 0 {
			return false
		}
		var q request
		var r reply
		err := json.Unmarshal(e.line[:at], &q)
		e.line = e.line[at+1:]
		if err == nil {
			r, err = e.answer(q)
		}
		if err != nil {
			r = reply{Error: err.Error()}
		}
		b, err := json.Marshal(r)
		if err != nil {
			return true
		}
		for b = append(b, '\n'); len(b) > 0; {
			n, err := unix.Write(requests, b)
			if err != nil && err != unix.EINTR {
				return true
			}
			b = b[max(0, n):]
		}
	}
}

func (e *engine) answer(q request) (r reply, err error) {
	now := e.clock.Now()
	switch q.Op {
	case opAdd:
		r.Link, err = e.add(q, now)
		return r, err
	case opLateness:
		r.Lateness, e.late = e.late, Lateness{}
		return r, nil
	}
	if q.Link < 0 || q.Link >= len(e.wires) || q.Way != Up && q.Way != Down {
		return r, fmt.Errorf("no link %d %d", q.Link, q.Way)
	}
	w := e.wires[q.Link]
	switch q.Op {
	case opShape:
		w.dirs[q.Way].SetShape(now, *q.Shape)
	case opStats:
		s := w.dirs[q.Way].Shape()
		r.Shape, r.Stats = &s, w.dirs[q.Way].Stats()
	case opCut:
		w.dirs[Up].SetCut(now, q.On)
		w.dirs[Down].SetCut(now, q.On)
	case opCarrier:
		w.dirs[Up].SetCut(now, !q.On)
		w.dirs[Down].SetCut(now, !q.On)
		for _, fd := range w.fds {
			if err := setCarrier(fd, q.On); err != nil {
				return r, fmt.Errorf("carrier: %w", err)
			}
		}
	case opRecord:
		w.tape[q.Way] = make([][]byte, 0, q.Max)
	case opRecorded:
		r.Frames, w.tape[q.Way] = w.tape[q.Way], nil
	case opInject:
		_, err = unix.Write(w.fds[1-q.Way], q.Frame)
	default:
		err = fmt.Errorf("unknown request %q", q.Op)
	}
	return r, err
}

func setCarrier(fd int, on bool) error {
	v := 0
	if on {
		v = 1
	}
	return unix.IoctlSetPointerInt(fd, unix.TUNSETCARRIER, v)
}
