// Package simnet simulates networks inside a testing/synctest bubble, so that
// two whole portals, with their goroutines and their calls of package time,
// run a minute in milliseconds.
//
// Glossary:
//
//	Network   clock, event heap and the one goroutine that runs both
//	Host      what a portal runs on: sockets, a TUN device, its links
//	Link      joins one WAN interface of a host to another host, perhaps by a NAT
//	Pipe      one direction of a Link (dummynet's word): a rate, a queue, a
//	          delay, and all that may go wrong
//	inner     packets that cross the tunnel, as the TUN devices see them
//	Checker   knows every inner packet that was sent, and judges what comes out
//	Scenario  a topology and a timetable of faults, made from a seed
//
// # Use
//
//	synctest.Test(t, func(t *testing.T) {
//		s := simnet.NewScenario(seed) // or one made by hand, or changed
//		r := s.Run(func(h *simnet.Host) (stop func(), err error) {
//			// Start the portal of h.Name() on h.OpenTun, h.UDP, h.TCP and h.Watch.
//			// The local one dials s.Links[i].Remote by Bind{Device: s.Links[i].Name}
//			// and Transport, the remote one listens on [::]:ScenarioPort.
//		})
//		if err := r.Err(); err != nil { // prints the scenario and its seed
//			t.Errorf("%v\n%v", err, r)
//		}
//	})
//
// Smaller tests make a Network, its hosts and links themselves, and take a
// Checker's flows for traffic.
//
// # What is repeatable
//
// Everything that simnet draws comes from its seed, and each Pipe and each
// traffic source has a stream of its own, so a draw depends only on what went
// into that pipe before, never on what another goroutine did elsewhere.
// Events of the same instant are ordered by pipe and then by number. So the
// same seed gives the same run, byte for byte, as long as what runs on the
// hosts sends the same bytes into each pipe in the same order. What simnet
// cannot fix is the code above it: two goroutines that send into one pipe at
// the same instant, a select with two ready cases, an iteration over a map,
// crypto/rand. So a failing seed of whole portals fails again usually, not
// surely. GOMAXPROCS=1 helps much: of 30 scenarios over the many goroutines of
// the bridge in this package's tests 28 then ran the same byte for byte, and 13
// on two processors. Timers that many goroutines share (every 100 ms) do most of
// the harm: let each path start its own at a moment of its own.
//
// # Locks
//
// One mutex guards a Network and all that belongs to it. Calls that wait do so
// in sync.Cond.Wait or on a channel, with no lock held, which synctest counts
// as durably blocked. Networks must be made inside the bubble.
package simnet
