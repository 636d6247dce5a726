package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// Bypass is a [Bypass] section: packets that go straight out of one WAN. Those
// are meant that fit all of To, From, Set and Mark; what is not given fits all.
type Bypass struct {
	To   []netip.Prefix // destinations
	From []netip.Prefix // sources
	Set  NFTSet         // of destinations, which others keep
	Mark Mark           // that the user's own rules set

	// The WAN: a device, or an address that it holds. Via is what was written.
	Via    string
	Device string
	Source netip.Addr
	// Block says that while the WAN is down nothing of this goes anywhere, and
	// not into the tunnel.
	Block bool
}

// NFTSet names a set of nftables.
type NFTSet struct{ Family, Table, Name string }

// String is s as it stands in the configuration.
func (s NFTSet) String() string {
	if s == (NFTSet{}) {
		return ""
	}
	return s.Family + " " + s.Table + " " + s.Name
}

// Mark is the mark of a packet, under a mask. The zero value is none.
type Mark struct{ Value, Mask uint32 }

// String is m as it stands in the configuration.
func (m Mark) String() string {
	switch m.Mask {
	case 0:
		return ""
	case 1<<32 - 1:
		return fmt.Sprintf("%#x", m.Value)
	}
	return fmt.Sprintf("%#x/%#x", m.Value, m.Mask)
}

// MaxBypasses is how many [Bypass] sections a configuration may have, and
// MaxSets how many of them a Set: each takes a value of the mark of package routing.
const (
	MaxBypasses = 50
	MaxSets     = 6
)

var bypassFields = []field[Bypass]{
	{name: "To", set: func(b *Bypass, v string) (err error) { b.To, err = list(v, parseDestination); return }},
	{name: "From", set: func(b *Bypass, v string) (err error) { b.From, err = list(v, parsePrefix); return }},
	{name: "Set", set: func(b *Bypass, v string) (err error) { b.Set, err = parseSet(v); return }},
	{name: "Mark", set: func(b *Bypass, v string) (err error) { b.Mark, err = parseMark(v); return }},
	{name: "Via", set: func(b *Bypass, v string) error { b.Via = v; return nil }},
	{name: "IfDown", set: func(b *Bypass, v string) error {
		var answer string
		err := OneOf(&answer, v, "neither tunnel nor block", "tunnel", "block")
		b.Block = answer == "block"
		return err
	}},
}

// parseDestination takes a network that a WAN may lead to.
func parseDestination(v string) (netip.Prefix, error) {
	p, err := parsePrefix(v)
	if err != nil {
		return p, err
	}
	if a := p.Addr(); a.IsMulticast() || a.IsLinkLocalUnicast() || a.IsLoopback() {
		return p, &fault{quote(v) + " is nothing that a WAN leads to", "198.51.100.0/24, 2001:db8::/32, 192.0.2.7"}
	}
	return p, nil
}

// parseSet takes what nft names a set by. Nothing in it may mean more to nft.
func parseSet(v string) (NFTSet, error) {
	bad := &fault{"not the name of an nft set", "FAMILY TABLE SET as in inet fw4 banks; the family is inet, ip or ip6"}
	words := strings.Fields(v)
	if len(words) != 3 {
		return NFTSet{}, bad
	}
	s := NFTSet{strings.ToLower(words[0]), words[1], words[2]}
	if s.Family != "inet" && s.Family != "ip" && s.Family != "ip6" || !isNFTName(s.Table) || !isNFTName(s.Name) {
		return NFTSet{}, bad
	}
	return s, nil
}

func isNFTName(s string) bool {
	return len(s) <= 128 && (isLetterOrDigit(rune(s[0])) || s[0] == '_') && !(s[0] >= '0' && s[0] <= '9') &&
		!strings.ContainsFunc(s, func(r rune) bool { return !isLetterOrDigit(r) && !strings.ContainsRune("-_.", r) })
}

// parseMark takes 0x20, 0x20/0xff or 32.
func parseMark(v string) (Mark, error) {
	bad := &fault{"not a mark", "0x20 or 0x20/0xff, not 0, within its mask"}
	text, mask, masked := strings.Cut(v, "/")
	value, err := strconv.ParseUint(strings.TrimSpace(text), 0, 32)
	m := Mark{uint32(value), 1<<32 - 1}
	if err == nil && masked {
		value, err = strconv.ParseUint(strings.TrimSpace(mask), 0, 32)
		m.Mask = uint32(value)
	}
	if err != nil || m.Value == 0 || m.Value&^m.Mask != 0 {
		return Mark{}, bad
	}
	return m, nil
}

