// Package transporttest proves that a transport keeps the contract of package
// transport. Every transport's tests run it, the simulated ones' too: it makes
// no sockets of its own, and waits for nothing but its flows.
package transporttest

import (
	"net/netip"
	"testing"

	"netcombiner/src/transport"
)

// Setup is what a test runs on: two ends that reach each other, over a network
// that loses, reorders and duplicates nothing.
type Setup struct {
	// Dialer and Listener are the two ends' transports; they may be one.
	Dialer, Listener transport.Transport
	// At is where the listener listens; its port may be 0.
	At netip.AddrPort
	// Target is where a listener at a wildcard address is reached; zero: at
	// Bind's, which is this host's.
	Target netip.Addr
	// Bind is how the dialer leaves, and More how a second and a third do where
	// ports do not tell them apart.
	Bind transport.Bind
	More [2]transport.Bind
	// Portless says that the transport has no ports: they are all 0.
	Portless bool
	// Longest is the longest message that the network carries, in bytes.
	Longest int
}

// Run runs every test of the contract, each on a new Setup.
func Run(t *testing.T, setup func(t *testing.T) Setup) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, s Setup)
	}{
		{"Exchange", testExchange},
		{"OrderWithinBatch", testOrder},
		{"Runs", testRuns},
		{"Sizes", testSizes},
		{"OversizeDropped", testOversize},
		{"EmptyRefused", testEmpty},
		{"Addresses", testAddresses},
		{"CloseEndsReceive", testCloseEndsReceive},
		{"CloseEndsSend", testCloseEndsSend},
		{"ListenerClose", testListenerClose},
		{"SeveralDialers", testSeveralDialers},
		{"Concurrent", testConcurrent},
		{"NothingKept", testNothingKept},
		{"DialCancelled", testDialCancelled},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, setup(t)) })
	}
}
