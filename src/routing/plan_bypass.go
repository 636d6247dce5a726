package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"netcombiner/src/config"
)

// A [Bypass] has a table of its own, with the WAN's default routes for each of
// its destinations, and a rule by which packets come there. So the kernel
// itself finds the next best when the WAN goes down: it takes the routes away,
// and what is left is nothing, whereupon the tunnel is next, or an unreachable
// route.
const firstBypassTable = firstTable + maxSlots*tablesPerSlot // after all slots' others

// setMask are the bits of packet and connection marks that tell what an nft set
// has picked: a number for each [Bypass] with a Set on the host. Above them are
// those of a remote portal, below those that other routers' tools use.
const (
	setShift = 24
	setMask  = 0x3f << setShift
	// maxSetSlots is for how many tunnels of a host they suffice.
	maxSetSlots = setMask >> setShift / config.MaxSets
)

// checkSets refuses a Set for whose mark there is no room: the kernel would take
// one that is cut off for that of all packets.
func (p *planner) checkSets() error {
	if len(p.spec.sets()) > 0 && p.slot >= maxSetSlots {
		return fmt.Errorf("a [Bypass] with a Set needs one of the host's first %d tunnels with a Routing, and so many run already: "+
			"start this one before them, or mark the packets yourself and use Mark", maxSetSlots)
	}
	return nil
}

// bypassWay is a [Bypass] for one family of addresses.
type bypassWay struct {
	config.Bypass
	number   int
	to, from []netip.Prefix // never empty
	wan      *Link          // nil: there is no such device now
	routes   []Route        // its default routes; none while it is down
}

// bypassWays lists those that concern a family.
func (p *planner) bypassWays(v6 bool) []bypassWay {
	ways, known := p.ways[v6]
	if known {
		return ways
	}
	for i, b := range p.spec.Bypasses {
		to, from := ofFamily(b.To, v6), ofFamily(b.From, v6)
		other := b.Set.Family == "ip" && v6 || b.Set.Family == "ip6" && !v6
		if to == nil || from == nil || other {
			continue
		}
		w := bypassWay{Bypass: b, number: i, to: to, from: from, wan: p.wan(WAN{b.Device, b.Source})}
		if w.wan != nil && !p.lost(w.wan) {
			w.routes = p.defaults(w.wan, v6)
		}
		ways = append(ways, w)
	}
	p.ways[v6] = ways
	return ways
}

