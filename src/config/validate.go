package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// MaxPaths is how many [Path] or [Listen] sections a configuration may have.
const MaxPaths = 64

// build makes the Config of sections: every value by itself first, then what
// must fit together.
func (p *parser) build(sections []section) *Config {
	c := &Config{Interface: Interface{Suite: "auto", Scheduler: "earliest", Log: "text", Routing: RoutingNone, Egress: EgressAuto, Offload: true, MemoryLimit: DefaultMemoryLimit}}
	var own given
	var paths, listens, bypasses []given
	for _, s := range sections {
		switch strings.ToLower(s.name) {
		case "interface":
			if own.line > 0 {
				p.fail(s.line, "[Interface]", "", &fault{fmt.Sprintf("given twice, first on line %d", own.line), "once"})
				continue
			}
			own = decode(p, s, "Interface", &c.Interface, interfaceFields)
		case "path":
			path := Path{Name: fmt.Sprintf("path%d", len(paths)+1), Transport: "udp", Direction: Both}
			paths = append(paths, decode(p, s, "Path", &path, pathFields))
			path.Down = s.down
			c.Paths = append(c.Paths, path)
		case "listen":
			listen := Listen{Transport: "udp"}
			listens = append(listens, decode(p, s, "Listen", &listen, listenFields))
			c.Listens = append(c.Listens, listen)
		case "bypass":
			var bypass Bypass
			bypasses = append(bypasses, decode(p, s, "Bypass", &bypass, bypassFields))
			c.Bypasses = append(c.Bypasses, bypass)
		default:
			if s.line > 0 {
				p.fail(s.line, "["+quote(s.name)+"]", "", &fault{"unknown section", "[Interface], [Path], [Listen], [Bypass]"})
			}
		}
	}
	if own.line == 0 {
		p.fail(0, "[Interface]", "", &fault{"missing", "one [Interface] section with Role and Key"})
	} else {
		p.checkInterface(&c.Interface, own)
	}
	p.checkSections(c, own, paths, listens, bypasses)
	p.checkPaths(c.Paths, paths)
	p.checkWaysOut(c, own, paths)
	p.checkListens(c.Listens, listens)
	p.checkMetrics(&c.Interface, own, c.Listens, listens)
	p.checkBypasses(c, own, bypasses)
	c.lines = linesOf(own, listens)
	if least := c.LeastMemory(); c.Interface.MemoryLimit > 0 && c.Interface.MemoryLimit < least && len(p.errs) == 0 {
		p.fail(own.at("MemoryLimit"), "MemoryLimit", "", &fault{"too little for so many [Path]s or [Listen]s of this MTU", fmt.Sprintf("%dMB or more", (least+999_999)/1_000_000)})
	}
	return c
}

// linesOf is what Clashes tells of a configuration.
func linesOf(own given, listens []given) lines {
	l := lines{Address: own.at("Address"), Key: own.at("Key"), Routing: own.at("Routing"), Metrics: own.at("Metrics")}
	if own.has("KeyFile") {
		l.Key = own.at("KeyFile")
	}
	for _, g := range listens {
		l.Listens = append(l.Listens, g.at("Address"))
	}
	return l
}

// need reports a key that must be there.
func (p *parser) need(g given, key, allowed string) {
	if !g.has(key) {
		p.fail(g.line, key, "", &fault{"missing in [" + g.section + "]", allowed})
	}
}

func (p *parser) checkInterface(i *Interface, g given) {
	p.need(g, "Role", "local, remote")
	switch {
	case g.has("Key") && g.has("KeyFile"):
		p.fail(g.at("KeyFile"), "KeyFile", "", &fault{"given beside Key", "one of the two"})
	case g.has("KeyFile"):
		if i.KeyFile != "" {
			p.loadKey(i, g.at("KeyFile"))
		}
	default:
		p.need(g, "Key", keyAllowed+", or KeyFile")
	}

	if i.MTU > 0 && i.MTU < minMTUIPv6 {
		for _, a := range i.Address {
			if a.Addr().Is6() {
				p.fail(g.at("MTU"), "MTU", fmt.Sprint(i.MTU), &fault{"too small for the IPv6 Address", "auto, or 1280 to 9000 bytes"})
				break
			}
		}
	}
	if i.AuthenticateAddresses && i.Suite == "none" {
		p.fail(g.at("AuthenticateAddresses"), "AuthenticateAddresses", "yes", &fault{"needs a MAC, and Suite = none has none", "no, or another Suite"})
	}
	p.checkRouting(i, g)
}

