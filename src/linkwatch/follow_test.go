package linkwatch

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/rtsock"
)

// followed is a follower of a host whose devices are those of dump, and what it
// has emitted.
type followed struct {
	*follower
	dump   []byte
	lists  int // how often it was asked for
	events []Event
}

func follow(dump ...[]byte) *followed {
	f := &followed{dump: slices.Concat(dump...)}
	f.follower = newFollower(func() ([]byte, error) { f.lists++; return f.dump, nil })
	f.learn()
	f.emit = func(e Event) { f.events = append(f.events, e) }
	return f
}

func (f *followed) expect(t *testing.T, want ...Event) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if diff := cmp.Diff(want, f.events); diff != "" {
		t.Error(diff)
	}
	f.events = nil
}

const running = iffUp | iffRunning

func TestFollowWhatAPathNeeds(t *testing.T) {
	f := follow(device(1, "em0", running, carrier), device(2, "em1", iffUp, carrierLost))
	f.expect(t)
	f.heard(device(1, "", running, carrierLost), 0)
	f.expect(t, Event{"em0", LinkDown})
	f.heard(device(1, "", running, carrierLost), 0)
	f.expect(t)
	f.heard(device(1, "", running, carrier), 0)
	f.expect(t, Event{"em0", LinkUp})
	f.heard(device(1, "", iffRunning, carrier), 0)
	f.expect(t, Event{"em0", LinkDown})
	f.heard(device(2, "", running, carrier), 0)
	f.expect(t, Event{"em1", LinkUp})

	f.heard(address(2, "198.51.100.2/24"), 0)
	f.heard(address(2, "198.51.100.2/24", true), 1)
	f.heard(address(2, "fe80::2/64"), 0)
	f.heard(address(2, "2001:db8::1/64", true), 0)
	f.expect(t, Event{"em1", AddrAdded}, Event{"em1", AddrRemoved}, Event{"em1", AddrRemoved})

	for _, kind := range []rtsock.Kind{rtsock.RouteAdd, rtsock.RouteChange, rtsock.RouteDelete} {
		f.heard(route(kind, "0.0.0.0/0", "198.51.100.1", 2, 0), 1)
		f.heard(route(kind, "::/0", "fe80::1", 1, 0), 0)
		f.heard(route(kind, "192.0.2.0/24", "198.51.100.1", 2, 0), 0)
	}
	f.expect(t, slices.Repeat([]Event{{"em1", RouteChanged}, {"em0", RouteChanged}}, 3)...)
	if f.lists != 1 {
		t.Errorf("the devices were listed %d times", f.lists)
	}
}

// All sockets hear of all devices, some later than others.
func TestOnlyOneSocketTellsOfDevices(t *testing.T) {
	f := follow(device(1, "em0", running, carrier))
	f.heard(device(1, "", running, carrierLost), 0)
	f.heard(device(1, "", running, carrier), 0)
	f.heard(device(1, "", running, carrierLost), 1)
	f.heard(announcement(1, "em0", 1), 1)
	f.expect(t, Event{"em0", LinkDown}, Event{"em0", LinkUp})
}

func TestFollowDevicesThatComeAndGo(t *testing.T) {
	f := follow(device(1, "em0", running, carrier))
	f.dump = slices.Concat(f.dump, device(4, "ue0", iffUp, carrierLost))
	f.heard(announcement(4, "ue0", 0), 0)
	f.expect(t)
	f.heard(device(4, "", running, carrier), 0)
	f.expect(t, Event{"ue0", LinkUp})
	f.heard(announcement(4, "ue0", 1), 0)
	f.expect(t, Event{"ue0", LinkDown})

	// Renamed while it is up, of which the kernel says no more than this.
	f.heard(announcement(1, "em0", 1), 0)
	f.dump = device(1, "wan0", running, carrier)
	f.heard(announcement(1, "wan0", 0), 0)
	f.expect(t, Event{"em0", LinkDown}, Event{"wan0", LinkUp})
	if len(f.links) != 1 {
		t.Errorf("it remembers %v", f.links)
	}
}

