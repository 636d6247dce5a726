// Package udpsocket is the one place where the system's socket options and
// batch calls stand: UDP and raw IP sockets that move many datagrams in one
// call, and the options that package tcp sets too.
//
// Words used here:
//
//   - batch: up to Batch datagrams that cross into the kernel in one call
//     (recvmmsg, sendmmsg).
//   - packet information: the control message that tells to which of the
//     host's addresses a datagram came, and chooses from which one leaves
//     (IP_PKTINFO, IPV6_PKTINFO; RFC 3542 section 6).
//   - mapped: an IPv4 address as an IPv6 socket shows it, ::ffff:a.b.c.d.
//     None is ever handed up.
//   - run: messages that leave the same way and are of one length (the last may
//     be shorter), which the kernel takes in one piece and cuts into datagrams
//     as late as it can (UDP_SEGMENT, Linux 4.18).
//   - joined: datagrams of one sender that the kernel hands up in one piece
//     (UDP_GRO, Linux 5.0). Whether either happens shows nowhere outside.
//   - fault: an error that belongs to one datagram or to a moment, not to the
//     socket: an ICMP answer, a firewall's refusal, a device that went away.
//
// What a datagram of 1400 bytes takes over the loopback interface, 64 at a time,
// in ns (2 cores of an AMD EPYC VM, Linux 6.18): to send and deliver, 200 in runs,
// 2590 in batches, 3630 one by one; to receive, 130 joined, 710 in batches, 1360
// one by one. (go test ./src/udpsocket -bench 'Send|Receive' -benchtime 100000x)
package udpsocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

const (
	// receiveBuffer and sendBuffer are asked of the kernel, in bytes. 4 MiB
	// holds 30 ms of 1 Gbit/s while the reader does not run. The congestion
	// controller keeps the send buffer all but empty; it has to take one burst.
	receiveBuffer = 4 << 20
	sendBuffer    = 1 << 20
)

// Options choose how a Socket works. The zero value is right outside of tests.
type Options struct {
	// OneByOne forgoes the batch calls: one system call a datagram, as on
	// systems that have no others.
	OneByOne bool
	// NoOffload lets the kernel neither cut runs nor join datagrams.
	NoOffload bool
	// Report, if not nil, is told why a socket sends without runs that should
	// have them: the half of a sentence. It must not call the socket.
	Report func(why string)
	// FIB, if not nil, is asked by a dial that is bound to a WAN; see FIB.
	FIB FIB
}

// Socket is a UDP or raw IP socket, and as such a transport.Flow. Its Send,
// beyond the contract, may be called from several goroutines at once.
type Socket struct {
	conn datagramConn
	raw  syscall.RawConn

	local, remote netip.AddrPort // remote is zero on a listening socket
	mapped        bool           // the kernel speaks IPv6 addresses to us
	info          bool           // datagrams carry packet information

	tell func(why string) // Options.Report

	in  receiver
	out sender
}

func (s *Socket) report(why string) {
	if s.tell != nil {
		s.tell(why)
	}
}

// Dial returns a socket connected to remote that leaves by bind. Nothing is
// sent and nothing waited for. It fails where bind's device does not exist or
// has no way to remote yet; the error names both.
func Dial(ctx context.Context, bind transport.Bind, remote netip.AddrPort, o Options) (*Socket, error) {
	conn, err := connectBy(ctx, "udp", bind, remote, o.FIB, setDatagramOptions)
	if err != nil {
		return nil, err
	}
	return newSocket(conn.(*net.UDPConn), unmap(remote), false, o)
}

// Listen returns a socket that is not connected and receives what comes to
// local. On [::] it receives IPv4 too; port 0 takes a free one. On a wildcard
// address every message says in Local to which address it came, and leaves
// from the one that its Local names.
func Listen(ctx context.Context, local netip.AddrPort, o Options) (*Socket, error) {
	local = unmap(local)
	return listenUDP(ctx, local, o, listenNetwork("udp", local))
}

