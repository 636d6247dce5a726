package portal

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/transport"
)

// TestListenersChange: on the remote portal, while the others are in use.
func TestListenersChange(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		tn.local.config.Paths[1].Remote.Port = 443
		tn.start()
		time.Sleep(2 * time.Second)
		tn.local.expectUp("wan1")
		place := netip.AddrPortFrom(vps, 443)
		tn.expectCall(5*time.Millisecond, func() {
			tn.remote.change(func(c *config.Config) {
				c.Listens = append(c.Listens, config.Listen{Transport: "udp", Address: place})
			})
			tn.local.expectUp("wan1", "wan2")

			// One that cannot be had leaves all as it was.
			busy, err := tn.remote.host.TCP().Listen(t.Context(), place)
			if err != nil {
				t.Fatal(err)
			}
			err = tn.remote.tryChange(func(c *config.Config) {
				c.Listens = append(c.Listens[1:], config.Listen{Transport: "udp", Address: netip.AddrPortFrom(vps, 500)},
					config.Listen{Transport: "tcp", Address: place})
			})
			if err == nil || !strings.Contains(err.Error(), "cannot listen on tcp 203.0.113.1:443") {
				t.Errorf("a port in use: %v", err)
			}
			busy.Close()
			time.Sleep(500 * time.Millisecond)
			tn.local.expectUp("wan1", "wan2")
			if free, err := tn.remote.host.UDP().Listen(t.Context(), netip.AddrPortFrom(vps, 500)); err != nil {
				t.Errorf("a listener of a change that failed is left: %v", err)
			} else {
				free.Close()
			}
		})

		// Who may not speak any more is cut off, and comes back when he may.
		allow := func(prefixes ...string) {
			tn.remote.change(func(c *config.Config) {
				l := &c.Listens[slices.IndexFunc(c.Listens, func(l config.Listen) bool { return l.Address == place })]
				l.Allow = nil
				for _, p := range prefixes {
					l.Allow = append(l.Allow, netip.MustParsePrefix(p))
				}
			})
		}
		tn.expectCall(5*time.Millisecond, func() { allow("192.0.2.0/24") })
		time.Sleep(3 * time.Second)
		tn.local.expectUp("wan1")
		allow("192.0.2.0/24", "10.1.0.0/16")
		tn.local.expectUp("wan1", "wan2")

		// Its address changes to one that is in the way of the old one.
		wide := netip.AddrPortFrom(netip.IPv6Unspecified(), 443)
		tn.expectCall(5*time.Millisecond, func() {
			tn.remote.change(func(c *config.Config) {
				c.Listens[slices.IndexFunc(c.Listens, func(l config.Listen) bool { return l.Address == place })].Address = wide
			})
		})
		tn.expectCall(5*time.Millisecond, func() {
			tn.remote.change(func(c *config.Config) {
				c.Listens = slices.DeleteFunc(c.Listens, func(l config.Listen) bool { return l.Address.Port() == 443 })
			})
		})
		time.Sleep(time.Second)
		tn.local.expectUp("wan1")
	})
}

// refusing is a transport whose listeners can be had or not.
type refusing struct {
	transport.Transport
	refuses *atomic.Bool
}

func (r refusing) Listen(ctx context.Context, at netip.AddrPort) (transport.Listener, error) {
	if r.refuses.Load() {
		return nil, errors.New("somebody else has it")
	}
	return r.Transport.Listen(ctx, at)
}

// TestAListenerIsLost: a change fails, and meanwhile somebody took the place of the
// listener that it closed. The next one has it again, and with it who may speak.
func TestAListenerIsLost(t *testing.T) {
	sim(t, 1, twoLinks(), func(tn *tunnel) {
		var refuses atomic.Bool
		tn.remote.edit = func(o *Options) {
			for i, kind := range o.Transports {
				o.Transports[i] = refusing{kind, &refuses}
			}
		}
		tn.start()
		time.Sleep(2 * time.Second)
		allow := func(c *config.Config) { c.Listens[0].Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")} }
		tn.remote.change(allow)
		moved := func(c *config.Config) {
			c.Listens[0].Address = netip.AddrPortFrom(netip.IPv6Unspecified(), c.Listens[0].Address.Port())
		}
		fails := func() {
			t.Helper()
			if err := tn.remote.tryChange(moved); err == nil || !strings.Contains(err.Error(), "somebody else") {
				t.Errorf("a place that cannot be had: %v", err)
			}
		}
		refuses.Store(true)
		fails()
		fails()
		refuses.Store(false)
		tn.remote.change(func(*config.Config) {})
		time.Sleep(20 * time.Second)
		tn.local.expectUp("wan1")
	})
}
