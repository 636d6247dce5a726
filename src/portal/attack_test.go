package portal

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"netcombiner/src/auth"
	"netcombiner/src/control"
	"netcombiner/src/handshake"
	"netcombiner/src/path"
	"netcombiner/src/simnet"
	"netcombiner/src/transport"
	"netcombiner/src/wire"
)

// Attacks on whole portals by someone who sees every link and can send anything
// from any address, but does not know the key. A call crosses the tunnel both
// ways meanwhile, and loses nothing.

var attackerAddr = netip.MustParseAddr("192.0.2.66")

// attack is a tunnel with somebody who listens and injects.
type attack struct {
	*tunnel
	rng    *rand.Rand
	host   *simnet.Host // the attacker's
	link   *simnet.Link // from there to the remote
	addr   netip.AddrPort
	lines  lines
	calls  []*simnet.Flow
	over   time.Duration // when they are
	before measured

	mu       sync.Mutex
	tape     []simnet.Datagram
	sizes    int // bytes that it has room for
	answered [][]byte
	shakes   int // handshake messages on the tunnel's links
}

// measured is what must not grow under attack.
type measured struct {
	local, remote control.Rejected
	lines         int
	goroutines    int
	outstanding   int
	heap          uint64
	shakes        int
}

// lines counts log records.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (*lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler     { return l }
func (l *lines) WithGroup(string) slog.Handler          { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, text)
	return nil
}

func (l *lines) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.text)
}

// underAttack runs f with a tunnel over two links that was up for two seconds,
// all of whose messages were recorded.
func underAttack(t *testing.T, transport string, f func(*attack)) {
	t.Helper()
	specs := []linkSpec{link(mbit(20), 5*time.Millisecond), link(mbit(20), 15*time.Millisecond)}
	for i := range specs {
		specs[i].transport = transport
	}
	sim(t, 1, specs, func(tn *tunnel) {
		a := &attack{tunnel: tn, rng: tn.net.Rand("attack"), host: tn.net.AddHost("attacker"), sizes: 1 << 20}
		a.link = tn.net.AddLink(a.host, tn.remote.host, simnet.LinkConfig{Name: "evil", Addr: attackerAddr})
		a.addr = netip.AddrPortFrom(attackerAddr, 6666)
		tn.net.Tap(a.see)
		for _, e := range []*end{tn.local, tn.remote} {
			e.edit = func(o *Options) { o.Log = slog.New(&a.lines) }
		}
		tn.start()
		time.Sleep(2 * time.Second)
		up := tn.check.Flow(tn.local.host, tn.remote.host, false)
		down := tn.check.Flow(tn.remote.host, tn.local.host, false)
		for i := range 40 {
			up.Send(60 + 30*i)
			down.Send(60 + 30*i)
			time.Sleep(5 * time.Millisecond)
		}
		time.Sleep(time.Second)
		a.record(0)
		f(a)
	})
}

// see is what the attacker sees of a packet.
func (a *attack) see(d simnet.Datagram) {
	a.mu.Lock()
	defer a.mu.Unlock()
	kind, _, _, ok := wire.Prefix(d.Data)
	switch {
	case d.Pipe == a.link.Down:
		if len(d.Data) > 0 {
			a.answered = append(a.answered, bytes.Clone(d.Data))
		}
	case d.Pipe == a.link.Up:
	case ok && kind <= wire.TypeRetry:
		a.shakes++
	}
	if a.sizes > 0 && d.Pipe.Link() != a.link && len(d.Data) > 0 {
		a.sizes -= len(d.Data)
		d.Data = bytes.Clone(d.Data)
		a.tape = append(a.tape, d)
	}
}

// record lets so many bytes on the tape from now on.
func (a *attack) record(bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sizes = bytes
	if bytes > 0 {
		a.tape = nil
	}
}

func up(d simnet.Datagram) bool { return d.To.Addr() == vps }

// call starts a call both ways for the given time.
func (a *attack) call(d time.Duration) {
	until := a.net.Now() + d
	for _, pair := range [][2]*end{{a.local, a.remote}, {a.remote, a.local}} {
		f := a.check.Flow(pair[0].host, pair[1].host, false)
		f.Call(20*time.Millisecond, 400, until)
		a.calls = append(a.calls, f)
	}
	a.over = until
}

// callsUnharmed waits for the end of the calls: they must have lost nothing.
func (a *attack) callsUnharmed() {
	a.t.Helper()
	time.Sleep(a.over + 500*time.Millisecond - a.net.Now())
	for i, f := range a.calls {
		if s := f.All(); s.Sent < 10 || s.Lost != 0 || s.OutOfOrder != 0 || s.LongestGap > 60*time.Millisecond {
			a.t.Errorf("call %d: %v", i, &s)
		}
	}
	a.calls = nil
}

func (a *attack) measure() (m measured) {
	runtime.GC()
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	a.mu.Lock()
	defer a.mu.Unlock()
	return measured{
		local: a.local.portal.Status().Rejected, remote: a.remote.portal.Status().Rejected,
		lines: len(a.lines.all()), goroutines: runtime.NumGoroutine(), heap: mem.HeapAlloc, shakes: a.shakes,
		outstanding: a.local.portal.pool.Outstanding() + a.remote.portal.pool.Outstanding(),
	}
}

// send injects messages, not faster than a socket's buffer holds, and returns
// how many were taken by a socket.
func (a *attack) send(messages []simnet.Datagram) (taken counts) {
	for i, m := range messages {
		if a.net.Inject(m.From, m.To, m.Data) {
			taken.add(m.To)
		}
		if i%100 == 99 {
			time.Sleep(5 * time.Millisecond)
		}
	}
	time.Sleep(100 * time.Millisecond)
	return taken
}