func listenUDP(ctx context.Context, local netip.AddrPort, o Options, network string) (*Socket, error) {
	wildcard := local.Addr().IsUnspecified()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error {
			if wildcard {
				if err := setPacketInfo(fd, local.Addr().Is6()); err != nil {
					return err
				}
			}
			return setDatagramOptions(fd, local.Addr().Is6())
		})
	}}
	conn, err := config.ListenPacket(ctx, network, local.String())
	if network == "udp" && isWithoutIPv6(err, local) {
		return Listen(ctx, netip.AddrPortFrom(netip.IPv4Unspecified(), local.Port()), o)
	}
	if err != nil {
		return nil, listenError("UDP", local, err)
	}
	return newSocket(conn.(*net.UDPConn), netip.AddrPort{}, wildcard, o)
}

// datagramConn is what a Socket wants of package net: *net.UDPConn, *net.IPConn.
type datagramConn interface {
	net.Conn
	syscall.Conn
}

func newSocket(conn datagramConn, remote netip.AddrPort, info bool, o Options) (*Socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		conn.Close()
		return nil, err
	}
	local := localOf(conn)
	s := &Socket{
		conn: conn, raw: raw,
		local: unmap(local), remote: remote,
		mapped: !local.Addr().Is4(), info: info,
		tell: o.Report,
	}
	var cuts, joins bool
	if !o.NoOffload {
		var unable string
		_ = raw.Control(func(fd uintptr) { cuts, joins, unable = probeOffload(int(fd)) })
		if unable != "" {
			s.report(unable)
		}
	}
	s.in.init(s, o, joins)
	s.out.init(o, cuts)
	return s, nil
}

// Connect returns an ordinary connection, "udp" or "tcp", to remote by the way
// out that bind names: for a question to a name server, say.
func Connect(ctx context.Context, network string, bind transport.Bind, remote netip.AddrPort, fib FIB) (net.Conn, error) {
	return connectBy(ctx, network, bind, remote, fib, func(int, bool) error { return nil })
}

// Local returns the address that the socket is bound to; its Addr is
// unspecified on a wildcard.
func (s *Socket) Local() netip.AddrPort { return s.local }

// Remote returns the address that the socket is connected to, or zero.
func (s *Socket) Remote() netip.AddrPort { return s.remote }

// Close ends every call on the socket. Closing again does nothing.
func (s *Socket) Close() error {
	if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// connectBy opens a connection of network ("udp", "tcp", or one of rawNetwork) to
// remote by the way out that bind names, after set put its options on the new
// socket. Errors name remote and the way out.
func connectBy(ctx context.Context, network string, bind transport.Bind, remote netip.AddrPort, fib FIB, set func(fd int, ipv6 bool) error) (net.Conn, error) {
	c := connector{network: network, bind: bind, remote: unmap(remote), fib: fib, set: set}
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s to %v%s: %w", network, remote, describe(bind), cause(err))
	}
	return conn, nil
}

// connector is what a connection is to be.
type connector struct {
	network string
	bind    transport.Bind
	remote  netip.AddrPort
	fib     FIB
	set     func(fd int, ipv6 bool) error
}

func (c *connector) connect(ctx context.Context) (conn net.Conn, err error) {
	source := c.bind.Addr.Unmap()
	if source.IsValid() && source.Is4() != c.remote.Addr().Is4() {
		return nil, errors.New("the source address and the remote must both be IPv4 or both IPv6")
	}
	if c.bind.Device == "" {
		return c.connectFrom(ctx, source)
	}
	own, err := addresses(c.bind.Device, c.remote.Addr()) // that the device has for this
	switch {
	case err != nil:
		return nil, err
	case source.IsValid():
		return c.connectFrom(ctx, source)
	case len(own) == 0:
		return nil, noAddress(c.bind.Device, c.remote)
	case canBindToDevice:
		return c.connectOwn(ctx, own)
	}
	for _, source := range suitable(own, c.remote.Addr()) {
		if conn, err = c.connectFrom(ctx, source); !errors.Is(err, unix.EADDRNOTAVAIL) {
			break // else it is not usable yet, or no more
		}
	}
	return conn, err
}

// connectOwn leaves the choice among the device's own addresses to the system.
func (c *connector) connectOwn(ctx context.Context, own []netip.Addr) (net.Conn, error) {
	conn, err := c.connectFrom(ctx, netip.Addr{})
	if err != nil {
		return nil, err
	}
	// Where the device's own address is not usable yet (an IPv6 one is not while
	// the system looks for its duplicate) the kernel lends it another
	// device's, to which no answer would find back.
	if !slices.Contains(own, localOf(conn).Addr().WithZone("")) {
		conn.Close()
		return nil, noAddress(c.bind.Device, c.remote)
	}
	return conn, nil
}

