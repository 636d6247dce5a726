package portal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/simnet"
	"netcombiner/src/transport"
	"netcombiner/src/tundevice"
)

var (
	vps       = netip.MustParseAddr("203.0.113.1")
	testKey   = config.Key{1, 2, 3}
	lanPrefix = netip.MustParsePrefix("172.19.152.3/31")
)

// tunnel is two portals over simulated links: what most tests here play with.
type tunnel struct {
	t             testing.TB
	net           *simnet.Network
	local, remote *end
	links         []*simnet.Link
	check         *simnet.Checker
}

// end is one portal on its host.
type end struct {
	tunnel *tunnel
	host   *simnet.Host
	config config.Config
	portal *Portal
	edit   func(*Options) // changes what the portal is started with; may be nil
	stop   func()         // ends the portal and waits
}

// linkSpec is one link and the path over it.
type linkSpec struct {
	up, down  simnet.Conditions
	nat       bool
	transport string // default udp
	edit      func(*config.Path)
}

// slow marks a test that -short leaves out: it takes minutes under the race
// detector, which the others, bulk traffic included, keep busy enough. It runs
// beside others of its kind, as a bubble keeps no more than one processor busy.
func slow(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("minutes of bulk traffic")
	}
	t.Parallel()
}

// sim runs f in a bubble, with a tunnel over the given links that is not
// started yet.
func sim(t *testing.T, seed uint64, specs []linkSpec, f func(*tunnel)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tn := newTunnel(t, seed, specs)
		defer tn.net.Close()
		defer tn.close()
		f(tn)
		if err := tn.check.Err(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
}

func newTunnel(t testing.TB, seed uint64, specs []linkSpec) *tunnel {
	n := simnet.New(seed)
	tn := &tunnel{t: t, net: n}
	base := config.Config{Interface: config.Interface{Key: testKey, Address: []netip.Prefix{lanPrefix}, Suite: "auto", Scheduler: "earliest"}}
	tn.local = &end{tunnel: tn, host: n.AddHost("local"), config: base}
	tn.remote = &end{tunnel: tn, host: n.AddHost("remote", vps), config: base}
	tn.local.config.Interface.Role = config.Local
	tn.remote.config.Interface.Role = config.Remote
	for _, kind := range []string{"udp", "tcp"} {
		tn.remote.config.Listens = append(tn.remote.config.Listens, config.Listen{Transport: kind, Address: netip.AddrPortFrom(vps, 4725)})
	}
	for i, s := range specs {
		name := "wan" + string(rune('1'+i))
		addr := netip.AddrFrom4([4]byte{10, byte(i), 0, 2})
		link := simnet.LinkConfig{Name: name, Addr: addr, Up: s.up, Down: s.down}
		if s.nat {
			link.NAT = netip.AddrFrom4([4]byte{198, 51, 100, byte(i + 1)})
		}
		tn.links = append(tn.links, n.AddLink(tn.local.host, tn.remote.host, link))
		p := config.Path{Name: name, Transport: "udp", Device: name, Remote: config.HostPort{Host: vps.String(), Port: 4725},
			Congestion: "bbr", Direction: config.Both}
		if s.transport != "" {
			p.Transport = s.transport
		}
		if s.edit != nil {
			s.edit(&p)
		}
		tn.local.config.Paths = append(tn.local.config.Paths, p)
	}
	tn.check = n.NewChecker()
	return tn
}

func (tn *tunnel) start() {
	tn.remote.start()
	tn.local.start()
}

func (tn *tunnel) close() {
	for _, e := range []*end{tn.local, tn.remote} {
		if e.stop != nil {
			e.stop()
		}
	}
}

// start runs a portal on the end's host.
func (e *end) start() {
	e.tunnel.t.Helper()
	started := e.config // what a test changes later is not the portal's
	p, stop, err := startPortal(e.host, &started, e.edit)
	if err != nil {
		e.tunnel.t.Fatal(err)
	}
	e.portal = p
	e.stop = func() {
		e.stop = nil
		if err := stop(); err != nil {
			e.tunnel.t.Errorf("%s: %v", e.host.Name(), err)
		}
	}
}

// startPortal runs a portal on a simulated host. stop ends it, waits, and says
// what it left behind. edit may be nil.
func startPortal(h *simnet.Host, c *config.Config, edit func(*Options)) (p *Portal, stop func() error, err error) {
	tun, err := h.OpenTun("nc0", 1420)
	if err != nil {
		return nil, nil, err
	}
	level := slog.LevelError
	if testing.Verbose() {
		level = slog.LevelInfo
	}
	ctx, cancel := context.WithCancel(context.Background())
	links, unwatch := watchLinks(ctx, h)
	o := Options{
		Config: c, Device: tun, Links: links, Packets: 8192,
		Log:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})).With("end", h.Name()),
		Transports: []transport.Transport{h.UDP(), h.TCP()},
		Resolve: func(_ context.Context, host string, _ transport.Bind) ([]netip.Addr, error) {
			a, err := netip.ParseAddr(host)
			return []netip.Addr{a}, err
		},
		Addresses: func(device string) (addrs []netip.Addr, err error) {
			for _, l := range h.Links() {
				if l.Name() == device && l.Carrier() {
					addrs = append(addrs, l.Addr())
				}
			}
			return addrs, nil
		},
	}
	if edit != nil {
		edit(&o)
	}
	p, err = New(o)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { ended <- p.Run(ctx, func() { close(ready) }) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		return nil, nil, err
	}
	return p, func() error {
		cancel()
		err := <-ended
		unwatch()
		if n := p.pool.Outstanding(); n != 0 {
			return fmt.Errorf("%d packets never came home", n)
		}
		if errors.Is(err, os.ErrClosed) || errors.Is(err, tundevice.ErrGone) {
			return nil // the host crashed first
		}
		return err
	}, nil
}

// watchLinks turns a host's changes into a portal's link events.
func watchLinks(ctx context.Context, h *simnet.Host) (<-chan LinkEvent, func()) {
	changes, unwatch := h.Watch()
	links := make(chan LinkEvent)
	go func() {
		for {
			select {
			case <-changes:
				select {
				case links <- LinkEvent{}:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	return links, unwatch
}

// crash ends the portal as kill -9 would, and cleans up after it unseen.
func (e *end) crash() {
	e.host.Crash()
	e.stop()
}

func mbit(n float64) int64 { return int64(n * 1e6) }

// wire returns a link of the given rate and one-way delay with 50 ms of queue.
func link(rate int64, delay time.Duration) linkSpec {
	c := simnet.Conditions{Rate: rate, Delay: delay, QueueBytes: max(int(rate/8/20), 16000)}
	return linkSpec{up: c, down: c}
}

func TestACallCrosses(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 5*time.Millisecond)}, func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		up := tn.check.Flow(tn.local.host, tn.remote.host, false)
		down := tn.check.Flow(tn.remote.host, tn.local.host, true)
		until := tn.net.Now() + 5*time.Second
		up.Call(11*time.Millisecond, 1400, until)
		down.Call(20*time.Millisecond, 200, until)
		time.Sleep(6 * time.Second)
		for _, f := range []*simnet.Flow{up, down} {
			if s := f.All(); s.Sent < 200 || s.Lost != 0 || s.OutOfOrder != 0 {
				t.Errorf("%+v", s)
			}
		}
		t.Logf("%+v", tn.local.portal.Status())
	})
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }
