package linkwatch

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"netcombiner/src/routing/nstest"
)

func watch(t *testing.T, ns *nstest.NS) <-chan Event {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var events <-chan Event
	var err error
	ns.Do(func() { events, err = Watch(ctx) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		for range events {
		}
	})
	return events
}

// join joins a and b, and waits until both have seen the carrier.
func join(t *testing.T, a *nstest.NS, deviceA string, b *nstest.NS, deviceB string) {
	t.Helper()
	nstest.Join(a, deviceA, b, deviceB)
	for ns, device := range map[*nstest.NS]string{a: deviceA, b: deviceB} {
		ns.Do(func() {
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
				if _, up, err := State(device); up && err == nil {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("%s has no carrier", device)
				}
			}
		})
	}
}

// expect reads events until all that are wanted have come, and fails on one
// of forbidden.
func expect(t *testing.T, events <-chan Event, wanted []Event, forbidden ...Event) {
	t.Helper()
	missing := map[Event]bool{}
	for _, e := range wanted {
		missing[e] = true
	}
	late := time.After(20 * time.Second)
	for len(missing) > 0 {
		select {
		case e := <-events:
			delete(missing, e)
			for _, bad := range forbidden {
				if e == bad {
					t.Fatalf("event %v, which should not have come", e)
				}
			}
		case <-late:
			t.Fatalf("never came: %v", missing)
		}
	}
}

func TestWatchSeesWhatAPathNeeds(t *testing.T) {
	ns, far := nstest.New(t, "host"), nstest.New(t, "far")
	join(t, ns, "eth1", far, "eth0")
	events := watch(t, ns)

	ns.Run("ip addr add 192.0.2.2/24 dev eth1")
	expect(t, events, []Event{{"eth1", AddrAdded}}, Event{"eth1", LinkUp}, Event{"eth1", RouteChanged})
	ns.Run("ip route add default via 192.0.2.1")
	expect(t, events, []Event{{"eth1", RouteChanged}})
	ns.Run("ip -6 addr add 2001:db8::2/64 dev eth1 nodad", "ip -6 route add default via 2001:db8::1")
	expect(t, events, []Event{{"eth1", AddrAdded}, {"eth1", RouteChanged}})
	ns.Run("ip route add 198.51.100.0/24 via 192.0.2.1", "ip route add default via 192.0.2.1 table 100", "ip addr del 192.0.2.2/24 dev eth1")
	expect(t, events, []Event{{"eth1", AddrRemoved}})

	far.Run("ip link set eth0 down") // the carrier goes
	expect(t, events, []Event{{"eth1", LinkDown}})
	far.Run("ip link set eth0 up")
	expect(t, events, []Event{{"eth1", LinkUp}})

	ns.Run("ip link add eth9 type veth peer name eth8", "ip link set eth8 up", "ip link set eth9 up")
	expect(t, events, []Event{{"eth9", LinkUp}})
	ns.Run("ip link del eth9")
	expect(t, events, []Event{{"eth9", LinkDown}})
}

func TestRoutesOfOtherTablesAreNotNews(t *testing.T) {
	ns, far := nstest.New(t, "host"), nstest.New(t, "far")
	join(t, ns, "eth1", far, "eth0")
	ns.Run("ip addr add 192.0.2.2/24 dev eth1")
	events := watch(t, ns)
	ns.Run("ip route add default via 192.0.2.1 table 100", "ip route add 203.0.113.0/24 via 192.0.2.1",
		"ip addr add 192.0.2.3/24 dev eth1")
	expect(t, events, []Event{{"eth1", AddrAdded}}, Event{"eth1", RouteChanged})
}

// Nobody reads while the kernel has far more to say than fits anywhere.
func TestWatchSurvivesAFlood(t *testing.T) {
	ns := nstest.New(t, "host")
	ns.Run("ip link add eth1 type veth peer name eth2", "ip link set eth2 up", "ip link set eth1 up")
	events := watch(t, ns)
	for i := range 100 {
		ns.Run(fmt.Sprintf("ip addr add 10.0.%d.1/24 dev eth1", i), "ip link set eth1 down", "ip link set eth1 up")
	}
	last := map[string]Kind{}
	count := 0
	for quiet := false; !quiet; {
		select {
		case e := <-events:
			count++
			if e.Kind == LinkUp || e.Kind == LinkDown {
				last[e.Device] = e.Kind
			}
		case <-time.After(300 * time.Millisecond):
			quiet = true
		}
	}
	if count > 3*maxPending {
		t.Errorf("%d events for a reader that slept", count)
	}
	if last["eth1"] != LinkUp {
		t.Errorf("the last of eth1 is %v, want that it is up", last["eth1"])
	}
}

func TestStateAddrsAndDeviceOf(t *testing.T) {
	ns, far := nstest.New(t, "host"), nstest.New(t, "far")
	join(t, ns, "eth1", far, "eth0")
	ns.Run("ip addr add 192.0.2.2/24 dev eth1", "ip addr add 192.0.2.3/24 dev eth1",
		"ip addr add 2001:db8::2/64 dev eth1 nodad",
		"ip addr add 2001:db8::3/64 dev eth1 nodad preferred_lft 0",
		"ip addr add 169.254.7.7/16 dev eth1 scope link")
	ns.Do(func() {
		addrs, err := Addrs("eth1")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, a := range addrs {
			got = append(got, a.String())
		}
		if diff := cmp.Diff([]string{"192.0.2.2", "192.0.2.3", "2001:db8::2"}, got); diff != "" {
			t.Error(diff)
		}
		for addr, want := range map[string]string{"192.0.2.3": "eth1", "::ffff:192.0.2.2": "eth1", "2001:db8::2": "eth1", "192.0.2.9": ""} {
			if got, err := DeviceOf(netip.MustParseAddr(addr)); got != want || err != nil {
				t.Errorf("DeviceOf(%s) = %q, %v, want %q", addr, got, err, want)
			}
		}
		state := func(device string, wantExists, wantUp bool) {
			t.Helper()
			if exists, up, err := State(device); exists != wantExists || up != wantUp || err != nil {
				t.Errorf("State(%s) = %v, %v, %v, want %v, %v", device, exists, up, err, wantExists, wantUp)
			}
		}
		state("eth1", true, true)
		state("eth7", false, false)
		if addrs, err := Addrs("eth7"); addrs != nil || err != nil {
			t.Errorf("Addrs of no device = %v, %v", addrs, err)
		}
		far.Run("ip link set eth0 down")
		state("eth1", true, false)
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{32, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x43, 0, 1, 0, 0, 0, 0, 0})
	f.Add([]byte{44, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0, 16, 0, 9, 0, 8, 0, 0, 0, 2, 0, 0, 0, 4, 0, 9, 0})
	f.Fuzz(func(t *testing.T, datagram []byte) {
		d := decoder{links: map[int32]link{2: {"eth1", true}}}
		var p pending
		d.decode(datagram, p.add)
		if len(p.events) > maxPending {
			t.Fatalf("%d events wait", len(p.events))
		}
		for _, e := range p.events {
			if (e.Device == "") != (e.Kind == Resync) {
				t.Fatalf("event %v", e)
			}
		}
	})
}
