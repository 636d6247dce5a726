package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (p *planner) local() error {
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
	p.ruleset(Ruleset{Name: p.name(), Body: p.translation()})
	for _, is6 := range []bool{false, true} {
		if is6 && !v6 || !is6 && !v4 {
			continue
		}
		if err := p.ownPackets(wans, is6); err != nil {
			return err
		}
		table := p.table + tableFromClient
		p.route(Route{Table: table, To: anywhere(is6), Device: p.spec.Interface})
		p.rule(Rule{V6: is6, Priority: prioMain, Table: tableMain, Specific: true})
		p.sourceAny(wans, is6)
		p.rule(Rule{V6: is6, Priority: prioDefault, Table: table})
	}
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
	public := p.spec.Public
	if len(public) == 0 {
		for _, remote := range p.spec.Remotes {
			if addr := remote.Addr.Addr().Unmap(); !slices.Contains(public, addr) {
				public = append(public, addr)
			}
		}
	}
	for _, is6 := range []bool{false, true} {
		if !slices.ContainsFunc(public, func(a netip.Addr) bool { return a.Is6() == is6 }) {
			continue
		}
		if is6 {
			p.forward6()
		} else {
			p.forward4(p.spec.Interface, client)
		}
		p.gateway(client, is6)
		if err := p.ownPackets(wans, is6); err != nil {
			return err
		}
		fromClient, toClient := p.table+tableFromClient, p.table+tableToClient
		p.route(Route{Table: fromClient, To: anywhere(is6), Device: p.spec.Interface})
		for _, addr := range public {
			if addr.Is6() != is6 {
				continue
			}
			p.route(Route{Table: toClient, To: whole(addr), Device: client})
			p.rule(Rule{V6: is6, Priority: prioClient, From: whole(addr), In: client, Table: fromClient})
			p.rule(Rule{V6: is6, Priority: prioToClient, To: whole(addr), Table: toClient})
		}
		p.rule(Rule{V6: is6, Priority: prioMain, Table: tableMain, Specific: true})
		p.sourceAny(wans, is6)
	}
	return nil
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
		link := p.host.link(w.Device)
		if w.Device == "" && w.Source.IsValid() {
			link = p.host.holder(w.Source)
		}
		if link != nil && link.Name != p.spec.Interface && !slices.Contains(wans, link) {
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
	hasDefault := false
	for _, gateways := range []bool{false, true} {
		for _, r := range p.host.Routes {
			local := r.To.Addr().IsLinkLocalUnicast() || r.To.Addr().IsMulticast()
			if r.Device == wan.Name && r.To.Addr().Is6() == v6 && r.Via.IsValid() == gateways && !local {
				r.Table = table
				p.route(r)
				hasDefault = hasDefault || r.To.Bits() == 0
			}
		}
	}
	if hasDefault {
		return
	}
	// Of two WANs in one subnet, often only one has a default route. Its
	// gateway serves the other one, too.
	for _, r := range p.host.Routes {
		if r.To != anywhere(v6) || !r.Via.IsValid() {
			continue
		}
		if slices.ContainsFunc(wan.Addrs, func(own netip.Prefix) bool { return own.Masked().Contains(r.Via) }) {
			p.route(Route{Table: table, To: r.To, Via: r.Via, Device: wan.Name})
			return
		}
	}
}

// translation gives what enters the tunnel the tunnel's own address. Not by
// "masquerade": the kernel forgets those connections when the interface goes,
// and every one would break when the daemon is restarted.
func (p *planner) translation() string {
	var b strings.Builder
	b.WriteString("\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy accept;\n")
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
	b.WriteString("\t}\n")
	return b.String()
}
