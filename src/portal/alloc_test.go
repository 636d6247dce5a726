package portal

import (
	"crypto/rand"
	"slices"
	"testing"

	"netcombiner/src/auth"
	"netcombiner/src/path"
	"netcombiner/src/session"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

// TestNothingIsAllocatedForAPacket: from the TUN's reader to the sealed
// message, and from the message to the TUN's writer, acknowledgements and all.
func TestNothingIsAllocatedForAPacket(t *testing.T) {
	for name, c := range map[string]struct {
		suite    auth.ID
		disorder bool
	}{
		"in order":         {auth.Blake2s, false},
		"in disorder":      {auth.Blake2s, true},
		"no MAC":           {auth.None, false},
		"chacha20poly1305": {auth.ChaCha20Poly1305, true},
		"aes128gcm":        {auth.AES128GCM, true},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJoinedWith(t, 2, func(k *coreConfig) { k.session.Offer = []auth.ID{c.suite} })
			j.disorder(c.disorder)
			const batch, steps = 16, 10
			run := func() {
				for range steps {
					j.local.ingress(j.now, batch, 3)
					j.remote.ingress(j.now, batch, 3)
					j.step()
				}
			}
			for range 50 { // rings and logs grow to their size
				run()
			}
			before := j.local.got + j.remote.got
			const runs = 30
			if n := testing.AllocsPerRun(runs, run); n != 0 {
				t.Errorf("%v allocations for %d packets", n, 2*steps*batch)
			}
			if got := j.local.got + j.remote.got - before; got < runs*2*steps*batch*9/10 {
				t.Errorf("%d packets of %d arrived", got, runs*2*steps*batch)
			}
		})
	}
}

// TestKeysThatWentOpenNothing: in one batch, the first message under a new
// process's keys, and behind it one of the process before, opened by the same
// reader while both keys were known.
func TestKeysThatWentOpenNothing(t *testing.T) {
	j := newJoined(t, 1)
	var old []byte
	j.carry = func(_ *half, m []byte, _ path.Endpoint) { old = append(old[:0], m...) }
	j.local.ingress(j.now, 1, 1)
	j.turn(j.local)
	if k, _, _, _ := wire.Prefix(old); k != wire.TypeData {
		t.Fatalf("%x is no data message", old)
	}
	from := j.endpoint(j.remote, 0)
	r := received{from: from, overhead: 28, datagram: true, packet: j.remote.spare[0]}
	if why := j.remote.opener.open(old, &r, j.remote.core.session.Table()); why != rejectNone {
		t.Fatalf("rejected: %d", why)
	}

	// The local portal restarts; the path joins anew, under the same number.
	j.carry = nil
	j.local = newHalf(t, true, nil)
	j.local.peer, j.remote.peer = j.remote, j.local
	p, err := j.local.core.addPath(j.now, path.Fixed{Datagram: true, Join: wire.Join{Name: "wan", Direction: wire.DirectionSend | wire.DirectionReceive}},
		path.Settings{Name: "wan", Send: true, Receive: true, Congestion: "none"})
	if err != nil {
		t.Fatal(err)
	}
	j.local.core.attach(j.now, p, j.endpoint(j.local, 0), 28)
	for range 1000 {
		j.step()
	}
	got, mac := j.remote.got, j.remote.core.rejected.Mac
	r.packet = j.remote.spare[0]
	j.remote.core.receive(j.now, &r)
	j.remote.drain()
	if j.remote.got != got || j.remote.core.rejected.Mac != mac+1 || r.fresh {
		t.Error("a message of the process before was believed")
	}
}

// TestKeysOverAtOnce: keys may be as good as over when they take over.
func TestKeysOverAtOnce(t *testing.T) {
	h := newHalf(t, false, nil)
	h.core.keys(h.core.lastUsable, session.EventKeys|session.EventSend|session.EventPeer)
}

// BenchmarkReject is what a message costs that is thrown away: at most about
// one MAC over it, and no memory. The first line is that MAC.
func BenchmarkReject(b *testing.B) {
	const size = 1400
	key := [auth.KeySize]byte{1}
	suite, _ := auth.Lookup(auth.Blake2s)
	mac := suite.NewVerifier(key, false)
	b.Run("one MAC", func(b *testing.B) {
		m := make([]byte, size)
		meta := auth.Meta{HeaderLen: wire.HeaderSize}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := mac.Verify(m, &meta); err == nil {
				b.Fatal("accepted")
			}
		}
	})
	j := newJoined(b, 1)
	var data []byte
	j.carry = func(_ *half, m []byte, _ path.Endpoint) { data = append(data[:0], m...) }
	j.local.template = innerUDP(size - wire.HeaderSize - auth.SequenceLen - 16)
	j.local.ingress(j.now, 1, 1)
	j.turn(j.local)
	j.local.core.session.Drop()
	j.local.core.session.Round(j.now)
	hello := j.local.core.session.Hello(j.now, 0)
	from := j.endpoint(j.remote, 0)

	noise := make([]byte, len(data))
	_, _ = rand.Read(noise)
	like := func(m []byte, change func([]byte)) []byte {
		c := slices.Clone(m)
		change(c)
		return c
	}
	known := like(noise, func(m []byte) { copy(m, data[:wire.PrefixSize]) })
	random := like(noise, func(m []byte) { m[0] = 0xff })
	unknown := like(known, func(m []byte) { m[1] ^= 0x80 })
	flipped := like(data, func(m []byte) { m[len(m)/2] ^= 1 })
	forged := like(hello, func(m []byte) { m[50] ^= 1 })
	reject := func(m []byte, want int) func(*testing.B) {
		return func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got := j.remote.receive(j, m, from); got != want {
					b.Fatalf("%d, not %d", got, want)
				}
			}
		}
	}
	b.Run("noise", reject(random, rejectMalformed))
	b.Run("noise with a prefix of other keys", reject(unknown, rejectMAC))
	b.Run("noise with the right prefix", reject(known, rejectMAC))
	b.Run("bit flipped", reject(flipped, rejectMAC))
	b.Run("forged HELLO", reject(forged, rejectKey))
	j.remote.receive(j, data, from)
	j.remote.receive(j, hello, from)
	before := j.remote.core.rejected.Replay
	b.Run("replayed data", reject(data, rejectNone)) // by the core, as the counter shows
	b.Run("replayed HELLO", reject(hello, rejectNone))
	if j.remote.core.rejected.Replay < before+2 {
		b.Error("the replays were not rejected")
	}
}

var _ transport.Flow = (*flow)(nil)
