package routing

import (
	"fmt"
	"strings"
)

// FreeBSD's packet filter, pf(4), as this package uses it.
//
//	main ruleset  what /etc/pf.conf, pfSense or OPNsense loads: never touched
//	anchor        a ruleset with a name, which the main one calls where it says so
//	call          the line of the main ruleset that does: anchor "netcombiner/*"
//	quick         a rule that ends the search: the last word, whatever follows
//	state         what pf keeps of a connection: its packets ask no more rules
//	tag           a word that a packet carries from rule to rule
//
// Filter and translation rules are called apart, and on pfSense they stand in
// anchors of different names.

// PF is what Plan must know of the host's pf.
type PF struct {
	// Missing says why there is nothing to be known: no /dev/pf, for one.
	Missing string
	Enabled bool
	// Filter and NAT are the anchors that the main ruleset calls for this
	// tunnel's filter and translation rules; "" where it calls none.
	Filter, NAT string
	// Partial are calls that are for some packets only, as pf prints them.
	Partial []string
}

// pfConf is what a main ruleset has to say.
const (
	callFilter = `anchor "netcombiner/*"`
	callNAT    = `nat-anchor "netcombiner/*"`
)

// calledAnchor finds, in what `pfctl -s rules` or, with nat, `pfctl -s nat`
// prints, the anchor in which a tunnel's rules are asked: our own, or else the
// one that pfSense has for others' rules. partial is its call where that is for
// some packets only.
func calledAnchor(rules, iface string, nat bool) (name, partial string) {
	keyword, others := "anchor", "userrules"
	if nat {
		keyword, others = "nat-anchor", "natrules"
	}
	best := 0
	for line := range strings.Lines(rules) {
		pattern, rest, ok := anchorCall(line, keyword)
		if !ok {
			continue
		}
		var as string
		rank := 0
		switch pattern {
		case "netcombiner/*", "netcombiner/" + iface:
			as, rank = "netcombiner/"+iface, 2
		case others + "/*":
			as, rank = others+"/netcombiner-"+iface, 1
		}
		if rank > best {
			best, name, partial = rank, as, ""
			if !forAll(rest) {
				partial = strings.TrimSpace(line)
			}
		}
	}
	return name, partial
}

// anchorCall takes a line apart: anchor "userrules/*" all.
func anchorCall(line, keyword string) (pattern string, rest []string, ok bool) {
	after, ok := strings.CutPrefix(strings.TrimSpace(line), keyword+` "`)
	if !ok {
		return "", nil, false
	}
	pattern, after, ok = strings.Cut(after, `"`)
	return pattern, strings.Fields(after), ok
}

// forAll says whether a call is for every packet: of what may stand behind the
// name, these words narrow nothing.
func forAll(words []string) bool {
	for i, w := range words {
		switch w {
		case "all", "quick", "{", "log":
		case "label", "ridentifier":
			return len(words) <= i+2
		default:
			return false
		}
	}
	return true
}

// pfEnabled reads what `pfctl -s info` prints.
func pfEnabled(info string) bool {
	for line := range strings.Lines(info) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "Status:" {
			return words[1] == "Enabled"
		}
	}
	return false
}

// ready says what is missing of pf, for what needs filter rules, translation
// rules or both, and what to do.
func (f *PF) ready(what string, filter, nat bool) error {
	var lines []string
	if nat && f.NAT == "" {
		lines = append(lines, callNAT+" with the translation rules")
	}
	if filter && f.Filter == "" {
		lines = append(lines, callFilter+" before the first block, pass or match rule")
	}
	switch {
	case f.Missing != "":
		return fmt.Errorf("%s needs pf, which is not there (%s): sysrc pf_enable=YES, and service pf start", what, f.Missing)
	case !f.Enabled:
		return fmt.Errorf("%s needs pf, which is switched off: sysrc pf_enable=YES, and service pf start", what)
	case len(lines) > 0:
		return fmt.Errorf("%s needs pf to ask our rules: put into /etc/pf.conf %s; then service pf reload", what, strings.Join(lines, ", and "))
	}
	return nil
}

// Anchor is rules of ours in pf, under a name that the main ruleset calls.
type Anchor struct {
	Name  string `json:"name"`
	Rules string `json:"rules"` // lines, as pfctl -f reads them
	// Label is that of rules whose states hold a way out: when the rules change,
	// these states go.
	Label string `json:"label,omitzero"`
}

func (a *Anchor) load() string {
	return "pfctl -a " + a.Name + " -f - <<END\n" + a.Rules + "END"
}

func (a *Anchor) clear() string { return "pfctl -a " + a.Name + " -F all" }

// kinds says whether there are translation rules, and filter rules.
func (a *Anchor) kinds() (nat, filter bool) {
	for line := range strings.Lines(a.Rules) {
		if strings.HasPrefix(strings.TrimPrefix(line, "no "), "nat ") {
			nat = true
		} else {
			filter = true
		}
	}
	return nat, filter
}

// warnSkipped looks in what `pfctl -s Interfaces -v` prints for devices that pf
// does not look at, which portal mode cannot do without.
func warnSkipped(interfaces, rules string) (list []string) {
	for line := range strings.Lines(interfaces) {
		name, skipped := strings.CutSuffix(strings.TrimSpace(line), " (skip)")
		if skipped && strings.Contains(rules, "on "+name+" ") {
			list = append(list, fmt.Sprintf("pf looks at nothing on %s (set skip on %[1]s in /etc/pf.conf): Routing = portal needs it to; take %[1]s out of that line", name))
		}
	}
	return list
}
