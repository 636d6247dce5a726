package routing

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"netcombiner/src/config"
)

// calls are what this package asks of a FreeBSD kernel and its tools. All else
// that is done there stands in type bsd, which tests give calls of their own.
type calls interface {
	boot() (string, error)
	lock(dir string) (unlock func(), err error)
	links() ([]Link, error) // addresses of global scope only
	fibs() (int, error)
	routes(fib int) ([]Route, error)
	// changeRoute adds a route, or deletes it: one that is gone is no error.
	changeRoute(r Route, add bool) error
	changeAlias(a Address, add bool) error
	sysctl(key string) (string, error)
	setSysctl(key, value string) error
	// nextHops are those that are in no table, by device.
	nextHops(devices []string) map[string][]netip.Addr
	// pfctl runs the command with stdin. What it prints of errors is in err.
	pfctl(stdin string, args ...string) (string, error)
}

// bsd is a FreeBSD host.
type bsd struct {
	calls
	loaded map[string]string // what stands in which anchor, as far as we know
	tables map[int][]Route   // the FIBs when the host was last looked at, and since
}

func newBSD(c calls) *bsd {
	return &bsd{calls: c, loaded: map[string]string{}, tables: map[int][]Route{}}
}

// needs is true of every local portal: it may get a second WAN.
func (b *bsd) needs(spec Spec) bool {
	return spec.Mode == config.RoutingNAT || spec.Mode == config.RoutingPortal || spec.Role == config.Local
}

func (b *bsd) plan(spec Spec, host Host, _ int, made ...index) (planned, error) {
	for _, steps := range made {
		host.forgetFIBs(steps)
	}
	host.PF = b.lookAtPF(spec.Interface)
	return planBSD(spec, host)
}

func (b *bsd) snapshot() (host Host, err error) {
	if host.Links, err = b.links(); err != nil {
		return Host{}, err
	}
	if host.FIBs, err = b.fibs(); err != nil {
		return Host{}, err
	}
	var devices []string
	for _, l := range host.Links {
		devices = append(devices, l.Name)
	}
	clear(b.tables)
	for fib := range host.FIBs {
		routes, err := b.table(fib)
		if err != nil {
			return Host{}, err
		}
		for _, r := range routes {
			if l := host.link(r.Device); l != nil && !l.Loopback {
				host.Routes = append(host.Routes, r)
			}
		}
	}
	host.Gateways = b.nextHops(devices)
	return host, nil
}

// table is a FIB: a router's may be long, and is read once for all steps.
func (b *bsd) table(fib int) (routes []Route, err error) {
	routes, known := b.tables[fib]
	if !known {
		if routes, err = b.routes(fib); err != nil {
			return nil, err
		}
		b.tables[fib] = routes
	}
	return routes, nil
}

// reroute changes a route, in the kernel and in what we know of it.
func (b *bsd) reroute(r Route, add bool) error {
	if err := b.changeRoute(r, add); err != nil {
		return err
	}
	fib := int(r.Table)
	routes, known := b.tables[fib]
	if !known {
		return nil
	}
	routes = slices.DeleteFunc(routes, func(o Route) bool { return o.inFIB() == r.inFIB() })
	if add {
		routes = append(routes, r)
	}
	b.tables[fib] = routes
	return nil
}

// lookAtPF reads what pf says of a tunnel.
func (b *bsd) lookAtPF(iface string) (pf PF) {
	info, err := b.pfctl("", "-s", "info")
	if err != nil {
		return PF{Missing: firstLine(err.Error())}
	}
	pf.Enabled = pfEnabled(info)
	for _, nat := range []bool{false, true} {
		what, into := "rules", &pf.Filter
		if nat {
			what, into = "nat", &pf.NAT
		}
		rules, err := b.pfctl("", "-s", what)
		if err != nil {
			return PF{Missing: firstLine(err.Error())}
		}
		name, partial := calledAnchor(rules, iface, nat)
		if *into = name; partial != "" {
			pf.Partial = append(pf.Partial, partial)
		}
	}
	return pf
}

// check has nothing to add to the plan, which knows pf.
func (b *bsd) check([]Step) error { return nil }

func (b *bsd) present(s Step) (bool, error) {
	switch {
	case s.FIB != nil:
		routes, err := b.table(int(s.FIB.Table))
		return slices.ContainsFunc(routes, func(r Route) bool { return r.inFIB() == s.FIB.inFIB() }), err
	case s.Alias != nil:
		links, err := b.links()
		return slices.ContainsFunc(links, func(l Link) bool {
			return l.Name == s.Alias.Device && slices.ContainsFunc(l.Addrs, func(a netip.Prefix) bool { return a.Addr() == s.Alias.Prefix.Addr() })
		}), err
	case s.Anchor != nil:
		return b.inForce(s.Anchor)
	}
	return false, nil
}