// checkRouting holds Routing to the keys that it needs, and those that only it knows.
func (p *parser) checkRouting(i *Interface, g given) {
	if i.Routing != RoutingPortal {
		for _, key := range []string{"PublicAddress", "ClientInterface", "KeepPorts"} {
			if g.has(key) {
				p.fail(g.at(key), key, "", &fault{"means nothing without Routing = portal", "Routing = portal, or leave it out"})
			}
		}
	}
	switch {
	case i.Routing == RoutingNAT:
		p.need(g, "Address", "the tunnel's own addresses, without which Routing = nat has nothing to send from")
	case i.Routing == RoutingPortal && i.Role == Local:
		p.need(g, "ClientInterface", "the interface where the client is that holds the remote's public address")
		if g.has("KeepPorts") {
			p.fail(g.at("KeepPorts"), "KeepPorts", "", &fault{"means nothing on a local portal", "on the remote portal only"})
		}
	case i.Routing == RoutingPortal && i.Role == Remote:
		if g.has("ClientInterface") {
			p.fail(g.at("ClientInterface"), "ClientInterface", "", &fault{"means nothing on a remote portal", "on the local portal only"})
		}
		if !g.has("KeepPorts") {
			i.KeepPorts = []uint16{22}
		}
	}
}

// checkSections holds a local portal to paths and a remote one to listeners.
func (p *parser) checkSections(c *Config, own given, paths, listens, bypasses []given) {
	refuse := func(all []given, allowed string) {
		for _, g := range all {
			p.fail(g.line, "["+g.section+"]", "", &fault{"means nothing on a " + string(c.Interface.Role) + " portal", allowed})
		}
	}
	switch c.Interface.Role {
	case Local:
		refuse(listens, "[Path]")
		if len(paths) == 0 {
			p.fail(own.line, "[Path]", "", &fault{"missing", "one for each Internet link, with Bind and Remote"})
		}
	case Remote:
		refuse(paths, "[Listen]")
		refuse(bypasses, "on the local portal only")
		if len(listens) == 0 {
			p.fail(own.line, "[Listen]", "", &fault{"missing", "one for each transport, with Transport and Address"})
		}
	}
	tooMany := func(all []given) {
		if len(all) > MaxPaths {
			g := all[MaxPaths]
			p.fail(g.line, "["+g.section+"]", "", &fault{"too many", fmt.Sprintf("at most %d", MaxPaths)})
		}
	}
	tooMany(paths)
	tooMany(listens)
}

func (p *parser) checkPaths(paths []Path, where []given) {
	named := make(map[string]int)
	for i := range paths {
		path, g := &paths[i], where[i]
		if first, taken := named[strings.ToLower(path.Name)]; taken {
			p.fail(g.at("Name"), "Name", path.Name, &fault{fmt.Sprintf("the name of the path on line %d too", first), "a name of its own"})
		} else {
			named[strings.ToLower(path.Name)] = g.line
		}
		p.need(g, "Remote", "the remote portal's host:port; for ip its host")
		p.checkProtocol(&path.Protocol, path.Transport, g)
		switch ip, port := path.Transport == "ip", path.Remote.Port != 0; {
		case path.Remote.Host == "":
		case ip && port:
			p.fail(g.at("Remote"), "Remote", path.Remote.String(), badRemoteIP)
		case !ip && !port:
			p.fail(g.at("Remote"), "Remote", path.Remote.String(), badRemote)
		}
		if path.Transport == "ip" {
			p.checkTwin(paths[:i], where, path, g)
		}
		if remote, err := netip.ParseAddr(path.Remote.Host); err == nil && path.Source.IsValid() && remote.Is4() != path.Source.Is4() {
			p.fail(g.at("Bind"), "Bind", path.Source.String(), &fault{"not of the same IP version as Remote", "both IPv4 or both IPv6"})
		}
		p.checkCongestion(path, g)
		switch {
		case g.has("QuotaReset") && !g.has("Quota"):
			p.fail(g.at("QuotaReset"), "QuotaReset", "", &fault{"means nothing without Quota", "a Quota beside it, or leave it out"})
		case g.has("Quota") && !g.has("QuotaReset"):
			path.QuotaReset = 1
		}
	}
}

