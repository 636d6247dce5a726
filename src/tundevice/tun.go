package tundevice

import (
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
)

// Options is how a TUN is used. Both the process that creates it and one that
// takes its file over say it.
type Options struct {
	MTU int // bytes
	// Offload lets the kernel hand over and take many packets as one, where it
	// can (Linux). It is off in the zero value.
	Offload bool
	// Log is told what the kernel cannot do; nil: nobody is.
	Log *slog.Logger
}

// TUN is the system's own Device.
type TUN struct {
	system
	name   string
	closed atomic.Bool
	// unread counts what Read threw away: see Unread.
	unread atomic.Uint64
}

var _ Device = (*TUN)(nil)

// Create makes the interface, without addresses and down. On Linux one that
// somebody else made to last (ip tuntap add, netifd) and that no process holds is
// taken as it is, but for its MTU, and outlives the TUN; on FreeBSD one that a
// killed process of ours has left is made anew. Its errors say what a person can
// do about them.
func Create(name string, o Options) (*TUN, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	return create(name, o)
}

// FromFile makes a TUN of the File of another one, which may have been made
// by another process, and sets its MTU. It takes f over, also when it fails.
func FromFile(f *os.File, name string, o Options) (*TUN, error) {
	t, err := fromFile(f, o)
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
// own. The interface lives until the last process closes it; on FreeBSD, where it
// would stay for ever, until a Close.
func (t *TUN) File() *os.File { return t.file() }

// Leave gives up the TUN's File, which another process has inherited and goes on
// with. Read and Write are at an end. Close still may, and should where that
// process has failed, remove what it left of the interface.
func (t *TUN) Leave() error { return t.leave() }

// Name is the interface's name.
func (t *TUN) Name() string { return t.name }

// SetMTU implements Device.
func (t *TUN) SetMTU(mtu int) error { return setMTU(t.name, mtu) }

// Unread is how many packets Read had to throw away: longer than the buffers,
// or such as make no sense.
func (t *TUN) Unread() uint64 { return t.unread.Load() }

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
	return t.close()
}
