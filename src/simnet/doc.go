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
// crypto/rand. Those move single packets, so a failing seed of whole portals
// fails again usually, not surely; GOMAXPROCS=1 makes it likelier.
//
// # Locks
//
// One mutex guards a Network and all that belongs to it. Calls that wait do so
// in sync.Cond.Wait or on a channel, with no lock held, which synctest counts
// as durably blocked. Networks must be made inside the bubble.
package simnet