// inForce says whether an anchor still has rules, and whether pf asks them.
func (b *bsd) inForce(a *Anchor) (bool, error) {
	_, iface, _ := strings.Cut(a.Label, "-")
	pf := b.lookAtPF(iface)
	if pf.Missing != "" {
		return false, nil
	}
	nat, filter := a.kinds()
	return pf.Enabled && b.hasRules(a.Name) && (!nat || pf.NAT == a.Name) && (!filter || pf.Filter == a.Name), nil
}

// hasRules: of an anchor that it does not know pfctl says nothing, or that it does
// not know it.
func (b *bsd) hasRules(anchor string) bool {
	for _, what := range []string{"rules", "nat"} {
		rules, err := b.pfctl("", "-a", anchor, "-s", what)
		if err == nil && strings.TrimSpace(rules) != "" {
			return true
		}
	}
	return false
}

func (b *bsd) make(s Step) error {
	switch {
	case s.Anchor != nil:
		return b.load(s.Anchor)
	case s.FIB != nil, s.Alias != nil:
		// A second time the kernel would tell everybody of, and us.
		if there, err := b.present(s); err != nil || there {
			return err
		}
		if s.Alias != nil {
			return b.changeAlias(*s.Alias, true)
		}
		return b.reroute(*s.FIB, true)
	case s.Sysctl != nil:
		now, err := b.calls.sysctl(s.Sysctl.Key)
		if err != nil || s.Sysctl.satisfied(now) {
			return err
		}
		return b.setSysctl(s.Sysctl.Key, s.Sysctl.Value)
	}
	return nil
}

func (b *bsd) unmake(s Step) error {
	switch {
	case s.Anchor != nil:
		return b.clear(s.Anchor)
	case s.FIB != nil:
		return b.reroute(*s.FIB, false)
	case s.Alias != nil:
		if there, err := b.present(s); err != nil || !there {
			return err // gone with its device
		}
		return b.changeAlias(*s.Alias, false)
	case s.Sysctl != nil:
		now, err := b.calls.sysctl(s.Sysctl.Key)
		if err != nil || now != s.Sysctl.Value {
			return err // somebody has changed it since
		}
		return b.setSysctl(s.Sysctl.Key, s.Sysctl.Old)
	}
	return nil
}

// load puts rules into their anchor, in one transaction, once pfctl has read them
// without an error. States that hold a way out of before go then.
func (b *bsd) load(a *Anchor) error {
	if b.loaded[a.Name] == a.Rules && b.hasRules(a.Name) {
		return nil
	}
	delete(b.loaded, a.Name)
	if _, err := b.pfctl(a.Rules, "-n", "-a", a.Name, "-f", "-"); err != nil {
		return err
	}
	if _, err := b.pfctl(a.Rules, "-a", a.Name, "-f", "-"); err != nil {
		return err
	}
	b.loaded[a.Name] = a.Rules
	return b.killStates(a)
}

// clear empties an anchor; pf forgets an empty one. Where pf is gone, so is it.
func (b *bsd) clear(a *Anchor) error {
	delete(b.loaded, a.Name)
	if _, err := b.pfctl("", "-s", "info"); err != nil {
		return nil
	}
	if _, err := b.pfctl("", "-a", a.Name, "-F", "all"); err != nil && b.hasRules(a.Name) {
		return err
	}
	return b.killStates(a)
}

func (b *bsd) killStates(a *Anchor) error {
	if !strings.Contains(a.Rules, "label \""+a.Label+"\"") {
		return nil
	}
	_, err := b.pfctl("", "-k", "label", "-k", a.Label)
	return err
}

func (b *bsd) sysctl(key string) (string, map[string]string, error) {
	value, err := b.calls.sysctl(key)
	return value, nil, err
}

// warnings looks for calls that leave packets out, and devices that pf skips.
func (b *bsd) warnings(iface string, steps []Step) (list []string) {
	var rules strings.Builder
	for _, s := range steps {
		if s.Anchor != nil {
			rules.WriteString(s.Anchor.Rules)
		}
	}
	if rules.Len() == 0 {
		return nil
	}
	for _, call := range b.lookAtPF(iface).Partial {
		list = append(list, "pf asks our rules for some packets only: in place of  "+call+"  /etc/pf.conf needs the call alone")
	}
	if interfaces, err := b.pfctl("", "-v", "-s", "Interfaces"); err == nil {
		list = append(list, warnSkipped(interfaces, rules.String())...)
	}
	return list
}

// lookAgain is how long rules may be gone before somebody looks.
const lookAgain = 30 * time.Second

// watch ticks: of pf's rulesets nobody is told.
func (b *bsd) watch(ctx context.Context, _ func(string) bool) (<-chan struct{}, error) {
	look := make(chan struct{})
	go func() {
		defer close(look)
		tick := time.NewTicker(lookAgain)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case <-ctx.Done():
				return
			case look <- struct{}{}:
			}
		}
	}()
	return look, nil
}

// There are no nft sets, and no [Bypass] that connections would have to be
// forgotten for.
func (b *bsd) setFamilies([]config.NFTSet) map[config.NFTSet]string { return nil }
func (b *bsd) forget(forgotten) error                               { return nil }
