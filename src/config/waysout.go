package config

import "net/netip"

// FreeBSD's name, as runtime.GOOS has it.
const freebsd = "freebsd"

// checkWaysOut holds Egress and Gateway to FreeBSD: Linux binds a path's socket to
// its interface, so that nothing is left to choose.
func (p *parser) checkWaysOut(c *Config, own given, paths []given) {
	if e := c.Interface.Egress; e != EgressAuto {
		switch {
		case p.system != freebsd:
			p.fail(own.at("Egress"), "Egress", string(e), &fault{"for FreeBSD; on Linux a path is bound to its interface", "auto, or leave it out"})
		case c.Interface.Role == Remote:
			p.fail(own.at("Egress"), "Egress", string(e), &fault{"means nothing on a remote portal", "on the local portal only"})
		}
	}
	for i, path := range c.Paths {
		if len(path.Gateway) > 0 {
			p.checkGateway(path, paths[i])
		}
	}
}

func (p *parser) checkGateway(path Path, g given) {
	fail := func(value, problem, allowed string) {
		p.fail(g.at("Gateway"), "Gateway", value, &fault{problem, allowed})
	}
	if p.system != freebsd {
		fail("", "for FreeBSD; on Linux the routes of the path's interface are asked", "leave it out")
		return
	}
	if path.Device == "" && !path.Source.IsValid() {
		fail("", "means nothing without Bind", "Bind = the link's interface, or one of its addresses, beside it")
	}
	had := make(map[bool]netip.Addr) // by Is4
	for _, a := range path.Gateway {
		if first, two := had[a.Is4()]; two {
			fail(a.String(), "a second one of its IP version, after "+first.String(), "one of IPv4 and one of IPv6")
			return
		}
		had[a.Is4()] = a
		if path.Source.IsValid() && path.Source.Is4() != a.Is4() {
			fail(a.String(), "not of the same IP version as Bind", "both IPv4 or both IPv6")
		}
	}
}
