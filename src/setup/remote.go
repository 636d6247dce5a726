package setup

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
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

// defaultTCPPort is what hardly any network blocks.
const defaultTCPPort = 443

// remote is a remote portal's configuration to be.
type remote struct {
	key      config.Key
	listens  []token.Way
	local    []netip.Prefix // the local portal's inner addresses
	port     uint16         // of UDP, where nobody says another
	suite    string
	routing  config.Routing
	reserved map[token.Way]string // ports of this host's other tunnels, by whose they are
}

// Remote sets this host up as a remote portal and returns the token for the local one.
// Run again it changes nothing but what the options ask for.
func (h *Host) Remote(o RemoteOptions) (string, error) {
	old, release, err := h.begin(o.Interface, config.Remote, o.Force)
	if err != nil {
		return "", err
	}
	defer release()
	path := h.path(o.Interface)
	host, err := h.reachableAt(o.Address)
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
	if err := h.checkOthers(o.Interface, r.body()); err != nil {
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
	for _, other := range others {
		for _, l := range other.Listens {
			r.reserved[token.Way{Transport: l.Transport, Port: l.Address.Port()}] = other.Interface
		}
	}
	known := old.config != nil && old.config.Interface.Role == config.Remote
	if known && old.ours {
		r.continues(old.config)
	} else if err := h.choosePlace(r, o, others); err != nil {
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

// choosePlace takes the defaults, and a place that nothing else on this host has.
func (h *Host) choosePlace(r *remote, o RemoteOptions, others []config.Instance) error {
	r.key, r.suite, r.routing = config.GenerateKey(), "auto", config.RoutingNAT
	held, err := h.Addresses()
	if err != nil {
		return err
	}
	place, err := config.Free(o.Interface, others, func(p config.Place) bool {
		free := !slices.ContainsFunc(p.Remote, func(own netip.Prefix) bool { return slices.ContainsFunc(held, own.Contains) })
		return free && (o.Port != 0 || !h.Taken("udp", p.Port))
	})
	if err != nil {
		return err
	}
	r.port, r.local = place.Port, place.Local
	r.local = h.leadingOn(r.local)
	return nil
}

// leadingOn leaves out what would come here from the home and get no further: IPv6
// where this host has none, or IPv4 where it has only IPv6.
func (h *Host) leadingOn(local []netip.Prefix) []netip.Prefix {
	sources := h.Sources()
	switch {
	case !slices.ContainsFunc(sources, func(a netip.Addr) bool { return a.Is6() && public(a) }):
		return slices.DeleteFunc(local, func(p netip.Prefix) bool { return p.Addr().Is6() })
	case !slices.ContainsFunc(sources, netip.Addr.Is4):
		h.say("no IPv4 leads out of this host: the tunnel carries the home's IPv6 only, and its IPv4 goes as it does now")
		return slices.DeleteFunc(local, func(p netip.Prefix) bool { return p.Addr().Is4() })
	}
	return local
}

// choosePorts settles where the portal listens: for each transport where the person
// wants it, else where it did, else at the default port if that is free.
func (h *Host) choosePorts(r *remote, o RemoteOptions) error {
	had := r.listens
	r.listens = nil
	for _, want := range []struct {
		transport       string
		given, standard uint16
		dispensable     bool
	}{{"udp", o.Port, r.port, false}, {"tcp", o.TCPPort, defaultTCPPort, true}} {
		i := slices.IndexFunc(had, func(w token.Way) bool { return w.Transport == want.transport })
		w := token.Way{Transport: want.transport, Port: cmp.Or(want.given, want.standard)}
		switch {
		case want.dispensable && o.NoTCP:
			continue
		case want.given == 0 && i >= 0:
			w = had[i]
		case want.given == 0 && had != nil:
			continue // it was left out before: only the option brings it back
		}
		problem := ""
		if !slices.Contains(had, w) { // a tunnel that runs holds its own
			problem = h.whyNot(r, w)
		}
		switch {
		case problem == "":
			r.listens = append(r.listens, w)
		case want.dispensable && want.given == 0:
			h.say("%s port %d %s, and is left out: links that block UDP will not work. Another one: --tcp-port N", w.Transport, w.Port, problem)
		default:
			return wrong("%s port %d %s: choose another", w.Transport, w.Port, problem)
		}
	}
	h.say("listens on %s", ports(r.listens))
	return nil
}

// whyNot says what keeps a port from being ours.
func (h *Host) whyNot(r *remote, w token.Way) string {
	switch other := r.reserved[w]; {
	case other != "":
		return "is " + other + "'s"
	case h.Taken(w.Transport, w.Port):
		return "is taken by another program"
	}
	return ""
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
