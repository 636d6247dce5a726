package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// pfRules are the lines for pf, translation before filter rules, as pfctl wants
// them.
type pfRules struct {
	nat, filter []string
}

func (r *pfRules) natLine(format string, args ...any)    { addLine(&r.nat, format, args) }
func (r *pfRules) filterLine(format string, args ...any) { addLine(&r.filter, format, args) }

// addLine leaves out what is there already.
func addLine(lines *[]string, format string, args []any) {
	if line := fmt.Sprintf(format, args...); !slices.Contains(*lines, line) {
		*lines = append(*lines, line)
	}
}

// anchors are the steps that load the rules: one, or two where filter and
// translation rules are called under different names.
func (r *pfRules) anchors(pf PF, label string) (steps []Step) {
	add := func(name string, lines ...string) {
		if len(lines) > 0 {
			steps = append(steps, Step{Anchor: &Anchor{Name: name, Rules: strings.Join(lines, "\n") + "\n", Label: label}})
		}
	}
	if pf.NAT == pf.Filter {
		add(pf.Filter, slices.Concat(r.nat, r.filter)...)
		return steps
	}
	add(pf.NAT, r.nat...)
	add(pf.Filter, r.filter...)
	return steps
}

// pfFamily is the word for a family of addresses.
func pfFamily(v6 bool) string {
	if v6 {
		return "inet6"
	}
	return "inet"
}

// pfList is one thing, or several in braces.
func pfList[T fmt.Stringer](things []T) string {
	words := make([]string, len(things))
	for i, t := range things {
		words[i] = t.String()
	}
	return pfWords(words)
}

func pfWords(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return "{ " + strings.Join(words, ", ") + " }"
}

// pfProto is a transport's protocol and, where it has ports, the port at which
// it listens: "proto udp from A to B port 4725".
func pfProto(proto uint8, from, to string, port uint16) string {
	switch proto {
	case protoTCP:
		return fmt.Sprintf("proto tcp from %s to %s port %d", from, to, port)
	case protoUDP:
		return fmt.Sprintf("proto udp from %s to %s port %d", from, to, port)
	}
	return fmt.Sprintf("proto %d from %s to %s", proto, from, to)
}

// addrsOf are a device's own addresses of a family.
func addrsOf(l *Link, v6 bool) (addrs []netip.Addr) {
	for _, own := range l.Addrs {
		if own.Addr().Is6() == v6 && !slices.Contains(addrs, own.Addr()) {
			addrs = append(addrs, own.Addr())
		}
	}
	return addrs
}
