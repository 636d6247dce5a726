package control

import (
	"fmt"
	"strconv"
	"strings"
)

// Family is a metric as Prometheus knows it, and how a Status holds it. Units
// are seconds and bytes.
type Family struct {
	Name   string
	Help   string
	Type   string   // "counter" or "gauge"
	Labels []string // of every sample, sorted
	// Each calls emit with every sample that s has, each with values for all Labels.
	Each func(s *Status, emit func(value float64, labels ...string))
}

// Families lists all metrics of a tunnel: those of `netcombiner show --metrics`,
// of the Metrics listener and of netcombiner-exporter.
var Families = []Family{
	info("netcombiner_info", "The tunnel's role and version; always 1.", []string{"role", "version"}, func(s *Status) []string { return []string{s.Role, s.Version} }),
	gauge("netcombiner_uptime_seconds", "How long the tunnel has run.", func(s *Status) float64 { return s.UptimeS }),
	gauge("netcombiner_mtu_bytes", "MTU of the tunnel interface.", func(s *Status) float64 { return float64(s.MTU) }),
	gauge("netcombiner_session_established", "1 while the portals share keys.", func(s *Status) float64 { return truth(s.Session.State == "established") }),
	gauge("netcombiner_session_age_seconds", "How old the keys in use are.", func(s *Status) float64 { return s.Session.AgeS }),
	counter("netcombiner_session_handshakes_total", "Handshakes completed.", func(s *Status) uint64 { return s.Session.Handshakes }),
	counter("netcombiner_tunnel_tx_packets_total", "Inner packets taken from the interface and sent.", func(s *Status) uint64 { return s.Tunnel.Tx.Packets }),
	counter("netcombiner_tunnel_tx_bytes_total", "Bytes of inner packets taken from the interface and sent.", func(s *Status) uint64 { return s.Tunnel.Tx.Bytes }),
	counter("netcombiner_tunnel_rx_packets_total", "Inner packets written to the interface.", func(s *Status) uint64 { return s.Tunnel.Rx.Packets }),
	counter("netcombiner_tunnel_rx_bytes_total", "Bytes of inner packets written to the interface.", func(s *Status) uint64 { return s.Tunnel.Rx.Bytes }),
	gauge("netcombiner_queue_packets", "Inner packets that wait for a path.", func(s *Status) float64 { return float64(s.Tunnel.Queue.Packets) }),
	gauge("netcombiner_queue_bytes", "Bytes of inner packets that wait for a path.", func(s *Status) float64 { return float64(s.Tunnel.Queue.Bytes) }),
	gauge("netcombiner_queue_delay_seconds", "How long the first of them has waited.", func(s *Status) float64 { return s.Tunnel.Queue.DelayMs / 1000 }),
	counter("netcombiner_queue_dropped_packets_total", "Inner packets dropped by the queue.", func(s *Status) uint64 { return s.Tunnel.Queue.Dropped }),
	counter("netcombiner_queue_marked_packets_total", "Inner packets that the queue gave an ECN mark.", func(s *Status) uint64 { return s.Tunnel.Queue.Marked }),
	gauge("netcombiner_resequencer_held_packets", "Packets that wait for an earlier one of their flow.", func(s *Status) float64 { return float64(s.Tunnel.Resequencer.Held) }),
	gauge("netcombiner_resequencer_hold_seconds", "The longest wait allowed now.", func(s *Status) float64 { return s.Tunnel.Resequencer.HoldMs / 1000 }),
	counter("netcombiner_resequencer_released_late_packets_total", "Packets that went on without their predecessor.", func(s *Status) uint64 { return s.Tunnel.Resequencer.ReleasedLate }),
	{"netcombiner_rejected_messages_total", "Messages thrown away unanswered.", "counter", []string{"interface", "reason"}, rejected},
	gauge("netcombiner_fallback_active", "1 while everything goes beside the tunnel, since every path has failed.", func(s *Status) float64 { return truth(s.Fallback == "direct") }),
	{"netcombiner_bypass_state", "1 for where the packets of a [Bypass] go: direct by its WAN, into the tunnel, or blocked.", "gauge", []string{"interface", "state", "via", "what"}, bypasses},

	pathGauge("netcombiner_path_up", "1 while the path works, in use or standing by.", func(p *Path) float64 { return truth(p.Works()) }),
	{"netcombiner_path_state", "1 for the state that the path is in.", "gauge", []string{"interface", "path", "state", "transport"}, states},
	pathGauge("netcombiner_path_metric", "The path's metric: a higher one serves only where no lower one does.", func(p *Path) float64 { return float64(p.Metric) }),
	pathGauge("netcombiner_path_rtt_seconds", "Smoothed round-trip time; 0: not measured yet.", func(p *Path) float64 { return p.RTTMs / 1000 }),
	pathGauge("netcombiner_path_rtt_min_seconds", "Lowest round-trip time of the last minutes.", func(p *Path) float64 { return p.RTTMinMs / 1000 }),
	pathGauge("netcombiner_path_loss_ratio", "Share lost of what this portal sent lately, 0 to 1.", func(p *Path) float64 { return p.Loss }),
	pathGauge("netcombiner_path_rate_bytes_per_second", "What this portal delivered to the other lately.", func(p *Path) float64 { return p.RateBps / 8 }),
	pathGauge("netcombiner_path_window_packets", "How many packets may be in flight.", func(p *Path) float64 { return float64(p.WindowPackets) }),
	pathGauge("netcombiner_path_in_flight_packets", "Packets sent and not acknowledged yet.", func(p *Path) float64 { return float64(p.InFlightPackets) }),
	pathGauge("netcombiner_path_mtu_bytes", "Longest outer packet proved; 0: not limited by the tunnel.", func(p *Path) float64 { return float64(p.MTU) }),
	pathCounter("netcombiner_path_tx_packets_total", "Messages sent.", func(p *Path) uint64 { return p.Tx.Packets }),
	pathCounter("netcombiner_path_tx_bytes_total", "Bytes of messages sent, with all headers.", func(p *Path) uint64 { return p.Tx.Bytes }),
	pathCounter("netcombiner_path_rx_packets_total", "Messages received.", func(p *Path) uint64 { return p.Rx.Packets }),
	pathCounter("netcombiner_path_rx_bytes_total", "Bytes of messages received, with all headers.", func(p *Path) uint64 { return p.Rx.Bytes }),
	pathCounter("netcombiner_path_lost_packets_total", "Messages sent that were lost.", func(p *Path) uint64 { return p.LostPackets }),
	pathCounter("netcombiner_path_reinjected_packets_total", "Inner packets sent again on another path.", func(p *Path) uint64 { return p.ReinjectedPackets }),
	pathCounter("netcombiner_path_failures_total", "How often the path stopped working.", func(p *Path) uint64 { return p.Failures }),
	{"netcombiner_path_quota_used_bytes", "What of the quota is used, where the path has one.", "gauge", pathLabels(), quotas(func(q *Quota) uint64 { return q.UsedBytes })},
	{"netcombiner_path_quota_limit_bytes", "The path's quota, where it has one.", "gauge", pathLabels(), quotas(func(q *Quota) uint64 { return q.LimitBytes })},
	{"netcombiner_path_month_tx_bytes", "Bytes sent in this calendar month, across restarts.", "gauge", []string{"interface", "path"}, monthly(func(t *PathTotal) uint64 { return t.Tx.Bytes })},
	{"netcombiner_path_month_rx_bytes", "Bytes received in this calendar month, across restarts.", "gauge", []string{"interface", "path"}, monthly(func(t *PathTotal) uint64 { return t.Rx.Bytes })},
}

