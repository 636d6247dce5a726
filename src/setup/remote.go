package setup

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/token"
)

// RemoteOptions are what the VPS's owner may ask for. What is zero is found, kept from
// the configuration that init wrote before, or the default.
type RemoteOptions struct {
	Interface string
	Address   string // by which homes reach this host: a name or an address
	Port      uint16 // of UDP
	TCPPort   uint16
	NoTCP     bool
	Routing   config.Routing
	Suite     string
	Expires   time.Duration // how long the token may be used; 0: for ever
	Yes       bool          // open the firewall without asking
	Force     bool          // replace a configuration that is not ours
}

// The defaults.
const (
	defaultPort    = 4725
	defaultTCPPort = 443
	portsTried     = 1000 // from the default on
)

// inner is the local portal's address of the first tunnel; the remote's is one less. The
// next tunnels' are two further each.
var (
	inner4 = netip.MustParseAddr("172.19.152.3")
	inner6 = netip.MustParseAddr("fd19:152::3")
)

// tunnelsTried is how many pairs of inner addresses there are: half of 172.19.152.0/22.
const tunnelsTried = 500

// remote is a remote portal's configuration to be.
type remote struct {
	key      config.Key
	listens  []token.Way
	local    []netip.Prefix // the local portal's inner addresses
	suite    string
	routing  config.Routing
	reserved map[token.Way]string // ports of this host's other tunnels, by whose they are
}

// Remote sets this host up as a remote portal and returns the token for the local one.
// Run again it changes nothing but what the options ask for.
func (h *Host) Remote(o RemoteOptions) (string, error) {
	host, err := h.reachableAt(o.Address)
	if err != nil {
		return "", err
	}
	path := h.path(o.Interface)
	old, err := read(path)
	if err != nil {
		return "", err
	}
	r, err := h.planRemote(o, old)
	if err != nil {
		return "", err
	}
	if err := h.needNFT(r.routing); err != nil {
		return "", err
	}
	t, err := h.token(o, r, host).Encode()
	if err != nil {
		return "", wrong("%w", err)
	}
	changed, err := h.put(path, r.body(), old, o.Force)
	if err != nil {
		return "", err
	}
	h.firewall(o.Interface, r.routing, r.listens, o.Yes)
	if err := h.run(o.Interface, changed); err != nil {
		return "", err
	}
	return t, nil
}

// reachableAt is the host by which homes reach this one.
func (h *Host) reachableAt(given string) (string, error) {
	if given != "" {
		if err := checkHost(given); err != nil {
			return "", err
		}
		return given, nil
	}
	var private []string
	for _, a := range h.Sources() {
		device, err := h.DeviceOf(a)
		if err != nil {
			return "", err
		}
		if public(a) {
			h.say("public address %s on %s", a, device)
			return a.String(), nil
		}
		private = append(private, fmt.Sprintf("%s (%s)", a, device))
	}
	if len(private) == 0 {
		return "", errors.New("no default route, so no address to be found: say by which homes reach this host with --address HOST")
	}
	return "", fmt.Errorf("%s is private: a NAT stands between this host and the Internet. Say the address that homes reach it by with --address HOST, "+
		"and let the NAT (or the provider's panel) pass the ports on to here", list(private))
}

