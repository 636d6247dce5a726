package routing

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"netcombiner/src/config"
)

// planned is what a tunnel's routing comes to.
type planned struct {
	steps []Step
	fibs  map[WAN]int // FreeBSD: the FIB for sockets that are bound so
	notes []string    // what is not as the configuration has it, a sentence each
	// partial says that more is to be done once the host has what notes ask for,
	// of which nobody tells.
	partial bool
}

// bsdPlan is the planner for a host with pf and FIBs. It is the FreeBSD side of
// what plan_local.go and plan_remote.go are on Linux: the same three modes.
type bsdPlan struct {
	planner         // its host has the routes of FIB 0 alone
	all     []Route // those of every FIB
	rules   pfRules
	fibs    map[WAN]int
	notes   []string
	partial bool

	// What of pf the rules will need, and for what.
	needsFilter, needsNAT bool
}

// The kernel's switches. Both are for the whole host. One that forwards IPv6 does
// not take default routes from routers any more, but where the last is set.
const (
	bsdForward4 = "net.inet.ip.forwarding"
	bsdForward6 = "net.inet6.ip6.forwarding"
	bsdRouters6 = "net.inet6.ip6.rfc6204w3"
)

// planBSD returns what spec needs on a FreeBSD host; see Plan.
func planBSD(spec Spec, host Host) (planned, error) {
	p := &bsdPlan{all: host.Routes, fibs: map[WAN]int{}}
	main := host
	main.Routes = slices.DeleteFunc(slices.Clone(host.Routes), func(r Route) bool { return r.Table != 0 })
	p.planner = *newPlanner(spec, main, 0)
	var err error
	switch {
	case len(spec.Bypasses) > 0 || spec.Fallback:
		return planned{}, fmt.Errorf("[Bypass] and Fallback = direct need Linux so far: leave them out, and write rules for pf: %w", errors.ErrUnsupported)
	case spec.Role == config.Remote && spec.Mode == config.RoutingNAT:
		p.remoteNAT()
	case spec.Role == config.Remote && spec.Mode == config.RoutingPortal:
		err = p.remotePortal()
	case spec.Role == config.Local:
		err = p.localBSD()
	}
	if err == nil {
		err = p.conflicts()
	}
	if err == nil && (p.needsFilter || p.needsNAT) {
		err = host.PF.ready(p.what(), p.needsFilter, p.needsNAT)
	}
	if err != nil {
		return planned{}, err
	}
	// pf first: nothing is sent its way that it does not yet know.
	return planned{append(p.rules.anchors(host.PF, p.name()), p.steps...), p.fibs, p.notes, p.partial}, nil
}

// what is it that needs pf.
func (p *bsdPlan) what() string {
	if p.spec.Mode == config.RoutingNone || p.spec.Mode == "" {
		return "Egress = pf"
	}
	return "Routing = " + string(p.spec.Mode)
}

func (p *bsdPlan) forward(v6 bool) {
	if !v6 {
		p.sysctl(Sysctl{Key: bsdForward4, Value: "1"})
		return
	}
	p.sysctl(Sysctl{Key: bsdRouters6, Value: "1", Optional: true})
	p.sysctl(Sysctl{Key: bsdForward6, Value: "1"})
}

// nat is a translation rule, and filter one of the others.
func (p *bsdPlan) nat(format string, args ...any) {
	p.needsNAT = true
	p.rules.natLine(format, args...)
}

func (p *bsdPlan) filter(format string, args ...any) {
	p.needsFilter = true
	p.rules.filterLine(format, args...)
}

// tag is a word for packets of this tunnel.
func (p *bsdPlan) tag(word string) string { return p.name() + "-" + word }

// through is the way into the tunnel for a rule: its device, and an address of the
// subnet, which the device does not look at.
func (p *bsdPlan) through(v6 bool) string {
	for _, own := range p.spec.Address {
		if own.Addr().Is6() == v6 {
			return fmt.Sprintf("(%s %s)", p.spec.Interface, farEnd(own))
		}
	}
	return p.spec.Interface
}

// farEnd is the other address of a tunnel's subnet, or one of the others.
func farEnd(own netip.Prefix) netip.Addr {
	for a := own.Masked().Addr(); own.Contains(a); a = a.Next() {
		network := a == own.Masked().Addr() && own.Bits() < own.Addr().BitLen()-1
		if a != own.Addr() && !network {
			return a
		}
	}
	return own.Addr()
}

func ofAddrs(addrs []netip.Addr, v6 bool) (list []netip.Addr) {
	for _, a := range addrs {
		if a.Is6() == v6 {
			list = append(list, a)
		}
	}
	return list
}
