package simnet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Scenario is a topology and a timetable of faults. It is a value: print it,
// change it, run it again.
type Scenario struct {
	Seed   uint64
	Links  []LinkPlan
	Faults []Fault // by time
	// Calm is when the last fault is over; then CalmTime more is simulated.
	Calm time.Duration
	// Setup, if not nil, is called before the portals start: for a Tap, or for
	// calls At some time.
	Setup func(n *Network, local, remote *Host)
	// Bulks are the backlogged flows. Calls, Poisson traffic and bursts run all
	// the time beside them.
	Bulks []BulkPlan
}

// CalmTime is how long a scenario goes on after its last fault.
const CalmTime = 6 * time.Second

// Duration is the virtual time that the scenario takes.
func (s *Scenario) Duration() time.Duration { return s.Calm + CalmTime }

// LinkPlan describes a link of a scenario.
type LinkPlan struct {
	Transport string // "udp" or "tcp": how a path is to use it
	LinkConfig
	Remote netip.AddrPort // where the remote portal listens, as seen from it
}

// BulkPlan describes a backlogged flow.
type BulkPlan struct {
	At       time.Duration
	Up       bool // from the local to the remote host
	V6       bool
	Size     int // bytes, inner packet
	Segments uint64
}

// Fault is something that goes wrong, and then right again.
type Fault struct {
	Kind  FaultKind
	At    time.Duration
	For   time.Duration // 0: it stays, or it happens in a moment
	Link  int           // its index; of no meaning where a portal restarts
	Value float64       // see FaultKind
}

// FaultKind says what goes wrong.
type FaultKind uint8

// The faults. Those that change one Pipe do it to both of the link.
const (
	Cut            FaultKind = iota // both directions vanish silently
	CutUp                           // only what the local portal sends
	CutDown                         // only what the remote portal sends
	Unplug                          // the interface loses its carrier
	RateChange                      // to Value times the link's own
	DelayChange                     // to Value times
	LossBurst                       // Value is lost in addition
	CorruptBurst                    // of Value
	DuplicateBurst                  // of Value
	ReorderBurst                    // of Value
	SmallMTU                        // longer packets than Value bytes vanish
	Rebind                          // the NAT forgets its mappings; another address if Value > .5
	Readdress                       // the interface has a new address
	Replay                          // recorded datagrams come again, from where they came and from elsewhere
	Noise                           // random datagrams come from strangers
	RestartLocal                    // the local portal is gone for a time; without a Close if Value > .5
	RestartRemote                   // so is the remote one
	faultKinds
)

func (k FaultKind) String() string {
	return [...]string{"cut", "cut up", "cut down", "unplug", "rate", "delay", "loss", "corrupt", "duplicate", "reorder",
		"mtu", "rebind", "readdress", "replay", "noise", "restart local", "restart remote"}[k]
}

func (f Fault) String() string {
	where := fmt.Sprintf("link %d", f.Link+1)
	if f.Kind == RestartLocal || f.Kind == RestartRemote {
		where = "-"
	}
	how := "from then on"
	if f.For > 0 {
		how = "for " + f.For.Round(time.Millisecond).String()
	}
	return fmt.Sprintf("%8.3fs  %-14s %-7s %-14s %.3g", f.At.Seconds(), f.Kind, where, how, f.Value)
}

// Addresses of every scenario. The remote host listens on ScenarioPort.
var (
	ScenarioRemote4 = netip.MustParseAddr("203.0.113.1")
	ScenarioRemote6 = netip.MustParseAddr("2001:db8:ffff::1")
)

// ScenarioPort is the remote portal's, UDP and TCP.
const ScenarioPort = 4725

