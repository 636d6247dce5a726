package selftest

import (
	"fmt"
	"net/netip"
	"strings"

	"netcombiner/src/config"
	"netcombiner/src/routing"
	"netcombiner/src/transport"
)

// configured asks for what the tunnel's own configuration needs. Of one that runs,
// its interface, ports and routing are taken: by itself.
func (r *run) configured() {
	iface, c := r.tunnel.Interface, r.tunnel.Config
	running := r.Runs(iface)
	if running {
		r.ok("interface "+iface, "its tunnel runs, which has its ports and its routing: netcombiner show "+iface)
	} else {
		r.judge("interface "+iface, true, r.Free(iface), "the name is free", "")
	}
	for _, p := range c.Paths {
		r.path(p)
	}
	if running {
		return
	}
	for _, l := range c.Listens {
		r.listen(l)
	}
}

// anywhere are addresses that a path leads to whose remote is a name: those for
// documentation. A socket that is connected to them sends nothing.
var anywhere = []string{"192.0.2.1", "2001:db8::1"}

// path looks for its way out, by a socket that sends nothing.
func (r *run) path(p config.Path) {
	hosts := anywhere
	if _, err := netip.ParseAddr(p.Remote.Host); err == nil {
		hosts = []string{p.Remote.Host}
	}
	var why []string
	for _, host := range hosts {
		to := netip.AddrPortFrom(netip.MustParseAddr(host), max(p.Remote.Port, 1))
		f, err := r.Dial(r.ctx, transport.Bind{Device: p.Device, Addr: p.Source}, to, nil)
		if err == nil {
			r.ok("path "+p.Name, fmt.Sprintf("would leave from %v", f.Local().Addr()))
			f.Close()
			return
		}
		why = append(why, err.Error())
	}
	r.say("path "+p.Name, true, Missing, strings.Join(why, "; "), "plug the link in, or correct Bind in [Path] "+p.Name)
}

// listen takes the place of a [Listen], and gives it back.
func (r *run) listen(c config.Listen) {
	for _, t := range r.Transports() {
		if t.Name() != c.Transport {
			continue
		}
		if n, ok := t.(transport.Numbered); ok {
			t = n.Number(c.Protocol)
		}
		l, err := t.Listen(r.ctx, c.Address)
		if err == nil {
			l.Close()
		}
		r.judge("[Listen] "+c.Transport, true, err, fmt.Sprintf("%v is free", c.Address), "")
	}
}

// routing plans that of the tunnel, with the selftest's TUN in the place of its own,
// which is not there yet.
func (r *run) routing() {
	if r.tunnel == nil || r.Runs(r.tunnel.Interface) {
		return
	}
	c := r.tunnel.Config
	spec := routing.SpecOf(Name, c)
	for _, p := range c.Paths {
		if a, err := netip.ParseAddr(p.Remote.Host); err == nil {
			spec.Remotes = append(spec.Remotes, routing.Endpoint{Transport: p.Transport, Protocol: p.Protocol, Addr: netip.AddrPortFrom(a, p.Remote.Port)})
		}
	}
	steps, notes, err := r.Try(spec)
	for _, n := range notes {
		r.say("routing", true, Missing, n, "")
	}
	if err == nil && len(notes) > 0 {
		return
	}
	r.judge("routing", true, err, fmt.Sprintf("Routing = %s takes %d changes to this host", spec.Mode, len(steps)), "")
}
