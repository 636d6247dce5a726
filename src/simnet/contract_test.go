package simnet

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"netcombiner/src/transport"
	"netcombiner/src/transport/transporttest"
)

// TestContract runs the tests of every transport. Each subtest would need a
// bubble of its own, and testing/synctest allows no t.Run in one; so they run
// outside, in real time, on a network quick enough for that.
func TestContract(t *testing.T) {
	for name, tr := range map[string]func(h *Host) transport.Transport{"udp": (*Host).UDP, "tcp": (*Host).TCP} {
		t.Run(name, func(t *testing.T) {
			transporttest.Run(t, func(t *testing.T) transporttest.Setup {
				n := New(1)
				t.Cleanup(n.Close)
				remote, local := n.AddHost("remote", vps), n.AddHost("local")
				n.AddLink(local, remote, LinkConfig{Name: "wan1", Addr: wan1, Up: Conditions{Delay: time.Microsecond}, Down: Conditions{Delay: time.Microsecond}})
				return transporttest.Setup{
					Dialer: tr(local), Listener: tr(remote), At: netip.AddrPortFrom(vps, 0),
					Bind: transport.Bind{Device: "wan1"}, Longest: maxDatagram,
				}
			})
		})
	}
}

func TestNetworkCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(1)
		n.At(time.Second, func() { t.Error("called after Close") })
		n.Close()
		n.Close()
		n.After(0, func() { t.Error("called after Close") })
		time.Sleep(time.Minute)
	})
}
