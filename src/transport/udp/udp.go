// Package udp carries each message as one UDP datagram.
package udp

import (
	"context"
	"net/netip"

	"netcombiner/src/transport"
	"netcombiner/src/udpsocket"
)

// Transport is the udp transport. The zero value is ready.
type Transport struct {
	// Options is how the sockets work.
	Options udpsocket.Options
}

var _ transport.Transport = Transport{}

// Name returns "udp".
func (Transport) Name() string { return "udp" }

// Datagram returns true.
func (Transport) Datagram() bool { return true }

// Overhead returns the bytes of an IP and a UDP header: 28 or 48.
func (Transport) Overhead(addr netip.Addr) int {
	if addr.Unmap().Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// Dial returns a flow connected to remote; see transport.Transport. Where
// bind's interface does not exist, or has no way to remote, it fails with an
// error that names both: worth trying again when the interfaces change.
func (t Transport) Dial(ctx context.Context, bind transport.Bind, remote netip.AddrPort) (transport.Flow, error) {
	s, err := udpsocket.Dial(ctx, bind, remote, t.Options)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Listen returns a listener whose flow takes and gives messages of any remote; on
// FreeBSD it has two at [::], one of IPv6 and one of IPv4. On a wildcard address an
// answer leaves from the address at which the question came, if the Message says it
// in Local.
func (t Transport) Listen(ctx context.Context, local netip.AddrPort) (transport.Listener, error) {
	l, err := udpsocket.ListenAll(ctx, local, t.Options)
	if err != nil {
		return nil, err
	}
	return l, nil
}
