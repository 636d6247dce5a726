package control

// Status is what `netcombiner show --json` prints: the contract of design.md
// section 2. Counters only grow while the process lives.
type Status struct {
	Interface string   `json:"interface"`
	Role      string   `json:"role"` // "local" or "remote"
	Version   string   `json:"version"`
	UptimeS   float64  `json:"uptime_s"`
	MTU       int      `json:"mtu"` // bytes, of the tunnel interface
	Session   Session  `json:"session"`
	Paths     []Path   `json:"paths"` // in the order of the configuration
	Tunnel    Tunnel   `json:"tunnel"`
	Rejected  Rejected `json:"rejected"`
	// Totals are what was carried in this calendar month and those before it, latest
	// first, across restarts; at most 13.
	Totals []Month `json:"totals,omitempty"`
	// Bypasses are what goes straight out of a WAN, in the order of the configuration,
	// and Fallback is "direct" while everything does, since every path has failed.
	Bypasses []Bypass `json:"bypasses,omitempty"`
	Fallback string   `json:"fallback,omitempty"`
	// Hints say, in words, what is probably wrong and what to do. Absent while
	// nothing is; for people, so a program should not take them apart.
	Hints []string `json:"hints,omitempty"`
}

// BypassStates are all that a bypass can be in.
var BypassStates = []string{"direct", "tunnel", "blocked"}

// Bypass is how one [Bypass] is.
type Bypass struct {
	What  string `json:"what"`          // the packets that are meant: "to 203.0.113.0/24"
	Via   string `json:"via"`           // the WAN, as configured
	State string `json:"state"`         // where they go: one of BypassStates
	Why   string `json:"why,omitempty"` // why not by the WAN
}

// Session is the state of the keys that both portals share.
type Session struct {
	State      string  `json:"state"`      // "none", "handshake", "established"
	Suite      string  `json:"suite"`      // empty without a session
	AgeS       float64 `json:"age_s"`      // since these keys were made
	Handshakes uint64  `json:"handshakes"` // completed since the start
}

// PathStates are all that a path can be in.
var PathStates = []string{"down", "connecting", "up", "standby", "failed"}

// Path is one path as this portal sees it; tx is what this portal sent.
type Path struct {
	Name              string  `json:"name"`
	Transport         string  `json:"transport"`
	Local             string  `json:"local"`  // address:port, the address alone where the transport has no ports, or the interface waited for
	Remote            string  `json:"remote"` // likewise, or the name being resolved
	State             string  `json:"state"`  // one of PathStates
	Metric            int     `json:"metric"`
	Congestion        string  `json:"congestion"`
	RTTMs             float64 `json:"rtt_ms"`     // smoothed
	RTTMinMs          float64 `json:"rtt_min_ms"` // lowest of the last minutes
	Loss              float64 `json:"loss"`       // 0…1, of what this portal sent lately
	RateBps           float64 `json:"rate_bps"`   // bit/s delivered to the peer lately
	WindowPackets     int     `json:"window_packets"`
	InFlightPackets   int     `json:"in_flight_packets"`
	MTU               int     `json:"mtu"` // bytes, longest outer packet proved; 0: not limited by us
	Tx                Count   `json:"tx"`
	Rx                Count   `json:"rx"`
	LostPackets       uint64  `json:"lost_packets"`
	ReinjectedPackets uint64  `json:"reinjected_packets"` // sent again on another path
	StateS            float64 `json:"state_s"`            // since the state last changed; standby counts as up
	Failures          uint64  `json:"failures"`           // how often it stopped working
	Quota             *Quota  `json:"quota,omitempty"`    // where the configuration has one
}

// Works says that p can carry data, though it may only stand by.
func (p Path) Works() bool { return p.State == "up" || p.State == "standby" }

// Month is what the tunnel and its paths carried in one.
type Month struct {
	Month  string      `json:"month"` // 2006-01, by the host's clock; "": that was never set
	Tunnel Carried     `json:"tunnel"`
	Paths  []PathTotal `json:"paths"` // by name, also of those that are no more
}

// Carried is what crossed in both directions.
type Carried struct {
	Tx Count `json:"tx"`
	Rx Count `json:"rx"`
}

// PathTotal is what one path carried in a month.
type PathTotal struct {
	Name        string `json:"name"`
	Tx          Count  `json:"tx"`
	Rx          Count  `json:"rx"`
	LostPackets uint64 `json:"lost_packets"`
}

// Quota is what a path has carried in its month, sent and received, in outer
// bytes. When UsedBytes reaches LimitBytes the path carries data only where
// every other has failed.
type Quota struct {
	UsedBytes  uint64 `json:"used_bytes"`
	LimitBytes uint64 `json:"limit_bytes"`
	Resets     string `json:"resets"` // date, 2006-01-02, on which it begins anew; "": the clock is not set
}

// Count counts packets and their bytes. For a path these are outer messages,
// for the tunnel inner IP packets.
type Count struct {
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// Tunnel is the interface and what stands between it and the paths.
type Tunnel struct {
	Tx          Count       `json:"tx"` // inner packets taken from the TUN and sent
	Rx          Count       `json:"rx"` // inner packets written to the TUN
	Queue       Queue       `json:"queue"`
	Resequencer Resequencer `json:"resequencer"`
}

// Queue is the ingress queue.
type Queue struct {
	Packets int     `json:"packets"`
	Bytes   int     `json:"bytes"`
	DelayMs float64 `json:"delay_ms"` // how long its head has waited
	Dropped uint64  `json:"dropped"`
	Marked  uint64  `json:"marked"`
}

// Resequencer is what waits for an earlier packet of its flow.
type Resequencer struct {
	Held         int     `json:"held"`          // packets, now
	ReleasedLate uint64  `json:"released_late"` // packets that went on without their predecessor
	HoldMs       float64 `json:"hold_ms"`       // longest wait allowed now
}

// Rejected counts messages that were thrown away unanswered.
type Rejected struct {
	Mac       uint64 `json:"mac"`       // not made with our key, or not in this session
	Replay    uint64 `json:"replay"`    // seen before, too old, or not proved fresh
	Malformed uint64 `json:"malformed"` // not our format
	Source    uint64 `json:"source"`    // from an address that Allow does not list
}
