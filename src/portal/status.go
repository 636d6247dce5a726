package portal

import (
	"net/netip"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/mono"
	"netcombiner/src/path"
)

// Status is what `netcombiner show --json` prints.
func (p *Portal) Status() control.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, k := p.clock.Now(), p.core
	st := control.Status{
		Interface: p.Device.Name(), Role: string(p.Config.Interface.Role), Version: p.Version,
		UptimeS: now.Sub(p.started).Seconds(), MTU: k.mtu, Rejected: k.rejected, Paths: []control.Path{},
	}
	st.Session = control.Session{State: "none", AgeS: k.session.Age(now).Seconds(), Handshakes: k.session.Handshakes}
	if e := k.session.Sending(now); e != nil {
		st.Session.State, st.Session.Suite = "established", e.Suite.Name
	} else if k.session.Shaking() {
		st.Session.State = "handshake"
	}
	for _, c := range p.keepers { // the local portal's
		st.Paths = append(st.Paths, p.keptStatus(now, c))
	}
	for _, q := range k.paths {
		if q != nil && !k.local {
			st.Paths = append(st.Paths, p.pathStatus(now, q))
		}
	}
	x := k.exchange
	st.Tunnel.Tx = control.Count{Packets: x.TxPackets, Bytes: x.TxBytes}
	st.Tunnel.Rx = k.rx
	packets, bytes, delay := x.Queued(now)
	st.Tunnel.Queue = control.Queue{Packets: packets, Bytes: bytes, DelayMs: ms(delay), Dropped: x.Dropped() + k.unread + k.unheard}
	r := &x.Resequencer
	st.Tunnel.Resequencer = control.Resequencer{Held: r.Held(), ReleasedLate: r.ReleasedLate, HoldMs: ms(r.Hold())}
	st.Totals = p.quotas.totals(k)
	st.Hints = append(k.hints(now, now.Sub(p.started)), p.quotas.hints()...)
	return st
}

func (p *Portal) pathStatus(now mono.Time, q *path.Path) control.Path {
	state, since := q.State()
	s := control.Path{
		Name: q.Name, State: state.String(), Transport: q.Transport, Metric: q.Metric, Congestion: q.Congestion,
		RTTMs: ms(q.RTT()), RTTMinMs: ms(q.MinRTT()), Loss: q.Loss(), RateBps: q.RateBps(now),
		WindowPackets: q.Window(), InFlightPackets: q.InFlight(), MTU: q.MTU(),
		Tx:          control.Count{Packets: q.TxPackets, Bytes: q.TxBytes},
		Rx:          control.Count{Packets: q.RxPackets, Bytes: q.RxBytes},
		LostPackets: q.Lost, ReinjectedPackets: q.Reinjected,
		StateS: now.Sub(since).Seconds(), Failures: q.Failures,
	}
	if state == path.Up && (q.Spared || q.Metric > p.core.serving()) {
		s.State = "standby"
	}
	if local, remote := q.Addresses(); remote.IsValid() {
		s.Local, s.Remote = place(local), place(remote)
	}
	return s
}

// keptStatus is the status of a path of the local portal: with what was
// configured, where there is nothing better to tell.
func (p *Portal) keptStatus(now mono.Time, k *keeper) control.Path {
	c := k.config
	s := control.Path{Name: c.Name, Transport: c.Transport, State: path.Down.String(), Congestion: c.Congestion}
	if k.path != nil {
		s = p.pathStatus(now, k.path)
	}
	if k.stop == nil { // perhaps about to be
		s.State, s.Congestion = path.Down.String(), c.Congestion
	}
	s.Metric, s.Quota = c.Metric, p.quotas.status(c.Name) // the metric also while the quota is used up
	if s.State == path.Down.String() {                    // what is waited for
		s.Local, s.Remote = c.Device, c.Remote.String()
		if c.Source.IsValid() {
			s.Local = c.Source.String()
		}
	}
	return s
}

// place is an address and its port, where it has one.
func place(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
