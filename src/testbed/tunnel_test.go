//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"netcombiner/src/testbed/emulator"
	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

// The daemon itself on the real kernel: one TCP flow over two links, one of
// which dies and returns. Bounds are wide, for a busy host; `make evaluate` measures.
func TestFlowOverTwoLinks(t *testing.T) {
	privileged(t)
	daemon := build(t)
	for _, transport := range []string{"udp", "ip"} {
		t.Run(transport, func(t *testing.T) {
			// A busy host slows the flow, though it never breaks it: three tries for the rates.
			for try := range 3 {
				slow := flowOverTwoLinks(t, daemon, transport)
				switch {
				case slow == nil:
					return
				case try < 2:
					t.Logf("try %d, load %.1f: %v", try+1, measure.Load(), slow)
				default:
					t.Error(slow)
				}
			}
		})
	}
}

func build(t *testing.T) (daemon string) {
	t.Helper()
	daemon = filepath.Join(t.TempDir(), "netcombiner")
	if out, err := exec.Command("go", "build", "-o", daemon, "netcombiner/src/cmd/netcombiner").CombinedOutput(); err != nil {
		t.Fatalf("building the daemon: %v\n%s", err, out)
	}
	return daemon
}

// With Routing = portal the client is the remote portal to the world, but for
// SSH: the paper's 3.3.
func TestClientHoldsThePublicAddress(t *testing.T) {
	privileged(t)
	daemon := build(t)
	for _, transport := range []string{"udp", "ip"} {
		t.Run(transport, func(t *testing.T) { clientHoldsThePublicAddress(t, daemon, transport) })
	}
}

func clientHoldsThePublicAddress(t *testing.T, daemon, transport string) {
	l, err := lab.New(lab.Config{Links: even(2, 8e6)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e := &evaluation{EvaluateConfig: EvaluateConfig{Program: daemon, Routing: "portal"}}
	tunnel, err := e.tunnel(ctx, l, transport)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()

	// Each tells by its first bytes who it is.
	listen := func(on *netns.Namespace, port int) {
		t.Helper()
		var listener net.Listener
		err := on.Do(func() (err error) {
			listener, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "%s for %s\n", on.Name, c.RemoteAddr().(*net.TCPAddr).IP)
				c.Close()
			}
		}()
	}
	answer := func(from *netns.Namespace, to netip.Addr, port uint16) string {
		var c net.Conn
		err := from.Do(func() (err error) {
			c, err = net.DialTimeout("tcp", netip.AddrPortFrom(to, port).String(), 5*time.Second)
			return err
		})
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(5 * time.Second))
		text, _ := io.ReadAll(c)
		return strings.TrimSpace(string(text))
	}
	listen(l.Client, 80)
	listen(l.Remote, 22)
	listen(l.Server, 80)
	for _, c := range []struct {
		name string
		from *netns.Namespace
		to   lab.Host
		port uint16
		who  string
		sees lab.Host
	}{
		{"inbound", l.Server, lab.Remote, 80, "client", lab.Server},
		{"inbound SSH", l.Server, lab.Remote, 22, "remote", lab.Server},
		{"outbound", l.Client, lab.Server, 80, "server", lab.Remote},
	} {
		for i, to := range []netip.Addr{c.to.V4, c.to.V6} {
			want := fmt.Sprintf("%s for %v", c.who, []netip.Addr{c.sees.V4, c.sees.V6}[i])
			if got := answer(c.from, to, c.port); got != want {
				t.Errorf("%s to %v: %q, want %q", c.name, to, got, want)
			}
		}
	}
}

// flowOverTwoLinks returns an error where the flow is slower than it should
// be; what must not happen however busy the host is fails the test.
func flowOverTwoLinks(t *testing.T, daemon, transport string) (slow error) {
	const rate = 8e6
	l, err := lab.New(lab.Config{Links: even(2, rate)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e := &evaluation{EvaluateConfig: EvaluateConfig{Program: daemon}}
	tunnel, err := e.tunnel(ctx, l, transport)
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()
	s, err := measure.StartStream(ctx, l.Client, l.Server, lab.Server.V4, 5203, measure.TCPTest{Down: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()

	wait := func(at time.Duration) {
		t.Helper()
		if err := pause(ctx, at-s.Now()); err != nil {
			t.Fatal(err)
		}
	}
	carried := func(name string) uint64 {
		t.Helper()
		stats, err := l.Link(name).Stats(emulator.Down)
		if err != nil {
			t.Fatal(err)
		}
		return stats.DeliveredBytes
	}
	atLeast := func(what string, got, want float64) {
		t.Helper()
		t.Logf("%s: %.1f Mbit/s", what, got/1e6)
		if got == 0 {
			t.Errorf("%s: nothing at all came", what)
		}
		if got < want {
			slow = errors.Join(slow, fmt.Errorf("%s: %.1f Mbit/s, want %.1f", what, got/1e6, want/1e6))
		}
	}

	wait(5 * time.Second)
	atLeast("over two links of 8 Mbit/s", s.Rate(2*time.Second, 5*time.Second), 1.1*rate)
	if a, b := carried("a"), carried("b"); min(a, b) < max(a, b)/4 {
		t.Errorf("the links carried %d and %d bytes", a, b)
	}
	if err := l.Link("a").Cut(true); err != nil {
		t.Fatal(err)
	}
	wait(9 * time.Second)
	atLeast("with one dead", s.Rate(6*time.Second, 9*time.Second), rate/2)
	if err := l.Link("a").Cut(false); err != nil {
		t.Fatal(err)
	}
	wait(14 * time.Second)
	atLeast("with both again", s.Rate(11*time.Second, 14*time.Second), 1.1*rate)
	if err := s.Broken(); err != nil {
		t.Errorf("the connection broke: %v", err)
	}
	return slow
}
