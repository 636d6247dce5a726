package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"netcombiner/src/config"
)

// FreeBSD binds no socket to a device. How a path leaves by its own WAN there:
//
//	FIB       a routing table by its number; a socket is in one (SO_SETFIB), and
//	          without a word about it in that of its process, 0. net.fibs says
//	          how many the host has
//	egress    by a FIB for each WAN, or, where there are too few, by pf: a rule
//	          route-to for what has the WAN's address as its source
//	hop       the next one: a WAN's gateway, or the other end itself
//	way       a WAN as it is used: its device, and where it leads

// way is a WAN by which paths leave.
type way struct {
	link    *Link
	path    string // the name of a path by it, for what a person reads
	fib     int    // with egress by FIB
	copied  bool   // the FIB's routes are ours to make
	lacking bool   // there is no FIB for it
}

// NoFIB is in the place of a FIB's number for a WAN that leads nowhere.
const NoFIB = -1

// fibsNeeded is what to tell somebody whose host has too few.
const fibsNeeded = "put net.fibs=%[1]d into /boot/loader.conf, and, for it to hold at once, sysctl net.fibs=%[1]d"

// findWays lists the WANs, each device once, in the paths' order. What is not bound
// goes by the device of the host's own default route.
func (p *bsdPlan) findWays() (ways []*way) {
	for _, w := range p.spec.WANs {
		link := p.linkOf(w)
		if link == nil || len(link.Addrs) == 0 || slices.ContainsFunc(ways, func(o *way) bool { return o.link == link }) {
			continue
		}
		ways = append(ways, &way{link: link, path: p.pathBy(link)})
	}
	return ways
}

// linkOf is the device by which a WAN's paths leave; nil while there is none.
func (p *bsdPlan) linkOf(w WAN) *Link {
	if w != (WAN{}) {
		return p.wan(w)
	}
	for _, v6 := range []bool{false, true} {
		if by := p.mainDefault(v6); by != nil {
			return by
		}
	}
	return nil
}

// mainDefault is the device of the host's own default route of a family.
func (p *bsdPlan) mainDefault(v6 bool) *Link {
	for _, r := range p.all {
		if r.Table == 0 && r.To == anywhere(v6) && r.Device != p.spec.Interface {
			return p.host.link(r.Device)
		}
	}
	return nil
}

// pathBy is the name of a path that leaves by a device.
func (p *bsdPlan) pathBy(link *Link) string {
	for _, c := range p.spec.Paths {
		if p.linkOf(WAN{c.Device, c.Source}) == link {
			return c.Name
		}
	}
	return ""
}

// routesBy are the routes by a device, of the FIBs in which it has some of its
// own, but those of links' own protocols; without gateways first.
func (p *bsdPlan) routesBy(link *Link, v6 bool) (routes []Route) {
	for _, gateways := range []bool{false, true} {
		for _, r := range p.all {
			local := r.To.Addr().IsLinkLocalUnicast() || r.To.Addr().IsMulticast()
			if r.Device != link.Name || r.To.Addr().Is6() != v6 || r.Via.IsValid() != gateways || local || r.To.Bits() == 0 {
				continue
			}
			if !slices.ContainsFunc(routes, func(o Route) bool { return o.To == r.To }) {
				routes = append(routes, r)
			}
		}
	}
	return routes
}

// hop is a WAN's gateway, whoever knows it: the configuration, a default route in
// any FIB, one of another device in the same subnet, a DHCP lease or a router's
// advertisement. A point-to-point device needs none: then the address is that of
// its other end, or none. ok is false where nobody knows.
func (p *bsdPlan) hop(link *Link, v6 bool) (hop netip.Addr, ok bool) {
	of := func(a netip.Addr) bool { return a.Is6() == v6 }
	for _, c := range p.spec.Paths {
		if p.linkOf(WAN{c.Device, c.Source}) != link {
			continue
		}
		if i := slices.IndexFunc(c.Gateway, of); i >= 0 {
			return c.Gateway[i], true
		}
	}
	for _, r := range p.all {
		if r.Device == link.Name && r.To == anywhere(v6) {
			return r.Via, true
		}
	}
	for _, r := range p.all {
		inside := func(own netip.Prefix) bool { return own.Masked().Contains(r.Via) }
		if r.To == anywhere(v6) && r.Via.IsValid() && slices.ContainsFunc(link.Addrs, inside) {
			return r.Via, true
		}
	}
	for _, a := range p.host.Gateways[link.Name] {
		if of(a) && p.onWire(link, a) {
			return a, true
		}
	}
	if link.PointToPoint && len(addrsOf(link, v6)) > 0 {
		return p.otherEnd(link, v6), true
	}
	return netip.Addr{}, false
}

