package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (p *planner) local() error {
	if err := p.checkSets(); err != nil {
		return err
	}
	wans, err := p.wans()
	if err != nil {
		return err
	}
	for _, wan := range wans {
		p.noARPFlux(wan.Name)
	}
	if p.portal() {
		return p.localPortal(wans)
	}
	v4, v6 := p.tunnelHas(false), p.tunnelHas(true)
	if v4 {
		p.forward4(p.spec.Interface)
		p.forward4(p.inside(wans)...)
	}
	if v6 {
		p.forward6()
	}
	p.exits()
	p.ruleset(Ruleset{Name: p.name(), Body: p.postrouting(p.translation()) + p.guard()})
	for _, is6 := range []bool{false, true} {
		tunnelled := p.tunnelHas(is6)
		if !tunnelled && len(p.bypassWays(is6)) == 0 {
			continue
		}
		if err := p.ownPackets(wans, is6); err != nil {
			return err
		}
		p.rule(Rule{V6: is6, Priority: prioMain, Table: tableMain, Specific: true})
		p.sourceAny(wans, is6)
		p.bypasses(is6)
		if !tunnelled {
			continue
		}
		table := p.table + tableFromClient
		p.route(Route{Table: table, To: anywhere(is6), Device: p.spec.Interface})
		if p.spec.Direct {
			table = p.directTable(is6)
		}
		p.rule(Rule{V6: is6, Priority: prioDefault, Table: table})
	}
	p.sets()
	return nil
}

func (p *planner) localPortal(wans []*Link) error {
	client := p.spec.ClientInterface
	if client == "" {
		return errNoClient
	}
	if p.host.link(client) == nil {
		return fmt.Errorf("ClientInterface = %s: there is no such interface", client)
	}
	public := p.localPublic()
	p.exits()
	if p.masquerades() != "" {
		p.ruleset(Ruleset{Name: p.name(), Body: p.postrouting("") + p.guard()})
	}
	for _, is6 := range []bool{false, true} {
		held := slices.ContainsFunc(public, func(a netip.Addr) bool { return a.Is6() == is6 })
		if !held && len(p.bypassWays(is6)) == 0 {
			continue
		}
		if held && is6 {
			p.forward6()
		} else if held {
			p.forward4(p.spec.Interface, client)
		}
		if held {
			p.gateway(client, is6)
		}
		if err := p.ownPackets(wans, is6); err != nil {
			return err
		}
		p.rule(Rule{V6: is6, Priority: prioMain, Table: tableMain, Specific: true})
		p.sourceAny(wans, is6)
		bypasses := p.bypasses(is6)
		if !held {
			continue
		}
		fromClient, toClient := p.table+tableFromClient, p.table+tableToClient
		p.route(Route{Table: fromClient, To: anywhere(is6), Device: p.spec.Interface})
		if p.spec.Direct {
			fromClient = p.directTable(is6)
		}
		for _, addr := range public {
			if addr.Is6() != is6 {
				continue
			}
			p.route(Route{Table: toClient, To: whole(addr), Device: client})
			into := Rule{V6: is6, Priority: prioClient, From: whole(addr), In: client, Table: fromClient}
			if bypasses > 0 {
				// By way of these, and past the user's rules as without.
				around := into
				around.Table, around.Goto = 0, bypasses
				p.rule(around)
				into.Priority = prioDefault
			}
			p.rule(into)
			p.rule(Rule{V6: is6, Priority: prioToClient, To: whole(addr), Table: toClient})
		}
	}
	p.sets()
	return nil
}

// localPublic lists the public addresses, configured or known from the paths.
func (p *planner) localPublic() []netip.Addr {
	public := p.spec.Public
	if len(public) == 0 {
		for _, remote := range p.spec.Remotes {
			if addr := remote.Addr.Addr().Unmap(); !slices.Contains(public, addr) {
				public = append(public, addr)
			}
		}
	}
	return public
}

// inside lists the devices behind which LANs may be: those with an IPv4
// address that are no way out.
func (p *planner) inside(wans []*Link) (devices []string) {
	outside := p.outside()
	for _, wan := range wans {
		outside = append(outside, wan.Name)
	}
	for _, l := range p.host.Links {
		has4 := slices.ContainsFunc(l.Addrs, func(a netip.Prefix) bool { return a.Addr().Is4() })
		if has4 && !l.Loopback && !slices.Contains(outside, l.Name) {
			devices = append(devices, l.Name)
		}
	}
	return devices
}

// gateway puts the tunnel's own addresses on the client's device, where the
// client looks for its gateway.
func (p *planner) gateway(client string, v6 bool) {
	for _, own := range p.spec.Address {
		if own.Addr().Is6() == v6 {
			p.add(Step{Address: &Address{Device: client, Prefix: whole(own.Addr())}})
		}
	}
}

