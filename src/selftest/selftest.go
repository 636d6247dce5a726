// Package selftest asks a host whether a tunnel would work on it, by doing what a
// tunnel does: it makes a TUN, sends packets through it, and lets two portals talk
// over the loopback interface. It takes back all it made, and touches no tunnel that
// runs. For what a host may lack it says what a person can do.
//
// # Glossary
//
//	check    one question to the host; its Verdict is a line
//	needed   without it a plain tunnel does not work, or the one that was named
//	echo     what reads our TUN and sends each packet back where it came from: so
//	         sockets, routes and the device are tried in one, and nothing leaves
//	         the host
package selftest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/udpsocket"
)

// Name is the interface that a selftest makes.
const Name = "nc-selftest"

const (
	// Bound is how long a selftest takes at most…
	Bound = 10 * time.Second
	// …of which the checks have this, and the rest is for undoing.
	checking = 8 * time.Second
	// patience is how long to wait for a packet or an event. Here they come in
	// well under a millisecond; on an emulated processor it is tens.
	patience = 2 * time.Second
	// again is after how long a datagram without an answer is sent anew.
	again = 200 * time.Millisecond
)

// What a check can come to.
const (
	OK      = "ok"
	Missing = "missing" // the host does not have it
	Failed  = "failed"  // it has, and it does not work
	Untried = "untried" // something else is missing first
)

// Verdict is what a check has found.
type Verdict struct {
	Check  string `json:"check"`
	Result string `json:"verdict"` // OK, Missing, Failed or Untried
	Found  string `json:"found"`
	Do     string `json:"do,omitempty"` // what would help, where Found does not say so
	Needed bool   `json:"needed"`
}

func (v Verdict) String() string {
	line := fmt.Sprintf("%-8s %s: %s", v.Result, v.Check, v.Found)
	if v.Do != "" {
		line += "; do: " + v.Do
	}
	return line
}

// Good says that a tunnel can do with what was found.
func (v Verdict) Good() bool { return !v.Needed || v.Result == OK || v.Result == Untried }

// Tunnel is one that is to work: its needs are the host's.
type Tunnel struct {
	Interface string
	Config    *config.Config
}

// Run makes all checks, of a plain tunnel (nil) or a certain one, and tells each
// verdict once it is known. It returns whether nothing that is needed is missing, in
// Bound at most; when ctx ends, once all is undone.
func (h *Host) Run(ctx context.Context, t *Tunnel, tell func(Verdict)) (good bool) {
	ctx, cancel := context.WithTimeout(ctx, checking)
	defer cancel()
	r := &run{Host: h, ctx: ctx, tunnel: t, verdicts: make(chan Verdict, 256)}
	go func() {
		defer close(r.verdicts)
		r.all()
	}()
	late := time.NewTimer(Bound)
	defer late.Stop()
	good = true
	for {
		select {
		case v, more := <-r.verdicts:
			if !more {
				return good
			}
			tell(v)
			good = good && v.Good()
		case <-late.C:
			tell(Verdict{Check: "time", Result: Failed, Needed: true,
				Found: fmt.Sprintf("the check after this has not ended in %v; what it made is undone by the next selftest", Bound)})
			return false
		}
	}
}

// run is one Run.
type run struct {
	*Host
	ctx      context.Context
	tunnel   *Tunnel // or nil
	verdicts chan Verdict
}

func (r *run) all() {
	r.folders()
	r.onTUN()
	r.buffers()
	for _, m := range r.Means() {
		if m.Missing != nil {
			r.say(m.Name, false, Missing, m.Missing.Error(), "")
		} else {
			r.ok(m.Name, m.Found)
		}
	}
	r.portals()
	if r.tunnel != nil {
		r.configured()
	}
}

func (r *run) say(check string, needed bool, result, found, do string) {
	found = strings.ReplaceAll(found, "\n", "; ") // what a tool says may have several lines
	r.verdicts <- Verdict{Check: check, Result: result, Found: found, Do: do, Needed: needed}
}

func (r *run) ok(check, found string) { r.say(check, false, OK, found, "") }

// judge says of a check without an error what was found, and of one with an error
// what would help.
func (r *run) judge(check string, needed bool, err error, found, do string) {
	switch {
	case err == nil:
		r.say(check, needed, OK, found, "")
	case errors.Is(err, os.ErrNotExist), errors.Is(err, udpsocket.ErrNotAllowed):
		r.say(check, needed, Missing, err.Error(), "")
	default:
		r.say(check, needed, Failed, err.Error(), do)
	}
}

// uses says whether the tunnel has paths of a transport; a plain one is of UDP.
func (r *run) uses(transport string) bool {
	if r.tunnel == nil {
		return transport == "udp"
	}
	c := r.tunnel.Config
	return slices.ContainsFunc(c.Paths, func(p config.Path) bool { return p.Transport == transport }) ||
		slices.ContainsFunc(c.Listens, func(l config.Listen) bool { return l.Transport == transport })
}