// onWire says whether a device reaches an address without a gateway: a lease may be
// of the network where it was before.
func (p *bsdPlan) onWire(link *Link, a netip.Addr) bool {
	return a.IsLinkLocalUnicast() ||
		slices.ContainsFunc(link.Addrs, func(own netip.Prefix) bool { return own.Masked().Contains(a) }) ||
		slices.ContainsFunc(p.routesBy(link, a.Is6()), func(r Route) bool { return !r.Via.IsValid() && r.To.Contains(a) })
}

// otherEnd is that of a point-to-point device; the kernel has a route to it.
func (p *bsdPlan) otherEnd(link *Link, v6 bool) netip.Addr {
	for _, r := range p.routesBy(link, v6) {
		if r.To.IsSingleIP() && !r.Via.IsValid() && p.host.holder(r.To.Addr()) == nil {
			return r.To.Addr()
		}
	}
	return netip.Addr{}
}

// toward is the next hop by a WAN to an address: of its routes the most specific
// one's, or else its gateway. ok is false where there is no way.
func (p *bsdPlan) toward(link *Link, to netip.Addr) (hop netip.Addr, ok bool) {
	best := -1
	for _, r := range p.routesBy(link, to.Is6()) {
		if !r.To.Contains(to) || r.To.Bits() <= best {
			continue
		}
		best, hop = r.To.Bits(), r.Via
		if !hop.IsValid() {
			hop = to
		}
	}
	if best >= 0 {
		return hop, true
	}
	hop, ok = p.hop(link, to.Is6())
	if ok && !hop.IsValid() {
		hop = to
	}
	return hop, ok
}

// reaches says whether a way leads to some remote portal, or to all that a name
// may yet turn out to be.
func (p *bsdPlan) reaches(link *Link) bool {
	if len(p.spec.Remotes) == 0 {
		return true
	}
	return slices.ContainsFunc(p.spec.Remotes, func(e Endpoint) bool {
		to := e.Addr.Addr().Unmap()
		_, ok := p.toward(link, to)
		return ok && len(addrsOf(link, to.Is6())) > 0
	})
}

// chooseFIBs gives each way a FIB. lacking is how many more the host would need.
func (p *bsdPlan) chooseFIBs(ways []*way) (lacking int) {
	var taken []int
	for _, w := range ways {
		fib, copied, ok := p.fibFor(w, taken)
		if !ok {
			w.lacking = true
			lacking++
			continue
		}
		w.fib, w.copied = fib, copied
		taken = append(taken, fib)
	}
	return lacking
}

// fibFor chooses: the one that is ours already, in which sockets are; the host's own
// table where all leaves by this WAN and nothing is to enter the tunnel there; one
// that somebody has prepared for the WAN; one that is empty, from the top.
func (p *bsdPlan) fibFor(w *way, taken []int) (fib int, copied, ok bool) {
	for fib = p.host.FIBs - 1; fib > 0; fib-- {
		if p.host.Ours[fib] == w.link.Name && !slices.Contains(taken, fib) {
			return fib, true, true
		}
	}
	if p.spec.Mode == config.RoutingNone && p.leadsBy(0, w.link) {
		return 0, false, true
	}
	if own := w.link.FIB; own > 0 && own < p.host.FIBs && !p.leadsElsewhere(own, w.link) {
		return own, true, true // what it lacks is made
	}
	for fib = 1; fib < p.host.FIBs; fib++ {
		if _, ours := p.host.Ours[fib]; !ours && p.leadsBy(fib, w.link) {
			return fib, false, true
		}
	}
	for fib = p.host.FIBs - 1; fib > 0; fib-- {
		if !slices.Contains(taken, fib) && p.isFree(fib, w.link) {
			return fib, true, true
		}
	}
	return 0, false, false
}

// leadsBy says whether a FIB's default routes are a device's and nobody else's, in
// each family in which the device leads somewhere.
func (p *bsdPlan) leadsBy(fib int, link *Link) bool {
	if p.leadsElsewhere(fib, link) {
		return false
	}
	found := false
	for _, v6 := range []bool{false, true} {
		has := p.hasDefault(fib, link, v6)
		if _, known := p.hop(link, v6); known && len(addrsOf(link, v6)) > 0 && !has {
			return false
		}
		found = found || has
	}
	return found
}

func (p *bsdPlan) hasDefault(fib int, link *Link, v6 bool) bool {
	return slices.ContainsFunc(p.all, func(r Route) bool {
		return int(r.Table) == fib && r.To == anywhere(v6) && r.Device == link.Name
	})
}