func info(name, help string, labels []string, values func(*Status) []string) Family {
	return Family{name, help, "gauge", append([]string{"interface"}, labels...), func(s *Status, emit func(float64, ...string)) {
		emit(1, append([]string{s.Interface}, values(s)...)...)
	}}
}

func gauge(name, help string, value func(*Status) float64) Family {
	return Family{name, help, "gauge", []string{"interface"}, func(s *Status, emit func(float64, ...string)) {
		emit(value(s), s.Interface)
	}}
}

func counter(name, help string, value func(*Status) uint64) Family {
	f := gauge(name, help, func(s *Status) float64 { return float64(value(s)) })
	f.Type = "counter"
	return f
}

func pathLabels() []string { return []string{"interface", "path", "transport"} }

func pathGauge(name, help string, value func(*Path) float64) Family {
	return Family{name, help, "gauge", pathLabels(), func(s *Status, emit func(float64, ...string)) {
		eachPath(s, func(p *Path) { emit(value(p), s.Interface, p.Name, p.Transport) })
	}}
}

func pathCounter(name, help string, value func(*Path) uint64) Family {
	f := pathGauge(name, help, func(p *Path) float64 { return float64(value(p)) })
	f.Type = "counter"
	return f
}

// eachPath leaves out a second path of the same name: the other portal chooses
// those, and a series that comes twice spoils a whole scrape.
func eachPath(s *Status, do func(*Path)) {
	seen := make(map[string]bool, len(s.Paths))
	for i := range s.Paths {
		if p := &s.Paths[i]; !seen[p.Name] {
			seen[p.Name] = true
			do(p)
		}
	}
}

