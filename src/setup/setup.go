// Package setup gives a bare host a working tunnel: it writes the configuration, starts
// the service, and says in words how the tunnel fares. The VPS's owner runs Remote, which
// makes a token; at home, Local takes that.
//
// What it does to the host goes through a Host, so that all of it is tested without
// one. It opens no firewall unless somebody agrees, and overwrites no file that it
// did not write.
package setup

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
)

// Host is what setup needs of the machine. Every error is one line that tells a person
// what to do.
type Host struct {
	Dir string // of the configurations: IFACE.conf
	Out io.Writer
	// Ask asks a person, who answers yes or no; nil where nobody is there.
	Ask func(question string) bool
	Now func() time.Time
	// Sources are the addresses that the host has towards the Internet: by its default
	// routes, IPv4 first, at most one of each version.
	Sources func() []netip.Addr
	// Addresses are all that its interfaces have.
	Addresses func() ([]netip.Addr, error)
	// AddressesOf are those of an interface that can reach further than its link.
	AddressesOf func(device string) ([]netip.Addr, error)
	// DeviceOf is the interface that holds an address, or "".
	DeviceOf func(netip.Addr) (string, error)
	// WaysOut are the interfaces with a default route, the best first.
	WaysOut func() ([]string, error)
	Link    func(device string) (exists, up bool, err error)
	// Taken says that another program listens on a port.
	Taken func(transport string, port uint16) bool
	// Command runs a program of the host and returns what it wrote. ErrNoProgram says that
	// there is none of that name.
	Command func(name string, args ...string) (string, error)
	// PF says that the host's firewall is pf(4), as FreeBSD's, not nftables.
	PF      bool
	Service Service
	// Status asks the tunnel that runs; control.ErrNotRunning where none does.
	Status func(iface string) (*control.Status, error)
	// Patience is how long a path may take to come up by one transport.
	Patience time.Duration
}

// ErrNoProgram says that the host does not have a program.
var ErrNoProgram = errors.New("there is no such program")

// Service runs tunnels on the host.
type Service interface {
	// Start runs the tunnel now and, where the host can, at every boot. It returns once the
	// tunnel's interface exists; said is for the person, a line or more.
	Start(iface string) (said string, err error)
	// Reload makes a tunnel that runs take its changed configuration over, without a break
	// where that can be.
	Reload(iface string) error
}

// Wrong is what was asked for and cannot be: usage or configuration, not a failure.
type Wrong struct{ error }

func wrong(format string, args ...any) error { return Wrong{fmt.Errorf(format, args...)} }

// Unwrap lets errors.Is find the cause.
func (w Wrong) Unwrap() error { return w.error }

// begin is what both ends begin with: it reads the configuration that is there, and keeps
// another init away until release.
func (h *Host) begin(iface string, role config.Role, force bool) (old existing, release func(), err error) {
	if release, err = h.lock(); err != nil {
		return existing{}, nil, err
	}
	path := h.path(iface)
	old, err = read(path)
	if err == nil {
		err = h.checkName(iface, role, old, force)
	}
	if err != nil {
		release()
	}
	return old, release, err
}

// checkName refuses a name that was most likely meant otherwise.
func (h *Host) checkName(iface string, role config.Role, old existing, force bool) error {
	if c := old.config; c != nil && c.Interface.Role != role && !force {
		return wrong("%s makes this host the %s end of a tunnel. For a %s one, take another name than %s, or replace it with --force",
			h.path(iface), c.Interface.Role, role, iface)
	}
	if old.text != nil {
		return nil
	}
	if exists, _, err := h.Link(iface); err != nil || !exists {
		return err
	}
	if _, err := h.Status(iface); err != nil {
		return wrong("%s is an interface of this host already: the name is the tunnel's, say nc0", iface)
	}
	return nil
}

func (h *Host) say(format string, args ...any) { fmt.Fprintf(h.Out, format+"\n", args...) }

func (h *Host) path(iface string) string { return filepath.Join(h.Dir, iface+".conf") }

// run makes the tunnel run with the configuration as it is.
func (h *Host) run(iface string, changed bool) error {
	_, err := h.Status(iface)
	switch {
	case err == nil && !changed:
		h.say("%s runs already", iface)
		return nil
	case err == nil:
		h.say("%s runs, and takes the new configuration over", iface)
		return h.Service.Reload(iface)
	case !errors.Is(err, control.ErrNotRunning) && !errors.Is(err, control.ErrDied):
		return err
	}
	said, err := h.Service.Start(iface)
	if err != nil {
		return err
	}
	h.say("%s", said)
	return nil
}

// needNFT says early what Routing needs and the daemon would only say later. What it
// needs of pf depends on more than Routing: there the daemon's own words come at its start.
func (h *Host) needNFT(routing config.Routing) error {
	if routing == config.RoutingNone || h.PF {
		return nil
	}
	if _, err := h.Command("nft", "--version"); errors.Is(err, ErrNoProgram) {
		return fmt.Errorf("Routing = %s needs the command nft: install the package nftables", routing)
	}
	return nil
}

// others are the other tunnels here, as far as their configurations are right.
func (h *Host) others(iface string) []config.Instance {
	all, _ := config.Instances(h.Dir)
	return slices.DeleteFunc(all, func(i config.Instance) bool { return i.Interface == iface })
}

// checkOthers refuses a configuration by which this tunnel and another one here would
// take something from each other.
func (h *Host) checkOthers(iface, body string) error {
	path := h.path(iface)
	c, err := config.Parse(path, strings.NewReader(body))
	if err != nil {
		return err
	}
	for _, clash := range config.Clashes(append(h.others(iface), config.Named(path, c))) {
		if clash.File == path {
			clash.Line = 0 // of a file that is not there yet
			return wrong("%w", clash)
		}
	}
	return nil
}

// list is words as a sentence has them: "a, b and c".
func list(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