// NewScenario returns the scenario of this seed: 1 to 4 links of 0.5 to
// 100 Mbit/s and 1 to 150 ms, with jitter, up to 5 % of loss and queues of all
// lengths, and 3 to 12 faults in 14 to 54 s.
func NewScenario(seed uint64) *Scenario {
	rng := stream(seed, "scenario")
	s := &Scenario{Seed: seed}
	for i := range 1 + rng.IntN(4) {
		s.Links = append(s.Links, randomLink(rng, i))
	}
	last := time.Duration(between(rng, 12, 48) * float64(time.Second))
	for range 3 + rng.IntN(10) {
		s.Faults = append(s.Faults, randomFault(rng, len(s.Links), last))
	}
	// Now and then a link is dead from the start, or for good; never all.
	dead := -1
	if len(s.Links) > 1 {
		dead = rng.IntN(len(s.Links))
	}
	switch {
	case dead >= 0 && rng.IntN(4) == 0:
		s.Faults = append(s.Faults, Fault{Kind: Cut, For: last/2 + 1, Link: dead})
	case dead >= 0 && rng.IntN(4) == 0:
		s.Faults = append(s.Faults, Fault{Kind: Cut, At: last / 2, Link: dead})
	}
	slices.SortStableFunc(s.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	for _, f := range s.Faults {
		s.Calm = max(s.Calm, f.At+f.For)
	}
	for range 2 + rng.IntN(4) {
		s.Bulks = append(s.Bulks, BulkPlan{
			At: time.Duration(rng.Int64N(int64(s.Calm))), Up: rng.IntN(2) == 0, V6: rng.IntN(3) == 0,
			Size: 600 + rng.IntN(760), Segments: uint64(between(rng, 100, 2500)),
		})
	}
	return s
}

func randomLink(rng *rand.Rand, i int) LinkPlan {
	l := LinkPlan{Transport: "udp", LinkConfig: LinkConfig{Name: fmt.Sprint("wan", i+1)}}
	if rng.IntN(4) == 0 {
		l.Transport = "tcp"
	}
	l.Addr, l.Remote = linkAddr(i, 0, false), netip.AddrPortFrom(ScenarioRemote4, ScenarioPort)
	switch rng.IntN(4) {
	case 0:
		l.Addr, l.Remote = linkAddr(i, 0, true), netip.AddrPortFrom(ScenarioRemote6, ScenarioPort)
	case 1:
	default:
		l.NAT = natAddr(i, 0)
	}
	var c Conditions
	c.Delay = time.Duration(math.Round(logBetween(rng, 1, 150)*1000)) * time.Microsecond
	if rng.IntN(2) == 0 {
		c.Jitter = time.Duration(rng.Int64N(1 + int64(c.Delay/3)))
		c.KeepOrder = rng.IntN(2) == 0
	}
	if rng.IntN(2) == 0 {
		c.Loss = logBetween(rng, .0005, .05)
	}
	if l.Transport == "tcp" {
		// With a backlog, TCP itself needs longer than AliveWithin to come back from
		// losses on a long and bad link, or one that reorders.
		c.Delay = min(c.Delay, 50*time.Millisecond)
		c.Jitter = min(c.Jitter, c.Delay/5)
		c.Loss = min(c.Loss, .005)
		c.KeepOrder = true
	}
	c.MTU = 1500
	l.Up, l.Down = c, c
	for _, p := range []*Conditions{&l.Up, &l.Down} {
		p.Rate = int64(logBetween(rng, .5e6, 100e6))
		p.QueueBytes = max(15000, int(float64(p.Rate)/8*logBetween(rng, .01, .3)))
	}
	return l
}

// linkAddr is the address of link i after it changed so many times.
func linkAddr(i, changes int, v6 bool) netip.Addr {
	if v6 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 0, byte(i + 1), 14: byte(changes), 15: 10})
	}
	return netip.AddrFrom4([4]byte{192, 168, byte(16*i) + byte(changes/200), byte(10 + changes%200)})
}

// natAddr is the public address of link i after it changed so many times.
func natAddr(i, changes int) netip.Addr {
	return netip.AddrFrom4([4]byte{100, byte(64 + i), byte(changes / 200), byte(1 + changes%200)})
}

func randomFault(rng *rand.Rand, links int, last time.Duration) Fault {
	f := Fault{Kind: FaultKind(rng.IntN(int(faultKinds))), Link: rng.IntN(links)}
	f.At = time.Duration(between(rng, 0, last.Seconds()) * float64(time.Second))
	f.For = time.Duration(logBetween(rng, .05, 6) * float64(time.Second))
	f.Value = rng.Float64()
	switch f.Kind {
	case RateChange:
		f.Value = logBetween(rng, .05, 5)
	case DelayChange:
		f.Value = logBetween(rng, .3, 4)
	case LossBurst:
		f.Value = logBetween(rng, .02, .8)
	case CorruptBurst, DuplicateBurst, ReorderBurst:
		f.Value = logBetween(rng, .01, 1)
	case SmallMTU:
		f.Value = float64(1300 + rng.IntN(150))
	case Rebind, Readdress:
		f.For = 0
	case RestartLocal, RestartRemote:
		f.For = time.Duration(logBetween(rng, .001, 2) * float64(time.Second))
	}
	return f
}

func between(rng *rand.Rand, lo, hi float64) float64 { return lo + rng.Float64()*(hi-lo) }

// logBetween is uniform on a logarithmic scale.
func logBetween(rng *rand.Rand, lo, hi float64) float64 { return lo * math.Pow(hi/lo, rng.Float64()) }

// String describes the scenario, a line for each link, fault and bulk flow.
func (s *Scenario) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "scenario %d: %v, calm from %v\n", s.Seed, s.Duration().Round(time.Millisecond), s.Calm.Round(time.Millisecond))
	for i, l := range s.Links {
		nat := ""
		if l.NAT.IsValid() {
			nat = " behind " + l.NAT.String()
		}
		fmt.Fprintf(&b, "  link %d %s %s %v%s: %v ± %v (order kept: %v), loss %.2f %%, up %.2f Mbit/s queue %d, down %.2f Mbit/s queue %d\n",
			i+1, l.Name, l.Transport, l.Addr, nat, l.Up.Delay, l.Up.Jitter, l.Up.KeepOrder, 100*l.Up.Loss,
			float64(l.Up.Rate)/1e6, l.Up.QueueBytes, float64(l.Down.Rate)/1e6, l.Down.QueueBytes)
	}
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "  %v\n", f)
	}
	for _, k := range s.Bulks {
		fmt.Fprintf(&b, "  %8.3fs  bulk           %d packets of %d bytes, up: %v, IPv6: %v\n", k.At.Seconds(), k.Segments, k.Size, k.Up, k.V6)
	}
	return b.String()
}
