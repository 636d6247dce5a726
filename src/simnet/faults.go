package simnet

import (
	"net/netip"
	"slices"
	"time"
)

// fault returns what makes f begin, and end if it has an end.
func (r *runner) fault(f Fault) (begin, end func()) {
	l, plan := r.links[f.Link], &r.Links[f.Link]
	// change sets something in both pipes, and puts it back as planned.
	change := func(set func(c, planned *Conditions)) func() {
		return func() {
			l.Up.Change(func(c *Conditions) { set(c, &plan.Up) })
			l.Down.Change(func(c *Conditions) { set(c, &plan.Down) })
		}
	}
	cut := func(p *Pipe, cut bool) func() {
		return func() { p.Change(func(c *Conditions) { c.Cut = cut }) }
	}
	switch f.Kind {
	case Cut:
		return func() { l.Cut(true) }, func() { l.Cut(false) }
	case CutUp:
		return cut(l.Up, true), cut(l.Up, false)
	case CutDown:
		return cut(l.Down, true), cut(l.Down, false)
	case Unplug:
		return func() { l.SetCarrier(false) }, func() { l.SetCarrier(true) }
	case RateChange:
		return change(func(c, p *Conditions) { c.Rate = max(1e5, int64(f.Value*float64(p.Rate))) }),
			change(func(c, p *Conditions) { c.Rate = p.Rate })
	case DelayChange:
		return change(func(c, p *Conditions) { c.Delay = time.Duration(f.Value * float64(p.Delay)) }),
			change(func(c, p *Conditions) { c.Delay = p.Delay })
	case LossBurst:
		return change(func(c, p *Conditions) { c.Loss = min(1, p.Loss+f.Value) }),
			change(func(c, p *Conditions) { c.Loss = p.Loss })
	case CorruptBurst:
		return change(func(c, p *Conditions) { c.Corrupt = f.Value }), change(func(c, p *Conditions) { c.Corrupt = p.Corrupt })
	case DuplicateBurst:
		return change(func(c, p *Conditions) { c.Duplicate = f.Value }), change(func(c, p *Conditions) { c.Duplicate = p.Duplicate })
	case ReorderBurst:
		return change(func(c, p *Conditions) { c.Reorder = f.Value }), change(func(c, p *Conditions) { c.Reorder = p.Reorder })
	case SmallMTU:
		return change(func(c, p *Conditions) { c.MTU = int(f.Value) }), change(func(c, p *Conditions) { c.MTU = p.MTU })
	case Rebind:
		return func() {
			if r.changes++; f.Value > .5 && plan.NAT.IsValid() {
				l.RebindTo(natAddr(f.Link, r.changes))
			} else {
				l.Rebind()
			}
		}, nil
	case Readdress:
		return func() {
			r.changes++
			l.Readdress(linkAddr(f.Link, r.changes, plan.Addr.Is6()))
		}, nil
	case Replay:
		return func() { r.attack(f, r.replay) }, nil
	case Noise:
		return func() { r.attack(f, r.noise) }, nil
	case RestartLocal, RestartRemote:
		h := r.local
		if f.Kind == RestartRemote {
			h = r.remote
		}
		return func() { r.stopPortal(h, f.Value > .5) }, func() { r.startPortal(h) }
	}
	panic("simnet: unknown fault")
}

// record keeps a sample of the datagrams that are sent: of each pipe every 8th
// of the last thousand.
func (r *runner) record(d Datagram) {
	if d.TCP || d.Number%8 != 0 {
		return
	}
	tape := r.tapes[d.Pipe]
	if len(tape) < 128 {
		d.Data = slices.Clone(d.Data)
		r.tapes[d.Pipe] = append(tape, d)
		return
	}
	slot := &tape[d.Number/8%uint64(len(tape))]
	d.Data = append(slot.Data[:0], d.Data...)
	*slot = d
}

// attack sends 500 datagrams a second while f lasts.
func (r *runner) attack(f Fault, send func()) {
	end := f.At + f.For
	var next func()
	next = func() {
		if r.net.Now() < end {
			send()
			r.net.After(2*time.Millisecond, next)
		}
	}
	r.net.After(0, next) // from the network's goroutine, the first too
}

// replay repeats a recorded datagram: as it was, on another path, or from a
// stranger. It runs in the network's goroutine, as record does under its lock.
func (r *runner) replay() {
	r.net.mu.Lock()
	pipe := r.links[r.rng.IntN(len(r.links))].Up
	if r.rng.IntN(2) == 0 {
		pipe = pipe.link.Down
	}
	tape := r.tapes[pipe]
	if len(tape) == 0 {
		r.net.mu.Unlock()
		return
	}
	d := tape[r.rng.IntN(len(tape))]
	data := slices.Clone(d.Data)
	r.net.mu.Unlock()
	other := r.links[r.rng.IntN(len(r.links))].Public()
	from, to := d.From, d.To
	switch kind := r.rng.IntN(3); {
	case kind == 0:
		from = r.stranger(to.Addr().Is6())
	case kind == 1 && d.Pipe.up && other.Is4() == to.Addr().Is4():
		from = netip.AddrPortFrom(other, from.Port())
	case kind == 1 && !d.Pipe.up && other.Is4() == from.Addr().Is4():
		to = netip.AddrPortFrom(other, to.Port())
	}
	r.net.Inject(from, to, data)
}

func (r *runner) noise() {
	data := make([]byte, 1+r.rng.IntN(1400))
	for i := range data {
		data[i] = byte(r.rng.Uint32())
	}
	r.net.Inject(r.stranger(false), netip.AddrPortFrom(ScenarioRemote4, ScenarioPort), data)
}

func (r *runner) stranger(v6 bool) netip.AddrPort {
	x := r.rng.Uint32()
	addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(x)})
	if v6 {
		addr = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0x66, 15: byte(x)})
	}
	return netip.AddrPortFrom(addr, uint16(x>>16))
}
