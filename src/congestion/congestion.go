// Package congestion says how much may be in flight on a path, and how fast
// it may be sent. It is pure: time passes by being handed in, so that a
// controller is tested against a simulated bottleneck in virtual time.
//
// A path owns one controller for each direction it sends in. It calls Sent
// for every message that the peer will acknowledge, then exactly one of
// Acknowledged or Lost for it; and asks Window and PacingRate before it sends.
// To add a controller: implement Controller, and name it in New.
//
// Glossary
//
//	window      how much may be in flight: sent, and neither acknowledged
//	            nor lost
//	pace        the rate at which to send meanwhile
//	bottleneck  the slowest link of the path, and its queue
//	round       the time in which a window's worth of packets is acknowledged
//	lost        the receiver gave it up (NACK), so it is in flight no more
package congestion

import (
	"fmt"
	"time"

	"netcombiner/src/mono"
)

// Acknowledgement is what one acknowledgement says about newly delivered packets.
type Acknowledgement struct {
	Packets int // newly acknowledged
	Bytes   int // of these
	// Largest is the highest path sequence among them.
	Largest uint64
	// InFlight is how many packets were in flight before it came.
	InFlight int
	// Delivered is how many bytes were acknowledged so far, these included, and
	// Prior how many had been when the newest of these was sent.
	Delivered, Prior uint64
	// Arrived is how many bytes the receiver had got when the newest came, and
	// ArrivedAt the time then, in µs of its clock; both modulo 2^32.
	Arrived, ArrivedAt uint32
	// SentAt is when the newest of these was sent.
	SentAt mono.Time
	// RTT is a fresh sample, without the time the receiver waited with its
	// acknowledgement; 0 where there is none.
	RTT time.Duration
	// Age is how long ago these were sent, on average. Where messages overtake
	// each other it is more than the RTT of the newest.
	Age time.Duration
	// OneWay is the delay on the way there of the same message, plus a constant
	// that nobody knows; only where RTT is not 0.
	OneWay time.Duration
	// AppLimited says that one of them was sent after a time in which the path
	// had nothing to send.
	AppLimited bool
	// Unused is for how long in total, up to SentAt, the path could have sent at
	// its pace and had nothing to send.
	Unused time.Duration
	// Limited says that the window was what held the sender back since the
	// packets were sent. Growth without need proves nothing (RFC 7661).
	Limited bool
}

// Loss is what one acknowledgement says about newly lost packets.
type Loss struct {
	Packets int
	Bytes   int
	Largest uint64 // highest path sequence among them
	Next    uint64 // the sequence the next packet will get
}

// Controller controls one direction of one path. Calls come one at a time.
type Controller interface {
	// Sent notes that a message of the given size, in bytes, left.
	Sent(now mono.Time, bytes int)
	Acknowledged(now mono.Time, a Acknowledgement)
	Lost(now mono.Time, l Loss)
	// Window is the congestion window, in packets and in bytes: at least one
	// packet.
	Window() (packets, bytes int)
	// PacingRate is the rate at which to send, in bit/s of messages; 0: as
	// fast as the window allows.
	PacingRate() int64
	// Bandwidth is what the path is believed to carry, in bit/s of messages; 0:
	// that is not known yet; negative: the controller has no model of it.
	Bandwidth() float64
}

// New returns the controller that the configuration calls name: "bbr",
// "newreno" or "none". rate is the path's ceiling, in bit/s, 0 for none.
func New(name string, rate int64) (Controller, error) {
	switch name {
	case "bbr":
		return &ceiling{Controller: NewBBR(), rate: rate}, nil
	case "newreno":
		return &ceiling{Controller: NewNewReno(), rate: rate}, nil
	case "none":
		return &fixed{rate: rate}, nil
	}
	return nil, fmt.Errorf("congestion %q is not one of bbr, newreno, none", name)
}

// SetRate changes the ceiling of a controller that New returned. What it knows
// of the path stays.
func SetRate(c Controller, rate int64) {
	switch c := c.(type) {
	case *ceiling:
		c.rate = rate
	case *fixed:
		c.rate = rate
	}
}

// fixed controls nothing: it trusts the rate it was given, or, at rate 0, a
// transport that has its own control (tcp).
type fixed struct{ rate int64 }

func (*fixed) Sent(mono.Time, int)                     {}
func (*fixed) Acknowledged(mono.Time, Acknowledgement) {}
func (*fixed) Lost(mono.Time, Loss)                    {}
func (*fixed) Window() (int, int)                      { return MaxWindow, MaxBytes }
func (f *fixed) Bandwidth() float64 {
	if f.rate == 0 {
		return -1
	}
	return float64(f.rate)
}
func (f *fixed) PacingRate() int64 { return f.rate }

// ceiling keeps a controller's pace at or below the rate the user set.
type ceiling struct {
	Controller
	rate int64
}

func (c *ceiling) Bandwidth() float64 {
	if rate := c.Controller.Bandwidth(); c.rate == 0 || rate < float64(c.rate) {
		return rate
	}
	return float64(c.rate)
}

func (c *ceiling) PacingRate() int64 {
	rate := c.Controller.PacingRate()
	if c.rate > 0 && (rate == 0 || rate > c.rate) {
		return c.rate
	}
	return rate
}
