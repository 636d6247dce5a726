package routing

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Step is one change: exactly one of its fields is set.
type Step struct {
	Rule    *Rule    `json:"rule,omitempty"`    // a policy rule
	NoRule  *Rule    `json:"no_rule,omitempty"` // a rule of the system's, taken away
	Route   *Route   `json:"route,omitempty"`
	Address *Address `json:"address,omitempty"`
	Proxy   *Address `json:"proxy,omitempty"` // a neighbour that we answer for
	Sysctl  *Sysctl  `json:"sysctl,omitempty"`
	Ruleset *Ruleset `json:"ruleset,omitempty"` // an nftables table
	// Chains in a table of somebody else's.
	SetChain *SetChain `json:"set_chain,omitempty"`
	// FreeBSD's. Of the route the table is the FIB.
	Anchor *Anchor  `json:"anchor,omitempty"`
	FIB    *Route   `json:"fib,omitempty"`
	Alias  *Address `json:"alias,omitempty"`
}

// stays says whether a step is left to the next start, which replaces it: what a
// firewall knows of connections would go with it.
func (s Step) stays() bool { return s.Ruleset != nil || s.Anchor != nil }

// Rule is a policy routing rule: an IPv4 one, unless V6. The zero value of a
// selector matches everything.
type Rule struct {
	V6       bool         `json:"v6,omitzero"`
	Priority uint32       `json:"priority"`
	From     netip.Prefix `json:"from,omitzero"`
	To       netip.Prefix `json:"to,omitzero"`
	In       string       `json:"in,omitzero"`       // incoming device; "lo": the host's own
	Out      string       `json:"out,omitzero"`      // device that the socket is bound to
	Proto    uint8        `json:"proto,omitzero"`    // IP protocol
	Port     uint16       `json:"port,omitzero"`     // destination port
	Mark     uint32       `json:"mark,omitzero"`     // packet mark…
	Mask     uint32       `json:"mask,omitzero"`     // …under this; 0: under one of the same bits
	Table    uint32       `json:"table,omitzero"`    // 0: unreachable, or…
	Goto     uint32       `json:"goto,omitzero"`     // …on with the rules from this priority
	Specific bool         `json:"specific,omitzero"` // not the table's default route
	System   bool         `json:"system,omitzero"`   // protocol kernel, not ours
}

// Route is a unicast route, unless Unreachable.
type Route struct {
	Table  uint32       `json:"table"`
	To     netip.Prefix `json:"to"`
	Via    netip.Addr   `json:"via,omitzero"`
	Device string       `json:"device"`
	Source netip.Addr   `json:"source,omitzero"` // preferred source address
	Metric uint32       `json:"metric,omitzero"`
	OnLink bool         `json:"on_link,omitzero"`
	// Unreachable has no device.
	Unreachable bool `json:"unreachable,omitzero"`
}

// Address is an address on a device.
type Address struct {
	Device string       `json:"device"`
	Prefix netip.Prefix `json:"prefix"`
}

// Sysctl is a kernel parameter.
type Sysctl struct {
	Key   string `json:"key"` // with slashes, as under /proc/sys
	Value string `json:"value"`
	// AtLeast leaves a greater value alone.
	AtLeast bool `json:"at_least,omitzero"`
	// Optional: without it the tunnel works, but not as well.
	Optional bool `json:"optional,omitzero"`
	// Old is the value before, and Siblings are those of the same parameter of
	// the other devices where this one changes them all. Known once it was set.
	Old      string            `json:"old,omitzero"`
	Siblings map[string]string `json:"siblings,omitempty"`
}

// Ruleset is an nftables table of family inet.
type Ruleset struct {
	Name string `json:"name"`
	Body string `json:"body"`
}

// SetChain is two base chains, NAME-in and NAME-out, in a table of somebody
// else's: of all packets that come in, and of what the host itself sends.
type SetChain struct {
	Family string `json:"family"` // inet, ip or ip6
	Table  string `json:"table"`
	Name   string `json:"name"`
	Rules  string `json:"rules"` // lines
}

// The tables that every host has.
const (
	tableMain  = 254
	tableLocal = 255
)

// String is the step as a command line.
func (s Step) String() string { return s.command(false) }

// Inverse is what undoes the step, as a command line.
func (s Step) Inverse() string { return s.command(true) }

