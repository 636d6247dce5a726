// Package linkwatch tells when the host's links, addresses and default routes
// change, and when somebody takes tables of the firewall away, in the current
// network namespace. It makes a path's recovery quicker; nothing may depend on
// it, since a path also fails and recovers where no event says so.
//
// Glossary:
//
//	device   an interface by its name: eth1
//	up       administratively up and with a carrier
//	resync   events were lost, or too many came at once: look at everything
package linkwatch

import "fmt"

// Kind is what happened.
type Kind uint8

const (
	// Resync says that anything may have changed, on any device.
	Resync Kind = iota
	LinkUp
	LinkDown // also when the device has disappeared
	AddrAdded
	AddrRemoved
	// RouteChanged says that a default route of the main table was added,
	// changed or removed.
	RouteChanged
)

func (k Kind) String() string {
	switch k {
	case Resync:
		return "resync"
	case LinkUp:
		return "link up"
	case LinkDown:
		return "link down"
	case AddrAdded:
		return "address added"
	case AddrRemoved:
		return "address removed"
	case RouteChanged:
		return "default route changed"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Event is a change of a device. It carries no detail: whoever gets it looks
// at how things are now. Device is empty for a Resync.
type Event struct {
	Device string
	Kind   Kind
}

func (e Event) String() string {
	if e.Device == "" {
		return e.Kind.String()
	}
	return e.Device + ": " + e.Kind.String()
}

// link is what is remembered of a device between events.
type link struct {
	name string
	up   bool
}
