//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"netcombiner/src/testbed/emulator"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
	"netcombiner/src/testbed/netns"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func raise(t *testing.T, links ...LinkConfig) *Lab {
	t.Helper()
	if err := netns.Privileged(); err != nil {
		t.Skip("skipped: ", err)
	}
	lab, err := New(Config{Links: links, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.Close)
	return lab
}

// echo sends n datagrams from a machine over one of its interfaces to the
// server, which sends them back, and returns how many came.
func echo(t *testing.T, lab *Lab, from *netns.Namespace, device string, to netip.Addr, n int) int {
	t.Helper()
	open := func(on *netns.Namespace, addr string) (conn net.PacketConn) {
		err := on.Do(func() (err error) {
			conn, err = net.ListenPacket("udp", addr)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	server := open(lab.Server, net.JoinHostPort(to.String(), "7"))
	defer server.Close()
	local := ""
	if device != "" {
		home := lab.Link(device).Local
		local = home.V4.String()
		if to.Is6() {
			local = home.V6.String()
		}
	}
	client := open(from, net.JoinHostPort(local, "0"))
	defer client.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			server.WriteTo(buf[:n], from)
		}
	}()
	for range n {
		client.WriteTo(make([]byte, 500), net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, 7)))
		time.Sleep(time.Millisecond) // a burst would fill the queue
	}
	got := 0
	client.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	for buf := make([]byte, 2048); got < n; got++ {
		if _, _, err := client.ReadFrom(buf); err != nil {
			break
		}
	}
	server.Close()
	<-done
	return got
}

func TestEveryLinkReachesTheServer(t *testing.T) {
	shape := link.Shape{Rate: 50e6, Delay: 2 * time.Millisecond}
	lab := raise(t, Symmetric("dsl", shape), Symmetric("lte", shape))
	for _, l := range lab.Links {
		// Replies come back over the link whose address asked; to send over it, bind to it.
		for _, addr := range []netip.Addr{Server.V4, Server.V6, Remote.V4, Remote.V6} {
			before, _ := l.Stats(emulator.Up)
			var out bytes.Buffer
			cmd, err := lab.Local.Start(&out, "ping", "-c", "1", "-W", "2", "-I", l.Config.Name, addr.String())
			if errors.Is(err, exec.ErrNotFound) {
				t.Skip("skipped: ping is not installed: apt-get install iputils-ping")
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v over %s: %v\n%s", addr, l.Config.Name, err, out.String())
			}
			if after, _ := l.Stats(emulator.Up); after.Delivered == before.Delivered {
				t.Errorf("%v over %s: the link carried nothing", addr, l.Config.Name)
			}
		}
	}
}

func TestTheHomeIsPrivate(t *testing.T) {
	lab := raise(t, Symmetric("dsl", link.Shape{}))
	if got := echo(t, lab, lab.Client, "", Server.V4, 3); got != 0 {
		t.Errorf("%d datagrams went from the client to the server and back without a tunnel", got)
	}
}