func (p *bsdPlan) leadsElsewhere(fib int, link *Link) bool {
	return slices.ContainsFunc(p.all, func(r Route) bool {
		return int(r.Table) == fib && r.To.Bits() == 0 && r.Device != link.Name
	})
}

// isFree says whether a FIB is for the taking: it is no device's and no other
// tunnel's, leads nowhere, and has nothing where a WAN's routes are to stand.
func (p *bsdPlan) isFree(fib int, link *Link) bool {
	if _, ours := p.host.Ours[fib]; ours || slices.ContainsFunc(p.host.Links, func(l Link) bool { return l.FIB == fib }) {
		return false
	}
	return !slices.ContainsFunc(p.all, func(r Route) bool {
		if int(r.Table) != fib {
			return false
		}
		if r.Via.IsValid() || r.To.Bits() == 0 {
			return true
		}
		return r.Device != link.Name && slices.ContainsFunc(p.routesBy(link, r.To.Addr().Is6()), func(own Route) bool { return own.To == r.To })
	})
}

// fillFIB makes the routes of a WAN's own FIB: those by its device, and then the
// default, whose gateway they reach.
func (p *bsdPlan) fillFIB(w *way) {
	for _, v6 := range []bool{false, true} {
		if len(addrsOf(w.link, v6)) == 0 {
			continue
		}
		for _, r := range p.routesBy(w.link, v6) {
			r.Source = netip.Addr{}
			p.fibRoute(w.fib, r)
		}
		if hop, ok := p.hop(w.link, v6); ok && !p.hasDefault(w.fib, w.link, v6) {
			if w.link.PointToPoint {
				hop = netip.Addr{}
			}
			p.fibRoute(w.fib, Route{To: anywhere(v6), Via: hop, Device: w.link.Name})
		}
	}
}

func (p *bsdPlan) fibRoute(fib int, r Route) {
	r.Table = uint32(fib)
	p.add(Step{FIB: &r})
}

// forgetFIBs takes out the routes that steps made, ours and other tunnels', but
// remembers whose FIBs these are.
func (h *Host) forgetFIBs(steps index) {
	made := map[Route]bool{}
	for _, step := range steps {
		if step.FIB == nil {
			continue
		}
		made[step.FIB.inFIB()] = true
		if fib := int(step.FIB.Table); fib > 0 {
			if h.Ours == nil {
				h.Ours = map[int]string{}
			}
			h.Ours[fib] = step.FIB.Device
		}
	}
	if len(made) > 0 {
		h.Routes = slices.DeleteFunc(slices.Clone(h.Routes), func(r Route) bool { return made[r.inFIB()] })
	}
}

// inFIB is what tells a route of a FIB from others.
func (r *Route) inFIB() Route { return Route{Table: r.Table, To: r.To, Via: r.Via, Device: r.Device} }

// conflicts looks for routes that are somebody else's where ours are to stand: the
// kernel would take both, and send some flows by each.
func (p *bsdPlan) conflicts() error {
	for _, s := range p.steps {
		if s.FIB == nil {
			continue
		}
		for _, r := range p.all {
			if r.Table == s.FIB.Table && r.To == s.FIB.To && r.inFIB() != s.FIB.inFIB() {
				return fmt.Errorf("a route to %s by %s is there already (FIB %d), where one by %s is to be: another VPN? Stop it, or take the route away: %s",
					r.To, r.Device, r.Table, s.FIB.Device, fibCommand(&r, "delete"))
			}
		}
	}
	return nil
}

// tooFewFIBs says what is missing for egress by FIB, and what to do.
func (p *bsdPlan) tooFewFIBs(ways []*way, lacking int) error {
	var names []string
	for _, w := range ways {
		names = append(names, w.link.Name)
	}
	return fmt.Errorf("each WAN (%s) needs a FIB of its own, and of net.fibs = %d there are %d too few: %s", strings.Join(names, ", "),
		p.host.FIBs, lacking, fmt.Sprintf(fibsNeeded, p.host.FIBs+lacking))
}

// fibCommand is a route of a FIB as route(8) takes it.
func fibCommand(r *Route, verb string) string {
	to := "-net " + r.To.String()
	if r.To.Bits() == 0 {
		to = "default"
	} else if r.To.IsSingleIP() {
		to = "-host " + r.To.Addr().String()
	}
	by := "-interface " + r.Device
	if r.Via.IsValid() {
		by = r.Via.String()
		if r.Via.IsLinkLocalUnicast() {
			by += "%" + r.Device
		}
	}
	return fmt.Sprintf("route -n %s -fib %d -%s %s %s", verb, r.Table, pfFamily(r.To.Addr().Is6()), to, by)
}
