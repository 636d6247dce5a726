// Package ip carries each message as one IP packet of a protocol number: 8
// bytes less than UDP, and no ports.
//
// Without ports an address pair is all that tells two flows apart, so a host
// has one flow from an address to a remote for each number. Only the kernel's
// raw sockets send such packets: it takes root, or the capability CAP_NET_RAW.
// Most NATs pass what has ports only; behind one that does pass the rest, one
// host at a time can reach a remote.
package ip

import (
	"context"
	"fmt"
	"net/netip"
	"sync"

	"netcombiner/src/transport"
	"netcombiner/src/udpsocket"
)

// Protocol is the number where none is configured: 253, set aside for
// experiments (RFC 3692, RFC 4727), which no host or router takes for its own.
const Protocol = 253

// Transport is the ip transport; New makes it.
type Transport struct {
	protocol uint8
	options  udpsocket.Options // FIB alone
	dialled  *ways
}

var _ transport.Numbered = Transport{}

// New returns a transport of the number Protocol. fib may be nil.
func New(fib udpsocket.FIB) Transport {
	return Transport{protocol: Protocol, options: udpsocket.Options{FIB: fib}, dialled: &ways{}}
}

// Number returns the same transport with another protocol number; 0 stands for Protocol.
func (t Transport) Number(protocol uint8) transport.Transport {
	if protocol == 0 {
		protocol = Protocol
	}
	t.protocol = protocol
	return t
}

// Name returns "ip".
func (Transport) Name() string { return "ip" }

// Datagram returns true.
func (Transport) Datagram() bool { return true }

// Overhead returns the bytes of an IP header: 20 or 40.
func (Transport) Overhead(addr netip.Addr) int {
	if addr.Unmap().Is4() {
		return 20
	}
	return 40
}

// Dial returns a flow connected to remote, of which only the address counts;
// see transport.Transport. It fails as that of udp does, and where another
// flow goes the same way already: neither could tell its messages from the
// other's.
func (t Transport) Dial(ctx context.Context, bind transport.Bind, remote netip.AddrPort) (transport.Flow, error) {
	s, err := udpsocket.DialRaw(ctx, t.protocol, bind, remote.Addr(), t.options)
	if err != nil {
		return nil, err
	}
	f := &flow{Socket: s, ways: t.dialled, way: way{t.protocol, bind.Device, s.Local().Addr(), s.Remote().Addr()}}
	if !t.dialled.take(f) {
		s.Close()
		return nil, fmt.Errorf("another path goes from %v to %v by IP protocol %d already: give each its own Bind or Protocol",
			f.way.local, f.way.remote, t.protocol)
	}
	return f, nil
}

// Listen returns a listener for all remotes at local, whose port means
// nothing. On :: it has two flows, one of IPv6 and one of IPv4.
func (t Transport) Listen(ctx context.Context, local netip.AddrPort) (transport.Listener, error) {
	listen := func(at netip.AddrPort) (*udpsocket.Socket, error) {
		return udpsocket.ListenRaw(ctx, t.protocol, at.Addr(), t.options)
	}
	local = netip.AddrPortFrom(local.Addr().Unmap(), 0)
	if local.Addr() == netip.IPv6Unspecified() {
		l, err := udpsocket.ListenEach(local, listen)
		if err != nil {
			return nil, err
		}
		return l, nil
	}
	s, err := listen(local)
	if err != nil {
		return nil, err
	}
	return udpsocket.NewListener(local, s), nil
}

// flow is a dialled flow: alone on its way until it is closed.
type flow struct {
	*udpsocket.Socket
	ways *ways
	way  way
}

func (f *flow) Close() error {
	err := f.Socket.Close()
	f.ways.leave(f)
	return err
}

// way is what the packets of a dialled flow have in common.
type way struct {
	protocol      uint8
	device        string // "": any
	local, remote netip.Addr
}

// meets says whether packets of one way come to the other's socket too.
func (w way) meets(o way) bool {
	return w.protocol == o.protocol && w.local == o.local && w.remote == o.remote &&
		(w.device == o.device || w.device == "" || o.device == "")
}

// ways are those of the flows that are open.
type ways struct {
	mu    sync.Mutex
	flows map[*flow]struct{}
}

// take notes that f is open, unless it meets another.
func (ws *ways) take(f *flow) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for other := range ws.flows {
		if f.way.meets(other.way) {
			return false
		}
	}
	if ws.flows == nil {
		ws.flows = map[*flow]struct{}{}
	}
	ws.flows[f] = struct{}{}
	return true
}

func (ws *ways) leave(f *flow) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	delete(ws.flows, f)
}
