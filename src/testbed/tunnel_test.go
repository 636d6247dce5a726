//go:build linux

package testbed

import (
	"context"
	"os/exec"
	"path/filepath"
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
	if err := netns.Privileged(); err != nil {
		t.Skip("skipped: ", err)
	}
	daemon := filepath.Join(t.TempDir(), "netcombiner")
	if out, err := exec.Command("go", "build", "-o", daemon, "netcombiner/src/cmd/netcombiner").CombinedOutput(); err != nil {
		t.Fatalf("building the daemon: %v\n%s", err, out)
	}
	const rate = 8e6
	l, err := lab.New(lab.Config{Links: even(2, rate)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	e := &evaluation{EvaluateConfig: EvaluateConfig{Program: daemon, Routing: "none"}}
	tunnel, err := e.tunnel(ctx, l, "udp")
	if err != nil {
		t.Fatal(err)
	}
	defer tunnel.Close()

	s, err := measure.StartStream(ctx, l.Client, l.Server, lab.Server.V4, 5203, true)
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

	wait(5 * time.Second)
	a, b := carried("a"), carried("b")
	both := s.Rate(2*time.Second, 5*time.Second)
	t.Logf("over both links %.1f Mbit/s; %d and %d bytes crossed them", both/1e6, a, b)
	if both < 1.1*rate {
		t.Errorf("two links of 8 Mbit/s gave %.1f Mbit/s", both/1e6)
	}
	if min(a, b) < max(a, b)/4 {
		t.Errorf("the links carried %d and %d bytes", a, b)
	}

	if err := l.Link("a").Cut(true); err != nil {
		t.Fatal(err)
	}
	wait(9 * time.Second)
	one := s.Rate(6*time.Second, 9*time.Second)
	silence, at := s.Silence(5*time.Second, 9*time.Second)
	t.Logf("over one link %.1f Mbit/s, silent for %v at %v", one/1e6, silence, at)
	if one < rate/2 {
		t.Errorf("with one link dead the flow has %.1f Mbit/s of the other's 8", one/1e6)
	}

	if err := l.Link("a").Cut(false); err != nil {
		t.Fatal(err)
	}
	wait(14 * time.Second)
	again := s.Rate(11*time.Second, 14*time.Second)
	t.Logf("over both again %.1f Mbit/s", again/1e6)
	if again < 1.1*rate {
		t.Errorf("with both links back the flow has %.1f Mbit/s", again/1e6)
	}
	if err := s.Broken(); err != nil {
		t.Errorf("the connection broke: %v", err)
	}
}