func (s Step) command(undo bool) string {
	verb := "add"
	if undo {
		verb = "del"
	}
	switch {
	case s.Rule != nil:
		return s.Rule.command(verb)
	case s.NoRule != nil && undo:
		return s.NoRule.command("add")
	case s.NoRule != nil:
		return s.NoRule.command("del")
	case s.Route != nil:
		return s.Route.command(verb)
	case s.Address != nil:
		return fmt.Sprintf("ip addr %s %s dev %s", verb, s.Address.Prefix, s.Address.Device)
	case s.Proxy != nil:
		return fmt.Sprintf("ip neigh %s proxy %s dev %s", verb, s.Proxy.Prefix.Addr(), s.Proxy.Device)
	case s.Sysctl != nil:
		value := s.Sysctl.Value
		if undo {
			if value = s.Sysctl.Old; value == "" {
				value = "<as it was>"
			}
		}
		return "sysctl -w " + s.Sysctl.Key + "=" + value
	case s.Anchor != nil && undo:
		return s.Anchor.clear()
	case s.Anchor != nil:
		return s.Anchor.load()
	case s.FIB != nil:
		return fibCommand(s.FIB, map[bool]string{false: "add", true: "delete"}[undo])
	case s.Alias != nil:
		return s.Alias.alias(map[bool]string{false: "alias", true: "-alias"}[undo])
	case s.SetChain != nil && undo:
		return s.SetChain.remove()
	case s.SetChain != nil:
		return s.SetChain.add()
	case s.Ruleset != nil && undo:
		return "nft delete table inet " + s.Ruleset.Name
	case s.Ruleset != nil:
		return "nft table inet " + s.Ruleset.Name + " {\n" + s.Ruleset.Body + "}"
	}
	return "nothing"
}

// key tells steps apart: of two with the same key only one can be in force.
func (s Step) key() string {
	switch {
	case s.Sysctl != nil:
		return "sysctl " + s.Sysctl.Key
	case s.Ruleset != nil:
		return "ruleset " + s.Ruleset.Name
	case s.Anchor != nil:
		return "anchor " + s.Anchor.Name
	case s.SetChain != nil:
		return "chains " + s.SetChain.Name + " in " + s.SetChain.Family + " " + s.SetChain.Table
	}
	return s.String()
}

// alias is an address as ifconfig(8) takes it.
func (a *Address) alias(verb string) string {
	return fmt.Sprintf("ifconfig %s %s %s %s", a.Device, pfFamily(a.Prefix.Addr().Is6()), a.Prefix, verb)
}

func (r *Rule) command(verb string) string {
	var b strings.Builder
	b.WriteString("ip")
	if r.V6 {
		b.WriteString(" -6")
	}
	fmt.Fprintf(&b, " rule %s pref %d", verb, r.Priority)
	if r.From.IsValid() {
		fmt.Fprintf(&b, " from %s", r.From)
	}
	if r.To.IsValid() {
		fmt.Fprintf(&b, " to %s", r.To)
	}
	if r.Mark != 0 {
		fmt.Fprintf(&b, " fwmark %#x/%#x", r.Mark, cmp.Or(r.Mask, r.Mark))
	}
	if r.In != "" {
		fmt.Fprintf(&b, " iif %s", r.In)
	}
	if r.Out != "" {
		fmt.Fprintf(&b, " oif %s", r.Out)
	}
	if r.Proto != 0 {
		fmt.Fprintf(&b, " ipproto %d", r.Proto)
	}
	if r.Port != 0 {
		fmt.Fprintf(&b, " dport %d", r.Port)
	}
	if r.Goto != 0 {
		fmt.Fprintf(&b, " goto %d", r.Goto)
		return b.String()
	}
	if r.Table == 0 {
		b.WriteString(" unreachable")
		return b.String()
	}
	fmt.Fprintf(&b, " lookup %d", r.Table)
	if r.Specific {
		b.WriteString(" suppress_prefixlength 0")
	}
	return b.String()
}

func (r *Route) command(verb string) string {
	var b strings.Builder
	b.WriteString("ip")
	if r.To.Addr().Is6() {
		b.WriteString(" -6")
	}
	b.WriteString(" route " + verb)
	if r.Unreachable {
		b.WriteString(" unreachable")
	}
	fmt.Fprintf(&b, " table %d %s", r.Table, r.To)
	if r.Via.IsValid() {
		fmt.Fprintf(&b, " via %s", r.Via)
	}
	if !r.Unreachable {
		fmt.Fprintf(&b, " dev %s", r.Device)
	}
	if r.Source.IsValid() {
		fmt.Fprintf(&b, " src %s", r.Source)
	}
	if r.Metric != 0 {
		fmt.Fprintf(&b, " metric %d", r.Metric)
	}
	if r.OnLink {
		b.WriteString(" onlink")
	}
	return b.String()
}

// add is what nft is given to make the chains, whether they are there or not.
func (c *SetChain) add() string {
	var b strings.Builder
	in := c.Family + " " + c.Table + " "
	for _, chain := range c.chains() {
		fmt.Fprintf(&b, "nft add chain %s%s { type %s; policy accept; }\nnft flush chain %[1]s%[2]s\n", in, chain.name, chain.hook)
		for rule := range strings.Lines(c.Rules) {
			fmt.Fprintf(&b, "nft add rule %s%s %s", in, chain.name, rule)
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// remove is what nft is given to delete them; they must be there.
func (c *SetChain) remove() string {
	var lines []string
	for _, chain := range c.chains() {
		lines = append(lines, "nft delete chain "+c.Family+" "+c.Table+" "+chain.name)
	}
	return strings.Join(lines, "\n")
}

// chains are the two. That of the host's own packets has the kernel look for
// another route when their mark has changed.
func (c *SetChain) chains() []struct{ name, hook string } {
	return []struct{ name, hook string }{
		{c.Name + "-in", "filter hook prerouting priority mangle"},
		{c.Name + "-out", "route hook output priority mangle"},
	}
}