// wans lists the devices that paths are bound to, each once, in the paths'
// order. A device that is not there (yet) is not one.
func (p *planner) wans() (wans []*Link, err error) {
	for _, w := range p.spec.WANs {
		link := p.wan(w)
		if link != nil && !slices.Contains(wans, link) {
			wans = append(wans, link)
		}
	}
	if len(wans) > maxWANs {
		return nil, fmt.Errorf("at most %d WANs", maxWANs)
	}
	return wans, nil
}

// ownPackets keeps what paths send out of the tunnel, each on its own WAN.
func (p *planner) ownPackets(wans []*Link, v6 bool) error {
	for i, wan := range wans {
		table := p.table + tableWAN + uint32(i)
		p.copyRoutes(wan, table, v6)
		p.rule(Rule{V6: v6, Priority: prioBound, Out: wan.Name, Table: table})
		for _, own := range wan.Addrs {
			if own.Addr().Is6() != v6 {
				continue
			}
			p.rule(Rule{V6: v6, Priority: prioSource, From: whole(own.Addr()), Table: table, Specific: true})
			for _, remote := range p.spec.Remotes {
				if addr := remote.Addr.Addr().Unmap(); addr.Is6() == v6 {
					p.rule(Rule{V6: v6, Priority: prioPath, From: whole(own.Addr()), To: whole(addr), Table: table})
				}
			}
		}
	}
	for _, remote := range p.spec.Remotes {
		addr := remote.Addr.Addr().Unmap()
		if addr.Is6() != v6 {
			continue
		}
		proto, err := remote.protocol()
		if err != nil {
			return err
		}
		path := Rule{V6: v6, To: whole(addr), In: "lo", Proto: proto, Port: remote.Addr.Port()}
		unbound, nowhere := path, path
		unbound.Priority, unbound.Table = prioUnbound, tableMain
		nowhere.Priority = prioUnreachable
		p.rule(unbound)
		p.rule(nowhere)
	}
	return nil
}

// sourceAny lets what else is bound to an address of a WAN leave there.
func (p *planner) sourceAny(wans []*Link, v6 bool) {
	for i, wan := range wans {
		for _, own := range wan.Addrs {
			if own.Addr().Is6() == v6 {
				p.rule(Rule{V6: v6, Priority: prioSourceAny, From: whole(own.Addr()), Table: p.table + tableWAN + uint32(i)})
			}
		}
	}
}

// copyRoutes copies the main table's routes by a WAN's device: first those
// without a gateway, since the gateways of the others must be reachable.
func (p *planner) copyRoutes(wan *Link, table uint32, v6 bool) {
	for _, gateways := range []bool{false, true} {
		for _, r := range p.host.Routes {
			local := r.To.Addr().IsLinkLocalUnicast() || r.To.Addr().IsMulticast()
			if r.Device == wan.Name && r.To.Addr().Is6() == v6 && r.Via.IsValid() == gateways && !local {
				r.Table = table
				p.route(r)
			}
		}
	}
	for _, r := range p.defaults(wan, v6) {
		r.Table = table
		p.route(r)
	}
}

// defaults are a WAN's default routes.
func (p *planner) defaults(wan *Link, v6 bool) (routes []Route) {
	for _, r := range p.host.Routes {
		if r.To == anywhere(v6) && r.Device == wan.Name {
			routes = append(routes, r)
		}
	}
	if len(routes) > 0 {
		return routes
	}
	// Of two WANs in one subnet, often only one has a default route. Its
	// gateway serves the other one, too.
	for _, r := range p.host.Routes {
		if r.To != anywhere(v6) || !r.Via.IsValid() {
			continue
		}
		if slices.ContainsFunc(wan.Addrs, func(own netip.Prefix) bool { return own.Masked().Contains(r.Via) }) {
			return []Route{{To: r.To, Via: r.Via, Device: wan.Name}}
		}
	}
	return nil
}

// translation gives what enters the tunnel the tunnel's own address. Not by
// "masquerade": the kernel forgets those connections when the interface goes,
// and every one would break when the daemon is restarted.
func (p *planner) translation() string {
	var b strings.Builder
	for _, is6 := range []bool{false, true} {
		family := "ip"
		if is6 {
			family = "ip6"
		}
		for _, a := range p.spec.Address {
			if a.Addr().Is6() == is6 {
				fmt.Fprintf(&b, "\t\toifname \"%s\" snat %s to %s\n", p.spec.Interface, family, a.Addr())
				break
			}
		}
	}
	return b.String()
}

// postrouting is the chain of these rules and of what leaves beside the tunnel.
func (p *planner) postrouting(rules string) string {
	return "\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n" + rules + p.masquerades() + "\t}\n"
}
