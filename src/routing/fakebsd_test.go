package routing

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// fakeBSD is a FreeBSD host in memory: its pf takes rules into anchors and asks
// those that the main ruleset calls, its FIBs refuse a gateway that they do not
// reach, and take a second route to the same place as one more way there.
type fakeBSD struct {
	host    Host
	sysctls map[string]string

	pf      string            // what `pfctl -s info` says; "": there is no /dev/pf
	main    map[string]string // the main ruleset: "rules" and "nat"
	anchors map[string]string
	skipped string // what `pfctl -v -s Interfaces` says
	killed  []string
	loads   int

	changes, dieAt, failAt int
	dieLate                bool
}

const mainRules = "scrub in all fragment reassemble\nanchor \"netcombiner/*\" all\nblock drop in log all\npass out all flags S/SA keep state\n"
const mainNAT = "nat-anchor \"netcombiner/*\" all\nnat on em0 inet from 10.7.0.0/24 to any -> (em0) round-robin\n"

func newFakeBSD(host Host) *fakeBSD {
	return &fakeBSD{
		host:    host,
		sysctls: map[string]string{bsdForward4: "0", bsdForward6: "0", bsdRouters6: "0"},
		pf:      "Status: Enabled for 0 days 00:01:23           Debug: Urgent\n\nState Table                          Total             Rate\n",
		main:    map[string]string{"rules": mainRules, "nat": mainNAT},
		anchors: map[string]string{},
	}
}

func (f *fakeBSD) state() map[string]string {
	s := maps.Clone(f.sysctls)
	for _, r := range f.host.Routes {
		s[fibCommand(&r, "add")] = "there"
	}
	for name, rules := range f.anchors {
		s["anchor "+name] = rules
	}
	for _, l := range f.host.Links {
		s["addresses of "+l.Name] = fmt.Sprint(l.Addrs)
	}
	return s
}

func (f *fakeBSD) boot() (string, error)       { return "", nil }
func (f *fakeBSD) lock(string) (func(), error) { return func() {}, nil }
func (f *fakeBSD) fibs() (int, error)          { return f.host.FIBs, nil }
func (f *fakeBSD) links() ([]Link, error) {
	links := slices.Clone(f.host.Links)
	for i := range links {
		links[i].Addrs = slices.Clone(links[i].Addrs)
	}
	return links, nil
}
func (f *fakeBSD) nextHops([]string) map[string][]netip.Addr { return f.host.Gateways }

func (f *fakeBSD) routes(fib int) (routes []Route, err error) {
	for _, r := range f.host.Routes {
		if int(r.Table) == fib {
			routes = append(routes, r)
		}
	}
	return routes, nil
}

// change makes one, unless it is to die or to be refused there.
func (f *fakeBSD) change(do func() error) error {
	f.changes++
	if f.changes == f.failAt {
		return errors.New("the kernel says no")
	}
	if f.changes == f.dieAt && !f.dieLate {
		panic(errKilled)
	}
	err := do()
	if f.changes == f.dieAt && f.dieLate {
		panic(errKilled)
	}
	return err
}

func (f *fakeBSD) changeRoute(r Route, add bool) error {
	return f.change(func() error {
		same := func(o Route) bool { return o.inFIB() == r.inFIB() }
		there := slices.ContainsFunc(f.host.Routes, same)
		reached := slices.ContainsFunc(f.host.Routes, func(o Route) bool {
			return o.Table == r.Table && o.Device == r.Device && !o.Via.IsValid() && o.To.Contains(r.Via)
		})
		switch {
		case add && there:
			return os.ErrExist
		case !add && !there:
			return nil
		case add && r.Via.IsValid() && !r.Via.IsLinkLocalUnicast() && !reached:
			return errors.New("network is unreachable")
		case add:
			f.host.Routes = append(f.host.Routes, r)
		default:
			f.host.Routes = slices.DeleteFunc(f.host.Routes, same)
		}
		return nil
	})
}

func (f *fakeBSD) changeAlias(a Address, add bool) error {
	return f.change(func() error {
		l := f.host.link(a.Device)
		held := slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p == a.Prefix })
		if held == add {
			return errors.New("can't assign requested address")
		}
		if add {
			l.Addrs = append(slices.Clone(l.Addrs), a.Prefix)
		} else {
			l.Addrs = slices.DeleteFunc(slices.Clone(l.Addrs), func(p netip.Prefix) bool { return p == a.Prefix })
		}
		return nil
	})
}

func (f *fakeBSD) sysctl(key string) (string, error) {
	if value, ok := f.sysctls[key]; ok {
		return value, nil
	}
	return "", os.ErrNotExist
}

func (f *fakeBSD) setSysctl(key, value string) error {
	return f.change(func() error { f.sysctls[key] = value; return nil })
}

func (f *fakeBSD) pfctl(stdin string, args ...string) (string, error) {
	if f.pf == "" {
		return "", errors.New("/sbin/pfctl: exit status 1: pfctl: /dev/pf: No such file or directory")
	}
	anchor := ""
	if len(args) > 2 && args[0] == "-a" {
		anchor, args = args[1], args[2:]
	}
	switch command := strings.Join(args, " "); command {
	case "-s info":
		return f.pf, nil
	case "-v -s Interfaces":
		return f.skipped, nil
	case "-s rules", "-s nat":
		if anchor == "" {
			return f.main[args[1]], nil
		}
		if _, known := f.anchors[anchor]; !known {
			return "", errors.New("pfctl: Anchor '" + anchor + "' not found.")
		}
		return ofKind(f.anchors[anchor], args[1] == "nat"), nil
	case "-f -":
		f.loads++
		return "", f.change(func() error { f.anchors[anchor] = stdin; return nil })
	case "-F all":
		if anchor == "" {
			panic("pfctl -F all of the main ruleset")
		}
		return "", f.change(func() error { delete(f.anchors, anchor); return nil })
	case "-k label -k netcombiner-nc0", "-k label -k netcombiner-nc1":
		f.killed = append(f.killed, args[3])
		return "", nil
	case "-n -a " + args[max(0, len(args)-3)] + " -f -":
		return "", inOrder(stdin)
	default:
		panic("pfctl " + command)
	}
}

// ofKind are the translation lines of a ruleset, or the others.
func ofKind(rules string, nat bool) string {
	var b strings.Builder
	for line := range strings.Lines(rules) {
		if nat == (strings.HasPrefix(line, "nat ") || strings.HasPrefix(line, "no nat ")) {
			b.WriteString(line)
		}
	}
	return b.String()
}

// inOrder is what pfctl minds, of much else: translation before filter rules.
func inOrder(rules string) error {
	if ofKind(rules, true)+ofKind(rules, false) != rules {
		return errors.New("stdin: Rules must be in order: … translation, filtering")
	}
	return nil
}
