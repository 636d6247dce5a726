package linkwatch

import (
	"sync"
	"time"

	"netcombiner/src/rtsock"
)

// follower turns the messages of routing sockets into events, as FreeBSD has
// them: one socket for each FIB, since none hears of another's routes. All hear
// of the devices, so that only the first one's word on them counts: another's
// may be older. It remembers which devices there are, as a message names its
// device by number, and which are up. It is bounded by the kernel's number of
// devices. interfaces lists them, as NET_RT_IFLIST does.
type follower struct {
	interfaces func() ([]byte, error)

	mu    sync.Mutex // of all that follows, while emit is called, too
	emit  func(Event)
	links map[int]link
	again map[string]*time.Timer // see tellAgain
}

func newFollower(interfaces func() ([]byte, error)) *follower {
	return &follower{interfaces: interfaces, emit: func(Event) {}, links: map[int]link{}, again: map[string]*time.Timer{}}
}

// heard takes what was read from the socket of a FIB.
func (f *follower) heard(datagram []byte, fib int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	stale := false
	err := rtsock.Each(datagram, func(m rtsock.Message) {
		stale = f.message(m, fib == 0) || stale
	})
	if err != nil {
		f.emit(Event{Kind: Resync})
	}
	if err != nil || stale {
		f.learn()
	}
}

// lost says that messages were lost.
func (f *follower) lost() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.emit(Event{Kind: Resync})
	f.learn()
}

// message emits the event of a message. It is stale where we are to learn anew
// which devices there are.
func (f *follower) message(m rtsock.Message, first bool) (stale bool) {
	switch m.Kind {
	case rtsock.Arrived, rtsock.Departed, rtsock.LinkInfo:
		return first && f.link(m)
	case rtsock.AddrAdd:
		if !ofUse(m.Addr.Addr()) {
			return false
		}
		f.tellAgain(m)
		// A device's first address may bring it up, which nothing else tells.
		return f.tell(m.Index, AddrAdded) || !f.links[m.Index].up
	case rtsock.AddrDelete:
		return ofUse(m.Addr.Addr()) && f.tell(m.Index, AddrRemoved)
	case rtsock.RouteAdd, rtsock.RouteDelete, rtsock.RouteChange:
		return m.Route.Default() && f.tell(m.Index, RouteChanged)
	}
	return false
}

// tell emits the event of a device, or a Resync of one that we do not know.
func (f *follower) tell(index int, kind Kind) (stale bool) {
	if name := f.links[index].name; name != "" {
		f.emit(Event{name, kind})
		return false
	}
	f.emit(Event{Kind: Resync})
	return index != 0
}

// proofTime is longer than the kernel takes to prove that an IPv6 address is
// nobody else's: a second, and up to another one before it begins.
const proofTime = 3 * time.Second

// tellAgain tells of an IPv6 address once more when it may be used. FreeBSD says
// nothing of that. It is one timer a device.
func (f *follower) tellAgain(m rtsock.Message) {
	name := f.links[m.Index].name
	switch timer := f.again[name]; {
	case name == "" || !m.Addr.Addr().Is6():
	case timer != nil:
		timer.Reset(proofTime)
	default:
		f.again[name] = time.AfterFunc(proofTime, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			delete(f.again, name)
			f.emit(Event{name, AddrAdded})
		})
	}
}

func (f *follower) link(m rtsock.Message) (stale bool) {
	old, known := f.links[m.Index]
	switch {
	case m.Kind == rtsock.Arrived:
		return true // nothing tells whether it is up: one that is renamed may be
	case m.Kind == rtsock.Departed:
		f.now(m.Index, link{name: old.name})
		delete(f.links, m.Index)
		return false
	case !known:
		return true
	}
	f.now(m.Index, link{old.name, m.Up})
	return false
}

// now remembers what a device is like, and emits what is new in that.
func (f *follower) now(index int, l link) {
	old := f.links[index]
	if old.name != l.name && old.up {
		f.emit(Event{old.name, LinkDown}) // renamed, or another
		old.up = false
	}
	f.links[index] = l
	switch {
	case l.up && !old.up:
		f.emit(Event{l.name, LinkUp})
	case old.up && !l.up:
		f.emit(Event{l.name, LinkDown})
	}
}

// learn lists the devices, and emits what is new in that.
func (f *follower) learn() {
	b, err := f.interfaces()
	if err != nil {
		return // what is still to come tells
	}
	there := map[int]bool{}
	err = rtsock.Each(b, func(m rtsock.Message) {
		if m.Kind == rtsock.LinkInfo && m.Device != "" {
			there[m.Index] = true
			f.now(m.Index, link{m.Device, m.Up})
		}
	})
	if err != nil {
		return
	}
	for index, l := range f.links {
		if !there[index] {
			f.now(index, link{name: l.name})
			delete(f.links, index)
		}
	}
}

// overflowed says whether messages may have been lost, where so many bytes of
// them waited in a buffer of this size. The kernel tells nothing of that before
// FreeBSD 14. It drops a message that finds no room, and the next one read finds
// then a buffer that is more than half full: no message is as long as half of it.
func overflowed(waiting, size int) bool { return waiting > size/2 }
