package portal

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/handshake"
	"netcombiner/src/path"
	"netcombiner/src/simnet"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

// The ways in which a recording is sent again.
var replays = map[string]func(*attack) []simnet.Datagram{
	"as it was": func(a *attack) []simnet.Datagram { return a.tape },
	"backwards": func(a *attack) []simnet.Datagram {
		tape := slices.Clone(a.tape)
		slices.Reverse(tape)
		return tape
	},
	"on another path": func(a *attack) []simnet.Datagram {
		return a.edited(func(d *simnet.Datagram) {
			other := a.other(*d)
			d.From, d.To = other.From, other.To
		})
	},
	"from elsewhere": func(a *attack) []simnet.Datagram {
		return a.edited(func(d *simnet.Datagram) {
			if up(*d) {
				d.From = a.addr
			}
		})
	},
	"to its sender": func(a *attack) []simnet.Datagram {
		return a.edited(func(d *simnet.Datagram) { d.From, d.To = d.To, d.From })
	},
	"to its sender on another path": func(a *attack) []simnet.Datagram {
		return a.edited(func(d *simnet.Datagram) {
			other := a.other(*d)
			d.From, d.To = other.To, other.From
		})
	},
	"to the remote from elsewhere": func(a *attack) []simnet.Datagram {
		return a.edited(func(d *simnet.Datagram) { d.From, d.To = a.addr, netip.AddrPortFrom(vps, 4725) })
	},
}

func TestRecordingsAreRejected(t *testing.T) {
	for name, replay := range replays {
		t.Run(name, func(t *testing.T) {
			underAttack(t, "udp", func(a *attack) {
				messages := replay(a)
				for range 2 {
					a.begin()
					a.call(2 * time.Second)
					taken := a.send(messages)
					if taken.remote == 0 || taken.local+taken.remote != uint64(len(messages)) {
						t.Fatalf("%+v of %d messages arrived", taken, len(messages))
					}
					a.callsUnharmed()
					a.unmoved(taken)
					time.Sleep(105 * time.Second) // new keys, and then once more
				}
			})
		})
	}
}

// TestRecordingsFromBeforeARestartAreRejected: the one answer that there is, a
// RETRY for a HELLO that a remote has not seen since its start, is shorter
// than the HELLO, comes once, and leads nowhere.
func TestRecordingsFromBeforeARestartAreRejected(t *testing.T) {
	for _, which := range []string{"local", "remote"} {
		for name, replay := range replays {
			t.Run(which+" "+name, func(t *testing.T) {
				underAttack(t, "udp", func(a *attack) {
					e := a.local
					if which == "remote" {
						e = a.remote
					}
					e.crash()
					time.Sleep(100 * time.Millisecond)
					e.start()
					time.Sleep(4 * time.Second)
					messages := replay(a)
					if which == "local" { // its ports are others now
						messages = slices.DeleteFunc(slices.Clone(messages), func(d simnet.Datagram) bool { return d.To.Addr() != vps })
					}
					if which == "remote" {
						a.begin()
						a.call(2 * time.Second)
						taken := a.send(messages)
						a.callsUnharmed()
						taken.local += a.onlyRetries(messages)
						a.unmoved(taken)
					}
					a.begin()
					a.call(2 * time.Second)
					taken := a.send(messages)
					a.callsUnharmed()
					a.unmoved(taken)
				})
			})
		}
	}
}

