package setup

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"netcombiner/src/control"
)

const (
	askEvery = 25 * time.Millisecond
	// settleTime is how long the first answers are awaited that tell a path's RTT and MTU,
	// once all paths that can be are up.
	settleTime = time.Second
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
		if s, err = h.rewrite(l); err == nil && h.keepWhatWorks(l, s, before) {
			_, err = h.rewrite(l)
		}
		if err != nil {
			return err
		}
	}
	return h.verdict(l, s, before)
}

// rewrite makes the tunnel use l, and waits for it.
func (h *Host) rewrite(l *local) (*control.Status, error) {
	path := h.path(l.Interface)
	old, err := read(path)
	if err != nil {
		return nil, err
	}
	if _, err := h.put(path, l.body(), old, false); err != nil {
		return nil, err
	}
	if err := h.Service.Restart(l.Interface); err != nil {
		return nil, err
	}
	return h.await(l)
}

// await asks for the status until every path that can be is up, or patience ends.
func (h *Host) await(l *local) (s *control.Status, err error) {
	deadline := time.Now().Add(h.Patience)
	settled := deadline.Add(settleTime)
	for {
		s, err = h.Status(l.Interface)
		if err != nil {
			return nil, fmt.Errorf("the tunnel has ended, its log says why: %w", err)
		}
		now, all := time.Now(), true
		measured := true
		for i := range l.WANs {
			p := pathOf(s, l.name(i))
			all = all && (works(p) || !h.linked(l.WANs[i].Device))
			measured = measured && (!works(p) || p.RTTMs > 0)
		}
		if all && settled.Sub(now) > settleTime {
			settled = now.Add(settleTime)
		}
		if all && measured && p1500(s) || now.After(settled) || !all && now.After(deadline) {
			return s, nil
		}
		time.Sleep(askEvery)
	}
}

// p1500 says that no path that works can still be found to carry more.
func p1500(s *control.Status) bool {
	return !slices.ContainsFunc(s.Paths, func(p control.Path) bool { return works(p) && p.MTU > 0 && p.MTU < 1500 })
}

func pathOf(s *control.Status, name string) control.Path {
	for _, p := range s.Paths {
		if p.Name == name {
			return p
		}
	}
	return control.Path{}
}

func works(p control.Path) bool { return p.State == "up" || p.State == "standby" }

// linked says that a device is there and has a carrier.
func (h *Host) linked(device string) bool {
	exists, up, err := h.Link(device)
	return err == nil && exists && up
}

// switchToTCP makes l use TCP for the paths on which UDP did not come up. It says so, and
// whether there are any.
func (h *Host) switchToTCP(l *local, s *control.Status) bool {
	port, offered := l.Token.Port("tcp")
	var tried []string
	for i, w := range l.WANs {
		if offered && l.transports[i] == "udp" && !works(pathOf(s, l.name(i))) && h.linked(w.Device) {
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
func (h *Host) keepWhatWorks(l *local, s *control.Status, before []string) (changed bool) {
	for i := range l.WANs {
		if l.transports[i] != before[i] && !works(pathOf(s, l.name(i))) {
			l.transports[i], changed = before[i], true
		}
	}
	return changed
}

// verdict says of each path how it fares, and what to do about those that fare badly.
func (h *Host) verdict(l *local, s *control.Status, before []string) error {
	udpWorks, up, triedTCP := false, 0, false
	for i := range l.WANs {
		p := pathOf(s, l.name(i))
		udpWorks = udpWorks || works(p) && l.transports[i] == "udp"
		triedTCP = triedTCP || l.transports[i] == "tcp"
	}
	_, offered := l.Token.Port("tcp")
	for i, w := range l.WANs {
		p := pathOf(s, l.name(i))
		if works(p) {
			up++
		}
		h.say("%s: %s", w.Device, h.word(l, i, p, l.transports[i] != before[i], udpWorks))
	}
	for _, text := range s.Hints {
		h.say("%s", text)
	}
	if up > 0 {
		h.say("%s: %d of %d links work; the tunnel's MTU is %d. See netcombiner show %s", l.Interface, up, len(l.WANs), s.MTU, l.Interface)
		return nil
	}
	return errors.New(nothing(l, offered))
}

// word is the verdict on one path.
func (h *Host) word(l *local, i int, p control.Path, switched, udpWorks bool) string {
	device := l.WANs[i].Device
	exists, carrier, err := h.Link(device)
	if works(p) {
		return fmt.Sprintf("%s by %s, RTT %s%s%s", p.State, strings.ToUpper(l.transports[i]), milliseconds(p.RTTMs), mtu(p.MTU), blocked(switched, udpWorks))
	}
	switch {
	case err == nil && !exists:
		return "there is no such interface now; the path comes up by itself once there is"
	case err == nil && !carrier:
		return "it is down, or has no carrier; the path comes up by itself once it has one"
	case p.Local == "" || p.Local == device:
		return "it has no address for the VPS yet, or no default route; the path comes up by itself once it has both"
	}
	return fmt.Sprintf("no answer by %s; try ping -I %s %s", tried(l), device, l.Token.Host)
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

// blocked says who keeps UDP out, as far as that can be told from here.
func blocked(switched, udpWorks bool) string {
	switch {
	case !switched:
		return ""
	case udpWorks:
		return "; this link blocks UDP"
	}
	return "; UDP gets through on no link: the providers block it, or the VPS's firewall does"
}

// nothing says what to look at when no path works.
func nothing(l *local, offered bool) string {
	text := fmt.Sprintf("no path works. Does the VPS run (netcombiner show there)? Are %s open on it, also in the provider's firewall? Is the token this VPS's last one?", tried(l))
	if !offered {
		text += " It does not listen on TCP, which could be tried: netcombiner init remote --tcp-port 443"
	}
	return text + " The tunnel goes on trying."
}
