// Package daemon runs one tunnel from start to stop: in the foreground, or
// detached as the paper's 3.2.1 has it, where the caller goes on only once the
// interface exists. What it makes, it undoes in reverse order, however it ends.
//
//	lock → clean up after a killed predecessor → TUN
//	     → (detached: the child process takes over here)
//	     → addresses, up → portal → routing → control socket → ready
//
// It knows the order and the processes; what a tunnel is made of comes in a
// System.
package daemon

import (
	"context"
	"log/slog"
	"os"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/tundevice"
)

// Options is what to run.
type Options struct {
	Interface  string
	Config     *config.Config
	ConfigFile string // absolute
	ConfigText []byte // what Config was parsed from: a detached child parses it again
	Version    string
	System     System
}

// System is what a tunnel is made of. Every error is one line that tells a
// person what to do.
type System struct {
	// CleanUp undoes what a killed daemon of this interface left on the host,
	// and returns commands that say what that was. With nothing left it does
	// nothing.
	CleanUp func(iface string) (undone []string, err error)
	// Inherit does the same before a start, but may leave what Route takes
	// over. kept says that it did: where no Route follows, CleanUp undoes that.
	Inherit func(iface string, c *config.Config) (kept bool, err error)
	// CreateTUN makes the interface; AdoptTUN makes a TUN of the File of one
	// that another process made.
	CreateTUN func(iface string, o tundevice.Options) (TUN, error)
	AdoptTUN  func(f *os.File, iface string, o tundevice.Options) (TUN, error)
	// Configure gives the interface its addresses and brings it up, and
	// returns what undoes that: an interface that somebody else made stays
	// when the TUN is closed.
	Configure func(iface string, c *config.Config) (undo func() error, err error)
	// NewPortal makes the tunnel's engine.
	NewPortal func(PortalOptions) (Portal, error)
	// Route sets the host's routing up, for a portal that runs, and returns
	// what undoes it.
	Route func(RouteOptions) (undo func() error, err error)
}

// TUN is a tundevice.Device that another process can inherit. Close may be
// called any number of times.
type TUN interface {
	tundevice.Device
	File() *os.File
	// Leave gives this process's part of the File up, once another one has it.
	Leave() error
}

// PortalOptions is what a portal is made of.
type PortalOptions struct {
	Interface string
	Config    *config.Config
	Version   string
	Device    tundevice.Device
	Egress    *Egress // asked by sockets
	Log       *slog.Logger
}

// Portal is a tunnel's engine.
type Portal interface {
	// Run carries packets until ctx ends, and then returns nil with nothing
	// of its own left running; it may close the Device to get there. It calls
	// ready once it listens, or tries to connect: a port in use is an error
	// before that. An error that wraps tundevice.ErrGone says that the
	// interface was deleted.
	Run(ctx context.Context, ready func()) error
	// Apply changes what runs, while it runs; see portal.Portal.Apply.
	Apply(next *config.Config) error
	// Status may be called from any goroutine once ready was. The daemon
	// fills in Interface, Role, Version and UptimeS.
	Status() control.Status
}

// StartMTU is the interface's MTU, in bytes, until a portal with MTU = auto has
// measured its paths: the least that keeps IPv6 on the interface.
const StartMTU = tundevice.MinMTU6

func startMTU(c *config.Config) int {
	if c.Interface.MTU > 0 {
		return c.Interface.MTU
	}
	return StartMTU
}
