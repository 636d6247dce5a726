//go:build linux

package lab

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// Interface is the tunnel's name on both portals, each of which is a machine of its own.
const Interface = "nc0"

// Port is where the remote portal listens.
const Port = 4725

// Program is the daemon unless another is named: what make builds.
const Program = "build/netcombiner"

// The tunnel's inner addresses: local and remote portal's.
var (
	tunnelLocal  = Host{netip.MustParseAddr("172.19.152.3"), netip.MustParseAddr("fd19:152::3")}
	tunnelRemote = Host{netip.MustParseAddr("172.19.152.2"), netip.MustParseAddr("fd19:152::2")}
)

// TunnelConfig says how the two daemons are configured. Empty strings leave a
// key to its default.
type TunnelConfig struct {
	Program    string // the daemon; empty: build/netcombiner
	Transport  string // empty: udp
	Routing    string // none, nat or portal; empty: nat. With none the lab adds plain routes
	Scheduler  string
	Congestion string
	Suite      string
	LogDir     string // keeps local.log and remote.log; empty: kept only for errors
}

// Tunnel is the two portals.
type Tunnel struct{ Local, Remote *Portal }

// StartTunnel writes both configurations and starts both daemons, as they
// would be used: `netcombiner -f nc0` on each machine. It does not wait for them to meet.
func (lab *Lab) StartTunnel(c TunnelConfig) (*Tunnel, error) {
	if c.Program == "" {
		c.Program = Program
	}
	program, err := filepath.Abs(c.Program)
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		return nil, fmt.Errorf("the daemon is missing: %w (run make)", err)
	}
	c.Program = program
	if c.Transport == "" {
		c.Transport = "udp"
	}
	if c.Routing == "" {
		c.Routing = "nat"
	}
	secret := make([]byte, 32)
	rand.Read(secret)
	key := base64.StdEncoding.EncodeToString(secret)

	t := &Tunnel{
		Local:  &Portal{Role: "local", Machine: lab.Local, lab: lab, config: c},
		Remote: &Portal{Role: "remote", Machine: lab.Remote, lab: lab, config: c},
	}
	if c.Routing == "portal" {
		if err := lab.holdPublicAddress(); err != nil {
			return nil, err
		}
	}
	if c.LogDir != "" {
		if err := os.MkdirAll(c.LogDir, 0o755); err != nil {
			return nil, err
		}
	}
	for _, p := range []*Portal{t.Remote, t.Local} {
		err := p.log.open(c.LogDir, p.Role)
		if err == nil {
			err = p.Machine.WriteFile(p.configFile(), []byte(p.text(key)), 0o600)
		}
		if err == nil {
			err = p.Start()
		}
		if err != nil {
			t.Close()
			return nil, err
		}
	}
	return t, nil
}

// holdPublicAddress gives the client the remote portal's public addresses in
// place of its own, as Routing = portal wants it (the paper's 3.3.2).
func (lab *Lab) holdPublicAddress() error {
	const device = "eth0"
	c := lab.Client
	err := c.Forget(device)
	for i, addr := range []netip.Addr{Remote.V4, Remote.V6} {
		gateway := []netip.Addr{Gateway.V4, Gateway.V6}[i]
		for _, step := range []func() error{
			func() error { return c.Address(device, netip.PrefixFrom(addr, addr.BitLen())) },
			func() error { return c.Route(netip.PrefixFrom(gateway, gateway.BitLen()), netip.Addr{}, device, 0, 0) },
			func() error { return c.Route(anywhere[i], gateway, device, 0, 0) },
		} {
			if err == nil {
				err = step()
			}
		}
	}
	return err
}

// Close ends both daemons.
func (t *Tunnel) Close() {
	for _, p := range []*Portal{t.Local, t.Remote} {
		p.Stop()
		p.log.close()
	}
}

// WaitSettled waits until every path is up on both portals (those of cut links
// excepted, if named), and until the tunnel's MTU, which grows as the paths are
// probed, is the same on both and stays so. Before that a full-sized
// datagram may be lost, as on any way whose MTU its sender does not know yet.
func (t *Tunnel) WaitSettled(ctx context.Context, except ...string) error {
	const long = 500 * time.Millisecond
	mtu, since := 0, time.Now()
	return t.wait(ctx, func() error {
		if err := t.up(except); err != nil {
			return err
		}
		var mtus [2]int
		for i, p := range []*Portal{t.Local, t.Remote} {
			s, err := p.Status()
			if err != nil {
				return err
			}
			mtus[i] = s.MTU
		}
		if mtus[0] != mtus[1] || mtus[0] != mtu {
			mtu, since = mtus[0], time.Now()
		}
		if time.Since(since) < long {
			return fmt.Errorf("the MTU is %d bytes on the local, %d on the remote portal, and changes", mtus[0], mtus[1])
		}
		return nil
	})
}

// wait tries until there is no error, a daemon ends, or ctx does.
func (t *Tunnel) wait(ctx context.Context, try func() error) error {
	for {
		last := try()
		if last == nil {
			return nil
		}
		for _, p := range []*Portal{t.Local, t.Remote} {
			if err := p.Alive(); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the tunnel is not up: %w\nlocal portal:\n%sremote portal:\n%s", last, t.Local.log.tail(), t.Remote.log.tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (t *Tunnel) up(except []string) error {
	for _, p := range []*Portal{t.Local, t.Remote} {
		s, err := p.Status()
		if err != nil {
			return err
		}
		if s.Session.State != "established" {
			return fmt.Errorf("%s portal: session is %q", p.Role, s.Session.State)
		}
		want, have := len(p.lab.Links)-len(except), 0
		for _, path := range s.Paths {
			if path.Works() {
				have++
			}
		}
		if have < want {
			return fmt.Errorf("%s portal: %d of %d paths are up", p.Role, have, want)
		}
	}
	return nil
}
