package setup

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"netcombiner/src/config"
	"netcombiner/src/token"
)

// LocalOptions are what the person at home may ask for.
type LocalOptions struct {
	Interface string
	Token     *token.Token
	WANs      []WAN  // none: those that there are, if somebody agrees
	Client    string // for Routing = portal: the interface where the client is
	Yes       bool   // agree to all that is asked
	Force     bool   // replace a configuration that is not ours; begin again with UDP
}

// WAN is an Internet link of the home.
type WAN struct {
	Device string
	Name   string // of its path; "": the device's
}

// local is a local portal's configuration to be.
type local struct {
	LocalOptions
	transports []string // of each WAN
}

// Local sets this host up as a local portal, waits for its paths, and says how each of
// them fares. The error says that none of them works.
func (h *Host) Local(o LocalOptions) error {
	if err := h.checkToken(o.Token); err != nil {
		return err
	}
	old, release, err := h.begin(o.Interface, config.Local, o.Force)
	if err != nil {
		return err
	}
	defer release()
	if err := h.chooseWANs(&o); err != nil {
		return err
	}
	if err := h.checkLocal(o); err != nil {
		return err
	}
	l := &local{LocalOptions: o}
	l.continues(old)
	if err := h.checkOthers(o.Interface, l.body()); err != nil {
		if _, clash := errors.AsType[Wrong](err); clash {
			err = wrong("%w. On the VPS \"netcombiner init remote nc7\", or another number, makes a token for a further tunnel", err)
		}
		return err
	}
	changed, err := h.put(h.path(o.Interface), l.body(), old, o.Force)
	if err != nil {
		return err
	}
	h.firewall(o.Interface, o.Token.Routing, nil, o.Yes)
	if err := h.run(o.Interface, changed); err != nil {
		return err
	}
	return h.judge(l)
}

func (h *Host) checkToken(t *token.Token) error {
	warning, err := t.Check(h.Now())
	if err != nil {
		return wrong("%w", err)
	}
	if warning != "" {
		h.say("%s: it is taken", warning)
	}
	return nil
}

// chooseWANs asks for those of the host where none is named, and says what is wrong with those
// that are.
func (h *Host) chooseWANs(o *LocalOptions) error {
	ways, err := h.WaysOut()
	if err != nil && len(o.WANs) == 0 {
		return fmt.Errorf("%w: name each link by --wan DEVICE", err)
	}
	ways = slices.DeleteFunc(ways, func(device string) bool { return device == o.Interface })
	if len(o.WANs) > 0 {
		return h.checkWANs(o.WANs, o.Interface, ways)
	}
	if len(ways) == 0 {
		return wrong("no interface has a default route: name each Internet link by --wan DEVICE")
	}
	question := "Internet links here: " + list(ways)
	switch {
	case o.Yes:
		h.say("%s: all are used", question)
	case h.Ask == nil:
		return wrong("%s. Choose by --wan %s, or use all by --yes", question, strings.Join(ways, " --wan "))
	case !h.Ask(question + ". Use all?"):
		return wrong("choose by --wan %s", strings.Join(ways, " --wan "))
	}
	for _, device := range ways {
		o.WANs = append(o.WANs, WAN{Device: device})
	}
	return nil
}

func (h *Host) checkWANs(wans []WAN, iface string, ways []string) error {
	var missing []string
	for i, w := range wans {
		if err := config.CheckInterfaceName(w.Device); err != nil {
			return wrong("--wan %.40q: %w", w.Device, err)
		}
		switch {
		case w.Device == iface || w.Device == "lo" || strings.HasPrefix(w.Device, "lo0"):
			return wrong("--wan %s is no link to the Internet", w.Device)
		case slices.ContainsFunc(wans[:i], func(o WAN) bool { return o.Device == w.Device }):
			return wrong("--wan %s is given twice", w.Device)
		}
		exists, _, err := h.Link(w.Device)
		switch {
		case err != nil:
			return err
		case !exists:
			missing = append(missing, w.Device)
		case len(ways) > 0 && !slices.Contains(ways, w.Device):
			h.say("%s", h.wayless(w.Device, iface))
		}
	}
	if len(missing) == len(wans) {
		if len(ways) == 0 {
			ways = []string{"none"}
		}
		return wrong("there is no interface %s here; with a default route: %s", list(missing), list(ways))
	}
	for _, device := range missing {
		h.say("there is no interface %s now: its path waits for it", device)
	}
	return nil
}

// wayless says what it means that a link has no default route. FreeBSD has one such
// route in all: there a lease may know the link's gateway, or the person.
func (h *Host) wayless(device, iface string) string {
	if h.PF {
		return fmt.Sprintf("%s has no default route now: where no DHCP lease tells its gateway, say it by Gateway = in its [Path] of %s", device, h.path(iface))
	}
	return device + " has no default route now: without one it reaches nothing"
}

// checkLocal finds what would only fail later, and less clearly.
func (h *Host) checkLocal(o LocalOptions) error {
	if err := h.needNFT(o.Token.Routing); err != nil {
		return err
	}
	portal := o.Token.Routing == config.RoutingPortal
	switch {
	case portal && o.Client == "":
		return wrong("the VPS has Routing = portal: say by --client DEVICE where the client is that will hold its address")
	case !portal && o.Client != "":
		return wrong("--client means nothing: the VPS has Routing = %s, not portal", o.Token.Routing)
	}
	return nil
}

// continues keeps the transports of a configuration that init wrote for the same VPS:
// what UDP did not do before, it is not asked again.
func (l *local) continues(old existing) {
	l.transports = make([]string, len(l.WANs))
	for i, w := range l.WANs {
		l.transports[i] = l.Token.Ways[0].Transport
		if !old.ours || old.config == nil || l.Force {
			continue
		}
		for _, p := range old.config.Paths {
			if port, ok := l.Token.Port(p.Transport); ok && p.Device == w.Device && p.Remote.Host == l.Token.Host && p.Remote.Port == port {
				l.transports[i] = p.Transport
			}
		}
	}
}

// name is the i-th path's.
func (l *local) name(i int) string {
	if name := l.WANs[i].Name; name != "" {
		return name
	}
	name := strings.Map(func(r rune) rune { // what an interface may be called and a path not
		if r == '+' || r == '=' {
			return '-'
		}
		return r
	}, strings.TrimLeft(l.WANs[i].Device, "-_.+="))
	return cmp.Or(name, fmt.Sprintf("path%d", i+1))
}

// body is the configuration.
func (l *local) body() string {
	var b strings.Builder
	t := l.Token
	writeInterface(&b, config.Local, t.Key, t.Address, t.Suite, t.Routing)
	if l.Client != "" {
		fmt.Fprintf(&b, "ClientInterface = %s\n", l.Client)
	}
	for i, w := range l.WANs {
		port, _ := t.Port(l.transports[i])
		fmt.Fprintf(&b, "\n[Path]\nName      = %s\nTransport = %s\nBind      = %s\nRemote    = %s\n",
			l.name(i), l.transports[i], w.Device, config.HostPort{Host: t.Host, Port: port})
	}
	return b.String()
}
