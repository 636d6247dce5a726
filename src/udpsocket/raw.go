package udpsocket

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

// Raw IP sockets: a datagram is what follows the IP header, and instead of a
// port it has the protocol number in that header. Every port here is 0. The
// kernel gives each socket of a number a copy of all that comes for it, so
// nobody can tell whether another program uses the number.

// ErrNotAllowed says that the process may not open raw sockets.
var ErrNotAllowed = errors.New("raw IP needs " + rawNeeds)

// ipv4Header is the shortest IPv4 header, in bytes; options make it up to 60.
const ipv4Header = 20

// DialRaw returns a socket for IP datagrams of the protocol number, connected
// to remote, whose port means nothing, as Dial does for UDP: it receives from
// that address and by bind only.
func DialRaw(ctx context.Context, protocol uint8, bind transport.Bind, remote netip.Addr, o Options) (*Socket, error) {
	remote = remote.Unmap()
	if err := checkRaw(protocol, remote.Is6()); err != nil {
		return nil, err
	}
	if !canBindToDevice && bind == (transport.Bind{}) {
		var err error
		if bind.Addr, err = sourceTo(ctx, remote); err != nil {
			return nil, err
		}
	}
	conn, err := connectBy(ctx, rawNetwork(protocol, remote), bind, netip.AddrPortFrom(remote, 0), o.FIB, setDatagramOptions)
	if err != nil {
		return nil, allowed(err)
	}
	return newRaw(conn.(*net.IPConn), netip.AddrPortFrom(remote, 0), false, o)
}

// sourceTo is the address from which the system sends to remote. FreeBSD tells
// no raw socket of IPv4 which that is; it would take what came to any.
func sourceTo(ctx context.Context, remote netip.Addr) (netip.Addr, error) {
	const discard = 9 // nothing is sent
	conn, err := connectBy(ctx, "udp", transport.Bind{}, netip.AddrPortFrom(remote, discard), nil, func(int, bool) error { return nil })
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return localOf(conn).Addr(), nil
}

// ListenRaw returns a socket that receives the IP datagrams of the protocol
// number that come to local, as Listen does for UDP; but on :: only those of
// IPv6, for the kernel has no raw socket for both.
//
// FreeBSD does not let a raw socket of IPv4 choose the source of one datagram: at
// 0.0.0.0 answers leave from the address that its routing table picks.
func ListenRaw(ctx context.Context, protocol uint8, local netip.Addr, o Options) (*Socket, error) {
	local = local.Unmap()
	if err := checkRaw(protocol, local.Is6()); err != nil {
		return nil, err
	}
	wildcard := local.IsUnspecified()
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw, func(fd int) error {
			if wildcard {
				if err := setPacketInfo(fd, local.Is6()); err != nil {
					return err
				}
			}
			return setDatagramOptions(fd, local.Is6())
		})
	}}
	conn, err := config.ListenPacket(ctx, rawNetwork(protocol, local), local.String())
	switch {
	case errors.Is(err, unix.EADDRNOTAVAIL):
		return nil, fmt.Errorf("this host has no address %v to listen at: %w", local, unix.EADDRNOTAVAIL)
	case err != nil:
		return nil, allowed(fmt.Errorf("cannot listen at %v for IP protocol %d: %w", local, protocol, cause(err)))
	}
	return newRaw(conn.(*net.IPConn), netip.AddrPort{}, wildcard, o)
}

// WithoutIPv6 says that err means that the host's IPv6 is switched off.
func WithoutIPv6(err error) bool { return errors.Is(err, unix.EAFNOSUPPORT) }

// allowed says in plain words that the process lacks the right.
func allowed(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return fmt.Errorf("%w: %w", err, ErrNotAllowed)
	}
	return err
}

func newRaw(conn *net.IPConn, remote netip.AddrPort, info bool, o Options) (*Socket, error) {
	o.NoOffload = true // UDP's alone
	s, err := newSocket(conn, remote, info, o)
	if err != nil {
		return nil, err
	}
	if !s.mapped {
		newHeads(&s.in)
	}
	// Until it was bound or connected the socket got what came to anybody.
	err = control(s.raw, func(fd int) error {
		var rest [1]byte // with none at all FreeBSD says that there is something where nothing is
		for range maxStray {
			if _, _, err := unix.Recvfrom(fd, rest[:], unix.MSG_DONTWAIT); errors.Is(err, unix.EAGAIN) {
				break
			}
		}
		return nil
	})
	if err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// maxStray is how many datagrams a socket throws away at its birth at most.
const maxStray = 1 << 14

// heads takes off the IP headers that the kernel hands up on a raw IPv4 socket:
// each goes into storage of its own, so that the message lands in its Buf.
type heads struct {
	receiver *receiver
	headers  [Batch][ipv4Header]byte
	iovecs   [Batch][2]unix.Iovec  // header, Buf
	step     func(fd uintptr) bool // the receiver's own
}

// newHeads puts itself between r and the kernel.
func newHeads(r *receiver) {
	h := &heads{receiver: r, step: r.step}
	for i := range h.iovecs {
		h.iovecs[i][0].Base = &h.headers[i][0]
		h.iovecs[i][0].SetLen(ipv4Header)
		r.headers[i].Iov = &h.iovecs[i][0]
		r.headers[i].SetIovlen(2)
	}
	r.step = h.readable
}

func (h *heads) readable(fd uintptr) bool {
	r := h.receiver
	for i := range r.want {
		h.iovecs[i][1] = r.iovecs[i]
	}
	if !h.step(fd) {
		return false
	}
	for i := range r.got {
		r.headers[i].n = h.strip(i, r.headers[i].n)
	}
	return true
}

// strip returns how many of the n bytes received in slot i are the message,
// which it puts at the start of its Buf; 0: drop it. The length that the header
// tells is not asked: the kernel's own count is as good, and the same everywhere.
func (h *heads) strip(i int, n uint32) uint32 {
	first := h.headers[i][0]
	length := uint32(first&15) * 4
	if first>>4 != 4 || length < ipv4Header || n < length {
		return 0
	}
	if options := length - ipv4Header; options > 0 {
		buf := unsafe.Slice(h.iovecs[i][1].Base, h.iovecs[i][1].Len)
		copy(buf, buf[min(options, uint32(len(buf))):])
	}
	return n - length
}

// rawNetwork is package net's word for a raw socket that reaches addr.
func rawNetwork(protocol uint8, addr netip.Addr) string {
	family := "ip6:"
	if addr.Is4() {
		family = "ip4:"
	}
	return family + strconv.Itoa(int(protocol))
}

// localAddr is addr as the source of a dialled connection of network.
func localAddr(network string, addr netip.Addr) net.Addr {
	switch network {
	case "udp":
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
	case "tcp":
		return net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))
	}
	return &net.IPAddr{IP: addr.AsSlice(), Zone: addr.Zone()}
}

// target is remote as package net wants it for network.
func target(network string, remote netip.AddrPort) string {
	if network == "udp" || network == "tcp" {
		return remote.String()
	}
	return remote.Addr().String()
}
