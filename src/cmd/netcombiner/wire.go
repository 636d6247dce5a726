package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/daemon"
	"netcombiner/src/linkwatch"
	"netcombiner/src/portal"
	"netcombiner/src/transport"
	"netcombiner/src/transport/ip"
	"netcombiner/src/transport/tcp"
	"netcombiner/src/transport/udp"
	"netcombiner/src/tundevice"
	"netcombiner/src/udpsocket"
)

// system wires the daemon to the real host.
func system() daemon.System {
	return daemon.System{
		CleanUp: cleanUp,
		Inherit: daemon.InheritRouting,
		CreateTUN: func(iface string, o tundevice.Options) (daemon.TUN, error) {
			return tundevice.Create(iface, o)
		},
		AdoptTUN: func(f *os.File, iface string, o tundevice.Options) (daemon.TUN, error) {
			return tundevice.FromFile(f, iface, o)
		},
		Configure: func(iface string, c *config.Config) (func() error, error) {
			return tundevice.Configure(iface, c.Interface.Address, 0)
		},
		NewPortal: newPortal,
		Route:     daemon.Route,
	}
}

// cleanUp undoes what a killed daemon has left: its routing, and on FreeBSD its TUN.
func cleanUp(iface string) (undone []string, err error) {
	routes, err := daemon.CleanUpRouting(iface)
	device, notRemoved := tundevice.CleanUp(iface)
	return slices.Concat(routes, device), errors.Join(err, notRemoved)
}

func newPortal(o daemon.PortalOptions) (daemon.Portal, error) {
	var links <-chan portal.LinkEvent
	if len(o.Config.Paths) > 0 {
		var err error
		if links, err = watchLinks(o.Interface); err != nil {
			// A path also fails and recovers where no event says so.
			o.Log.Warn("no link events: recovery will be slower", "why", err)
		}
	}
	sockets := udpsocket.Options{
		NoOffload: !o.Config.Interface.Offload,
		Report:    sayOnce(o.Log, "sending UDP datagrams without runs"),
		FIB:       o.Egress.FIB,
	}
	return portal.New(portal.Options{
		Config: o.Config, Version: o.Version, Device: o.Device, Log: o.Log, Links: links,
		Transports: []transport.Transport{udp.Transport{Options: sockets}, tcp.Transport{FIB: o.Egress.FIB}, ip.New(o.Egress.FIB)},
		Resolve:    resolver{o.Egress}.resolve,
		Addresses:  linkwatch.Addrs,
		QuotaFile:  control.QuotaPath(o.Interface),
	})
}

// sayOnce returns what logs a message with a reason, which may come from any
// socket and any number of them: each reason once.
func sayOnce(log *slog.Logger, message string) func(why string) {
	var said sync.Map
	return func(why string) {
		if _, again := said.LoadOrStore(why, true); !again {
			log.Info(message, "why", why)
		}
	}
}

type resolver struct{ egress *daemon.Egress }

// resolve finds a name's addresses by the way out that bind names: the tunnel,
// which carries everybody else's questions, may be down just because the
// answer changed. A resolver on this host is asked as usual, and so is any while
// nothing is routed yet.
func (r resolver) resolve(ctx context.Context, host string, bind transport.Bind) ([]netip.Addr, error) {
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		server, err := netip.ParseAddrPort(address)
		if err != nil || server.Addr().IsLoopback() || !r.egress.Settled() {
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		}
		return udpsocket.Connect(ctx, network[:3], bind, server, r.egress.FIB)
	}}
	addresses, err := resolver.LookupNetIP(ctx, "ip", host)
	for i, a := range addresses {
		addresses[i] = a.Unmap() // it gives IPv4 as ::ffff:192.0.2.1
	}
	return addresses, err
}

// watchLinks tells of changes on every interface but the tunnel's own. It
// watches as long as the process lives.
func watchLinks(tunnel string) (<-chan portal.LinkEvent, error) {
	events, err := linkwatch.Watch(context.Background())
	if err != nil {
		return nil, err
	}
	links := make(chan portal.LinkEvent)
	go func() {
		defer close(links)
		for e := range events {
			if e.Device != tunnel {
				links <- portal.LinkEvent{Device: e.Device}
			}
		}
	}()
	return links, nil
}
