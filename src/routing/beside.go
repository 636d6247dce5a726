package routing

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"netcombiner/src/config"
)

// beside is what goes past the tunnel for one family, by one WAN.
type beside struct {
	to, from []netip.Prefix
	mark     config.Mark // of the connection
}

// besides are those in force, each by what it is and the WAN by which it goes.
type besides map[string]beside

// besidesOf tells what goes beside the tunnel once spec is carried out.
func besidesOf(spec Spec, host Host, slot int) besides {
	p := newPlanner(spec, host, slot)
	all := besides{}
	for _, v6 := range []bool{false, true} {
		for _, w := range p.bypassWays(v6) {
			if len(w.routes) > 0 {
				b := beside{w.to, w.from, p.markOf(w)}
				all[fmt.Sprint(b, w.wan.Name)] = b
			}
		}
		if len(p.direct(v6)) > 0 {
			here := []netip.Prefix{anywhere(v6)}
			all[fmt.Sprint("direct ", v6)] = beside{to: here, from: here}
		}
	}
	return all
}

// forgotten are tracked connections that began in the tunnel and from now on
// leave beside it. Only the first packet of a connection is translated: the rest
// would keep the tunnel's address, which no WAN brings an answer to.
type forgotten struct {
	tunnel []netip.Addr // where answers to them go
	now    []beside
}

// match says whether a connection is meant: from one address to another, under
// a mark, whose answers go to reply.
func (f *forgotten) match(from, to, reply netip.Addr, mark uint32) bool {
	if !slices.Contains(f.tunnel, reply) {
		return false
	}
	holds := func(prefixes []netip.Prefix, a netip.Addr) bool {
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	return slices.ContainsFunc(f.now, func(b beside) bool {
		return holds(b.to, to) && holds(b.from, from) && mark&b.mark.Mask == b.mark.Value
	})
}

// settle remembers what goes beside the tunnel, and has the connections
// forgotten that have come to.
func (r *Routing) settle(spec Spec, now besides) error {
	f := forgotten{}
	for _, key := range slices.Sorted(maps.Keys(now)) {
		if _, before := r.beside[key]; !before {
			f.now = append(f.now, now[key])
		}
	}
	r.beside = now
	if len(f.now) == 0 {
		return nil
	}
	for _, own := range spec.Address {
		f.tunnel = append(f.tunnel, own.Addr())
	}
	if spec.Mode == config.RoutingPortal { // untranslated
		f.tunnel = append(f.tunnel, newPlanner(spec, Host{}, 0).localPublic()...)
	}
	return r.system.forget(f)
}

// sets are the nft sets that spec names.
func (s *Spec) sets() (sets []config.NFTSet) {
	for _, b := range s.Bypasses {
		if b.Set != (config.NFTSet{}) && !slices.Contains(sets, b.Set) {
			sets = append(sets, b.Set)
		}
	}
	return sets
}

// Standing is how one [Bypass] is at the moment.
type Standing struct {
	What  string // the packets that are meant: "to 203.0.113.0/24"
	Via   string // as configured
	State string // where they go: "direct", "tunnel" or "blocked"
	Hint  string // what is wrong, if something is
}

// standings tells how each [Bypass] of spec is.
func standings(spec Spec, host Host, slot int) (list []Standing) {
	p := newPlanner(spec, host, slot)
	state := make([]string, len(spec.Bypasses))
	for _, v6 := range []bool{false, true} {
		for _, w := range p.bypassWays(v6) {
			if len(w.routes) > 0 {
				state[w.number] = "direct" // in one family at least
			}
		}
	}
	for i, b := range spec.Bypasses {
		s := Standing{What: Describe(b), Via: b.Via, State: state[i]}
		if s.State == "" {
			if s.State = "tunnel"; b.Block {
				s.State = "blocked"
			}
			s.Hint = "the WAN is down"
			if p.wan(WAN{b.Device, b.Source}) == nil {
				s.Hint = "there is no such interface"
			}
			if b.Device == spec.Interface {
				s.Hint = "that is the tunnel itself"
			}
		}
		if b.Set != (config.NFTSet{}) && host.Sets[b.Set] == "" {
			s.State, s.Hint = "tunnel", "there is no nft set "+b.Set.String()+" of type ipv4_addr or ipv6_addr"
		}
		list = append(list, s)
	}
	return list
}

// Describe says in words which packets a [Bypass] means.
func Describe(b config.Bypass) string {
	var words []string
	say := func(word, value string) {
		if value != "" {
			words = append(words, word+" "+value)
		}
	}
	say("to", joined(b.To))
	say("to set", b.Set.String())
	say("from", joined(b.From))
	say("mark", b.Mark.String())
	return strings.Join(words, " ")
}
