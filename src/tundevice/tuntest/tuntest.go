// Package tuntest is a double of the TUN interface, for tests of what stands
// on one. It has no channel and no clock of its own, so that it works inside
// and outside of a testing/synctest bubble.
package tuntest

import (
	"fmt"
	"os"
	"sync"
	"time"

	"netcombiner/src/tundevice"
)

// Limit is how many packets wait in each direction at most; more are dropped,
// as a real interface drops what does not fit in its queue.
const Limit = 4096

// TUN is a tundevice.Device whose host is the test.
type TUN struct {
	name  string
	batch int

	mu      sync.Mutex
	changed sync.Cond // on mu: something below is different now
	mtu     int
	in      [][]byte // from the host, to be read
	out     [][]byte // written, for the host
	dropped int
	end     error // what Read and Write return when done; nil while alive
}

var _ tundevice.Device = (*TUN)(nil)

// New returns an interface with this MTU in bytes that reads up to batch
// packets at once.
func New(name string, mtu, batch int) *TUN {
	t := &TUN{name: name, batch: batch, mtu: mtu}
	t.changed.L = &t.mu
	return t
}

// Inject makes the host send packets into the interface: a later Read returns
// copies of them. It never waits.
func (t *TUN) Inject(packets ...[]byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range packets {
		t.in = t.queue(t.in, p)
	}
	t.changed.Broadcast()
}

// Next takes the oldest packet that was written to the interface, and waits at
// most timeout for one. It reports false when there was none.
func (t *TUN) Next(timeout time.Duration) ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	late := false
	timer := time.AfterFunc(timeout, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		late = true
		t.changed.Broadcast()
	})
	defer timer.Stop()
	for len(t.out) == 0 && t.end == nil && !late {
		t.changed.Wait()
	}
	if len(t.out) == 0 {
		return nil, false
	}
	p := t.out[0]
	t.out = t.out[1:]
	return p, true
}

// Written takes all packets that were written, oldest first, without waiting.
func (t *TUN) Written() [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := t.out
	t.out = nil
	return out
}

// Dropped is how many packets found a full queue or were longer than the MTU.
func (t *TUN) Dropped() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}

// MTU is what New or SetMTU said last, in bytes.
func (t *TUN) MTU() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mtu
}

// Delete is somebody deleting the interface: Read and Write return
// tundevice.ErrGone.
func (t *TUN) Delete() { t.finish(fmt.Errorf("interface %s: %w", t.name, tundevice.ErrGone)) }

// Close implements tundevice.Device.
func (t *TUN) Close() error {
	t.finish(os.ErrClosed)
	return nil
}

// Read implements tundevice.Device.
func (t *TUN) Read(bufs [][]byte, sizes []int, offset int) (n int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		for len(t.in) == 0 && t.end == nil {
			t.changed.Wait()
		}
		if t.end != nil {
			return 0, t.end
		}
		for n < len(bufs) && n < t.batch && len(t.in) > 0 {
			p := t.in[0]
			t.in = t.in[1:]
			if offset+len(p) > len(bufs[n]) {
				t.dropped++
				continue
			}
			sizes[n] = copy(bufs[n][offset:], p)
			n++
		}
		if n > 0 {
			return n, nil
		}
	}
}

// Write implements tundevice.Device. It scribbles on the headroom, as a real
// interface may.
func (t *TUN) Write(bufs [][]byte, offset int) (n int, err error) {
	if offset < tundevice.Headroom {
		return 0, fmt.Errorf("interface %s: write needs %d bytes before each packet, got %d", t.name, tundevice.Headroom, offset)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end != nil {
		return 0, t.end
	}
	for _, buf := range bufs {
		for i := offset - tundevice.Headroom; i < offset; i++ {
			buf[i] = 0xa5
		}
		before := len(t.out)
		if t.out = t.queue(t.out, buf[offset:]); len(t.out) > before {
			n++
		}
	}
	t.changed.Broadcast()
	return n, nil
}

// BatchSize implements tundevice.Device.
func (t *TUN) BatchSize() int { return t.batch }

// SetMTU implements tundevice.Device.
func (t *TUN) SetMTU(mtu int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mtu = mtu
	return nil
}

// Name implements tundevice.Device.
func (t *TUN) Name() string { return t.name }

// queue appends a copy of p, if it may.
func (t *TUN) queue(q [][]byte, p []byte) [][]byte {
	if len(q) >= Limit || len(p) > t.mtu || len(p) == 0 {
		t.dropped++
		return q
	}
	return append(q, append([]byte(nil), p...))
}

func (t *TUN) finish(why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end == nil {
		t.end = why
	}
	t.changed.Broadcast()
}
