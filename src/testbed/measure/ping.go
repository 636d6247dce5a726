//go:build linux

package measure

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"netcombiner/src/testbed/netns"
)

// pingPatience is how long after the last echo an answer may still come.
const pingPatience = 2 * time.Second

// Ping is a series of ICMP echoes at even intervals.
type Ping struct {
	For    time.Duration
	Every  time.Duration // 0: 20 ms
	Device string        // by which they leave; empty: as the routes say
}

// PingResult tells the fate of a series.
type PingResult struct {
	Sent int
	Lost []int           // the numbers of those that were not answered, from 1
	RTT  []time.Duration // of each that was answered, in the order of the answers
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
//
// The command does not wait for the last answers as long as its -W says: once one
// has come, no longer than twice the longest round trip so far, perhaps 20 ms. So it
// has more to send than counts, and is ended when all that counts is answered.
func (p Ping) Run(ctx context.Context, from *netns.Namespace, addr netip.Addr) (PingResult, error) {
	if _, err := exec.LookPath("ping"); err != nil {
		return PingResult{}, errors.New("ping is not installed: apt-get install iputils-ping")
	}
	if p.Every == 0 {
		p.Every = 20 * time.Millisecond
	}
	n := max(1, int(p.For/p.Every))
	more := 1 + int(pingPatience/p.Every)
	argv := []string{"ping", "-n", "-c", strconv.Itoa(n + more), "-W", "2", "-i", strconv.FormatFloat(p.Every.Seconds(), 'f', -1, 64)}
	if p.Device != "" {
		argv = append(argv, "-I", p.Device)
	}
	out, in := io.Pipe()
	cmd, err := from.Start(in, append(argv, addr.String())...)
	if err != nil {
		return PingResult{}, err
	}
	ended := make(chan struct{})
	go func() {
		cmd.Wait() // complains when an echo is lost, which is for the caller to judge
		in.Close()
		close(ended)
	}()
	ctx, cancel := context.WithTimeout(ctx, p.For+10*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() { cmd.Process.Kill() })()
	var said strings.Builder
	r := readPing(io.TeeReader(out, &said), n)
	cmd.Process.Kill()
	out.Close()
	<-ended
	if err := ctx.Err(); err != nil {
		return PingResult{}, fmt.Errorf("ping: %w", context.Cause(ctx))
	}
	if len(r.RTT) == 0 {
		return r, fmt.Errorf("ping: %v does not answer: %.200s", addr, said.String())
	}
	return r, nil
}

var echoed = regexp.MustCompile(`icmp_seq=(\d+) .*time=([0-9.]+) ms`)

// readPing reads what ping says of its first n echoes, until all are answered.
// One that comes twice counts once.
func readPing(from io.Reader, n int) PingResult {
	r := PingResult{Sent: n}
	answered := make([]bool, n+1)
	for lines := bufio.NewScanner(from); len(r.RTT) < n && lines.Scan(); {
		m := echoed.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		seq, err := strconv.Atoi(m[1])
		ms, err2 := strconv.ParseFloat(m[2], 64)
		if errors.Join(err, err2) == nil && 1 <= seq && seq <= n && !answered[seq] {
			answered[seq] = true
			r.RTT = append(r.RTT, time.Duration(ms*1e6))
		}
	}
	for seq := 1; seq <= n; seq++ {
		if !answered[seq] {
			r.Lost = append(r.Lost, seq)
		}
	}
	return r
}
