package routing

import (
	"net/netip"
	"slices"
)

// remoteNAT gives what comes out of the tunnel the address of the device by which
// it leaves: what the tunnel's subnet sends, and networks to which the host has
// routes through it. By source, so that it works where pf skips the tunnel.
func (p *bsdPlan) remoteNAT() {
	for _, v6 := range []bool{false, true} {
		if !p.tunnelHas(v6) {
			continue
		}
		p.forward(v6)
		home := pfList(p.homes(v6))
		for _, l := range p.host.Links {
			if !l.Loopback && l.Name != p.spec.Interface && len(addrsOf(&l, v6)) > 0 {
				p.nat("nat on %[1]s %[2]s from %[3]s to any -> (%[1]s:0)", l.Name, pfFamily(v6), home)
			}
		}
	}
}

// homes are the networks behind the tunnel.
func (p *bsdPlan) homes(v6 bool) (nets []netip.Prefix) {
	use := func(n netip.Prefix) {
		if n = n.Masked(); n.Addr().Is6() == v6 && n.Bits() > 0 && !n.Addr().IsLinkLocalUnicast() && !n.Addr().IsMulticast() && !slices.Contains(nets, n) {
			nets = append(nets, n)
		}
	}
	for _, own := range p.spec.Address {
		use(own)
	}
	for _, r := range p.host.Routes {
		if r.Device == p.spec.Interface && !slices.ContainsFunc(nets, func(n netip.Prefix) bool { return n.Contains(r.To.Addr()) }) {
			use(r.To)
		}
	}
	return nets
}

// remotePortal sends what comes for a public address into the tunnel, before the
// kernel can take it for its own. The address stays on its device, which answers
// ARP for it. What stays with the host is known by a tag, and then the host's own
// rules decide on it; the answers to what the host itself sends, by states. What
// the client sends comes out of the tunnel and leaves without a state: its answers
// are to enter the tunnel.
func (p *bsdPlan) remotePortal() error {
	public := p.remotePublic()
	for _, v6 := range []bool{false, true} {
		addrs := ofAddrs(public, v6)
		if len(addrs) == 0 {
			continue
		}
		p.forward(v6)
		kept, client := p.tag("kept"), p.tag("client")
		on, inet, to := pfWords(p.publicDevices(addrs)), pfFamily(v6), pfList(addrs)
		if err := p.kept(on, addrs, v6, kept); err != nil {
			return err
		}
		p.filter("pass in quick on %s route-to %s %s from any to %s no state allow-opts ! tagged %s", on, p.through(v6), inet, to, kept)
		p.filter("pass out quick on %s %s from any to %s no state allow-opts", p.spec.Interface, inet, to)
		p.filter("pass in quick on %s %s from %s to any no state allow-opts tag %s", p.spec.Interface, inet, to, client)
		p.filter("pass out quick on %s %s from %s to any no state allow-opts tagged %s", on, inet, to, client)
		p.filter("pass out on %s %s from %s to any flags any keep state (sloppy)", on, inet, to)
	}
	return nil
}

// publicDevices are those outside, and those that hold public addresses.
func (p *bsdPlan) publicDevices(addrs []netip.Addr) []string {
	devices := p.outside()
	for _, a := range addrs {
		if holder := p.host.holder(a); holder != nil && !slices.Contains(devices, holder.Name) {
			devices = append(devices, holder.Name)
		}
	}
	return devices
}

// kept tags what stays with the host. "match" decides nothing.
func (p *bsdPlan) kept(on string, addrs []netip.Addr, v6 bool, tag string) error {
	inet, to := pfFamily(v6), pfList(addrs)
	for _, port := range p.spec.KeepPorts {
		p.filter("match in on %s %s %s tag %s", on, inet, pfProto(protoTCP, "any", to, port), tag)
	}
	for _, listen := range p.spec.Listens {
		proto, err := listen.protocol()
		if err != nil {
			return err
		}
		at := listen.Addr.Addr().Unmap()
		if all := at.IsUnspecified() && (at.Is6() || !v6); all {
			p.filter("match in on %s %s %s tag %s", on, inet, pfProto(proto, "any", to, listen.Addr.Port()), tag)
		} else if slices.Contains(addrs, at) {
			p.filter("match in on %s %s %s tag %s", on, inet, pfProto(proto, "any", at.String(), listen.Addr.Port()), tag)
		}
	}
	if v6 {
		p.filter("match in on %s inet6 proto ipv6-icmp from any to %s icmp6-type { routeradv, neighbrsol, neighbradv } tag %s", on, to, tag)
	}
	return nil
}