// ofFamily returns the prefixes of a family, none of them inside another; if
// there are none at all, the one that holds everything.
func ofFamily(all []netip.Prefix, v6 bool) (list []netip.Prefix) {
	if len(all) == 0 {
		return []netip.Prefix{anywhere(v6)}
	}
	for _, p := range all {
		inside := func(wider netip.Prefix) bool {
			return wider != p && wider.Bits() <= p.Bits() && wider.Contains(p.Addr())
		}
		if p.Addr().Is6() == v6 && !slices.ContainsFunc(all, inside) && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

// wan finds the device; nil where it is not there, or the tunnel itself.
func (p *planner) wan(w WAN) *Link {
	link := p.host.link(w.Device)
	if w.Device == "" && w.Source.IsValid() {
		link = p.host.holder(w.Source)
	}
	if link != nil && link.Name == p.spec.Interface {
		return nil
	}
	return link
}

// lost says whether a device leads nowhere: it has no carrier, or its paths
// have failed while others work.
func (p *planner) lost(device *Link) bool {
	return !device.Up || slices.ContainsFunc(p.spec.Lost, func(w WAN) bool { return p.wan(w) == device })
}

// bypasses makes the tables and rules of a family, and returns the priority of
// the first of these; 0 if there are none.
func (p *planner) bypasses(v6 bool) (first uint32) {
	for _, w := range p.bypassWays(v6) {
		table := uint32(firstBypassTable + p.slot*tablesPerSlot + w.number)
		for _, to := range w.to {
			for _, r := range w.routes {
				r.Table, r.To = table, to
				// The table has no other route to the gateway, or one by it.
				r.OnLink = r.Via.IsValid()
				p.route(r)
			}
			if w.Block {
				p.route(Route{Table: table, To: to, Unreachable: true, Metric: 1<<32 - 1})
			}
		}
		priority := uint32(prioBypass + w.number)
		if first == 0 {
			first = priority
		}
		mark := p.markOf(w)
		for _, from := range w.from {
			r := Rule{V6: v6, Priority: priority, Mark: mark.Value, Table: table}
			if mark.Mask != mark.Value {
				r.Mask = mark.Mask
			}
			if from.Bits() > 0 {
				r.From = from
			}
			p.rule(r)
			if v6 && w.Block && len(w.routes) == 0 {
				// Refused a route, a socket of the host's own takes an address,
				// of another WAN say, and asks again with that.
				r.Priority, r.In = prioBlocked, "lo"
				p.rule(r)
			}
		}
	}
	return first
}

// markOf is the mark by which the packets of a [Bypass] are known, if any.
func (p *planner) markOf(w bypassWay) config.Mark {
	if w.Set == (config.NFTSet{}) {
		return w.Mark
	}
	n := p.slot*config.MaxSets + 1
	for _, earlier := range p.spec.Bypasses[:w.number] {
		if earlier.Set != (config.NFTSet{}) {
			n++
		}
	}
	return config.Mark{Value: uint32(n) << setShift, Mask: setMask}
}

// exits prepares what a WAN needs by which packets leave beside the tunnel, for
// both families.
func (p *planner) exits() {
	var devices []string
	use := func(device string) {
		if !slices.Contains(devices, device) {
			devices = append(devices, device)
		}
	}
	for _, v6 := range []bool{false, true} {
		for _, w := range p.bypassWays(v6) {
			if w.wan == nil {
				continue
			}
			use(w.wan.Name)
			if !v6 && p.markOf(w).Mask != 0 {
				// A strict filter asks whether an answer would leave the way
				// it came, and does not know the mark that it would have.
				p.sysctl(Sysctl{Key: "net/ipv4/conf/" + w.wan.Name + "/rp_filter", Value: "2", AtLeast: true, Optional: true})
			}
		}
		for _, r := range p.direct(v6) {
			use(r.Device)
		}
	}
	p.forward4(devices...) // answers come in there
	p.closed = slices.DeleteFunc(devices, func(d string) bool { return p.host.Sysctl[forwarding4(d)] != "0" })
}

func forwarding4(device string) string { return "net/ipv4/conf/" + device + "/forwarding" }

// direct are, while the fallback is on, the host's own default routes of what
// is up; else none.
func (p *planner) direct(v6 bool) (routes []Route) {
	if !p.spec.Direct {
		return nil
	}
	for _, r := range p.host.Routes {
		link := p.host.link(r.Device)
		if r.To == anywhere(v6) && r.Device != p.spec.Interface && link != nil && link.Up {
			r.OnLink = r.Via.IsValid()
			routes = append(routes, r)
		}
	}
	return routes
}

// directTable makes the table of those, and returns its number.
func (p *planner) directTable(v6 bool) uint32 {
	table := p.table + tableDirect
	for _, r := range p.direct(v6) {
		r.Table = table
		p.route(r)
	}
	return table
}

// masquerades gives what leaves by a WAN beside the tunnel that WAN's address,
// as the host's firewall may do already: whoever is first does it.
func (p *planner) masquerades() string {
	var b strings.Builder
	for _, v6 := range []bool{false, true} {
		family := familyWord(v6)
		for _, w := range p.bypassWays(v6) {
			if w.wan == nil {
				continue
			}
			match := p.matches(w, family)
			p.masquerade(&b, w.wan, v6, match)
		}
		for _, r := range p.direct(v6) {
			p.masquerade(&b, p.host.link(r.Device), v6, "")
		}
	}
	return b.String()
}

// matches are the packets of a [Bypass], in nft's words.
func (p *planner) matches(w bypassWay, family string) (match string) {
	for _, side := range []struct {
		word string
		list []netip.Prefix
	}{{"daddr", w.to}, {"saddr", w.from}} {
		if side.list[0].Bits() > 0 {
			match += fmt.Sprintf(" %s %s { %s }", family, side.word, joined(side.list))
		}
	}
	if mark := p.markOf(w); mark.Mask != 0 {
		match += fmt.Sprintf(" meta mark and %#x == %#x", mark.Mask, mark.Value)
	}
	return match
}

// masquerade leaves alone what has an address of the WAN's, and of IPv6 what a
// link's own protocols send.
func (p *planner) masquerade(b *strings.Builder, wan *Link, v6 bool, match string) {
	var own []netip.Prefix
	for _, a := range wan.Addrs {
		if a.Addr().Is6() == v6 && !slices.Contains(own, whole(a.Addr())) {
			own = append(own, whole(a.Addr()))
		}
	}
	if len(own) == 0 {
		return
	}
	if v6 {
		own = append(own, netip.MustParsePrefix("::/128"), netip.MustParsePrefix("fe80::/10"))
	}
	line := fmt.Sprintf("\t\toifname \"%s\"%s %s saddr != { %s } masquerade\n", wan.Name, match, familyWord(v6), joined(own))
	if !strings.Contains(b.String(), line) {
		b.WriteString(line)
	}
}

// guard keeps closed what forwarded nothing before: only answers may come in
// there.
func (p *planner) guard() string {
	if len(p.closed) == 0 {
		return ""
	}
	return fmt.Sprintf("\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n"+
		"\t\tmeta nfproto ipv4 iifname { \"%s\" } ct state new,invalid drop\n\t}\n", strings.Join(p.closed, `", "`))
}

// sets makes chains that mark what is in sets of others. nft lets rules see the
// sets of their own table only, so that is where the chains are. What has begun
// goes on as it began, though the set changes: its address would not be the
// same by another way.
func (p *planner) sets() {
	chains := map[SetChain]string{}
	var order []SetChain
	for _, v6 := range []bool{false, true} {
		family := familyWord(v6)
		for _, w := range p.bypassWays(v6) {
			if w.Set == (config.NFTSet{}) || p.host.Sets[w.Set] != family {
				continue
			}
			chain := SetChain{Family: w.Set.Family, Table: w.Set.Table, Name: p.name()}
			if _, known := chains[chain]; !known {
				order = append(order, chain)
			}
			var from string
			if w.from[0].Bits() > 0 {
				from = fmt.Sprintf(" %s saddr { %s }", family, joined(w.from))
			}
			mark := p.markOf(w).Value
			chains[chain] += fmt.Sprintf("ct state new %s daddr @%s%s ct mark set ct mark and %#x or %#x\n", family, w.Set.Name, from, ^uint32(setMask), mark) +
				fmt.Sprintf("ct mark and %#x == %#x meta mark set meta mark and %#x or %#x\n", setMask, mark, ^uint32(setMask), mark)
		}
	}
	for _, chain := range order {
		chain.Rules = chains[chain]
		p.add(Step{SetChain: &chain})
	}
}

func familyWord(v6 bool) string {
	if v6 {
		return "ip6"
	}
	return "ip"
}

func joined(prefixes []netip.Prefix) string {
	words := make([]string, len(prefixes))
	for i, p := range prefixes {
		words[i] = p.String()
		if p.IsSingleIP() {
			words[i] = p.Addr().String()
		}
	}
	return strings.Join(words, ", ")
}
