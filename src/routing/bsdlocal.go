package routing

import (
	"fmt"
	"net/netip"
	"slices"

	"netcombiner/src/config"
)

func (p *bsdPlan) localBSD() error {
	ways := p.findWays()
	if p.portal() && p.spec.ClientInterface == "" {
		return errNoClient
	}
	if p.portal() && p.host.link(p.spec.ClientInterface) == nil {
		return fmt.Errorf("ClientInterface = %s: there is no such interface", p.spec.ClientInterface)
	}
	byPF := false
	if p.enters() || !p.leaveByThemselves(ways) {
		var err error
		if byPF, err = p.egress(ways); err != nil {
			return err
		}
	}
	switch p.spec.Mode {
	case config.RoutingNAT:
		p.localNAT(ways, byPF)
	case config.RoutingPortal:
		p.clientsPortal(byPF)
	}
	return nil
}

// enters says whether others' packets enter the tunnel by our doing.
func (p *bsdPlan) enters() bool {
	return p.spec.Mode == config.RoutingNAT || p.spec.Mode == config.RoutingPortal
}

// leaveByThemselves says whether nothing is to be done: one WAN is left, no socket
// is in a FIB of ours for it, and the host's own routes lead by it.
func (p *bsdPlan) leaveByThemselves(ways []*way) bool {
	if len(ways) != 1 {
		return len(ways) == 0
	}
	link := ways[0].link
	for _, device := range p.host.Ours {
		if device == link.Name {
			return false
		}
	}
	if len(p.spec.Remotes) == 0 {
		return p.leadsBy(0, link)
	}
	return !slices.ContainsFunc(p.spec.Remotes, func(e Endpoint) bool {
		to := e.Addr.Addr().Unmap()
		by := p.mainRoute(to)
		return len(addrsOf(link, to.Is6())) > 0 && (by == nil || by.Device != link.Name)
	})
}

// mainRoute is FIB 0's own route to an address, the most specific one; nil where
// it has none.
func (p *bsdPlan) mainRoute(to netip.Addr) (best *Route) {
	for i, r := range p.host.Routes {
		if r.Device != p.spec.Interface && r.To.Contains(to) && (best == nil || r.To.Bits() > best.To.Bits()) {
			best = &p.host.Routes[i]
		}
	}
	return best
}

// egress has each path leave by its own WAN, and says whether pf does it.
func (p *bsdPlan) egress(ways []*way) (byPF bool, err error) {
	all := ways
	ways = slices.DeleteFunc(slices.Clone(ways), func(w *way) bool {
		if p.reaches(w.link) {
			return false
		}
		p.notes = append(p.notes, noHop(w))
		p.useFIB(w, NoFIB)
		return true
	})
	lacking := p.chooseFIBs(ways)
	switch p.spec.Egress {
	case config.EgressPF:
		byPF = true
	case config.EgressFIB:
		if lacking > 0 {
			return false, fmt.Errorf("Egress = fib: %w; or Egress = pf", p.tooFewFIBs(ways, lacking))
		}
	default:
		byPF = lacking > 0
		// Where the Routing needs pf, it will say so.
		if notReady := p.host.PF.ready("Egress = pf", true, false); byPF && notReady != nil && !p.enters() {
			byPF, p.partial = false, true
			p.notes = append(p.notes, fmt.Sprintf("of several WANs some have no way of their own, and all they send leaves as the host's own routes lead: %v. Or: %v",
				p.tooFewFIBs(ways, lacking), notReady))
		}
	}
	if byPF || p.enters() { // which needs pf anyway
		if err := p.keepBack(all); err != nil {
			return false, err
		}
	}
	if (byPF || p.partial) && p.spec.Mode != config.RoutingNAT {
		p.remotesWithoutRoute(ways)
	}
	if byPF {
		return true, p.routeTo(ways)
	}
	for _, w := range ways {
		if w.lacking {
			continue
		}
		if w.copied {
			p.fillFIB(w)
		}
		p.useFIB(w, w.fib)
	}
	return false, nil
}

