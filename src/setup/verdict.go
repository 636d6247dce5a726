package setup

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/durable"
)

const (
	askEvery = 25 * time.Millisecond
	// Once all paths that can be are up, how long their RTT is still measured, and their MTU
	// is looked for.
	measureTime = 300 * time.Millisecond
	searchTime  = time.Second
)

// judge waits for the paths, tries TCP for those on which UDP does not come up, and says of
// each how it fares.
func (h *Host) judge(l *local) error {
	s, err := h.await(l)
	if err != nil {
		return err
	}
	before := slices.Clone(l.transports)
	if h.switchToTCP(l, s) {
		if err := h.rewrite(l); err != nil {
			return err
		}
		if s, err = h.await(l); err != nil {
			return err
		}
		if l.keepWhatWorks(s, before) {
			if err := h.rewrite(l); err != nil {
				return err
			}
		}
	}
	return h.verdict(l, s, before)
}

// rewrite makes the tunnel use l, whose configuration we have just written.
func (h *Host) rewrite(l *local) error {
	if err := durable.Write(h.path(l.Interface), []byte(marked(l.body())), 0o600); err != nil {
		return hint(err)
	}
	return h.Service.Reload(l.Interface)
}

// await asks for the status until every path that can be is up and measured, or patience
// ends.
func (h *Host) await(l *local) (*control.Status, error) {
	begin, upSince := time.Now(), time.Time{}
	for {
		s, err := h.Status(l.Interface)
		if err != nil {
			return nil, fmt.Errorf("the tunnel has ended, its log says why: %w", err)
		}
		now := time.Now()
		if !h.allUp(l, s) {
			upSince = time.Time{}
		} else if upSince.IsZero() {
			upSince = now
		}
		up := now.Sub(upSince)
		switch {
		case upSince.IsZero() && now.Sub(begin) < h.Patience:
		case upSince.IsZero(), up >= searchTime, up >= measureTime && longest(s):
			return s, nil
		}
		time.Sleep(askEvery)
	}
}

// allUp says that every path works whose link can carry it.
func (h *Host) allUp(l *local, s *control.Status) bool {
	for i, w := range l.WANs {
		if !pathOf(s, l.name(i)).Works() && h.ailing(w.Device) == "" {
			return false
		}
	}
	return true
}

// longest says that no path can still be found to carry longer packets.
func longest(s *control.Status) bool {
	return !slices.ContainsFunc(s.Paths, func(p control.Path) bool { return p.Works() && p.MTU > 0 && p.MTU < 1500 })
}

func pathOf(s *control.Status, name string) control.Path {
	for _, p := range s.Paths {
		if p.Name == name {
			return p
		}
	}
	return control.Path{}
}

// ailing says what keeps a device from carrying a path, by itself.
func (h *Host) ailing(device string) string {
	exists, up, err := h.Link(device)
	switch {
	case err != nil:
		return err.Error()
	case !exists:
		return "there is no such interface now"
	case !up:
		return "it is down, or has no carrier"
	}
	if addrs, err := h.AddressesOf(device); err == nil && len(addrs) == 0 {
		return "it has no address"
	}
	return ""
}

// switchToTCP makes l use TCP for the paths on which UDP did not come up. It says so, and
// whether there are any.
func (h *Host) switchToTCP(l *local, s *control.Status) bool {
	port, offered := l.Token.Port("tcp")
	var tried []string
	for i, w := range l.WANs {
		if offered && l.transports[i] == "udp" && !pathOf(s, l.name(i)).Works() && h.ailing(w.Device) == "" {
			l.transports[i] = "tcp"
			tried = append(tried, w.Device)
		}
	}
	if len(tried) > 0 {
		h.say("%s: no answer by UDP within %v, trying TCP on port %d", list(tried), h.Patience, port)
	}
	return len(tried) > 0
}

// keepWhatWorks goes back to what a path had where TCP does no better.
func (l *local) keepWhatWorks(s *control.Status, before []string) (changed bool) {
	for i := range l.WANs {
		if l.transports[i] != before[i] && !pathOf(s, l.name(i)).Works() {
			l.transports[i], changed = before[i], true
		}
	}
	return changed
}

// verdict says of each path how it fares, and what to do about those that fare badly.
func (h *Host) verdict(l *local, s *control.Status, before []string) error {
	up, udp, switched := 0, false, false
	for i := range l.WANs {
		if pathOf(s, l.name(i)).Works() {
			up++
			udp = udp || l.transports[i] == "udp"
			switched = switched || l.transports[i] != before[i]
		}
	}
	for i, w := range l.WANs {
		text := h.word(l, w.Device, pathOf(s, l.name(i)))
		if l.transports[i] != before[i] && udp {
			text += "; this link blocks UDP"
		}
		h.say("%s: %s", w.Device, text)
	}
	if switched && !udp {
		port, _ := l.Token.Port("udp")
		h.say("UDP gets through on no link: all of them block it, or port %d of the VPS is closed (its firewall, or its provider's)", port)
	}
	for _, text := range s.Hints {
		h.say("%s", text)
	}
	if up == 0 {
		return errors.New(nothing(l))
	}
	h.say("%s: %d of %d links work; the tunnel's MTU is %d. To see more: netcombiner show %s", l.Interface, up, len(l.WANs), s.MTU, l.Interface)
	return nil
}

// word is the verdict on one path.
func (h *Host) word(l *local, device string, p control.Path) string {
	if p.Works() {
		return fmt.Sprintf("%s by %s, RTT %s%s", p.State, strings.ToUpper(p.Transport), milliseconds(p.RTTMinMs), mtu(p.MTU))
	}
	if why := h.ailing(device); why != "" {
		return why + "; its path comes up by itself once that has changed"
	}
	if name := l.Token.Host; !literal(name) && strings.HasPrefix(p.Remote, name) {
		return fmt.Sprintf("by it DNS finds no address of %s", name)
	}
	if ways, err := h.WaysOut(); err == nil && !slices.Contains(ways, device) {
		if h.PF {
			return fmt.Sprintf("no answer by %s; it has no default route: where no DHCP lease tells its gateway, write Gateway = 192.0.2.1, its own, into its [Path] of %s, and run netcombiner reload %s",
				tried(l), h.path(l.Interface), l.Interface)
		}
		return "it has no default route, so reaches nothing"
	}
	return fmt.Sprintf("no answer by %s; try ping -I %s %s", tried(l), device, l.Token.Host)
}

func literal(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// tried names the ways that were.
func tried(l *local) string {
	var words []string
	for _, w := range l.Token.Ways {
		words = append(words, fmt.Sprintf("%s on port %d", strings.ToUpper(w.Transport), w.Port))
	}
	return strings.Join(words, " or ")
}

func milliseconds(ms float64) string {
	if ms < 10 {
		return fmt.Sprintf("%.1f ms", ms)
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func mtu(bytes int) string {
	if bytes == 0 {
		return ""
	}
	return fmt.Sprintf(", MTU %d", bytes)
}

// nothing says what to look at when no path works.
func nothing(l *local) string {
	text := fmt.Sprintf("no path works, the tunnel goes on trying. Does the VPS's end run (netcombiner show)? Is %s open there, also in its provider's firewall? Is this its last token?", tried(l))
	if _, offered := l.Token.Port("tcp"); !offered {
		text += " It does not listen on TCP, which could be tried: netcombiner init remote --tcp-port 443"
	}
	return text
}