// connectFrom connects from source, or from where the system will if that is not valid.
func (c *connector) connectFrom(ctx context.Context, source netip.Addr) (net.Conn, error) {
	table, chosen, err := c.table(ctx, source)
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{
		KeepAlive: -1, // package tcp sets its own
		Control: func(_, _ string, raw syscall.RawConn) error {
			return control(raw, func(fd int) error {
				if c.bind.Device != "" {
					if err := bindToDevice(fd, c.bind.Device); err != nil {
						return err
					}
				}
				if chosen {
					if err := setFIB(fd, table); err != nil {
						return err
					}
				}
				return c.set(fd, c.remote.Addr().Is6())
			})
		},
	}
	if source.IsValid() {
		dialer.LocalAddr = localAddr(c.network, source)
	}
	return dialer.DialContext(ctx, c.network, target(c.network, c.remote))
}

// addresses returns the device's addresses that may speak to remote: of its
// family, and link-local where it is. They carry no zone.
func addresses(device string, remote netip.Addr) ([]netip.Addr, error) {
	found, err := net.InterfaceByName(device)
	if err != nil {
		return nil, fmt.Errorf("no interface %q (yet)", device)
	}
	all, err := found.Addrs()
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, a := range all {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		addr := prefix.Addr().Unmap()
		if addr.Is4() == remote.Is4() && (addr.Is4() || addr.IsLinkLocalUnicast() == remote.IsLinkLocalUnicast()) {
			own = append(own, addr)
		}
	}
	return own, nil
}

func noAddress(device string, remote netip.AddrPort) error {
	family := "IPv6"
	if remote.Addr().Is4() {
		family = "IPv4"
	}
	return fmt.Errorf("interface %q has no usable %s address (yet)", device, family)
}

// listenNetwork returns the word for package net that listens at local and
// nothing more: it would take 0.0.0.0 to mean [::].
func listenNetwork(network string, local netip.AddrPort) string {
	if local.Addr().Is4() {
		return network + "4"
	}
	return network
}

// isWithoutIPv6 says that listening at [::] failed on a host whose IPv6 is
// switched off: there "all addresses" are IPv4 ones.
func isWithoutIPv6(err error, local netip.AddrPort) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) && local.Addr() == netip.IPv6Unspecified()
}

// listenError says in plain words why nobody can listen at local.
func listenError(network string, local netip.AddrPort, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return fmt.Errorf("%s port %d at %v is in use by another program: %w", network, local.Port(), local.Addr(), unix.EADDRINUSE)
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return fmt.Errorf("this host has no address %v to listen at: %w", local.Addr(), unix.EADDRNOTAVAIL)
	}
	return fmt.Errorf("cannot listen at %s %v: %w", network, local, cause(err))
}

// control runs set on the descriptor of a socket that is being made.
func control(raw syscall.RawConn, set func(fd int) error) error {
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = set(int(fd)) }); err != nil {
		return err
	}
	return failed
}

func describe(bind transport.Bind) string {
	text := ""
	if bind.Device != "" {
		text += " by " + bind.Device
	}
	if bind.Addr.IsValid() {
		text += " from " + bind.Addr.String()
	}
	return text
}

// cause strips what package net says of the addresses, which our own errors
// say already.
func cause(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err
	}
	return err
}

// closed turns package net's error of a closed socket into the contract's.
func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return transport.ErrClosed
	}
	return cause(err)
}

// localOf returns the address of our end of conn, as its socket's family has it.
func localOf(conn net.Conn) netip.AddrPort {
	switch a := conn.LocalAddr().(type) {
	case *net.UDPAddr:
		return a.AddrPort()
	case *net.TCPAddr:
		return a.AddrPort()
	case *net.IPAddr:
		addr, _ := netip.AddrFromSlice(a.IP)
		return netip.AddrPortFrom(addr.WithZone(a.Zone), 0)
	}
	return netip.AddrPort{}
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
