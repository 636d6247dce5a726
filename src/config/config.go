// Package config reads a tunnel's configuration: INI in the manner of wg(8),
// strict, every error named at once.
package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// Config is one tunnel's configuration, validated.
type Config struct {
	Interface Interface
	Paths     []Path   // local portal: at least one
	Listens   []Listen // remote portal: at least one
	Bypasses  []Bypass // local portal

	source source // for Edit and Reload
	lines  lines  // where some of it stands, for Clashes
}

// DefaultMemoryLimit is half of a small router's memory, in bytes. Half of that
// holds what is under way at 1 Gbit/s and 200 ms.
const DefaultMemoryLimit = 64 << 20

// Role is which end of the tunnel this portal is.
type Role string

const (
	Local  Role = "local"  // the router at home; it connects
	Remote Role = "remote" // the VPS; it listens
)

// Interface is the [Interface] section.
type Interface struct {
	Role      Role
	Key       Key            // shared by both portals
	KeyFile   string         // where Key was read from; empty: its own line
	Address   []netip.Prefix // the tunnel interface's own addresses
	MTU       int            // bytes, inner packet; 0: auto, follows the paths
	Suite     string         // one of Suites
	Scheduler string         // "earliest", "greedy", "proportional", "redundant"
	Routing   Routing
	Egress    Egress
	// AuthenticateAddresses binds both ends' addresses and ports into every
	// MAC (the paper's 2.2.2): only where no NAT stands between.
	AuthenticateAddresses bool
	// Offload lets the kernel cut and join packets in bulk (TSO, USO, UDP_SEGMENT,
	// UDP_GRO) where it can. "auto": true; "off": one packet at a time.
	Offload bool
	// MemoryLimit is what the process may use, in bytes: the Go runtime holds to
	// it where it can, and half of it is all that packets ever take.
	MemoryLimit int64
	// Fallback lets traffic of a local portal leave by the WANs themselves while
	// every path has failed. "direct": true; "none": it waits.
	Fallback bool

	// Metrics is where Prometheus may ask; invalid: nowhere.
	Metrics netip.AddrPort
	// Log is how log lines are written: "text" or "json".
	Log string

	// For Routing = portal, and only there:
	PublicAddress   []netip.Addr // the remote's public addresses; empty: found by itself
	ClientInterface string       // local portal: where the client that holds them is
	KeepPorts       []uint16     // remote portal: TCP ports that stay local; default 22
}

// Routing says what the daemon does to the host's routing (package routing).
type Routing string

const (
	RoutingNone   Routing = "none"   // hands off
	RoutingNAT    Routing = "nat"    // remote masquerades, local gets a default route
	RoutingPortal Routing = "portal" // the client holds the remote's public address
)

// Egress says how a path leaves by its own WAN on FreeBSD, where no socket can be
// bound to an interface. Linux has EgressAuto alone, and needs no more.
type Egress string

const (
	EgressAuto Egress = "auto" // by a FIB where there is one to have, else by pf
	EgressFIB  Egress = "fib"  // a routing table of its own (setfib(2))
	EgressPF   Egress = "pf"   // route-to in our anchor of pf
)

// Direction says which way a path carries data.
type Direction string

const (
	Both    Direction = "both"
	Send    Direction = "send"
	Receive Direction = "receive"
)

// Path is a [Path] section: one way from the local portal to the remote.
type Path struct {
	Name      string     // unique; default path1, path2, …
	Transport string     // "udp", "tcp", "ip"
	Protocol  uint8      // IP protocol number of ip; else 0
	Device    string     // Bind, when it names an interface
	Source    netip.Addr // Bind, when it is an address
	// Gateway is the WAN's next hop, on FreeBSD, where neither a route nor a DHCP
	// lease tells it: at most one address of each IP version. An IPv6 one may be
	// link-local, and has no zone: it is on the WAN's own link.
	Gateway    []netip.Addr
	Remote     HostPort
	Congestion string    // "bbr", "newreno", "none"; on tcp always "none": the kernel's TCP does it
	RateDown   int64     // bit/s, 0: no ceiling
	RateUp     int64     // bit/s, 0: no ceiling
	Metric     int       // 0…65535; 65535: only where every other path has failed
	Direction  Direction // as the local portal sees it
	Quota      uint64    // bytes a month, both directions together, with all headers; 0: none
	Down       bool      // taken out of use by an Edit; never in a file
	QuotaReset int       // day of the month on which Quota begins anew: 1…31, where it has that many
}

// HostPort is where the remote portal listens: a name or an address, and a
// port, which is 0 where the transport has none.
type HostPort struct {
	Host string
	Port uint16
}

// String is h as it stands in the configuration.
func (h HostPort) String() string {
	switch {
	case h.Port == 0:
		return h.Host
	case strings.Contains(h.Host, ":"):
		return fmt.Sprintf("[%s]:%d", h.Host, h.Port)
	}
	return fmt.Sprintf("%s:%d", h.Host, h.Port)
}

// Listen is a [Listen] section: one way in to the remote portal.
type Listen struct {
	Transport string
	Protocol  uint8          // IP protocol number of ip; else 0
	Address   netip.AddrPort // its port is 0 where the transport has none
	Allow     []netip.Prefix // empty: any source
}
