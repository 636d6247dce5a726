package portal

import (
	"testing"

	"netcombiner/src/config"
	"netcombiner/src/packet"
)

// TestMemoryLimit: the buffers take the part of it that is theirs, and the
// queue the part of it that may wait.
func TestMemoryLimit(t *testing.T) {
	for _, limit := range []int{16e6, 64 << 20} {
		p, err := New(Options{Config: &config.Config{Interface: config.Interface{Key: testKey, Suite: "auto", Scheduler: "earliest", MemoryLimit: int64(limit)}}})
		if err != nil {
			t.Fatal(err)
		}
		all := make([]*packet.Packet, limit/1000)
		n := p.pool.Get(all)
		if bytes := n * p.pool.Size(); bytes > limit/poolPart || bytes < limit/poolPart-p.pool.Size() {
			t.Errorf("of %d bytes, packets may take %d", limit, bytes)
		}
		for _, q := range all[:n] {
			q.Data = q.Buffer()[packet.Headroom:][:1000]
		}
		p.core.exchange.Ingress(all[:n])
		if _, bytes, _ := p.core.exchange.Queued(p.clock.Now()); bytes > limit/queuePart || bytes < limit/queuePart*9/10 {
			t.Errorf("of %d bytes, %d wait", limit, bytes)
		}
	}
}

// TestLeastMemory: it is enough for what it says that it is, and less is refused.
func TestLeastMemory(t *testing.T) {
	for _, paths := range []int{1, 8, 64} {
		for _, mtu := range []int{0, 1280, 1500, 1501, 9000} {
			c := &config.Config{Interface: config.Interface{Key: testKey, Suite: "auto", Scheduler: "earliest", MTU: mtu}, Paths: make([]config.Path, paths)}
			c.Interface.MemoryLimit = c.LeastMemory()
			p, err := New(Options{Config: c})
			if err != nil {
				t.Fatal(err)
			}
			if want := 2 * receiveBatch * (paths + 1); p.Packets < want {
				t.Errorf("%d paths, MTU %d: %d buffers, want %d", paths, mtu, p.Packets, want)
			}
			c.Interface.MemoryLimit--
			if _, err := New(Options{Config: c}); err == nil {
				t.Errorf("%d paths, MTU %d: less was not refused", paths, mtu)
			}
		}
	}
}
