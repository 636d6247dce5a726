package simnet

import (
	"fmt"
	"os"
	"sync"

	"netcombiner/src/tundevice"
)

// tunQueue is how many packets wait for a Read before more are dropped: the
// txqueuelen that package tundevice sets.
const tunQueue = 2000

// Tun is a host's TUN device. What is injected into the host is read from it;
// what is written to it goes to the host's inner handler.
type Tun struct {
	host *Host
	name string

	mu       sync.Mutex
	readable *sync.Cond
	in       ring[[]byte]
	free     [][]byte
	mtu      int
	dropped  uint64
	end      error // what calls return when done; nil while alive
}

var _ tundevice.Device = (*Tun)(nil)

// OpenTun makes the host's TUN device, of which there is one at a time.
func (h *Host) OpenTun(name string, mtu int) (*Tun, error) {
	h.tunMu.Lock()
	defer h.tunMu.Unlock()
	if h.tun != nil {
		return nil, fmt.Errorf("simnet: %s: device or resource busy", name)
	}
	t := &Tun{host: h, name: name, mtu: mtu}
	t.readable = sync.NewCond(&t.mu)
	h.tun = t
	return t, nil
}

// Tun is the open TUN device, or nil.
func (h *Host) Tun() *Tun {
	h.tunMu.Lock()
	defer h.tunMu.Unlock()
	return h.tun
}

// Inject sends a copy of an inner packet into the host's TUN device. It
// reports false when there is none, its queue is full, or the packet is longer
// than its MTU.
func (h *Host) Inject(pkt []byte) bool {
	t := h.Tun()
	return t != nil && t.inject(pkt)
}

// OnInner makes f take the packets written to the host's TUN device, from
// whatever goroutine writes. pkt is valid only during the call.
func (h *Host) OnInner(f func(pkt []byte)) {
	h.tunMu.Lock()
	defer h.tunMu.Unlock()
	h.inner = f
}

func (t *Tun) inject(pkt []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end != nil || t.in.len() >= tunQueue || len(pkt) > t.mtu {
		t.dropped++
		return false
	}
	var b []byte
	if last := len(t.free) - 1; last >= 0 {
		b, t.free = t.free[last], t.free[:last]
	}
	t.in.push(append(b[:0], pkt...))
	t.readable.Signal()
	return true
}

// Read is tundevice.Device's.
func (t *Tun) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.in.len() == 0 && t.end == nil {
		t.readable.Wait()
	}
	if t.end != nil {
		return 0, t.end
	}
	for n < len(bufs) && t.in.len() > 0 {
		b := t.in.pop()
		sizes[n] = copy(bufs[n][offset:], b)
		t.free = append(t.free, b)
		n++
	}
	return n, nil
}

// Write is tundevice.Device's.
func (t *Tun) Write(bufs [][]byte, offset int) (n int, err error) {
	if offset < tundevice.Headroom {
		return 0, fmt.Errorf("simnet: %s: write needs %d bytes before each packet, not %d", t.name, tundevice.Headroom, offset)
	}
	t.mu.Lock()
	end := t.end
	t.mu.Unlock()
	if end != nil {
		return 0, end
	}
	t.host.tunMu.Lock()
	handler := t.host.inner
	t.host.tunMu.Unlock()
	for _, b := range bufs {
		for i := offset - tundevice.Headroom; i < offset; i++ {
			b[i] = 0xa5 // as a real device may
		}
		if handler != nil {
			handler(b[offset:])
		}
	}
	return len(bufs), nil
}

// BatchSize is tundevice.Device's.
func (t *Tun) BatchSize() int { return 64 }

// SetMTU is tundevice.Device's.
func (t *Tun) SetMTU(mtu int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mtu = mtu
	return nil
}

// MTU is what was last set, in bytes.
func (t *Tun) MTU() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mtu
}

// Dropped counts the injected packets that no Read will see.
func (t *Tun) Dropped() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// Name is tundevice.Device's.
func (t *Tun) Name() string { return t.name }

// Delete is somebody else deleting the interface: Read and Write return
// tundevice.ErrGone.
func (t *Tun) Delete() { t.finish(fmt.Errorf("simnet: %s: %w", t.name, tundevice.ErrGone)) }

// Close removes the device from its host.
func (t *Tun) Close() error {
	t.finish(os.ErrClosed)
	return nil
}

func (t *Tun) finish(why error) {
	t.host.tunMu.Lock()
	if t.host.tun == t {
		t.host.tun = nil
	}
	t.host.tunMu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end == nil {
		t.end = why
	}
	t.readable.Broadcast()
}