// An address brings a device up, and the kernel says no more of that.
func TestFollowADeviceThatItsAddressBringsUp(t *testing.T) {
	f := follow(device(1, "em0", 0, carrier))
	f.dump = device(1, "em0", running, carrier)
	f.heard(address(1, "192.0.2.2/24"), 0)
	f.expect(t, Event{"em0", AddrAdded}, Event{"em0", LinkUp})
	f.heard(address(1, "192.0.2.3/24"), 0)
	f.expect(t, Event{"em0", AddrAdded})
	if f.lists != 2 {
		t.Errorf("the devices were listed %d times", f.lists)
	}
}

// An event of a device that came unheard of says to look, and learns it.
func TestFollowAnUnknownDevice(t *testing.T) {
	f := follow()
	f.dump = device(9, "em9", running, carrier)
	f.heard(address(9, "192.0.2.2/24"), 0)
	f.expect(t, Event{Kind: Resync}, Event{"em9", LinkUp})
	f.heard(address(9, "192.0.2.2/24"), 0)
	f.expect(t, Event{"em9", AddrAdded})
	f.heard(route(rtsock.RouteDelete, "0.0.0.0/0", "192.0.2.1", 0, 0), 0)
	f.expect(t, Event{Kind: Resync}) // a request that names no device
	if f.lists != 2 {
		t.Errorf("the devices were listed %d times", f.lists)
	}
}

func TestFollowAfterALoss(t *testing.T) {
	f := follow(device(1, "em0", running, carrier), device(2, "em1", running, carrier))
	f.dump = slices.Concat(device(1, "em0", running, carrierLost), device(3, "em2", running, carrier))
	f.lost()
	f.expect(t, Event{Kind: Resync}, Event{"em0", LinkDown}, Event{"em2", LinkUp}, Event{"em1", LinkDown})
	f.dump = slices.Concat(device(1, "em0", running, carrier), device(3, "em2", running, carrier))
	f.heard([]byte{8, 0, 9, 9}, 0) // garbled
	f.expect(t, Event{Kind: Resync}, Event{"em0", LinkUp})
}

// The kernel says nothing when it has proved that an IPv6 address is nobody
// else's, and it may be used.
func TestAnIPv6AddressIsToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := follow(device(1, "em0", running, carrier), device(2, "em1", running, carrier))
		for range 100 {
			f.heard(address(1, "2001:db8::1/64"), 0)
		}
		f.heard(address(2, "192.0.2.1/24"), 0)
		f.expect(t, append(slices.Repeat([]Event{{"em0", AddrAdded}}, 100), Event{"em1", AddrAdded})...)
		time.Sleep(2 * time.Second)
		f.heard(address(1, "2001:db8::2/64"), 0)
		f.expect(t, Event{"em0", AddrAdded})
		time.Sleep(proofTime - time.Millisecond)
		synctest.Wait()
		f.expect(t)
		time.Sleep(time.Minute)
		synctest.Wait()
		f.expect(t, Event{"em0", AddrAdded})
	})
}

func TestOverflowed(t *testing.T) {
	for waiting, want := range map[int]bool{0: false, 4096: false, 4097: true, 8192: true} {
		if got := overflowed(waiting, 8192); got != want {
			t.Errorf("%d of 8192 bytes: %v", waiting, got)
		}
	}
}

func FuzzFollow(f *testing.F) {
	f.Add(slices.Concat(device(1, "", running, carrierLost), announcement(2, "em1", 1), announcement(3, "em2", 0)), address(1, "192.0.2.2/24"))
	f.Add(route(rtsock.RouteAdd, "0.0.0.0/0", "192.0.2.1", 2, 0), device(7, "em7", running, carrier))
	f.Fuzz(func(t *testing.T, datagram, dump []byte) {
		fo := follow(device(1, "em0", running, carrier), device(2, "em1", iffUp, carrierLost))
		fo.dump = dump
		var p pending
		fo.emit = p.add
		fo.heard(datagram, 0)
		fo.heard(datagram, 1)
		if len(p.events) > maxPending || len(fo.links) > 2+len(dump)/168 {
			t.Fatalf("%d events wait, of %d devices", len(p.events), len(fo.links))
		}
		for _, e := range p.events {
			if (e.Device == "") != (e.Kind == Resync) {
				t.Fatalf("event %v", e)
			}
		}
	})
}
