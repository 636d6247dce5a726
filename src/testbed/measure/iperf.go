//go:build linux

// Package measure sends traffic between a lab's machines and says what became
// of it: one TCP flow by iperf3, one TCP flow of our own where its course
// over time matters, a UDP call with every datagram's fate and time.
package measure

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"netcombiner/src/testbed/netns"
)

// Cubic is the congestion control of every inner TCP flow unless another is
// named: what most senders of the Internet use, and what suffers most from loss
// and reordering. The host's default may be another and is inherited by
// namespaces, so it is asked for and checked.
const Cubic = "cubic"

// Iperf is an iperf3 server waiting for tests.
type Iperf struct {
	addr netip.Addr
	cmd  *exec.Cmd
	out  bytes.Buffer
}

// StartIperf starts a server on a machine, to be reached at addr.
func StartIperf(on *netns.Namespace, addr netip.Addr) (*Iperf, error) {
	if _, err := exec.LookPath("iperf3"); err != nil {
		return nil, errors.New("iperf3 is not installed: apt-get install iperf3")
	}
	s := &Iperf{addr: addr}
	var err error
	if s.cmd, err = on.Start(&s.out, "iperf3", "--server"); err != nil {
		return nil, err
	}
	// It says nothing when it is ready, so ask its port.
	for range 100 {
		err = on.Do(func() error {
			c, err := net.DialTimeout("tcp", netip.AddrPortFrom(addr, 5201).String(), time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if err == nil {
			return s, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.Close()
	return nil, fmt.Errorf("iperf3 server does not listen: %w\n%s", err, s.out.String())
}

// Close ends the server.
func (s *Iperf) Close() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// TCPTest is one TCP flow.
type TCPTest struct {
	For    time.Duration
	Down   bool   // from the server to the client
	Device string // of the client's machine, whose way out the flow takes; empty: the routes'
	Flows  int    // in parallel; 0: one
	Spans  int    // of For, one after the other, that are told apart; 0: one
	// Congestion is the sender's congestion control, asked for and checked;
	// empty: Cubic.
	Congestion string
}

// Lasts is how long it takes.
func (t TCPTest) Lasts() time.Duration { return time.Duration(max(1, t.Spans)) * t.For }

// TCP runs a test from a machine against the server and returns the payload's
// rate at the receiver in bit/s, all flows together. A flow that is not CUBIC
// is an error. A server that is not yet done with the test before is waited for.
func (s *Iperf) TCP(ctx context.Context, from *netns.Namespace, t TCPTest) (float64, error) {
	for deadline := time.Now().Add(15 * time.Second); ; {
		rate, err := s.tcp(ctx, from, t)
		if err == nil || !strings.Contains(err.Error(), "server is busy") || time.Now().After(deadline) {
			return rate, err
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("iperf3: %w", context.Cause(ctx))
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (s *Iperf) tcp(ctx context.Context, from *netns.Namespace, t TCPTest) (float64, error) {
	congestion := cmp.Or(t.Congestion, Cubic)
	argv := []string{"iperf3", "--client", s.addr.String(), "--json", "--congestion", congestion, "--interval", "0",
		"--time", strconv.FormatFloat(t.For.Seconds(), 'f', -1, 64), "--connect-timeout", "5000",
		"--parallel", strconv.Itoa(max(1, t.Flows))}
	if t.Down {
		argv = append(argv, "--reverse")
	}
	if t.Device != "" {
		argv = append(argv, "--bind-dev", t.Device)
	}
	var out bytes.Buffer
	cmd, err := from.Start(&out, argv...)
	if err != nil {
		return 0, err
	}
	// iperf3 waits for the other end without limit.
	ctx, cancel := context.WithTimeout(ctx, t.For+20*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() { cmd.Process.Kill() })()
	waited := cmd.Wait()
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("iperf3: %w", context.Cause(ctx))
	}
	var report struct {
		Error string `json:"error"`
		End   struct {
			Received struct {
				BitsPerSecond float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			Congestion string `json:"sender_tcp_congestion"`
		} `json:"end"`
	}
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return 0, fmt.Errorf("iperf3: %w (%v): %.200s", err, waited, out.String())
	}
	if report.Error != "" {
		return 0, fmt.Errorf("iperf3: %s", report.Error)
	}
	if report.End.Congestion != congestion {
		return 0, fmt.Errorf("iperf3: the sender used %q, not %q: modprobe tcp_%s?", report.End.Congestion, congestion, congestion)
	}
	return report.End.Received.BitsPerSecond, nil
}
