package tundevice

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"golang.zx2c4.com/wireguard/tun"
)

// TUN is the system's own Device.
type TUN struct {
	dev    tun.Device // owns the file; splits what the kernel hands over in one piece
	name   string
	closed atomic.Bool
	// unread counts what Read threw away: see Unread.
	unread atomic.Uint64
}

var _ Device = (*TUN)(nil)

// Create makes the interface, with this MTU in bytes, without addresses and
// down. One that somebody else made to last (ip tuntap add, netifd) and that
// no process holds is taken as it is, but for its MTU, and outlives the TUN.
// Its errors say what a person can do about them.
func Create(name string, mtu int) (*TUN, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return create(name, mtu)
}

// FromFile makes a TUN of the File of another one, which may have been made
// by another process, and sets its MTU. It takes f over, also when it fails.
func FromFile(f *os.File, name string, mtu int) (*TUN, error) {
	t, err := fromFile(f, mtu)
	if err != nil {
		return nil, fmt.Errorf("interface %s: taking over the TUN file: %w", name, err)
	}
	if t.name != name {
		t.Close()
		return nil, fmt.Errorf("the TUN file handed over is %s, not %s", t.name, name)
	}
	return t, nil
}

// File is the TUN's file, to be inherited by a child process. It stays t's
// own. The interface lives until the last process closes it.
func (t *TUN) File() *os.File { return t.dev.File() }

// Name is the interface's name.
func (t *TUN) Name() string { return t.name }

// BatchSize is how many buffers a Read may fill at most.
func (t *TUN) BatchSize() int { return t.dev.BatchSize() }

// Unread is how many packets Read had to throw away: longer than the buffers,
// or in more segments than there were buffers.
func (t *TUN) Unread() uint64 { return t.unread.Load() }

// Read implements Device.
func (t *TUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		n, err := t.readSplit(bufs, sizes, offset)
		if errors.Is(err, tun.ErrTooManySegments) {
			// Every buffer was filled; only the rest of the super-packet is lost.
			n, err = len(bufs), nil
			t.unread.Add(1)
		}
		if err != nil {
			if t.finished(err) {
				return 0, t.finalError(err)
			}
			t.unread.Add(1)
			continue
		}
		if n = t.keepWhole(bufs, sizes, offset, n); n > 0 {
			return n, nil
		}
	}
}

// readSplit is one Read of the library, which takes it for granted that a
// segment fits in its buffer: not so when somebody has raised the MTU.
func (t *TUN) readSplit(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	defer func() {
		if r := recover(); r != nil {
			n, err = 0, fmt.Errorf("splitting a packet: %v", r)
		}
	}()
	return t.dev.Read(bufs, sizes, offset)
}

// keepWhole drops the packets that were cut off at the end of their buffers.
func (t *TUN) keepWhole(bufs [][]byte, sizes []int, offset, n int) int {
	kept := 0
	for i := range n {
		if offset+sizes[i] > len(bufs[i]) {
			t.unread.Add(1)
			continue
		}
		if kept < i {
			copy(bufs[kept][offset:], bufs[i][offset:offset+sizes[i]])
			sizes[kept] = sizes[i]
		}
		kept++
	}
	return kept
}

// finished says whether an error of a read came from the file, and not from
// the packet that was in it.
func (t *TUN) finished(err error) bool {
	var path *fs.PathError
	return t.closed.Load() || errors.Is(err, os.ErrClosed) || errors.As(err, &path)
}

func (t *TUN) finalError(err error) error {
	switch {
	case t.closed.Load():
		return os.ErrClosed
	case gone(err):
		return fmt.Errorf("interface %s: %w", t.name, ErrGone)
	}
	return fmt.Errorf("interface %s: %w", t.name, err)
}

// Close ends Read and Write, and removes the interface if no other process
// holds its file. Any goroutine may call it, any number of times.
func (t *TUN) Close() error {
	if t.closed.Swap(true) {
		return nil
	}
	return t.dev.Close()
}
