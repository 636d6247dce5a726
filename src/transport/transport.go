// Package transport is the contract between the portal and what carries its
// messages: UDP sockets, TCP connections, raw IP, and in tests a simulated
// network (package simnet).
//
// A message is one sealed packet of the wire protocol. A Transport makes
// Flows: a datagram transport's listening Flow carries messages of any number
// of remote addresses, a connected one of exactly one.
//
// Nothing here is trusted: a Flow hands up whatever arrives, and the portal
// checks the MAC.
//
// Where a transport has no ports (raw IP), the port of every address is 0.
package transport

import (
	"context"
	"errors"
	"net/netip"
)

// ErrClosed is returned by every call on a Flow or Listener after its Close.
var ErrClosed = errors.New("transport: closed")

// MaxMessage is the longest message any transport carries, in bytes.
const MaxMessage = 65535

// Message is one message in a batch.
type Message struct {
	// Buf is storage when receiving and the message when sending, 1 to
	// MaxMessage bytes. The caller owns it before and after the call; a Flow
	// does not touch it later.
	Buf []byte
	// N is how many bytes of Buf were filled by Receive. Unused by Send.
	N int
	// Remote is the peer's address: filled by Receive; where Send sends, on a
	// Flow that is not connected.
	Remote netip.AddrPort
	// Local is our address at which it came, or from which it is to leave.
	// The zero AddrPort leaves the choice to the system.
	Local netip.AddrPort
}

// Flow carries messages. One goroutine may Receive while others Send; each
// batch goes out whole before the next. Close may be called from any, any
// number of times, and ends both.
type Flow interface {
	// Receive waits until at least one message is there, fills ms[i].Buf,
	// N, Remote and Local of the first n, and returns n ≥ 1. A message longer
	// than its Buf is dropped. It returns an error only when the flow is
	// finished; a passing fault (an ICMP error, say) is not one.
	Receive(ms []Message) (n int, err error)
	// Send sends ms in order and returns how many it handed over, waiting
	// while the system's buffer is full. A flow skips a message that it or
	// the system refuses (no route, empty, too long) and goes on, so n counts
	// attempts; the first such refusal is returned as a *RefusedError
	// with n == len(ms). Any other error means that the flow is finished.
	Send(ms []Message) (n int, err error)
	// Local and Remote are the flow's own addresses; Remote is the zero
	// AddrPort on a flow that is not connected.
	Local() netip.AddrPort
	Remote() netip.AddrPort
	Close() error
}

// Authenticator is a Flow that costs its host something and was accepted from
// a stranger, such as a TCP connection. Its listener keeps few of them, and
// none for long, until Authenticated says that a message of the flow passed
// its MAC. Calling it again, or after Close, does nothing.
type Authenticator interface {
	Flow
	Authenticated()
}

// RefusedError says that the system refused at least one message of a batch
// without harm to the flow.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return "transport: refused: " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// Bind says which of the host's ways out a dialled flow takes. Both zero: the
// routing table chooses.
type Bind struct {
	Device string     // interface name: SO_BINDTODEVICE on Linux
	Addr   netip.Addr // source address
}

// Listener hands out Flows. A datagram transport hands out one, or one for each
// IP version, and then waits until it is closed.
type Listener interface {
	Accept() (Flow, error)
	Addr() netip.AddrPort
	Close() error
}

// Transport makes Flows of one kind.
type Transport interface {
	// Name is the word in the configuration: "udp", "tcp", "ip".
	Name() string
	// Dial opens a connected flow to remote. For a datagram transport it
	// sends nothing and does not wait.
	Dial(ctx context.Context, bind Bind, remote netip.AddrPort) (Flow, error)
	Listen(ctx context.Context, local netip.AddrPort) (Listener, error)
	// Overhead is how many bytes the transport and IP put around a message to
	// or from addr.
	Overhead(addr netip.Addr) int
	// Datagram says whether messages are sent as they are, each on its own:
	// then the portal controls congestion and probes the MTU. Where it is
	// false the transport does both itself, and Send waits instead.
	Datagram() bool
}

// Numbered is a Transport of which there is one for each IP protocol number.
type Numbered interface {
	Transport
	// Number returns the one of that number, 1 to 255; 0 stands for its default.
	Number(protocol uint8) Transport
}
