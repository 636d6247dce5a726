package portal

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/config"
	"netcombiner/src/packet"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/tundevice/tuntest"
	"netcombiner/src/wire"
)

// newReading is a portal of which only the TUN's reader is to run.
func newReading(t *testing.T, packets int) (*Portal, *tuntest.TUN) {
	dev := tuntest.New("nc0", 9000, 16)
	p, err := New(Options{Config: &config.Config{Interface: config.Interface{Key: testKey, Suite: "auto", Scheduler: "earliest"}},
		Device: dev, Packets: packets})
	if err != nil {
		t.Fatal(err)
	}
	p.alarm = time.NewTimer(time.Hour)
	p.cancel = func(error) {}
	return p, dev
}

// TestOverlongPacketsAreDropped: somebody raised the interface's MTU. What the
// reader takes can be sealed with the longest acknowledgement, by every suite.
func TestOverlongPacketsAreDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, dev := newReading(t, 100)
		go p.readTUN(context.Background())
		defer dev.Close()
		size := p.pool.Size()
		longest := size - packet.Headroom - innerRoom
		dev.Inject(innerUDP(longest+1), innerUDP(longest), innerUDP(size-packet.Headroom))
		synctest.Wait()
		if _, bytes, _ := p.core.exchange.Queued(p.clock.Now()); bytes != longest || dev.Dropped() != 2 {
			t.Errorf("%d bytes were taken, %d packets dropped; want %d and 2", bytes, dev.Dropped(), longest)
		}
		for _, id := range []auth.ID{auth.None, auth.Blake2s, auth.ChaCha20Poly1305, auth.AES128GCM} {
			suite, _ := auth.Lookup(id)
			o := path.Outgoing{Header: wire.Header{Type: wire.TypeData, HasAck: true}, Packet: &packet.Packet{Data: innerUDP(longest)}}
			o.Ack.Words = wire.MaxAckWords
			o.To = path.Endpoint{Local: netip.AddrPortFrom(vps, 1), Remote: netip.AddrPortFrom(vps, 2)}
			var s sealer
			m := s.seal(make([]byte, 0, size), &o, &session.Epoch{Suite: suite})
			if len(m) < longest+wire.HeaderSize+wire.AckMaxSize || len(m) > size-packet.Headroom {
				t.Errorf("%v: a message of %d bytes, in a buffer of %d", id, len(m), size)
			}
		}
	})
}

// TestReaderGetsItsBuffers: of a pool that others had emptied, in part or all of
// it, when the reader began.
func TestReaderGetsItsBuffers(t *testing.T) {
	const all = 40
	for _, left := range []int{2, 0} {
		synctest.Test(t, func(t *testing.T) {
			p, dev := newReading(t, all)
			taken := make([]*packet.Packet, all-left)
			p.pool.Get(taken)
			go p.readTUN(context.Background())
			time.Sleep(time.Second)
			packet.Release(taken)
			time.Sleep(time.Second)
			dev.Inject(innerUDP(100)) // one that it keeps, and one more read
			synctest.Wait()
			if got, want := p.pool.Outstanding(), dev.BatchSize()+1; got != want {
				t.Errorf("with %d at first: %d buffers are out, want %d", left, got, want)
			}
			dev.Close()
		})
	}
}

// TestReaderWithoutBuffersEnds.
func TestReaderWithoutBuffersEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newReading(t, 1)
		p.pool.Get(make([]*packet.Packet, 1))
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.readTUN(ctx)
	})
}
