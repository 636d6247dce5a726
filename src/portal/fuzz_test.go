package portal

import (
	"testing"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/mono"
	"netcombiner/src/wire"
)

// FuzzReceive feeds a core what the network may bring. Without a MAC
// everything is believed, so this is also what a peer gone mad could send: it may
// spoil the tunnel, but crash nothing, hold no more buffers than are allowed, and
// not keep the core from going on.
func FuzzReceive(f *testing.F) {
	header := func(t wire.Type, ack bool, sequence uint32) []byte {
		h := wire.Header{Type: t, HasAck: ack, Sequence: sequence}
		return h.Append(nil)
	}
	leave := wire.Leave{Path: 1, Sequence: 2006}
	join := wire.Join{Name: "x", Direction: wire.DirectionSend}
	ack := wire.Ack{Ack: 3, Largest: 9, Words: 1, Received: [wire.MaxAckWords]uint64{5}}
	f.Add(append(innerWith(header(wire.TypeData, false, 2000)), 0, 0, 0, 0, 0, 0, 0, 0, 0, 9), true)
	f.Add(join.Append(header(wire.TypeControl, false, 2001)), true)
	f.Add(ack.Append(header(wire.TypeAck, true, 2002)), false)
	f.Add(wire.AppendFrame(header(wire.TypeControl, false, 2003), wire.FrameChallenge, make([]byte, wire.ChallengeSize)), false)
	f.Add(wire.AppendFrame(header(wire.TypeControl, false, 2004), wire.FrameClose, nil), true)
	f.Add(leave.Append(header(wire.TypeControl, false, 2006)), true)  // of another path
	f.Add(leave.Append(header(wire.TypeControl, false, 2007)), false) // which nobody asked for
	f.Add(wire.Leave{Sequence: 2008}.Append(header(wire.TypeControl, false, 2008)), true)
	f.Add(wire.AppendFrame(header(wire.TypeControl, false, 2005), wire.FrameHello, make([]byte, 100)), true)
	f.Fuzz(func(t *testing.T, m []byte, toRemote bool) {
		if len(m) > 1500 {
			return
		}
		j := newJoinedWith(t, 2, func(c *coreConfig) { c.session.Offer = []auth.ID{auth.None} })
		h := j.local
		if toRemote {
			h = j.remote
		}
		for range 3 { // as a replay too
			h.receive(j, m, j.endpoint(h, 1))
			j.local.ingress(j.now, 2, 1)
			j.remote.ingress(j.now, 2, 1)
			j.step()
		}
		for range 50 {
			j.now = j.now.Add(20 * time.Millisecond)
			j.step()
		}
		for _, h := range []*half{j.local, j.remote} {
			if n := h.pool.Outstanding(); n > 100 {
				t.Errorf("%d packets are out of the pool", n)
			}
			if d := h.core.deadline(j.now); d <= j.now {
				t.Errorf("due %v ago", j.now.Sub(d))
			}
		}
	})
}

func innerWith(header []byte) []byte { return append(header, innerUDP(60)...) }

// FuzzOpen: nothing that was not sealed is opened.
func FuzzOpen(f *testing.F) {
	j := newJoined(f, 1)
	f.Add([]byte{0x24, 0, 0, 0, 0, 1, 2, 3})
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, m []byte) {
		if len(m) > 1500 {
			return
		}
		j.now += mono.Time(time.Millisecond)
		for _, h := range []*half{j.local, j.remote} {
			if why := h.receive(j, m, j.endpoint(h, 0)); why == rejectNone {
				t.Errorf("%x was opened", m)
			}
		}
	})
}