func rejected(s *Status, emit func(float64, ...string)) {
	r := &s.Rejected
	emit(float64(r.Mac), s.Interface, "mac")
	emit(float64(r.Replay), s.Interface, "replay")
	emit(float64(r.Malformed), s.Interface, "malformed")
	emit(float64(r.Source), s.Interface, "source")
}

func states(s *Status, emit func(float64, ...string)) {
	eachPath(s, func(p *Path) {
		for _, state := range PathStates {
			emit(truth(p.State == state), s.Interface, p.Name, state, p.Transport)
		}
	})
}

// bypasses leaves out one that is there twice, as eachPath does.
func bypasses(s *Status, emit func(float64, ...string)) {
	seen := make(map[[2]string]bool, len(s.Bypasses))
	for _, b := range s.Bypasses {
		if key := [2]string{b.Via, b.What}; !seen[key] {
			seen[key] = true
			for _, state := range BypassStates {
				emit(truth(b.State == state), s.Interface, state, b.Via, b.What)
			}
		}
	}
}

func quotas(value func(*Quota) uint64) func(*Status, func(float64, ...string)) {
	return func(s *Status, emit func(float64, ...string)) {
		eachPath(s, func(p *Path) {
			if p.Quota != nil {
				emit(float64(value(p.Quota)), s.Interface, p.Name, p.Transport)
			}
		})
	}
}

func monthly(value func(*PathTotal) uint64) func(*Status, func(float64, ...string)) {
	return func(s *Status, emit func(float64, ...string)) {
		if len(s.Totals) == 0 {
			return
		}
		for i := range s.Totals[0].Paths {
			t := &s.Totals[0].Paths[i]
			emit(float64(value(t)), s.Interface, t.Name)
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// MetricsText is what tunnels measure in Prometheus' text format, version 0.0.4. Each
// status is of another interface.
func MetricsText(all ...*Status) string {
	var b strings.Builder
	for _, f := range Families {
		began := false
		for _, s := range all {
			f.Each(s, func(value float64, labels ...string) {
				if !began {
					fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", f.Name, f.Help, f.Name, f.Type)
					began = true
				}
				writeSample(&b, &f, value, labels)
			})
		}
	}
	return b.String()
}

// escape makes a label's value of any text.
var escape = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

func writeSample(b *strings.Builder, f *Family, value float64, labels []string) {
	b.WriteString(f.Name)
	separator := "{"
	for i, label := range f.Labels {
		b.WriteString(separator + label + `="` + escape.Replace(labels[i]) + `"`)
		separator = ","
	}
	b.WriteString("} " + strconv.FormatFloat(value, 'g', -1, 64) + "\n")
}