// keepBack drops what paths send by a WAN to a remote portal to which it does not
// lead, or only in the other family: the kernel's own route is another WAN's, or
// that into the tunnel, which would then carry itself.
func (p *bsdPlan) keepBack(ways []*way) error {
	for _, w := range ways {
		for _, e := range p.spec.Remotes {
			to := e.Addr.Addr().Unmap()
			proto, err := e.protocol()
			if err != nil {
				return err
			}
			own := addrsOf(w.link, to.Is6())
			if _, leads := p.toward(w.link, to); !leads && len(own) > 0 {
				p.filter("block drop out quick %s %s", pfFamily(to.Is6()), pfProto(proto, pfList(own), to.String(), e.Addr.Port()))
			}
		}
	}
	return nil
}

// remotesWithoutRoute leads to remote portals to which FIB 0 has no route, as when
// the WAN of its default route has gone: the kernel refuses what it has no route
// for before it asks pf.
func (p *bsdPlan) remotesWithoutRoute(ways []*way) {
	for _, e := range p.spec.Remotes {
		to := e.Addr.Addr().Unmap()
		if p.mainRoute(to) != nil {
			continue
		}
		i := slices.IndexFunc(ways, func(w *way) bool {
			_, ok := p.hop(w.link, to.Is6())
			return ok && len(addrsOf(w.link, to.Is6())) > 0
		})
		if i >= 0 {
			p.toRemote(to, ways[i].link)
		}
	}
}

// toRemote is FIB 0's route to a remote portal by a WAN, if its gateway is known.
func (p *bsdPlan) toRemote(to netip.Addr, by *Link) {
	hop, ok := p.hop(by, to.Is6())
	if !ok {
		return
	}
	if by.PointToPoint {
		hop = netip.Addr{}
	}
	p.fibRoute(0, Route{To: whole(to), Via: hop, Device: by.Name})
}

// noHop is for a WAN whose next hop nobody knows.
func noHop(w *way) string {
	where := "[Path]"
	if w.path != "" {
		where += " " + w.path
	}
	return fmt.Sprintf("interface %s has no gateway that a route, a DHCP lease or a router's advertisement tells: give Gateway = in %s; until then nothing leaves by it", w.link.Name, where)
}

// useFIB remembers which FIB is for a way's sockets.
func (p *bsdPlan) useFIB(w *way, fib int) {
	p.fibs[WAN{Device: w.link.Name}] = fib
	for _, own := range w.link.Addrs {
		p.fibs[WAN{Source: own.Addr()}] = fib
	}
	if p.linkOf(WAN{}) == w.link {
		p.fibs[WAN{}] = fib
	}
}

// routeTo has pf send by each WAN what paths send from its addresses, whatever the
// kernel's route is: to the remote portals, and to name servers, which are asked
// for these.
func (p *bsdPlan) routeTo(ways []*way) error {
	for _, w := range ways {
		for _, e := range p.spec.Remotes {
			to := e.Addr.Addr().Unmap()
			proto, err := e.protocol()
			if err != nil {
				return err
			}
			hop, ok := p.toward(w.link, to)
			own := addrsOf(w.link, to.Is6())
			if !ok || len(own) == 0 {
				continue
			}
			p.leave(w, hop, "", to.Is6(), pfProto(proto, pfList(own), to.String(), e.Addr.Port()))
		}
		for _, v6 := range []bool{false, true} {
			if hop, ok := p.hop(w.link, v6); ok && len(addrsOf(w.link, v6)) > 0 {
				p.leave(w, hop, "", v6, fmt.Sprintf("proto { tcp, udp } from %s to any port 53", pfList(addrsOf(w.link, v6))))
			}
		}
	}
	return nil
}

// leave is a rule by which packets leave by a WAN, wherever the kernel's route
// leads. Its states let the answers in; flags any, since a connection may be older
// than the rule.
func (p *bsdPlan) leave(w *way, hop netip.Addr, on string, v6 bool, packets string) {
	to := w.link.Name // point-to-point
	if hop.IsValid() {
		to = fmt.Sprintf("(%s %s)", w.link.Name, hop)
	}
	p.filter("pass out quick %sroute-to %s %s %s flags any keep state (sloppy, floating) label \"%s\"", on, to, pfFamily(v6), packets, p.name())
}

