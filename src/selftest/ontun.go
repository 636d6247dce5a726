package selftest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/linkwatch"
	"netcombiner/src/transport"
	"netcombiner/src/tundevice"
	"netcombiner/src/udpsocket"
)

// tunMTU is that of our TUN, in bytes: what IPv6 needs.
const tunMTU = tundevice.MinMTU6

// The subnets that our TUN may have, its own address first: those for documentation
// (RFC 5737, RFC 3849), which are nobody's.
var (
	subnets4 = []string{"192.0.2.116/31", "198.51.100.116/31", "203.0.113.116/31"}
	subnets6 = []string{"2001:db8:6e63::116/127", "2001:db8:736c::116/127"}
)

// free is a subnet that meets none of the host's.
func free(subnets []string, taken []netip.Prefix) (p netip.Prefix) {
	for _, s := range subnets {
		p = netip.MustParsePrefix(s)
		if !slices.ContainsFunc(taken, p.Overlaps) {
			break
		}
	}
	return p
}

// peer is the other address of a /31 or /127.
func peer(own netip.Prefix) netip.AddrPort { return netip.AddrPortFrom(own.Addr().Next(), 9) }

// onTUN makes a TUN and tries what a tunnel does with one.
func (r *run) onTUN() {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	events, deaf := r.Watch(ctx)
	var reading sync.WaitGroup
	defer reading.Wait()
	dev, err := r.CreateTUN(Name, tunMTU)
	if err == nil {
		defer r.takeBack(dev.Close)
		reading.Go(func() { echo(dev) })
	}
	taken := r.Addresses()
	own4, own6 := free(subnets4, taken), free(subnets6, taken)
	var undo func() error
	if err == nil {
		undo, err = r.Configure(Name, own4)
	}
	if r.judge("TUN", true, err, Name+" made, addressed, up", ""); err != nil {
		r.say("packets, IPv6, DF, raw sockets, egress, route events, routing", false, Untried, "they are tried on the TUN", "")
		return
	}
	defer r.takeBack(undo)
	undo6, noIPv6 := r.Configure(Name, own6)
	if noIPv6 == nil {
		defer r.takeBack(undo6)
	}

	const filtered = "look for a firewall that drops what leaves by new interfaces or comes in there"
	r.answers("packet through the TUN", true, filtered, r.udp(own4))
	if noIPv6 != nil {
		r.say("IPv6", r.hasIPv6(), Missing, noIPv6.Error(), "")
	} else {
		r.answers("IPv6", r.hasIPv6(), filtered, r.udp(own6))
	}
	r.fragments(own4)
	r.answers("raw sockets (Transport = ip)", r.uses("ip"), "", func() (transport.Flow, error) { return r.DialRaw(r.ctx, peer(own4).Addr()) })
	r.egress(own4)
	r.events(events, deaf)
	r.routing()
}

// takeBack undoes what was made.
func (r *run) takeBack(undo func() error) {
	if err := undo(); err != nil {
		r.say("undoing", false, Failed, err.Error(), "")
	}
}

type dial func() (transport.Flow, error)

func (r *run) udp(own netip.Prefix) dial {
	return func() (transport.Flow, error) { return r.Dial(r.ctx, transport.Bind{}, peer(own), nil) }
}

// answers sends a packet into the TUN, until the same comes back from there.
func (r *run) answers(check string, needed bool, do string, d dial) {
	f, err := d()
	if err == nil {
		err = r.exchange(f)
	}
	r.judge(check, needed, err, "out and back", do)
}

func (r *run) exchange(f transport.Flow) error {
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	context.AfterFunc(ctx, func() { f.Close() })
	text := fmt.Sprint("netcombiner selftest ", time.Now().UnixNano())
	if _, err := f.Send([]transport.Message{{Buf: []byte(text)}}); err != nil {
		return err
	}
	// A new IPv6 address is not in all of the kernel's tables yet.
	anew := time.AfterFunc(again, func() { _, _ = f.Send([]transport.Message{{Buf: []byte(text)}}) })
	defer anew.Stop()
	m := []transport.Message{{Buf: make([]byte, tunMTU)}}
	for string(m[0].Buf[:m[0].N]) != text {
		if _, err := f.Receive(m); err != nil {
			return fmt.Errorf("a packet from %v to %v was sent, and nothing came back in %v", f.Local(), f.Remote(), patience)
		}
	}
	return nil
}

func (r *run) hasIPv6() bool {
	return r.tunnel != nil && slices.ContainsFunc(r.tunnel.Config.Interface.Address, func(a netip.Prefix) bool { return a.Addr().Is6() })
}

// fragments sends what is too long for the TUN: the portal, which finds out by itself
// how long packets may be, needs to be told so.
func (r *run) fragments(own netip.Prefix) {
	f, err := r.Dial(r.ctx, transport.Bind{}, peer(own), nil)
	if err == nil {
		_, err = f.Send([]transport.Message{{Buf: make([]byte, tunMTU+200)}})
		f.Close()
	}
	if err == nil {
		err = errors.New("a packet that is too long left in pieces: paths would find no MTU")
	} else if errors.Is(err, syscall.EMSGSIZE) {
		err = nil
	}
	r.judge("DF", true, err, "a packet that is too long is refused, not sent in pieces", "")
}

// egress sends a packet by the TUN as paths leave by their WAN: bound to it, or, on
// FreeBSD, in a FIB of its own.
func (r *run) egress(own netip.Prefix) {
	number, giveBack, err := r.LendFIB(Name, own)
	bound := errors.Is(err, errors.ErrUnsupported) // Linux
	if err != nil && !bound {
		r.say("egress", false, Missing, err.Error(), "")
		return
	}
	needed := bound && r.tunnel != nil && slices.ContainsFunc(r.tunnel.Config.Paths, func(p config.Path) bool { return p.Device != "" })
	var fib udpsocket.FIB
	if !bound {
		defer r.takeBack(giveBack)
		fib = func(context.Context, string, netip.Addr) (int, bool) { return number, true }
	}
	f, err := r.Dial(r.ctx, transport.Bind{Device: Name}, peer(own), fib)
	if err == nil {
		err = r.exchange(f)
	}
	found := "a packet left by the interface that its socket was bound to"
	if !bound {
		found = fmt.Sprintf("a packet left by FIB %d (setfib(2))", number)
	}
	r.judge("egress", needed, err, found, "")
}

// events waits to be told of what was done to the TUN.
func (r *run) events(events <-chan linkwatch.Event, err error) {
	wanted := linkwatch.Event{Device: Name, Kind: linkwatch.AddrAdded}
	late := time.After(patience)
	for told := false; !told && err == nil; {
		select {
		case e, open := <-events:
			told = open && (e == wanted || e.Kind == linkwatch.Resync)
			if !open {
				events = nil
			}
		case <-late:
			err = errors.New("the kernel told nothing of " + Name + ", which was made and addressed")
		}
	}
	r.judge("route events", false, err, "the kernel told of the new address", "nothing, but paths recover later")
}