// checkBypasses settles what each Via means.
func (p *parser) checkBypasses(c *Config, own given, where []given) {
	if len(where) > 0 && c.Interface.Role == Local && c.Interface.Routing == RoutingNone {
		p.fail(where[0].line, "[Bypass]", "", &fault{"means nothing with Routing = none", "Routing = nat or portal in [Interface]"})
	}
	if own.has("Fallback") && c.Interface.Role == Remote {
		p.fail(own.at("Fallback"), "Fallback", "", &fault{"means nothing on a remote portal", "on the local portal only"})
	} else if c.Interface.Fallback && c.Interface.Routing == RoutingNone {
		p.fail(own.at("Fallback"), "Fallback", "direct", &fault{"means nothing with Routing = none", "Routing = nat or portal, or Fallback = none"})
	}
	sets := 0
	for i := range c.Bypasses {
		b, g := &c.Bypasses[i], where[i]
		p.need(g, "Via", viaAllowed)
		if b.Via != "" {
			if err := c.resolveVia(b); err != nil {
				p.fail(g.at("Via"), "Via", b.Via, err)
			}
		}
		if !g.has("To") && !g.has("From") && !g.has("Set") && !g.has("Mark") {
			p.fail(g.line, "[Bypass]", "", &fault{"says of no packet that it is meant", "To, From, Set or Mark"})
		}
		if g.has("To") && g.has("Set") {
			p.fail(g.at("Set"), "Set", "", &fault{"given beside To", "one of the two; a [Bypass] of its own for the other"})
		}
		if g.has("Mark") && g.has("Set") {
			p.fail(g.at("Set"), "Set", "", &fault{"given beside Mark", "one of the two"})
		}
		if g.has("Set") {
			if sets++; sets == MaxSets+1 {
				p.fail(g.at("Set"), "Set", "", &fault{"too many", fmt.Sprintf("at most %d [Bypass] with one", MaxSets)})
			}
		}
		if len(b.To) > 0 && len(b.From) > 0 && !oneFamily(b.To, b.From) {
			p.fail(g.at("From"), "From", "", &fault{"of another IP version than To, so that no packet fits both", "one that they share"})
		}
	}
	if len(where) > MaxBypasses {
		p.fail(where[MaxBypasses].line, "[Bypass]", "", &fault{"too many", fmt.Sprintf("at most %d; To takes %d prefixes", MaxBypasses, maxList)})
	}
}

// oneFamily says whether both lists hold a prefix of the same IP version.
func oneFamily(a, b []netip.Prefix) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Addr().Is4() == y.Addr().Is4() {
				return true
			}
		}
	}
	return false
}

const viaAllowed = "an interface (eth1), or the Name of a [Path] with a Bind"

// resolveVia finds the WAN that b.Via means: that of a path of this name, or
// else the interface.
func (c *Config) resolveVia(b *Bypass) error {
	for _, path := range c.Paths {
		if !strings.EqualFold(path.Name, b.Via) {
			continue
		}
		if path.Device == "" && !path.Source.IsValid() {
			return &fault{"the path of this name has no Bind, and so no WAN of its own", viaAllowed}
		}
		b.Device, b.Source = path.Device, path.Source
		return nil
	}
	if CheckInterfaceName(b.Via) != nil {
		return &fault{"neither an interface nor the Name of a [Path]", viaAllowed}
	}
	b.Device = b.Via
	return nil
}

// bypassWarnings says what in the sections is most likely not meant.
func bypassWarnings(c *Config, warn func(format string, args ...any)) {
	for i, b := range c.Bypasses {
		known := b.Source.IsValid()
		for _, path := range c.Paths {
			known = known || path.Device == b.Device
		}
		if !known {
			warn("[Bypass] %d: Via = %s is neither a path's Name nor the Bind of one; it is taken for an interface", i+1, b.Via)
		}
		for _, to := range b.To {
			if to.Bits() == 0 && len(b.From) == 0 && b.Mark.Mask == 0 {
				warn("[Bypass] %d: To = %s leaves nothing for the tunnel", i+1, to)
			}
		}
	}
}
