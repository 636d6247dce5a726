//go:build linux

package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"time"

	"netcombiner/src/testbed/netns"
)

// Ping is a series of ICMP echoes at even intervals.
type Ping struct {
	For   time.Duration
	Every time.Duration // 0: 20 ms
}

// PingResult tells the fate of a series.
type PingResult struct {
	Sent, Lost int
	RTT        []time.Duration // of each that was answered, in the order of the answers
}

// Quantile is the q-quantile (0…1) of the answered echoes' round-trip times in ms.
func (r PingResult) Quantile(q float64) float64 {
	ms := make([]float64, len(r.RTT))
	for i, rtt := range r.RTT {
		ms[i] = float64(rtt) / 1e6
	}
	return Quantile(ms, q)
}

// Run sends the series from a machine. An address that never answers is an error.
func (p Ping) Run(ctx context.Context, from *netns.Namespace, addr netip.Addr) (PingResult, error) {
	if _, err := exec.LookPath("ping"); err != nil {
		return PingResult{}, errors.New("ping is not installed: apt-get install iputils-ping")
	}
	if p.Every == 0 {
		p.Every = 20 * time.Millisecond
	}
	n := max(1, int(p.For/p.Every))
	var out bytes.Buffer
	cmd, err := from.Start(&out, "ping", "-n", "-c", strconv.Itoa(n), "-W", "2",
		"-i", strconv.FormatFloat(p.Every.Seconds(), 'f', -1, 64), addr.String())
	if err != nil {
		return PingResult{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.For+10*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() { cmd.Process.Kill() })()
	cmd.Wait() // complains when an echo is lost, which is for the caller to judge
	if err := ctx.Err(); err != nil {
		return PingResult{}, fmt.Errorf("ping: %w", context.Cause(ctx))
	}
	r := parsePing(out.Bytes(), n)
	if len(r.RTT) == 0 {
		return r, fmt.Errorf("ping: %v does not answer: %.200s", addr, out.String())
	}
	return r, nil
}

var echoed = regexp.MustCompile(`icmp_seq=(\d+) .*time=([0-9.]+) ms`)

// parsePing reads what ping said of n echoes. One that came twice counts once.
func parsePing(text []byte, n int) PingResult {
	r := PingResult{Sent: n, Lost: n}
	seen := map[string]bool{}
	for _, m := range echoed.FindAllSubmatch(text, -1) {
		ms, err := strconv.ParseFloat(string(m[2]), 64)
		if seq := string(m[1]); err == nil && !seen[seq] {
			seen[seq] = true
			r.Lost--
			r.RTT = append(r.RTT, time.Duration(ms*1e6))
		}
	}
	return r
}