// onlyRetries checks that the answers since begin are RETRYs, at most one for
// each HELLO among the messages, and forgets them. It returns how many went to
// the local portal, in whose name the HELLO came: it refuses them.
func (a *attack) onlyRetries(messages []simnet.Datagram) (toLocal uint64) {
	a.t.Helper()
	hellos := 0
	for _, m := range messages {
		if kind, _, _, _ := wire.Prefix(m.Data); kind == wire.TypeHello && m.To.Addr() == vps {
			hellos++
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	toLocal = uint64(a.shakes - a.before.shakes)
	a.before.shakes = a.shakes
	if n := len(a.answered) + int(toLocal); n > hellos {
		a.t.Errorf("%d answers to %d HELLOs", n, hellos)
	}
	for _, m := range a.answered {
		if kind, _, _, _ := wire.Prefix(m); kind != wire.TypeRetry || len(m) >= handshake.HelloLen {
			a.t.Errorf("the attacker was answered %x", m)
		}
	}
	a.answered = nil
	return toLocal
}

func TestChangedMessagesAreRejected(t *testing.T) {
	underAttack(t, "udp", func(a *attack) {
		samples := a.samples()
		if len(samples) < 12 {
			t.Fatalf("%d kinds of messages were recorded", len(samples))
		}
		var flips, cuts, longer []simnet.Datagram
		for _, s := range samples {
			for bit := range 8 * len(s.Data) {
				m := s
				m.Data = bytes.Clone(s.Data)
				m.Data[bit/8] ^= 0x80 >> (bit % 8)
				flips = append(flips, m)
			}
			for n := range len(s.Data) {
				m := s
				m.Data = s.Data[:n]
				cuts = append(cuts, m)
			}
			for n := 1; n <= 40; n++ {
				m := s
				m.Data = append(bytes.Clone(s.Data), make([]byte, n)...)
				longer = append(longer, m)
			}
		}
		for name, messages := range map[string][]simnet.Datagram{"bits flipped": flips, "cut short": cuts, "longer": longer} {
			a.begin()
			a.call(time.Second)
			taken := a.send(messages)
			if got := taken.local + taken.remote; got != uint64(len(messages)) {
				t.Fatalf("%s: %d of %d arrived", name, got, len(messages))
			}
			a.callsUnharmed()
			a.unmoved(taken)
			if now := a.measure(); now.local.Replay != a.before.local.Replay || now.remote.Replay != a.before.remote.Replay {
				t.Errorf("%s: some were taken for replays, so their MAC was right", name)
			}
		}
	})
}

func TestAFloodOfNoiseIsRejected(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 10_000
	}
	underAttack(t, "udp", func(a *attack) {
		messages := a.noise(n)
		a.send(messages[:1000]) // let what is allocated once be so
		a.begin()
		a.call(5 * time.Second)
		taken := a.send(messages)
		if got := taken.local + taken.remote; got != uint64(n) {
			t.Fatalf("%d of %d arrived", got, n)
		}
		a.callsUnharmed()
		a.unmoved(taken)
		a.heapUnmoved()
	})
}

// TestForgedHandshakesAreRejected: whole handshake messages, made by the book
// with another key.
func TestForgedHandshakesAreRejected(t *testing.T) {
	underAttack(t, "udp", func(a *attack) {
		wrong := handshake.NewGuard([handshake.KeySize]byte{9})
		hello := func() []byte {
			_, m, err := handshake.NewInitiator(wrong, byteSource{a.rng}, handshake.Hello{Instance: 1, Suites: []auth.ID{auth.Blake2s}})
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		open := func(m []byte) handshake.Message {
			o, err := wrong.Open(m)
			if err != nil {
				t.Fatal(err)
			}
			return o
		}
		var messages []simnet.Datagram
		for range 200 {
			h := hello()
			retry, _ := wrong.Retry(open(h), handshake.Cookie{1})
			r, _, err := handshake.ParseHello(wrong, byteSource{a.rng}, open(h))
			if err != nil {
				t.Fatal(err)
			}
			reply, _, _ := r.Answer(handshake.Reply{Instance: 2, Suite: auth.Blake2s})
			for _, m := range [][]byte{h, retry, reply} {
				messages = append(messages,
					simnet.Datagram{From: a.addr, To: netip.AddrPortFrom(vps, 4725), Data: m},
					simnet.Datagram{From: netip.AddrPortFrom(vps, 4725), To: a.tape[0].From, Data: m})
			}
		}
		a.begin()
		a.call(time.Second)
		taken := a.send(messages)
		a.callsUnharmed()
		a.unmoved(taken)
		if now := a.measure(); now.remote.Mac-a.before.remote.Mac != 600 || now.local.Mac-a.before.local.Mac != 600 {
			t.Errorf("wrong MACs: %+v and %+v, before %+v", now.local, now.remote, a.before)
		}
	})
}

// TestTCPStrangersDoNotStay: whatever they send, recordings of this very
// session too, their connections, buffers and goroutines go.
func TestTCPStrangersDoNotStay(t *testing.T) {
	underAttack(t, "tcp", func(a *attack) {
		a.begin()
		a.call(20 * time.Second)
		noise := a.noise(100)
		tape := slices.DeleteFunc(slices.Clone(a.tape), func(d simnet.Datagram) bool { return !up(d) })
		var flows []transport.Flow
		for i := range 60 {
			f, err := a.host.TCP().Dial(context.Background(), transport.Bind{}, netip.AddrPortFrom(vps, 4725))
			if err != nil {
				t.Fatal(err)
			}
			flows = append(flows, f)
			var ms []transport.Message
			switch i % 4 {
			case 1:
				for _, d := range noise[:20] {
					if len(d.Data) > 0 {
						ms = append(ms, transport.Message{Buf: d.Data})
					}
				}
			case 2:
				for _, d := range tape[:min(200, len(tape))] {
					ms = append(ms, transport.Message{Buf: d.Data})
				}
			case 3:
				ms = append(ms, transport.Message{Buf: tape[len(tape)-1].Data})
			}
			if len(ms) > 0 {
				if _, err := f.Send(ms); err != nil {
					t.Error(err)
				}
			}
		}
		time.Sleep(15 * time.Second)
		for _, f := range flows {
			defer f.Close()
		}
		a.callsUnharmed()
		now := a.measure()
		p := a.remote.portal
		p.mu.Lock()
		if n := len(p.flows); n != 3 {
			t.Errorf("the remote still has %d flows instead of two paths and a socket", n)
		}
		p.mu.Unlock()
		a.unanswered()
		if now.goroutines > a.before.goroutines || now.outstanding > a.before.outstanding+64 || now.lines != a.before.lines {
			t.Errorf("%+v, before %+v", now, a.before)
		}
	})
}

// TestAHeldBackOriginalMovesNothing: a message held back and sent from elsewhere
// is authentic and fresh. Where it is the newest of its path, that address is
// asked for a proof; it gets no data, and is not asked for ever.
func TestAHeldBackOriginalMovesNothing(t *testing.T) {
	for _, c := range []struct {
		kind wire.Type
		late bool // newer ones came before it
	}{{wire.TypeData, false}, {wire.TypeControl, false}, {wire.TypeAck, false}, {wire.TypeData, true}} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			underAttack(t, "udp", func(a *attack) {
				a.call(20 * time.Second)
				time.Sleep(500 * time.Millisecond)
				a.record(1 << 20)
				for _, l := range a.links { // what is sent now does not arrive
					l.Up.Change(func(c *simnet.Conditions) { c.Cut = true })
				}
				time.Sleep(40 * time.Millisecond)
				for _, l := range a.links {
					l.Up.Change(func(c *simnet.Conditions) { c.Cut = false })
				}
				a.record(0)
				held := simnet.Datagram{}
				for _, d := range a.tape {
					if k, _, _, _ := wire.Prefix(d.Data); up(d) && k == c.kind {
						held = d
					}
				}
				if held.Data == nil {
					t.Fatal("none was sent")
				}
				if c.late {
					time.Sleep(500 * time.Millisecond)
				}
				where := a.remotes()
				a.net.Inject(a.addr, held.To, held.Data)
				time.Sleep(20 * time.Second)
				if now := a.remotes(); !slices.Equal(now, where) {
					t.Errorf("the paths went from %v to %v", where, now)
				}
				a.mu.Lock()
				defer a.mu.Unlock()
				for _, m := range a.answered {
					if k, _, _, _ := wire.Prefix(m); k != wire.TypeControl || len(m) > path.BaseMTU {
						t.Errorf("message of type %d, %d bytes, sent to the attacker", k, len(m))
					}
				}
				if n := len(a.answered); n > 6 || (n == 0) != c.late {
					t.Errorf("the attacker was asked %d times whether the path leads there", n)
				}
				for i, f := range a.calls {
					if s := f.All(); s.Lost > 4 {
						t.Errorf("call %d: %v", i, &s)
					}
				}
			})
		})
	}
}
