package selftest

import (
	"context"
	"net"
	"net/netip"
	"os"

	"netcombiner/src/control"
	"netcombiner/src/linkwatch"
	"netcombiner/src/routing"
	"netcombiner/src/transport"
	"netcombiner/src/transport/ip"
	"netcombiner/src/transport/tcp"
	"netcombiner/src/transport/udp"
	"netcombiner/src/tundevice"
	"netcombiner/src/udpsocket"
)

// Host is what a selftest asks of the machine. Every error is one line that tells a
// person what is wrong.
type Host struct {
	// Folders are those of sockets, of state, and of configurations.
	Folders   [3]string
	CreateTUN func(name string, mtu int) (tundevice.Device, error)
	// Configure gives an interface addresses and brings it up.
	Configure func(name string, addrs ...netip.Prefix) (undo func() error, err error)
	// Addresses are all that the host's interfaces have.
	Addresses func() []netip.Prefix
	Watch     func(ctx context.Context) (<-chan linkwatch.Event, error)
	// Dial is a UDP socket to an address, which is in a FIB where that is not nil;
	// DialRaw one of raw IP.
	Dial    func(ctx context.Context, bind transport.Bind, to netip.AddrPort, fib udpsocket.FIB) (transport.Flow, error)
	DialRaw func(ctx context.Context, to netip.Addr) (transport.Flow, error)
	// Buffers are what a UDP socket gets.
	Buffers func(ctx context.Context) (udpsocket.Buffers, error)
	// LendFIB has a FIB lead to a subnet; see routing.LendFIB.
	LendFIB    func(device string, to netip.Prefix) (fib int, giveBack func() error, err error)
	Means      func() []routing.Mean
	Transports func() []transport.Transport
	// Writable says why nothing can be made in a folder.
	Writable func(dir string) error
	// Runs says whether a tunnel runs, and Free why an interface's name is not to be had.
	Runs func(iface string) bool
	Free func(iface string) error
	// Try plans a routing; see routing.Try.
	Try func(spec routing.Spec) (steps []routing.Step, notes []string, err error)
}

// This is the machine itself, with its configurations in a folder.
func This(configurations string) *Host {
	return &Host{
		Folders: [3]string{control.Dir, control.StateDir, configurations},
		CreateTUN: func(name string, mtu int) (tundevice.Device, error) {
			return created(tundevice.Create(name, tundevice.Options{MTU: mtu}))
		},
		Configure: func(name string, addrs ...netip.Prefix) (func() error, error) {
			return tundevice.Configure(name, addrs, 0)
		},
		Addresses: addresses,
		Watch:     linkwatch.Watch,
		Dial: func(ctx context.Context, bind transport.Bind, to netip.AddrPort, fib udpsocket.FIB) (transport.Flow, error) {
			return dialled(udpsocket.Dial(ctx, bind, to, udpsocket.Options{FIB: fib}))
		},
		DialRaw: func(ctx context.Context, to netip.Addr) (transport.Flow, error) {
			return dialled(udpsocket.DialRaw(ctx, protocol, transport.Bind{}, to, udpsocket.Options{}))
		},
		Buffers: buffersOf,
		LendFIB: routing.LendFIB,
		Means:   routing.Means,
		Transports: func() []transport.Transport {
			return []transport.Transport{udp.Transport{}, tcp.Transport{}, ip.New(nil)}
		},
		Writable: writable,
		Runs: func(iface string) bool {
			c, err := control.Dial(iface)
			if err == nil {
				c.Close()
			}
			return err == nil
		},
		Free: tundevice.Free,
		Try:  func(spec routing.Spec) ([]routing.Step, []string, error) { return routing.Try(control.Dir, spec) },
	}
}

// created and dialled make no interface of a nil pointer.
func created(t *tundevice.TUN, err error) (tundevice.Device, error) {
	if err != nil {
		return nil, err
	}
	return t, nil
}

func dialled(s *udpsocket.Socket, err error) (transport.Flow, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

func buffersOf(ctx context.Context) (udpsocket.Buffers, error) {
	s, err := udpsocket.Listen(ctx, netip.AddrPortFrom(netip.IPv4Unspecified(), 0), udpsocket.Options{})
	if err != nil {
		return udpsocket.Buffers{}, err
	}
	defer s.Close()
	return s.Buffers()
}

func addresses() (all []netip.Prefix) {
	list, _ := net.InterfaceAddrs() // of what is not known, nothing is in the way
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p)
		}
	}
	return all
}

// writable makes a file and takes it away.
func writable(dir string) error {
	name := dir + "/." + Name
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(name)
}
