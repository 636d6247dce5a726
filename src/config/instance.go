package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// Instance is one of a host's tunnels, by its configuration.
type Instance struct {
	Interface string // the file's name without .conf
	File      string
	*Config
}

// Named makes the instance that file configures.
func Named(file string, c *Config) Instance {
	return Instance{strings.TrimSuffix(filepath.Base(file), ".conf"), file, c}
}

// Instances loads every *.conf of a folder, in the order of their names; there
// may be none. err tells of those that are wrong; the others are returned all
// the same.
func Instances(dir string) (all []Instance, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	for _, file := range files {
		c, wrong := Load(file)
		if wrong != nil {
			err = errors.Join(err, wrong)
			continue
		}
		all = append(all, Named(file, c))
	}
	return all, err
}

// lines tells where in its file a Config has what only one tunnel of a host can
// have: line numbers from 1.
type lines struct {
	Address, Key, Routing, Metrics int
	Listens                        []int // their Address
}

// door is where a tunnel listens on its host.
type door struct {
	Listen
	of, key string // what listens, and the key that says where
	line    int    // of that key; 0: in no file
}

// doors are an instance's [Listen]s, and its Metrics, which is one over TCP.
func (i Instance) doors() (all []door) {
	for n, l := range i.Listens {
		all = append(all, door{l, "[Listen]", "Address", at(i.lines.Listens, n)})
	}
	if m := i.Config.Interface.metricsDoor(); m.Address.IsValid() {
		all = append(all, door{m, "Metrics", "Metrics", i.lines.Metrics})
	}
	return all
}

// Clashes tells what tunnels of one host take from each other: each error names
// the file and line of both, and mostly is about the later of two.
func Clashes(all []Instance) Errors {
	var found Errors
	for i, b := range all {
		for _, a := range all[:i] {
			found = append(found, clashes(a, b)...)
		}
	}
	slices.SortStableFunc(found, func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return found
}

func clashes(a, b Instance) Errors {
	p := pair{a: a, b: b}
	if p.twoEnds() {
		return nil
	}
	p.names()
	p.keys()
	p.addresses()
	p.listens()
	p.public(a, b)
	p.public(b, a)
	return p.found
}

// pair is two instances that are compared, b the later one.
type pair struct {
	a, b  Instance
	found Errors
}

// fail notes what stands on a line of b, and on another of a; 0: nowhere.
func (p *pair) fail(line int, key, value string, other int, problem, allowed string) {
	where := p.a.File
	if other > 0 {
		where = fmt.Sprintf("%s:%d", where, other)
	}
	p.found = append(p.found, &Error{File: p.b.File, Line: line, Key: key, Value: value, Problem: problem + " " + where, Allowed: allowed})
}

func (p *pair) names() {
	if p.a.Interface != "" && p.a.Interface == p.b.Interface {
		p.fail(0, "", "", 0, "interface "+p.b.Interface+" is that of", "another name of the file")
	}
}

// sameKey never holds for keys that are not known.
func (p *pair) sameKey() bool {
	a, b := p.a.Config.Interface, p.b.Config.Interface
	return !a.Key.IsZero() && a.Key == b.Key
}

// twoEnds says that the two are the ends of one tunnel: of two hosts, or made for
// each other.
func (p *pair) twoEnds() bool {
	return p.sameKey() && p.a.Config.Interface.Role != p.b.Config.Interface.Role
}

// keys refuses one key for two homes: each could pass for the other.
func (p *pair) keys() {
	if p.sameKey() {
		p.fail(p.b.lines.Key, "Key", "", p.a.lines.Key, "the one of", "a key for each tunnel (netcombiner genkey), or one home could pass for the other")
	}
}

func (p *pair) addresses() {
	for _, x := range p.a.Config.Interface.Address {
		for _, y := range p.b.Config.Interface.Address {
			if x.Overlaps(y) && !x.Addr().IsLinkLocalUnicast() {
				p.fail(p.b.lines.Address, "Address", y.String(), p.a.lines.Address, fmt.Sprintf("overlaps with %v of", x), "addresses of its own")
			}
		}
	}
}

func (p *pair) listens() {
	for _, y := range p.b.doors() {
		for _, x := range p.a.doors() {
			if clash(x.Listen, y.Listen) {
				p.fail(y.line, y.key, y.place(), x.line, "taken by the "+x.of+" of", "another port or address")
			}
		}
	}
}

// public refuses to listen where another tunnel, with Routing = portal, passes
// on all that comes.
func (p *pair) public(taker, listener Instance) {
	i := taker.Config.Interface
	if i.Role != Remote || i.Routing != RoutingPortal {
		return
	}
	for n, l := range listener.Listens {
		a := l.Address.Addr()
		if len(i.PublicAddress) == 0 || a.IsUnspecified() || slices.Contains(i.PublicAddress, a) {
			p.found = append(p.found, &Error{File: listener.File, Line: at(listener.lines.Listens, n), Key: "Address", Value: l.place(),
				Problem: fmt.Sprintf("its client gets all that comes there, by the Routing = portal of %s:%d", taker.File, taker.lines.Routing),
				Allowed: "an address that is not a PublicAddress there"})
		}
	}
}

func at(lines []int, i int) int {
	if i < len(lines) {
		return lines[i]
	}
	return 0
}
