package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func (p *planner) remote() error {
	if p.portal() {
		return p.remotePortal()
	}
	outside := p.outside()
	if p.tunnelHas(false) {
		p.forward4(append([]string{p.spec.Interface}, outside...)...)
	}
	if p.tunnelHas(true) {
		p.forward6()
	}
	p.noARPFlux(outside...)
	p.ruleset(Ruleset{Name: p.name(), Body: fmt.Sprintf(`	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		iifname "%[1]s" oifname != "%[1]s" masquerade
	}
`, p.spec.Interface)})
	return nil
}

// outside lists the devices with a default route.
func (p *planner) outside() (devices []string) {
	for _, r := range p.host.Routes {
		if r.To.Bits() == 0 && r.Device != p.spec.Interface && !slices.Contains(devices, r.Device) {
			devices = append(devices, r.Device)
		}
	}
	return devices
}

// remotePublic lists the public addresses, configured or found: the address
// that the kernel would use as the source of what it sends to the Internet.
func (p *planner) remotePublic() []netip.Addr {
	if len(p.spec.Public) > 0 {
		return p.spec.Public
	}
	var found []netip.Addr
	for _, v6 := range []bool{false, true} {
		if addr := p.sourceToInternet(v6); addr.IsValid() {
			found = append(found, addr)
		}
	}
	return found
}

func (p *planner) sourceToInternet(v6 bool) netip.Addr {
	best := Route{Metric: 1<<32 - 1}
	for _, r := range p.host.Routes {
		if r.To == anywhere(v6) && r.Device != p.spec.Interface && r.Metric < best.Metric {
			best = r
		}
	}
	if best.Source.IsValid() {
		return best.Source
	}
	if link := p.host.link(best.Device); link != nil {
		for _, own := range link.Addrs {
			if own.Addr().Is6() == v6 {
				return own.Addr()
			}
		}
	}
	return netip.Addr{}
}

func (p *planner) remotePortal() error {
	public := p.remotePublic()
	var has4, has6 bool
	for _, addr := range public {
		has4, has6 = has4 || addr.Is4(), has6 || addr.Is6()
	}
	outside := p.outside()
	if has4 {
		p.forward4(append([]string{p.spec.Interface}, outside...)...)
	}
	if has6 {
		p.forward6()
	}
	p.noARPFlux(outside...)
	p.answerARP(public, outside)
	if len(public) > 0 {
		p.ruleset(Ruleset{Name: p.name(), Body: markHost(p.spec.Interface, public)})
	}
	for _, addr := range public {
		p.route(Route{Table: p.table + tableToTunnel, To: whole(addr), Device: p.spec.Interface})
		for _, port := range p.spec.KeepPorts {
			p.keep(addr, protoTCP, port)
		}
		for _, listen := range p.spec.Listens {
			at := listen.Addr.Addr().Unmap()
			all := at.IsUnspecified() && (at.Is6() || addr.Is4())
			if !all && at != addr {
				continue
			}
			proto, err := listen.protocol()
			if err != nil {
				return err
			}
			p.keep(addr, proto, listen.Addr.Port())
		}
		p.rule(Rule{V6: addr.Is6(), Priority: prioKept, To: whole(addr), Mark: hostMark, Table: tableLocal})
		p.rule(Rule{V6: addr.Is6(), Priority: prioTunnel, To: whole(addr), Table: p.table + tableToTunnel})
	}
	// Last the switch: until now everything still was local.
	for _, v6 := range []bool{false, true} {
		if v6 && has6 || !v6 && has4 {
			p.rule(Rule{V6: v6, Priority: prioLocal, Table: tableLocal})
			p.add(Step{NoRule: &Rule{V6: v6, Priority: prioSystemLocal, Table: tableLocal, System: true}})
		}
	}
	return nil
}

func (p *planner) keep(addr netip.Addr, proto uint8, port uint16) {
	p.rule(Rule{V6: addr.Is6(), Priority: prioKept, To: whole(addr), Proto: proto, Port: port, Table: tableLocal})
}

// answerARP makes the host go on answering for its public IPv4 addresses,
// which it no longer takes for local when a request comes in.
func (p *planner) answerARP(public []netip.Addr, outside []string) {
	for _, addr := range public {
		if !addr.Is4() {
			continue
		}
		devices := outside
		if holder := p.host.holder(addr); holder != nil {
			devices = []string{holder.Name}
		}
		for _, device := range devices {
			p.sysctl(Sysctl{Key: "net/ipv4/neigh/" + device + "/proxy_delay", Value: "0", Optional: true})
			p.add(Step{Proxy: &Address{Device: device, Prefix: whole(addr)}})
		}
	}
}

// markHost is the ruleset that marks the host's own connections, and what
// belongs to them when it comes back. The host's own are those that it sends
// on. What an ICMP error belongs to is not, though the host sends it: hence not
// "related". Neither is what comes in: while nc0 is away, the local table gets
// what is the client's, and a mark would keep a flow from the client for as
// long as somebody sends on it.
//
// Nor does the host then refuse, or answer, what has crossed the tunnel: the
// client will. It has crossed after the host's own firewall let it pass:
// whatever that rejects, it may.
func markHost(tunnel string, public []netip.Addr) string {
	var own, back strings.Builder
	for _, family := range []struct {
		word    string
		addrs   []string
		answers []string // the kernel's own, where no socket is
	}{
		{"ip", texts(public, false), []string{"tcp flags & rst == rst", "icmp type destination-unreachable icmp code port-unreachable", "icmp type echo-reply"}},
		{"ip6", texts(public, true), []string{"tcp flags & rst == rst", "icmpv6 type destination-unreachable icmpv6 code port-unreachable", "icmpv6 type echo-reply"}},
	} {
		if len(family.addrs) == 0 {
			continue
		}
		set := "{ " + strings.Join(family.addrs, ", ") + " }"
		for _, answer := range family.answers {
			fmt.Fprintf(&own, "\t\t%s saddr %s ct mark and %#x == %#x %s drop\n", family.word, set, hostMark|clientMark, clientMark, answer)
		}
		fmt.Fprintf(&own, "\t\t%s saddr %s ct state new,established ct mark set ct mark or %#x\n", family.word, set, hostMark)
		fmt.Fprintf(&back, "\t\t%s daddr %s ct mark and %#x == %#x meta mark set meta mark or %#x\n", family.word, set, hostMark, hostMark, hostMark)
		if family.word == "ip6" {
			fmt.Fprintf(&back, "\t\tip6 daddr %s icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } meta mark set meta mark or %#x\n", set, hostMark)
		}
	}
	return fmt.Sprintf(`	chain postrouting {
		type filter hook postrouting priority mangle; policy accept;
		iifname "%[1]s" ct mark set ct mark or %#[2]x
		oifname "%[1]s" ct mark set ct mark or %#[2]x
	}
	chain output {
		type filter hook output priority mangle; policy accept;
		oifname "%[1]s" return
%[3]s	}
	chain prerouting {
		type filter hook prerouting priority mangle; policy accept;
		iifname "%[1]s" return
%[4]s	}
`, tunnel, clientMark, own.String(), back.String())
}

func texts(addrs []netip.Addr, v6 bool) (list []string) {
	for _, addr := range addrs {
		if addr.Is6() == v6 {
			list = append(list, addr.String())
		}
	}
	return list
}
