package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// field is a key that a section knows: how its value gets into a T.
type field[T any] struct {
	name   string
	set    func(dst *T, value string) error
	secret bool // the value is never shown
}

// Suites are the words that Suite can be.
var Suites = []string{"auto", "blake2s", "chacha20poly1305", "aes128gcm", "none"}

var interfaceFields = []field[Interface]{
	{name: "Role", set: func(i *Interface, v string) error { return OneOf(&i.Role, v, "not a role", Local, Remote) }},
	{name: "Key", secret: true, set: func(i *Interface, v string) (err error) { i.Key, err = ParseKey(v); return }},
	{name: "KeyFile", secret: true, set: func(i *Interface, v string) error { i.KeyFile = v; return nil }},
	{name: "Address", set: func(i *Interface, v string) (err error) { i.Address, err = list(v, parseOwnAddress); return }},
	{name: "MTU", set: func(i *Interface, v string) (err error) { i.MTU, err = parseMTU(v); return }},
	{name: "Suite", set: func(i *Interface, v string) error {
		return OneOf(&i.Suite, v, "not a suite", Suites...)
	}},
	{name: "Scheduler", set: func(i *Interface, v string) error {
		return OneOf(&i.Scheduler, v, "not a scheduler", "earliest", "greedy", "proportional", "redundant")
	}},
	{name: "Routing", set: func(i *Interface, v string) error {
		return OneOf(&i.Routing, v, "not a kind of routing", RoutingNone, RoutingNAT, RoutingPortal)
	}},
	{name: "Egress", set: func(i *Interface, v string) error {
		return OneOf(&i.Egress, v, "not a way out", EgressAuto, EgressFIB, EgressPF)
	}},
	{name: "AuthenticateAddresses", set: func(i *Interface, v string) error {
		var answer string
		err := OneOf(&answer, v, "neither yes nor no", "yes", "no")
		i.AuthenticateAddresses = answer == "yes"
		return err
	}},
	{name: "Offload", set: func(i *Interface, v string) error {
		var answer string
		err := OneOf(&answer, v, "neither auto nor off", "auto", "off")
		i.Offload = answer == "auto"
		return err
	}},
	{name: "MemoryLimit", set: func(i *Interface, v string) (err error) { i.MemoryLimit, err = parseMemory(v); return }},
	{name: "Metrics", set: func(i *Interface, v string) (err error) { i.Metrics, err = parseMetrics(v); return }},
	{name: "Log", set: func(i *Interface, v string) error { return OneOf(&i.Log, v, "not a form of log", "text", "json") }},
	{name: "Fallback", set: func(i *Interface, v string) error {
		var answer string
		err := OneOf(&answer, v, "neither direct nor none", "direct", "none")
		i.Fallback = answer == "direct"
		return err
	}},
	{name: "PublicAddress", set: func(i *Interface, v string) (err error) {
		i.PublicAddress, err = list(v, parseHostAddress)
		return
	}},
	{name: "ClientInterface", set: func(i *Interface, v string) error {
		i.ClientInterface = v
		return CheckInterfaceName(v)
	}},
	{name: "KeepPorts", set: func(i *Interface, v string) (err error) { i.KeepPorts, err = list(v, ParsePort); return }},
}