// A cut link says nothing; one without a carrier does.
func TestCutAndCarrier(t *testing.T) {
	lab := raise(t, Symmetric("dsl", link.Shape{Rate: 50e6}))
	l := lab.Link("dsl")
	carrier := func() bool {
		on := false
		err := lab.Local.Do(func() error {
			i, err := net.InterfaceByName("dsl")
			if err == nil {
				on = i.Flags&net.FlagRunning != 0
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return on
	}
	for _, step := range []struct {
		name    string
		do      func() error
		echoes  int
		carrier bool
	}{
		{"at first", func() error { return nil }, 5, true},
		{"cut", func() error { return l.Cut(true) }, 0, true},
		{"back", func() error { return l.Cut(false) }, 5, true},
		{"no carrier", func() error { return l.SetCarrier(false) }, 0, false},
		{"carrier", func() error { return l.SetCarrier(true) }, 5, true},
	} {
		if err := step.do(); err != nil {
			t.Fatal(err)
		}
		// The kernel works on a carrier's change a moment later.
		for deadline := time.Now().Add(3 * time.Second); carrier() != step.carrier && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		if carrier() != step.carrier {
			t.Errorf("%s: carrier is %v", step.name, !step.carrier)
		}
		// Routes by a device without a carrier come back with it.
		got := 0
		for range 10 {
			if got = echo(t, lab, lab.Local, "dsl", Server.V4, 5); got == step.echoes {
				break
			}
		}
		if got != step.echoes {
			t.Errorf("%s: %d of 5 datagrams came back, want %d", step.name, got, step.echoes)
		}
	}
}

func TestFaultsOnTheKernel(t *testing.T) {
	lab := raise(t, Symmetric("dsl", link.Shape{Rate: 100e6}))
	l := lab.Link("dsl")
	if err := l.SetShape(emulator.Up, link.Shape{Rate: 100e6, Loss: 0.3}); err != nil {
		t.Fatal(err)
	}
	const n = 300
	if got := echo(t, lab, lab.Local, "dsl", Server.V4, n); got < n/2 || got > n*85/100 {
		t.Errorf("with 30 %% loss %d of %d came back", got, n)
	}
	if err := l.SetShape(emulator.Up, link.Shape{Rate: -1}); err == nil {
		t.Error("a negative rate was taken")
	}
	if err := l.SetRate(emulator.Up, 1e6); err != nil {
		t.Fatal(err)
	}
	if s, err := l.Shape(emulator.Up); err != nil || s.Rate != 1e6 || s.Loss != 0.3 {
		t.Errorf("after SetRate the shape is %+v, %v", s, err)
	}
}

func TestRecordAndInject(t *testing.T) {
	lab := raise(t, Symmetric("dsl", link.Shape{Rate: 100e6}))
	l := lab.Link("dsl")
	if err := l.Record(emulator.Up, 2); err != nil {
		t.Fatal(err)
	}
	if got := echo(t, lab, lab.Local, "dsl", Server.V4, 3); got != 3 {
		t.Fatalf("%d of 3 came back", got)
	}
	frames, err := l.Recorded(emulator.Up)
	if err != nil || len(frames) != 2 {
		t.Fatalf("recorded %d frames, %v; want 2", len(frames), err)
	}
	if frames, _ := l.Recorded(emulator.Up); len(frames) != 0 {
		t.Error("the recording goes on")
	}
	var server *net.UDPConn
	err = lab.Server.Do(func() (err error) {
		server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(Server.V4, 7)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	if err := l.Inject(emulator.Up, frames[1]); err != nil {
		t.Fatal(err)
	}
	server.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, from, err := server.ReadFromUDPAddrPort(make([]byte, 2048)); err != nil || n != 500 || from.Addr().Unmap() != l.Local.V4 {
		t.Errorf("the recorded frame arrived as %d bytes from %v, %v", n, from, err)
	}
}

func TestTwoLabsStandBesideEachOther(t *testing.T) {
	one := raise(t, Symmetric("dsl", link.Shape{Rate: 50e6}))
	two := raise(t, Symmetric("dsl", link.Shape{Rate: 50e6}))
	if err := one.Link("dsl").Cut(true); err != nil {
		t.Fatal(err)
	}
	if got := echo(t, two, two.Local, "dsl", Server.V4, 5); got != 5 {
		t.Errorf("one lab's cut link costs the other %d of 5 datagrams", 5-got)
	}
}

func TestBadConfigs(t *testing.T) {
	if err := netns.Privileged(); err != nil {
		t.Skip("skipped: ", err)
	}
	for want, c := range map[string]Config{
		"allowed are 1 to 8": {},
		"loss is 2":          {Links: []LinkConfig{Symmetric("dsl", link.Shape{Loss: 2})}},
		"exists":             {Links: []LinkConfig{Symmetric("dsl", link.Shape{}), Symmetric("dsl", link.Shape{})}},
	} {
		lab, err := New(c)
		if err == nil {
			lab.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) && !strings.Contains(err.Error(), "busy") {
			t.Errorf("error %v, want one that says %q", err, want)
		}
	}
}

// Flows of our own get what the link carries, one as well as three together,
// both ways, over the link that they are told.
func TestFlows(t *testing.T) {
	lab := raise(t, Symmetric("dsl", link.Shape{Rate: 5e6}), Symmetric("lte", link.Shape{Rate: 20e6}))
	for _, test := range []measure.TCPTest{{}, {Down: true}, {Flows: 3, Down: true}, {Congestion: "reno"}} {
		test.For, test.Device = time.Second, "lte"
		got, err := measure.Flows(context.Background(), lab.Local, lab.Server, Server.V4, test)
		if err != nil || len(got) != 1 || got[0] < 15e6 || got[0] > 20e6 {
			t.Errorf("%+v: %.0f bit/s over 20 Mbit/s, %v", test, got, err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := measure.Flows(ctx, lab.Local, lab.Server, Server.V4, measure.TCPTest{Congestion: "none of all"}); err == nil {
		t.Error("an unknown congestion control was taken")
	}
	if _, err := measure.Flows(ctx, lab.Local, lab.Server, Server.V4, measure.TCPTest{For: time.Minute}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the test's end is %v", err)
	}
}

// A flow that is not CUBIC, or a server that is not there, is an error and not a figure.
func TestIperfFailsLoudly(t *testing.T) {
	lab := raise(t, Symmetric("dsl", link.Shape{Rate: 20e6}))
	server, err := measure.StartIperf(lab.Server, Server.V4)
	if err != nil {
		t.Skip("skipped: ", err)
	}
	got, err := server.TCP(context.Background(), lab.Local, measure.TCPTest{For: time.Second, Device: "dsl"})
	if err != nil || got < 15e6 || got > 20e6 {
		t.Errorf("over 20 Mbit/s iperf3 measured %.1f Mbit/s, %v", got/1e6, err)
	}
	server.Close()
	if _, err := server.TCP(context.Background(), lab.Local, measure.TCPTest{For: time.Second, Device: "dsl"}); err == nil {
		t.Error("a test without a server gave a figure")
	}
}
