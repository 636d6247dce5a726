package routing

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"netcombiner/src/config"
)

// Priorities of rules. Those of the paper, where it has them; what concerns
// the portal's own packets comes before any rule of the user's, and the nat
// mode's default right before the main table, after them (as wg-quick does).
const (
	prioSystemLocal = 0 // the kernel's own
	// Remote portal.
	prioKept   = 1
	prioTunnel = 19
	prioLocal  = 20
	// Local portal.
	prioBound       = 10 // sockets bound to a WAN
	prioSource      = 11 // sockets bound to an address of a WAN, to its subnets
	prioPath        = 12 // … to a remote portal
	prioUnbound     = 13 // paths that are not bound
	prioUnreachable = 14 // and if there is no way, not into the tunnel
	prioClient      = 20
	prioToClient    = 21
	prioMain        = 32700
	prioBlocked     = 32701
	prioSourceAny   = 32702
	prioBypass      = 32703 // and the following, one for each
	prioDefault     = prioBypass + config.MaxBypasses
)

// Tables, relative to the slot's first.
const (
	firstTable    = 4725000
	tablesPerSlot = 100
	maxSlots      = config.MaxPlaces

	tableToTunnel   = 19 // remote portal: public addresses to the tunnel
	tableFromClient = 20 // local portal: default by the tunnel
	tableToClient   = 21 // local portal: public addresses to the client
	tableDirect     = 22 // local portal: the host's own default routes
	tableWAN        = 30 // local portal: and the following, one for each WAN
	maxWANs         = tablesPerSlot - tableWAN
)

// hostMark is the bit of packet and connection marks that, on the remote
// portal, says "a connection of the host's own".
const hostMark = 1 << 30

// clientMark is the bit of connection marks that, there too, says "it has
// crossed the tunnel". It decides no route.
const clientMark = 1 << 29

const (
	protoTCP = 6
	protoUDP = 17
)

// Plan returns the steps that spec needs on host, in the order in which they
// are to be made; they are undone in the reverse order. slot is the tunnel's
// own among those of the host.
func Plan(spec Spec, host Host, slot int) ([]Step, error) {
	if slot < 0 || slot >= maxSlots {
		return nil, fmt.Errorf("at most %d tunnels on a host can have a Routing", maxSlots)
	}
	p := newPlanner(spec, host, slot)
	var err error
	switch {
	case spec.Mode == config.RoutingNone || spec.Mode == "":
		return nil, nil
	case spec.Mode != config.RoutingNAT && spec.Mode != config.RoutingPortal:
		return nil, fmt.Errorf("Routing = %s is not known: none, nat or portal", spec.Mode)
	case spec.Role == config.Remote:
		err = p.remote()
	case spec.Role == config.Local:
		err = p.local()
	default:
		return nil, fmt.Errorf("Role = %s is not known: local or remote", spec.Role)
	}
	return p.steps, err
}

func newPlanner(spec Spec, host Host, slot int) *planner {
	return &planner{spec: spec, host: host, slot: slot, table: uint32(firstTable + slot*tablesPerSlot), seen: map[string]bool{}, ways: map[bool][]bypassWay{}}
}

type planner struct {
	spec  Spec
	host  Host
	slot  int
	table uint32
	steps []Step
	seen  map[string]bool // keys of steps

	closed []string // devices that forward only for us, and only answers
	ways   map[bool][]bypassWay
}

func (p *planner) rule(r Rule)       { p.add(Step{Rule: &r}) }
func (p *planner) route(r Route)     { p.add(Step{Route: &r}) }
func (p *planner) sysctl(s Sysctl)   { p.add(Step{Sysctl: &s}) }
func (p *planner) ruleset(r Ruleset) { p.add(Step{Ruleset: &r}) }
func (p *planner) portal() bool      { return p.spec.Mode == config.RoutingPortal }
func (p *planner) tunnelHas(v6 bool) bool {
	return slices.ContainsFunc(p.spec.Address, func(a netip.Prefix) bool { return a.Addr().Is6() == v6 })
}

// add leaves out what is there already.
func (p *planner) add(s Step) {
	if key := s.key(); !p.seen[key] {
		p.seen[key] = true
		p.steps = append(p.steps, s)
	}
}

// forward4 lets a device hand on what comes in. By device: the global switch
// would open every other one, too.
func (p *planner) forward4(devices ...string) {
	for _, device := range devices {
		p.sysctl(Sysctl{Key: forwarding4(device), Value: "1"})
	}
}

// forward6 switches IPv6 forwarding on. There is only the one switch for all
// devices (one for each came with Linux 6.17), and a device that forwards
// forgets its own default route unless accept_ra is 2.
func (p *planner) forward6() {
	for _, name := range p.host.names() {
		dir := "net/ipv6/conf/" + name + "/"
		if name != p.spec.Interface && p.host.Sysctl[dir+"accept_ra"] == "1" && p.host.Sysctl[dir+"forwarding"] == "0" {
			p.sysctl(Sysctl{Key: dir + "accept_ra", Value: "2", Optional: true})
		}
	}
	p.sysctl(Sysctl{Key: forwarding6, Value: "1"})
}

const forwarding6 = "net/ipv6/conf/all/forwarding"

// names are those under which sysctls of IPv6 that matter here exist.
func (h *Host) names() []string {
	names := []string{"default"}
	for _, l := range h.Links {
		if !l.Loopback {
			names = append(names, l.Name)
		}
	}
	return names
}

// sysctlsRead lists what Plan wants to find in h.Sysctl.
func (h *Host) sysctlsRead() (keys []string) {
	for _, name := range h.names() {
		keys = append(keys, forwarding4(name), "net/ipv6/conf/"+name+"/accept_ra", "net/ipv6/conf/"+name+"/forwarding")
	}
	return keys
}

// noARPFlux makes a device answer and ask for its own addresses only.
func (p *planner) noARPFlux(devices ...string) {
	for _, device := range devices {
		dir := "net/ipv4/conf/" + device + "/"
		p.sysctl(Sysctl{Key: dir + "arp_ignore", Value: "1", AtLeast: true, Optional: true})
		p.sysctl(Sysctl{Key: dir + "arp_announce", Value: "2", AtLeast: true, Optional: true})
	}
}

func (p *planner) name() string { return tableName(p.spec.Interface) }

// tableName is how a tunnel's nftables table is called, and how the names of its
// chains in others' tables begin.
func tableName(iface string) string { return "netcombiner-" + iface }

// whole returns the prefix of one address.
func whole(addr netip.Addr) netip.Prefix { return netip.PrefixFrom(addr, addr.BitLen()) }

func anywhere(v6 bool) netip.Prefix {
	if v6 {
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
}

// protocol is the IP protocol number of what comes to e.
func (e Endpoint) protocol() (uint8, error) {
	switch {
	case e.Transport == "udp":
		return protoUDP, nil
	case e.Transport == "tcp":
		return protoTCP, nil
	case e.Transport == "ip" && e.Protocol != 0:
		return e.Protocol, nil
	}
	return 0, fmt.Errorf("transport %q has no routing: udp, tcp, or ip with its Protocol", e.Transport)
}

// errNoClient is for a configuration that config should have refused.
var errNoClient = errors.New("Routing = portal needs ClientInterface: the interface behind which the client is")