var pathFields = []field[Path]{
	{name: "Name", set: func(p *Path, v string) error { p.Name = v; return checkPathName(v) }},
	{name: "Transport", set: func(p *Path, v string) error { return OneOf(&p.Transport, v, "not a transport", "udp", "tcp", "ip") }},
	{name: "Protocol", set: func(p *Path, v string) (err error) { p.Protocol, err = parseProtocol(v); return }},
	{name: "Bind", set: setBind},
	{name: "Gateway", set: func(p *Path, v string) (err error) { p.Gateway, err = list(v, parseHostAddress); return }},
	{name: "Remote", set: func(p *Path, v string) (err error) { p.Remote, err = parseRemote(v); return }},
	{name: "Congestion", set: func(p *Path, v string) error {
		return OneOf(&p.Congestion, v, "not a congestion controller", "bbr", "newreno", "none")
	}},
	{name: "Rate", set: func(p *Path, v string) (err error) { p.RateDown, p.RateUp, err = parseRates(v); return }},
	{name: "Metric", set: func(p *Path, v string) (err error) {
		p.Metric, err = parseNumber(v, 0, 65535, "not a metric")
		return
	}},
	{name: "Direction", set: func(p *Path, v string) error {
		return OneOf(&p.Direction, v, "not a direction", Both, Send, Receive)
	}},
	{name: "Quota", set: func(p *Path, v string) (err error) { p.Quota, err = parseQuota(v); return }},
	{name: "QuotaReset", set: func(p *Path, v string) (err error) {
		p.QuotaReset, err = parseNumber(v, 1, 31, "not a day of the month")
		return
	}},
}

var listenFields = []field[Listen]{
	{name: "Transport", set: func(l *Listen, v string) error { return OneOf(&l.Transport, v, "not a transport", "udp", "tcp", "ip") }},
	{name: "Protocol", set: func(l *Listen, v string) (err error) { l.Protocol, err = parseProtocol(v); return }},
	{name: "Address", set: func(l *Listen, v string) (err error) { l.Address, err = parseListenAddress(v); return }},
	{name: "Allow", set: func(l *Listen, v string) (err error) { l.Allow, err = list(v, parsePrefix); return }},
}

// given tells on which line of a section a key stands, right or wrong.
type given struct {
	section string
	line    int
	keys    map[string]int
}

func (g given) has(key string) bool { return g.keys[key] > 0 }

// at is the line of key, or of its section where it is missing.
func (g given) at(key string) int {
	if line := g.keys[key]; line > 0 {
		return line
	}
	return g.line
}

// decode fills dst from the lines of s.
func decode[T any](p *parser, s section, title string, dst *T, fields []field[T]) given {
	g := given{section: title, line: s.line, keys: make(map[string]int)}
	for _, e := range s.entries {
		f, ok := find(fields, e.key)
		if !ok {
			// The value stays unsaid: it may be the secret after a mistyped "Key".
			p.fail(e.line, quote(e.key), "", &fault{"unknown in [" + title + "]", names(fields)})
			continue
		}
		if first := g.keys[f.name]; first > 0 {
			p.fail(e.line, f.name, "", &fault{fmt.Sprintf("given twice, first on line %d", first), "once in a section"})
			continue
		}
		g.keys[f.name] = e.line
		shown := e.value
		if f.secret {
			shown = ""
		}
		if e.value == "" {
			p.fail(e.line, f.name, "", &fault{"no value", "Key = Value, or leave the line out"})
		} else if err := f.set(dst, e.value); err != nil {
			p.fail(e.line, f.name, shown, err)
		}
	}
	return g
}

func find[T any](fields []field[T], key string) (field[T], bool) {
	for _, f := range fields {
		if strings.EqualFold(f.name, key) {
			return f, true
		}
	}
	return field[T]{}, false
}

func names[T any](fields []field[T]) string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.name
	}
	return strings.Join(all, ", ")
}

// setBind takes an address or an interface name.
func setBind(p *Path, v string) error {
	if a, err := netip.ParseAddr(v); err == nil {
		p.Source = a.Unmap()
		if a.IsUnspecified() || a.IsMulticast() {
			return &fault{"not an address a host can have", bindAllowed}
		}
		return nil
	}
	if CheckInterfaceName(v) != nil || strings.Trim(v, "0123456789.") == "" { // 10.0.0.300
		return &fault{"neither an interface name nor an address", bindAllowed}
	}
	p.Device = v
	return nil
}

const bindAllowed = "an interface (eth1) or one of its addresses (192.0.2.7)"