// public says of an address that the whole Internet may know a way to it.
func public(a netip.Addr) bool {
	shared := netip.MustParsePrefix("100.64.0.0/10") // of carriers' NATs, RFC 6598
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

// checkHost asks the configuration's own rules whether a path can go there.
func checkHost(host string) error {
	body := "[Interface]\nRole = local\nKey = " + config.GenerateKey().Base64() + "\n[Path]\nRemote = " + config.HostPort{Host: host, Port: 1}.String()
	if _, err := config.Parse("", strings.NewReader(body)); err != nil || strings.ContainsAny(host, "\n#[] ") {
		return wrong("--address %.80q is neither a name nor an address; allowed: vps.example.org, 192.0.2.7, 2001:db8::7, without a port", host)
	}
	return nil
}

// planRemote begins with what was there, if init wrote it, else with the defaults; and then
// does what the options say.
func (h *Host) planRemote(o RemoteOptions, old existing) (r *remote, err error) {
	r = &remote{reserved: map[token.Way]string{}}
	others := h.others(o.Interface)
	for name, c := range others {
		for _, l := range c.Listens {
			r.reserved[token.Way{Transport: l.Transport, Port: l.Address.Port()}] = name
		}
	}
	known := old.config != nil && old.config.Interface.Role == config.Remote
	if known && old.ours {
		r.continues(old.config)
	} else if err := h.begin(r, o, others); err != nil {
		return nil, err
	}
	if known && !old.ours && o.Force {
		r.key = old.config.Interface.Key
		h.say("the key is the old file's: homes that have it need no new token")
	}
	if o.Routing != "" {
		r.routing = o.Routing
	}
	if o.Suite != "" {
		r.suite = o.Suite
	}
	return r, h.choosePorts(r, o)
}

// continues takes over what init wrote before.
func (r *remote) continues(c *config.Config) {
	r.key, r.suite, r.routing = c.Interface.Key, c.Interface.Suite, c.Interface.Routing
	for _, l := range c.Listens {
		r.listens = append(r.listens, token.Way{Transport: l.Transport, Port: l.Address.Port()})
	}
	for _, own := range c.Interface.Address {
		r.local = append(r.local, netip.PrefixFrom(own.Addr().Next(), own.Bits()))
	}
}

// begin takes the defaults, which no other tunnel here has.
func (h *Host) begin(r *remote, o RemoteOptions, others map[string]*config.Config) error {
	r.key, r.suite, r.routing = config.GenerateKey(), "auto", config.RoutingNAT
	taken, err := h.Addresses()
	if err != nil {
		return err
	}
	for _, c := range others {
		for _, own := range c.Interface.Address {
			taken = append(taken, own.Addr())
		}
	}
	v6 := slices.ContainsFunc(h.Sources(), func(a netip.Addr) bool { return a.Is6() && public(a) })
	first := numberOf(o.Interface)
	for i := range tunnelsTried {
		n := (first + i) % tunnelsTried
		local := []netip.Prefix{netip.PrefixFrom(further(inner4, n), 31)}
		if v6 { // else the home's IPv6 would come here and get no further
			local = append(local, netip.PrefixFrom(further(inner6, n), 127))
		}
		if !slices.ContainsFunc(taken, func(a netip.Addr) bool {
			return slices.ContainsFunc(local, func(p netip.Prefix) bool { return p.Masked().Contains(a) })
		}) {
			r.local = local
			return nil
		}
	}
	return fmt.Errorf("all %d pairs of inner addresses from %s on are taken", tunnelsTried, inner4)
}

// numberOf is the number at the end of an interface's name: nc7 has other inner addresses than
// nc0, so that one home may have tunnels to two VPSs.
func numberOf(iface string) int {
	digits := iface[len(strings.TrimRight(iface, "0123456789")):]
	n, _ := strconv.Atoi(digits)
	return n % tunnelsTried
}

// further is the address of the n-th tunnel.
func further(a netip.Addr, n int) netip.Addr {
	raw := a.AsSlice()
	last := len(raw) - 2
	sum := int(raw[last])<<8 + int(raw[last+1]) + 2*n
	raw[last], raw[last+1] = byte(sum>>8), byte(sum)
	next, _ := netip.AddrFromSlice(raw)
	return next
}

// choosePorts settles where the portal listens.
func (h *Host) choosePorts(r *remote, o RemoteOptions) error {
	had := r.listens
	r.listens = nil
	kept := func(transport string) (token.Way, bool) {
		i := slices.IndexFunc(had, func(w token.Way) bool { return w.Transport == transport })
		if i < 0 {
			return token.Way{}, false
		}
		return had[i], true
	}
	// why says what keeps a port from being ours; a tunnel that runs holds its own.
	why := func(w token.Way) string {
		switch other := r.reserved[w]; {
		case other != "":
			return "is " + other + "'s"
		case !slices.Contains(had, w) && h.Taken(w.Transport, w.Port):
			return "is taken by another program"
		}
		return ""
	}
	add := func(transport string, given uint16, otherwise func() error) error {
		w := token.Way{Transport: transport, Port: given}
		if given != 0 {
			if problem := why(w); problem != "" {
				return wrong("%s port %d %s: choose another", transport, given, problem)
			}
			r.listens = append(r.listens, w)
			return nil
		}
		if w, ok := kept(transport); ok {
			r.listens = append(r.listens, w)
			return nil
		}
		return otherwise()
	}

	err := add("udp", o.Port, func() error {
		for port := uint16(defaultPort); port < defaultPort+portsTried; port++ {
			w := token.Way{Transport: "udp", Port: port}
			if problem := why(w); problem == "" {
				r.listens = append(r.listens, w)
				return nil
			} else if port == defaultPort {
				h.say("udp port %d %s: the next free one is used", port, problem)
			}
		}
		return fmt.Errorf("udp ports %d to %d are all taken: choose one with --port", defaultPort, defaultPort+portsTried-1)
	})
	if err != nil || o.NoTCP {
		return err
	}
	return add("tcp", o.TCPPort, func() error {
		if had != nil {
			return nil // init left it out before: only the option brings it back
		}
		w := token.Way{Transport: "tcp", Port: defaultTCPPort}
		if problem := why(w); problem != "" {
			h.say("tcp port %d %s, and is left out: links that block UDP will not work. Another one: --tcp-port N", w.Port, problem)
			return nil
		}
		r.listens = append(r.listens, w)
		return nil
	})
}

// body is the configuration.
func (r *remote) body() string {
	var b strings.Builder
	own := make([]netip.Prefix, len(r.local))
	for i, p := range r.local {
		own[i] = netip.PrefixFrom(p.Addr().Prev(), p.Bits())
	}
	writeInterface(&b, config.Remote, r.key, own, r.suite, r.routing)
	for _, l := range r.listens {
		fmt.Fprintf(&b, "\n[Listen]\nTransport = %s\nAddress   = [::]:%d\n", l.Transport, l.Port)
	}
	return b.String()
}

func writeInterface(b *strings.Builder, role config.Role, key config.Key, own []netip.Prefix, suite string, routing config.Routing) {
	texts := make([]string, len(own))
	for i, p := range own {
		texts[i] = p.String()
	}
	fmt.Fprintf(b, "[Interface]\nRole    = %s\nKey     = %s\n", role, key.Base64())
	if len(texts) > 0 {
		fmt.Fprintf(b, "Address = %s\n", strings.Join(texts, ", "))
	}
	if suite != "auto" {
		fmt.Fprintf(b, "Suite   = %s\n", suite)
	}
	fmt.Fprintf(b, "Routing = %s\n", routing)
}

// token is what the local portal needs of r. Where the clock is plainly not set it has no
// date, and so no end.
func (h *Host) token(o RemoteOptions, r *remote, host string) *token.Token {
	t := &token.Token{Key: r.key, Host: host, Ways: r.listens, Address: r.local, Suite: r.suite, Routing: r.routing}
	now := h.Now().Truncate(time.Second)
	switch {
	case token.ClockUnset(now):
		h.say("this host's clock is not set (%s): the token never expires", now.UTC().Format(time.DateOnly))
	default:
		t.Made = now
		if o.Expires > 0 {
			t.Expires = now.Add(o.Expires)
		}
	}
	return t
}

// sorted is what a map has, in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
