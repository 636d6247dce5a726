package simnet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"netcombiner/src/tundevice"
)

// wire joins the TUN devices of two hosts by a program: what goes in at one
// comes out at the other after delay, if pass allows it.
func wire(n *Network, a, b *Host, delay time.Duration, pass func(pkt []byte) bool) {
	for _, ends := range [][2]*Host{{a, b}, {b, a}} {
		in, _ := ends[0].OpenTun("nc0", 1500)
		go func() {
			bufs, sizes := [][]byte{make([]byte, 1500)}, make([]int, 1)
			for {
				if _, err := in.Read(bufs, sizes, 0); err != nil {
					return
				}
				pkt := append(make([]byte, tundevice.Headroom), bufs[0][:sizes[0]]...)
				if pass(pkt[tundevice.Headroom:]) {
					n.After(delay, func() { ends[1].Tun().Write([][]byte{pkt}, tundevice.Headroom) })
				}
			}
		}()
	}
}

func inWire(t *testing.T, delay time.Duration, pass func(pkt []byte) bool, f func(n *Network, c *Checker, a, b *Host)) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		a, b := n.AddHost("a"), n.AddHost("b")
		wire(n, a, b, delay, pass)
		c := n.NewChecker()
		f(n, c, a, b)
		if err := c.Err(); err != nil {
			t.Error(err)
		}
		n.Close()
	})
}

func all([]byte) bool { return true }

func TestInnerPackets(t *testing.T) {
	inWire(t, time.Millisecond, all, func(n *Network, c *Checker, a, b *Host) {
		var got [][]byte
		v4, v6 := c.Flow(a, b, false), c.Flow(a, b, true)
		b.OnInner(func(pkt []byte) { got = append(got, bytes.Clone(pkt)) })
		for _, f := range []*Flow{v4, v6} {
			for _, size := range []int{0, 105, 1399, 1500} {
				if !f.Send(size) {
					t.Errorf("%d bytes were refused", size)
				}
			}
		}
		if v4.Send(1501) {
			t.Error("a packet longer than the MTU was taken")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for i, p := range got {
			udp, length := 20, int(binary.BigEndian.Uint16(p[2:]))
			pseudo := append([]byte{0, 17}, p[12:20]...)
			if i >= 4 {
				udp, length = 40, 40+int(binary.BigEndian.Uint16(p[4:]))
				pseudo = append([]byte{0, 17}, p[8:40]...)
			} else if fold(sum16(0, p[:20])) != 0xffff {
				t.Errorf("packet %d: wrong header checksum", i)
			}
			pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(p)-udp))
			if fold(sum16(sum16(0, pseudo), p[udp:])) != 0xffff {
				t.Errorf("packet %d: wrong UDP checksum", i)
			}
			if length != len(p) || int(binary.BigEndian.Uint16(p[udp+4:])) != len(p)-udp {
				t.Errorf("packet %d: wrong length", i)
			}
		}
		if len(got) != 8 || len(got[0]) != MinInner4 || len(got[4]) != MinInner6 {
			t.Errorf("%d packets", len(got))
		}
	})
}

func TestCheckerTakesAnECNMark(t *testing.T) {
	mark := func(pkt []byte) bool {
		if pkt[0] == 0x45 {
			pkt[1] |= ecnCE
			pkt[10], pkt[11] = 0, 0
			binary.BigEndian.PutUint16(pkt[10:], ^fold(sum16(0, pkt[:20])))
		} else {
			pkt[1] |= ecnCE << 4
		}
		return true
	}
	inWire(t, time.Millisecond, mark, func(n *Network, c *Checker, a, b *Host) {
		for _, v6 := range []bool{false, true} {
			f := c.Flow(a, b, v6)
			f.Send(500)
			time.Sleep(time.Second)
			if s := f.All(); s.Delivered != 1 || s.Marked != 1 {
				t.Errorf("%+v", s)
			}
		}
	})
}

func TestStats(t *testing.T) {
	count := 0
	pass := func([]byte) bool { // the outage takes 100 to 109
		count++
		return count <= 100 || count > 110
	}
	inWire(t, 30*time.Millisecond, pass, func(n *Network, c *Checker, a, b *Host) {
		f := c.Flow(a, b, false)
		f.Call(20*time.Millisecond, 200, 4*time.Second)
		time.Sleep(5 * time.Second)
		s := f.All()
		if s.Sent != 200 || s.Lost != 10 || s.OutOfOrder != 0 || s.Bytes != 190*200 {
			t.Errorf("%+v", s)
		}
		if s.LongestGap != 220*time.Millisecond || s.Latency(.5) != 30*time.Millisecond || s.Latency(1) != 30*time.Millisecond {
			t.Errorf("%v", &s)
		}
		if s := f.Stats(3*time.Second, 4*time.Second); s.Sent != 50 || s.Lost != 0 {
			t.Errorf("%+v", s)
		}
		if d, ok := f.AliveAfter(2 * time.Second); !ok || d < 220*time.Millisecond || d > 260*time.Millisecond {
			t.Errorf("alive after %v, %v", d, ok)
		}
		if _, ok := f.AliveAfter(4 * time.Second); ok {
			t.Error("alive after the last packet")
		}
	})
}