// checkProtocol settles the protocol number, which only ip has.
func (p *parser) checkProtocol(number *uint8, transport string, g given) {
	switch {
	case transport == "ip" && !g.has("Protocol"):
		*number = defaultProtocol
	case transport != "ip" && g.has("Protocol"):
		p.fail(g.at("Protocol"), "Protocol", "", &fault{"means nothing without Transport = ip", "Transport = ip, or leave it out"})
	}
}

// checkTwin refuses an ip path that nothing would tell from an earlier one.
func (p *parser) checkTwin(earlier []Path, where []given, path *Path, g given) {
	for j, o := range earlier {
		if o.Transport == "ip" && o.Protocol == path.Protocol && o.Device == path.Device && o.Source == path.Source &&
			strings.EqualFold(o.Remote.Host, path.Remote.Host) {
			p.fail(g.line, "[Path]", "", &fault{
				fmt.Sprintf("goes the way of the path on line %d, and ip has no ports to tell them apart", where[j].line),
				"a Bind or a Protocol of its own"})
			return
		}
	}
}

// checkCongestion settles a path's controller. On a tcp path the kernel's TCP
// is the controller, so ours must stay out of its way.
func (p *parser) checkCongestion(path *Path, g given) {
	switch {
	case path.Transport == "tcp" && g.has("Congestion") && path.Congestion != "none":
		p.fail(g.at("Congestion"), "Congestion", path.Congestion, &fault{"the kernel's TCP does this on a tcp path", "none, or leave it out"})
	case path.Transport == "tcp":
		path.Congestion = "none"
	case path.Congestion == "none" && !g.has("Rate"):
		p.fail(g.at("Congestion"), "Congestion", "none", &fault{"would send without any limit", "a Rate beside it, or bbr"})
	case !g.has("Congestion"):
		path.Congestion = "bbr"
	}
}

func (p *parser) checkListens(listens []Listen, where []given) {
	for i := range listens {
		l, g := &listens[i], where[i]
		p.need(g, "Address", "[::]:4725, 0.0.0.0:4725, 192.0.2.7:4725; :: for ip")
		p.checkProtocol(&l.Protocol, l.Transport, g)
		switch ip, port := l.Transport == "ip", l.Address.Port() != 0; {
		case !l.Address.IsValid():
		case ip && port:
			p.fail(g.at("Address"), "Address", l.Address.String(), badListenIP)
		case !ip && !port:
			p.fail(g.at("Address"), "Address", l.place(), badListen)
		}
		for j, other := range listens[:i] {
			if clash(*l, other) {
				allowed := "another address, port or transport"
				if l.Transport == "ip" {
					allowed = "another address or Protocol"
				}
				p.fail(g.at("Address"), "Address", l.place(), &fault{fmt.Sprintf("taken by the [Listen] on line %d", where[j].line), allowed})
				break
			}
		}
	}
}

// checkMetrics refuses a port that the tunnel itself listens on.
func (p *parser) checkMetrics(i *Interface, own given, listens []Listen, where []given) {
	metrics := i.metricsDoor()
	for n, l := range listens {
		if clash(metrics, l) {
			p.fail(own.at("Metrics"), "Metrics", metrics.place(), &fault{fmt.Sprintf("taken by the [Listen] on line %d", where[n].line), "another address or port"})
			return
		}
	}
}

// metricsDoor is Metrics as a listener; its Address is not valid where there is none.
func (i *Interface) metricsDoor() Listen { return Listen{Transport: "tcp", Address: i.Metrics} }

// place is the address as it stands in the configuration.
func (l *Listen) place() string {
	if l.Address.Port() == 0 {
		return l.Address.Addr().String()
	}
	return l.Address.String()
}

// clash says whether two listeners would fight for one port, or take each
// other's messages. [::] takes IPv4 too.
func clash(a, b Listen) bool {
	if a.Transport != b.Transport || a.Protocol != b.Protocol || !a.Address.IsValid() || a.Address.Port() != b.Address.Port() {
		return false
	}
	x, y := a.Address.Addr(), b.Address.Addr()
	covers := func(wide, narrow netip.Addr) bool {
		return wide.IsUnspecified() && (wide.Is6() || narrow.Is4())
	}
	return x == y || covers(x, y) || covers(y, x)
}
