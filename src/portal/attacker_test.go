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

	"netcombiner/src/control"
	"netcombiner/src/handshake"
	"netcombiner/src/simnet"
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

// byteSource reads random bytes.
type byteSource struct{ *rand.Rand }

func (s byteSource) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.Uint32())
	}
	return len(b), nil
}

// remotes lists where the remote portal sends to.
func (a *attack) remotes() (all []string) {
	for _, p := range a.remote.portal.Status().Paths {
		all = append(all, p.Remote)
	}
	return all
}
