//go:build linux

package testbed

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/netns"
)

// evaluateAddress is the paper's figure 4.5: to the world the client has the
// remote portal's address, and is reached at it.
func evaluateAddress(ctx context.Context, e *evaluation) error {
	for _, transport := range e.transports {
		if err := e.address(ctx, transport); err != nil {
			return fmt.Errorf("%s: %w", transport, err)
		}
	}
	return nil
}

func (e *evaluation) address(ctx context.Context, transport string) error {
	l, err := lab.New(lab.Config{Links: even(2, 1*mb)})
	if err != nil {
		return err
	}
	defer l.Close()
	t, err := l.StartTunnel(lab.TunnelConfig{Program: e.Program, Transport: transport, Routing: "portal"})
	if err != nil {
		return err
	}
	defer t.Close()
	if err := waitUp(ctx, t); err != nil {
		return err
	}
	for _, a := range []struct {
		family         string
		remote, server netip.Addr
	}{{"IPv4", lab.Remote.V4, lab.Server.V4}, {"IPv6", lab.Remote.V6, lab.Server.V6}} {
		seen, err := connect(ctx, l.Client, l.Server, a.server)
		if err != nil {
			return fmt.Errorf("%s: from the client: %w", a.family, err)
		}
		e.say("%s %s: the client calls from %v, the remote portal is %v", a.family, transport, seen, a.remote)
		caller, err := connect(ctx, l.Server, l.Client, a.remote)
		if err != nil {
			return fmt.Errorf("%s: to the client: %w", a.family, err)
		}
		e.say("%s %s: at that address the client is called by %v", a.family, transport, caller)
		for _, claim := range []struct {
			metric string
			true   bool
		}{
			{"the server sees the remote portal's address (1: yes)", seen == a.remote},
			{"who calls that address reaches the client, as itself (1: yes)", caller == a.server},
		} {
			yes := map[bool]float64{true: 1}[claim.true]
			e.put(Row{Case: a.family + " " + transport, Metric: claim.metric, Target: AlwaysAtLeast(1), Samples: []float64{yes}, Paper: "1"})
		}
	}
	return nil
}

// connect makes a TCP connection from one machine to another at addr, and
// returns the address that the other sees.
func connect(ctx context.Context, from, to *netns.Namespace, addr netip.Addr) (seen netip.Addr, err error) {
	at := netip.AddrPortFrom(addr, 5205).String()
	var listener *net.TCPListener
	err = to.Do(func() error {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", at)
		if err == nil {
			listener = l.(*net.TCPListener)
		}
		return err
	})
	if err != nil {
		return seen, err
	}
	defer listener.Close()
	err = from.Do(func() error {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", at)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err != nil {
		return seen, err
	}
	listener.SetDeadline(time.Now().Add(5 * time.Second))
	c, err := listener.Accept()
	if err != nil {
		return seen, err
	}
	defer c.Close()
	return c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap(), nil
}