func TestTrafficShapes(t *testing.T) {
	inWire(t, time.Millisecond, all, func(n *Network, c *Checker, a, b *Host) {
		poisson, bursts := c.Flow(a, b, false), c.Flow(b, a, true)
		poisson.Poisson(100, 300, 100*time.Second)
		bursts.Bursts(10, 500*time.Millisecond, 1200, 10*time.Second)
		time.Sleep(200 * time.Second)
		if s := poisson.All(); s.Sent < 9500 || s.Sent > 10500 || s.Lost != 0 {
			t.Errorf("Poisson: %v", &s)
		}
		if s := bursts.All(); s.Sent != 200 || s.Lost != 0 {
			t.Errorf("bursts: %v", &s)
		}
	})
}

// TestBulkFillsALink runs a backlogged flow through bridges, and wants of it
// what Reno can do.
func TestBulkFillsALink(t *testing.T) {
	for name, tc := range map[string]struct {
		c    Conditions
		want float64 // of the rate
	}{
		"clean": {Conditions{QueueBytes: 64000}, .95},
		"loss":  {Conditions{QueueBytes: 64000, Loss: .001}, .4}, // Mathis: 0.7
	} {
		t.Run(name, func(t *testing.T) {
			tc.c.Rate, tc.c.Delay = 16e6, 15*time.Millisecond
			inLab(t, both(tc.c), func(l *lab) {
				s := &Scenario{Links: []LinkPlan{{Transport: "udp", LinkConfig: LinkConfig{Name: "wan1"}, Remote: ap("203.0.113.1:4725")}}}
				var stops []func()
				for _, h := range []*Host{l.local, l.remote} {
					stop, err := startBridge(h, s, nil)
					if err != nil {
						t.Fatal(err)
					}
					stops = append(stops, stop)
				}
				time.Sleep(time.Second)
				c := l.net.NewChecker()
				b := c.NewBulk(l.local, l.remote, false, 1372, 0, 11*time.Second)
				time.Sleep(15 * time.Second)
				got := float64(b.InOrder()) * 1372 * 8 / 10 / 16e6
				if got < tc.want || got > 1 {
					t.Errorf("%.3f of the rate, want %.2f; %d sent again", got, tc.want, b.Retransmits())
				}
				if stats := b.Data().All(); uint64(stats.Sent+stats.Refused) < b.InOrder()+b.Retransmits() {
					t.Errorf("%d in order, %d sent again, %v", b.InOrder(), b.Retransmits(), &stats)
				}
				if err := c.Err(); err != nil {
					t.Error(err)
				}
				for _, stop := range stops {
					stop()
				}
			})
		})
	}
}

func TestTun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		defer n.Close()
		h := n.AddHost("h")
		if h.Inject([]byte("x")) {
			t.Error("there is no device to take a packet")
		}
		tun, err := h.OpenTun("nc0", 100)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := h.OpenTun("nc1", 100); err == nil {
			t.Error("a second device at the same time")
		}
		for range tunQueue + 7 {
			h.Inject([]byte("packet"))
		}
		if tun.Dropped() != 7 {
			t.Errorf("%d dropped of 7 too many", tun.Dropped())
		}
		bufs, sizes := make([][]byte, 3), make([]int, 3)
		for i := range bufs {
			bufs[i] = make([]byte, 120)
		}
		if n, err := tun.Read(bufs, sizes, 20); n != 3 || err != nil || string(bufs[2][20:20+sizes[2]]) != "packet" {
			t.Errorf("Read: %d, %v, %q", n, err, bufs[2])
		}
		if _, err := tun.Write(bufs, 3); err == nil {
			t.Error("a write without headroom")
		}
		tun.SetMTU(5)
		if h.Inject([]byte("packet")) || tun.MTU() != 5 {
			t.Error("the new MTU is not in force")
		}
		tun.Delete()
		if _, err := tun.Read(bufs, sizes, 0); !errors.Is(err, tundevice.ErrGone) {
			t.Errorf("Read after Delete: %v", err)
		}
		again, err := h.OpenTun("nc0", 100)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { _, err := again.Read(bufs, sizes, 0); ended <- err }()
		synctest.Wait()
		again.Close()
		if err := <-ended; !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read ended with %v", err)
		}
		if _, err := again.Write(nil, 16); !errors.Is(err, os.ErrClosed) {
			t.Errorf("Write after Close: %v", err)
		}
	})
}