// localNAT sends everything into the tunnel for which the host has no route more
// specific than its default, by two routes that are more specific than that: the
// host's own stays as it is. What has a WAN's own address leaves there.
func (p *bsdPlan) localNAT(ways []*way, byPF bool) {
	tunnel := p.spec.Interface
	for _, v6 := range []bool{false, true} {
		if !p.tunnelHas(v6) {
			continue
		}
		p.forward(v6)
		inet := pfFamily(v6)
		for _, w := range ways {
			own := addrsOf(w.link, v6)
			hop, ok := p.hop(w.link, v6)
			if !ok || len(own) == 0 {
				continue
			}
			p.nat("no nat on %s %s from %s to any", tunnel, inet, pfList(own))
			p.leave(w, hop, "on "+tunnel+" ", v6, "from "+pfList(own)+" to any")
		}
		if v6 {
			p.nat("no nat on %s inet6 from fe80::/10 to any", tunnel)
		}
		for _, own := range p.spec.Address {
			if own.Addr().Is6() == v6 {
				p.nat("nat on %s %s from ! %s to any -> %[3]s", tunnel, inet, own.Addr())
				break
			}
		}
	}
	if byPF {
		p.unboundToRemotes()
	}
	for _, v6 := range []bool{false, true} {
		if p.tunnelHas(v6) {
			for _, half := range halves(v6) {
				p.fibRoute(0, Route{To: half, Device: tunnel})
			}
		}
	}
}

// unboundToRemotes keeps paths that are not bound out of the tunnel, where there
// is no FIB for them: the kernel takes their source from the route.
func (p *bsdPlan) unboundToRemotes() {
	if !slices.Contains(p.spec.WANs, WAN{}) {
		return
	}
	for _, e := range p.spec.Remotes {
		to := e.Addr.Addr().Unmap()
		by := p.mainDefault(to.Is6())
		if by == nil || p.onLink(to) {
			continue
		}
		p.toRemote(to, by)
	}
}

// onLink says whether FIB 0 has a route to an address that is no default.
func (p *bsdPlan) onLink(to netip.Addr) bool {
	return slices.ContainsFunc(p.host.Routes, func(r Route) bool { return r.To.Bits() > 0 && r.To.Contains(to) })
}

// halves are all addresses of a family, in two prefixes.
func halves(v6 bool) []netip.Prefix {
	if v6 {
		return []netip.Prefix{netip.MustParsePrefix("::/1"), netip.MustParsePrefix("8000::/1")}
	}
	return []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1"), netip.MustParsePrefix("128.0.0.0/1")}
}

// clientsPortal gives the client what comes out of the tunnel for a public
// address, and the tunnel what the client sends from there, but for what it sends
// to the portal itself and to everybody on its link. Without states: the client
// has a firewall of its own, and what comes in by one way may leave by another.
func (p *bsdPlan) clientsPortal(byPF bool) {
	tunnel, client := p.spec.Interface, p.spec.ClientInterface
	for _, v6 := range []bool{false, true} {
		public := ofAddrs(p.localPublic(), v6)
		if len(public) == 0 {
			continue
		}
		p.forward(v6)
		for _, own := range p.spec.Address {
			if own.Addr().Is6() == v6 {
				// With the tunnel's prefix: of the address alone the kernel has a
				// route already, and refuses it.
				p.add(Step{Alias: &Address{Device: client, Prefix: own}})
			}
		}
		inet, addrs, link := pfFamily(v6), pfList(public), "{ (self), 224.0.0.0/4, 255.255.255.255 }"
		if v6 {
			link = "{ (self), fe80::/10, ff00::/8 }"
		}
		p.filter("match in on %s %s from %s to %s tag %s", client, inet, addrs, link, p.tag("kept"))
		p.filter("pass in quick on %s route-to %s %s from %s to any no state allow-opts ! tagged %s", client, p.through(v6), inet, addrs, p.tag("kept"))
		p.filter("pass out quick on %s %s from %s to any no state allow-opts", tunnel, inet, addrs)
		p.filter("pass in quick on %s %s from any to %s no state allow-opts", tunnel, inet, addrs)
		p.filter("pass out quick on %s %s from any to %s no state allow-opts", client, inet, addrs)
		for _, a := range public {
			p.fibRoute(0, Route{To: whole(a), Device: client})
		}
	}
	if byPF && slices.Contains(p.spec.WANs, WAN{}) && slices.ContainsFunc(p.spec.Remotes, func(e Endpoint) bool {
		return slices.Contains(p.localPublic(), e.Addr.Addr().Unmap())
	}) {
		p.notes = append(p.notes, "a path without Bind goes where its remote portal's address is, which is with the client: give each [Path] Bind = its interface, or the host FIBs: "+
			fmt.Sprintf(fibsNeeded, p.host.FIBs+1))
	}
}
