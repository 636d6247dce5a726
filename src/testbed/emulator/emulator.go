//go:build linux

// Package emulator carries frames between pairs of TAP interfaces as links of
// a given rate, delay and loss would. The model is package link; here are the
// descriptors, the clock, and the process they live in.
//
// The links have a process of their own, this same executable started again,
// with one busy thread at real-time priority and no garbage collection: a link
// does not wait for those who use it. (In the test bed's own process, on
// two busy cores, the Go scheduler's handing over of a sleeping thread made frames
// up to 105 ms late; so made, 0.4 ms, and 0.02 ms on average.)
package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/link"
)

// Way is one of a link's two directions.
type Way int

// Up is from the first end to the second: from the home to the Internet.
const (
	Up Way = iota
	Down
)

func (w Way) String() string { return [...]string{"up", "down"}[w] }

// Emulator serves links. Its methods and those of its Links may be called
// from any goroutine.
type Emulator struct {
	mu      sync.Mutex // one request at a time
	conn    *net.UnixConn
	replies *json.Decoder
	process *exec.Cmd
}

// Link is an emulated link between two TAP interfaces.
type Link struct {
	Name  string
	e     *Emulator
	index int
}

// Lateness tells how exactly frames left, against when the model said.
type Lateness struct {
	Frames uint64        // delivered
	Late   uint64        // more than a millisecond behind
	Max    time.Duration // the worst
	Sum    time.Duration
}

// Percent is how many of a hundred frames were late.
func (l Lateness) Percent() float64 { return 100 * float64(l.Late) / float64(max(1, l.Frames)) }

// New starts an emulator without links.
func New() (*Emulator, error) {
	e := &Emulator{}
	var err error
	if e.process, e.conn, err = spawn(); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	e.replies = json.NewDecoder(e.conn)
	return e, nil
}

// Close ends the emulator and all its links' interfaces.
func (e *Emulator) Close() {
	e.conn.Close() // the process ends on its own
	e.process.Wait()
}

// call sends a request, with descriptors if there are any, and waits for the answer.
func (e *Emulator) call(q request, fds ...int) (reply, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	b, err := json.Marshal(q)
	if err != nil {
		return reply{}, err
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	if _, _, err := e.conn.WriteMsgUnix(append(b, '\n'), rights, nil); err != nil {
		return reply{}, fmt.Errorf("the emulator's process is gone: %w", err)
	}
	var r reply
	if err := e.replies.Decode(&r); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return reply{}, fmt.Errorf("the emulator's process is gone: %w", err)
	}
	if r.Error != "" {
		return reply{}, errors.New(r.Error)
	}
	return r, nil
}

// Add joins two TAPs by a link and from then on owns the descriptors. Random
// faults follow seed.
func (e *Emulator) Add(name string, first, second int, up, down link.Shape, seed uint64) (*Link, error) {
	defer unix.Close(first)
	defer unix.Close(second)
	for way, s := range []link.Shape{up, down} {
		if err := s.Validate(); err != nil {
			return nil, fmt.Errorf("link %s %v: %w", name, Way(way), err)
		}
	}
	r, err := e.call(request{Op: opAdd, Shape: &up, ShapeDown: &down, Seed: seed}, first, second)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	return &Link{Name: name, e: e, index: r.Link}, nil
}

// Lateness returns the figures since the last call and begins anew.
func (e *Emulator) Lateness() (Lateness, error) {
	r, err := e.call(request{Op: opLateness})
	return r.Lateness, err
}

// call names the link in errors.
func (l *Link) call(q request) (reply, error) {
	q.Link = l.index
	r, err := l.e.call(q)
	if err != nil {
		err = fmt.Errorf("link %s: %w", l.Name, err)
	}
	return r, err
}

// SetShape changes one direction at once.
func (l *Link) SetShape(way Way, s link.Shape) error {
	if err := s.Validate(); err != nil {
		return fmt.Errorf("link %s %v: %w", l.Name, way, err)
	}
	_, err := l.call(request{Op: opShape, Way: way, Shape: &s})
	return err
}

// SetRate changes the rate of one direction, bit/s, and nothing else.
func (l *Link) SetRate(way Way, rate int64) error {
	s, err := l.Shape(way)
	if err != nil {
		return err
	}
	s.Rate, s.Trace = rate, nil
	return l.SetShape(way, s)
}

// Shape returns a direction's present shape.
func (l *Link) Shape(way Way) (link.Shape, error) {
	r, err := l.call(request{Op: opStats, Way: way})
	if err != nil {
		return link.Shape{}, err
	}
	return *r.Shape, nil
}

// Stats returns a direction's counters.
func (l *Link) Stats(way Way) (link.Stats, error) {
	r, err := l.call(request{Op: opStats, Way: way})
	return r.Stats, err
}

// Cut makes the link a black hole both ways, or ends that. Nobody is told:
// the interfaces stay up.
func (l *Link) Cut(cut bool) error {
	_, err := l.call(request{Op: opCut, On: cut})
	return err
}

// SetCarrier pulls the cable at both ends, or plugs it in again. Without it
// nothing crosses, and the kernel says so to whoever asks.
func (l *Link) SetCarrier(on bool) error {
	_, err := l.call(request{Op: opCarrier, On: on})
	return err
}

// Record begins to keep the frames that enter a direction, at most max of them.
func (l *Link) Record(way Way, max int) error {
	_, err := l.call(request{Op: opRecord, Way: way, Max: max})
	return err
}

// Recorded ends the recording and returns the frames, Ethernet header first.
func (l *Link) Recorded(way Way) ([][]byte, error) {
	r, err := l.call(request{Op: opRecorded, Way: way})
	return r.Frames, err
}

// Inject puts a frame out at the far end of a direction, as if the link had carried it.
func (l *Link) Inject(way Way, frame []byte) error {
	_, err := l.call(request{Op: opInject, Way: way, Frame: frame})
	return err
}

// spawn starts this executable again as an emulator (see init) and returns
// the socket on which it takes requests.
func spawn() (*exec.Cmd, *net.UnixConn, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "requests")
	defer theirs.Close()
	ours := os.NewFile(uintptr(pair[0]), "emulator")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args[0] = "link-emulator"
	cmd.Env = append(os.Environ(), environment+"=1", "GODEBUG=asyncpreemptoff=1", "GOGC=off", "GOMEMLIMIT=256MiB")
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		conn.Close()
		return nil, nil, err
	}
	return cmd, conn.(*net.UnixConn), nil
}