// counts is how many messages a portal got.
type counts struct{ local, remote uint64 }

func (c *counts) add(to netip.AddrPort) {
	if to.Addr() == vps {
		c.remote++
	} else {
		c.local++
	}
}

func total(r control.Rejected) uint64 { return r.Mac + r.Replay + r.Malformed + r.Source }

// begin takes note of what must not grow.
func (a *attack) begin() {
	time.Sleep(time.Second)
	a.mu.Lock()
	a.answered = nil
	a.mu.Unlock()
	a.before = a.measure()
}

// unmoved says that since begin every message taken was rejected and
// counted, and that nothing else came of it.
func (a *attack) unmoved(taken counts) {
	a.t.Helper()
	now, was := a.measure(), a.before
	if n := total(now.local) - total(was.local); n != taken.local {
		a.t.Errorf("the local rejected %d of %d: %+v, before %+v", n, taken.local, now.local, was.local)
	}
	if n := total(now.remote) - total(was.remote); n != taken.remote {
		a.t.Errorf("the remote rejected %d of %d: %+v, before %+v", n, taken.remote, now.remote, was.remote)
	}
	a.unanswered()
	if n := now.shakes - was.shakes; n != 0 {
		a.t.Errorf("%d handshake messages", n)
	}
	if now.lines != was.lines {
		a.t.Errorf("log lines: %q", a.lines.all()[was.lines:])
	}
	if now.goroutines > was.goroutines {
		a.t.Errorf("%d goroutines, %d before", now.goroutines, was.goroutines)
	}
	if now.outstanding > was.outstanding+64 { // what a call has on its way
		a.t.Errorf("%d packets out of the pools, %d before", now.outstanding, was.outstanding)
	}
	for _, e := range []*end{a.local, a.remote} {
		for _, p := range e.portal.Status().Paths {
			if p.State != "up" {
				a.t.Errorf("%s: path %s is %s", e.host.Name(), p.Name, p.State)
			}
		}
	}
}

func (a *attack) unanswered() {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.answered) > 0 {
		a.t.Errorf("%d answers to the attacker, the first %x", len(a.answered), a.answered[0][:min(64, len(a.answered[0]))])
	}
}

// heapGrowth is how many bytes the heap may grow by under attack: what
// the tests themselves note of the calls.
const heapGrowth = 512 << 10

func (a *attack) heapUnmoved() {
	a.t.Helper()
	if now := a.measure(); now.heap > a.before.heap+heapGrowth {
		a.t.Errorf("the heap grew by %d KiB", (now.heap-a.before.heap)>>10)
	}
}

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

// edited is the tape with a change to each message.
func (a *attack) edited(change func(*simnet.Datagram)) []simnet.Datagram {
	tape := slices.Clone(a.tape)
	for i := range tape {
		change(&tape[i])
	}
	return tape
}

// other is the first message that went the same way on another link.
func (a *attack) other(d simnet.Datagram) simnet.Datagram {
	for _, o := range a.tape {
		if o.Pipe != d.Pipe && up(o) == up(d) {
			return o
		}
	}
	panic("only one link was used")
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

// samples returns a message of each kind and way from the tape.
func (a *attack) samples() (all []simnet.Datagram) {
	seen := map[string]bool{}
	for _, d := range a.tape {
		kind, _, _, _ := wire.Prefix(d.Data)
		name := fmt.Sprint(up(d), kind, d.Data[0]&0x10, kind == wire.TypeHello && bytes.Equal(d.Data[2:18], make([]byte, 16)))
		if kind == wire.TypeControl {
			name += fmt.Sprint(len(d.Data) > 1000)
		}
		if !seen[name] {
			seen[name] = true
			all = append(all, d)
		}
	}
	return all
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

// noise is n random datagrams to the portals: every other one begins as one of
// ours would, and some are as long as a handshake message.
func (a *attack) noise(n int) []simnet.Datagram {
	from, to := a.tape[0], a.other(a.tape[0])
	all := make([]simnet.Datagram, n)
	lengths := []int{handshake.HelloLen, handshake.ReplyLen, handshake.RetryLen}
	storage := make([]byte, 1500)
	for i := range storage {
		storage[i] = byte(a.rng.Uint32())
	}
	for i := range all {
		d := &all[i]
		switch i % 4 {
		case 0:
			d.From, d.To = a.addr, netip.AddrPortFrom(vps, 4725)
		case 1:
			d.From, d.To = from.From, from.To
		case 2:
			d.From, d.To = to.From, to.To
		default:
			d.From, d.To = netip.AddrPortFrom(vps, 4725), from.From
		}
		d.Data = storage[:a.rng.IntN(len(storage))]
		if a.rng.IntN(10) == 0 {
			d.Data = storage[:lengths[a.rng.IntN(len(lengths))]]
		}
		if a.rng.IntN(2) == 0 && len(d.Data) >= wire.PrefixSize {
			d.Data = bytes.Clone(d.Data)
			d.Data[0] = wire.Version<<5 | byte(a.rng.IntN(32))
			d.Data[1] = byte(a.rng.Uint32()) & 0xc1
		}
	}
	return all
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

// byteSource reads random bytes.
type byteSource struct{ *rand.Rand }

func (s byteSource) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return len(b), nil
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

// remotes lists where the remote portal sends to.
func (a *attack) remotes() (all []string) {
	for _, p := range a.remote.portal.Status().Paths {
		all = append(all, p.Remote)
	}
	return all
}
