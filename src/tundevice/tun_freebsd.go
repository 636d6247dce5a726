package tundevice

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/tun"
)

// system is what a TUN is made of here. The kernel hands packets over one by
// one: there is nothing to offload.
type system struct {
	dev  tun.Device
	name string

	removed atomic.Bool   // somebody else removes the interface
	ended   chan struct{} // closed by close, for watch
	once    sync.Once
}

func (s *system) file() *os.File { return s.dev.File() }

// leave gives the file up, which another process has. While two hold it, the
// one that is to remove the interface would wait for the other.
func (s *system) leave() error {
	s.once.Do(func() { close(s.ended) })
	return s.dev.File().Close()
}

// close removes the interface. Where another process that had its file has done
// so already, nothing is left to do.
func (s *system) close() error {
	s.once.Do(func() { close(s.ended) })
	err := s.dev.Close()
	if _, gone := look(s.name); errors.Is(gone, unix.ENXIO) {
		return nil
	}
	return err
}

func create(name string, o Options) (*TUN, error) {
	if _, err := remove(name); err != nil {
		return nil, err
	}
	dev, err := tun.CreateTUN(name, o.MTU)
	if err != nil {
		return nil, explainCreate(name, err)
	}
	if err := mark(name); err != nil {
		dev.Close()
		return nil, fmt.Errorf("interface %s: putting it into the group %s: %w", name, Mark, err)
	}
	return adopt(dev)
}

// CleanUp removes the TUN that a killed process of ours has left, and returns the
// command that would have done so. What is somebody else's, or in use, stays.
func CleanUp(name string) (undone []string, err error) {
	there, err := remove(name)
	switch {
	case errors.Is(err, unix.EEXIST), errors.Is(err, unix.EBUSY):
		return nil, nil
	case there && err == nil:
		undone = []string{"ifconfig " + name + " destroy"}
	}
	return undone, err
}

// remove makes the name free, if what has it is ours. there says that something had it.
func remove(name string) (there bool, err error) {
	f, err := look(name)
	switch {
	case errors.Is(err, unix.ENXIO):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("interface %s: %w", name, err)
	}
	if err := f.judge(name); err != nil {
		return true, err
	}
	if err := destroy(name); err != nil {
		return true, fmt.Errorf("interface %s: removing what a killed netcombiner has left: %w", name, err)
	}
	return true, nil
}

func fromFile(f *os.File, o Options) (*TUN, error) {
	// A file of our own on the same description, as f is in blocking mode: Close
	// could not end a Read, and the kernel waits for ever to remove what is read.
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	f.Close()
	if err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil { // before NewFile, which looks
		unix.Close(fd)
		return nil, err
	}
	dev, err := tun.CreateTUNFromFile(os.NewFile(uintptr(fd), "/dev/tun"), o.MTU)
	if err != nil {
		return nil, err
	}
	return adopt(dev)
}

func adopt(dev tun.Device) (*TUN, error) {
	name, err := dev.Name()
	if err != nil {
		dev.Close()
		return nil, err
	}
	t := &TUN{system: system{dev: dev, name: name, ended: make(chan struct{})}, name: name}
	// The library's listener stands still when nobody takes its events.
	go func() {
		for range dev.Events() {
		}
	}()
	go t.watch()
	return t, nil
}

// watchEvery is how often to see whether somebody removes the interface.
const watchEvery = 2 * time.Second

// watch gives the file up when somebody removes the interface: the kernel, which
// tells nobody, waits for that.
func (s *system) watch() {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-tick.C:
		}
		f, err := look(s.name)
		if errors.Is(err, unix.ENXIO) || err == nil && f.removing() {
			s.removed.Store(true)
			_ = s.dev.File().Close()
			return
		}
	}
}

// BatchSize is how many buffers a Read may fill at most.
func (t *TUN) BatchSize() int { return t.dev.BatchSize() }

// Read implements Device.
func (t *TUN) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	for {
		n, err := t.dev.Read(bufs, sizes, offset)
		if err != nil {
			return 0, t.finalError(t.cause(err))
		}
		if n > 0 && offset+sizes[0] <= len(bufs[0]) {
			return n, nil
		}
		t.unread.Add(1) // cut off at the end of its buffer
	}
}

// Write implements Device. The library puts the 4 bytes of the address family
// before each packet.
func (t *TUN) Write(bufs [][]byte, offset int) (n int, err error) {
	for i := range bufs {
		if _, err := t.dev.Write(bufs[i:i+1], offset); err == nil {
			n++
		} else if gone(err) || errors.Is(err, os.ErrClosed) {
			return n, t.finalError(t.cause(err))
		}
	}
	return n, nil
}

// cause is why a file that watch has closed fails.
func (s *system) cause(err error) error {
	if s.removed.Load() {
		return unix.ENXIO
	}
	return err
}

func gone(err error) bool {
	return errors.Is(err, unix.ENXIO) || errors.Is(err, unix.EBADF)
}

func explainCreate(name string, err error) error {
	switch {
	case os.Geteuid() != 0, errors.Is(err, os.ErrPermission): // whoever may not create one finds no /dev/tun
		return fmt.Errorf("no privilege to create interface %s: run as root: %w", name, err)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("/dev/tun is not there: load the module (kldload if_tuntap) and have it make devices (sysctl net.link.tun.devfs_cloning=1): %w", err)
	}
	return fmt.Errorf("creating interface %s: %w", name, err)
}
