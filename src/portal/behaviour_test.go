package portal

import (
	"fmt"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/simnet"
)

// throughput runs one bulk flow for the given time and returns the goodput of
// its second half, in bit/s of inner packets.
func (tn *tunnel) throughput(from, to *simnet.Host, d time.Duration) float64 {
	return tn.throughputOf(1, from, to, d)
}

// throughputOf is the same of several flows together.
func (tn *tunnel) throughputOf(flows int, from, to *simnet.Host, d time.Duration) float64 {
	var all []*simnet.Bulk
	for range flows {
		all = append(all, tn.check.NewBulk(from, to, false, 1400, 0, tn.net.Now()+d))
	}
	time.Sleep(d / 2)
	start := inOrder(all)
	time.Sleep(d / 2)
	rate := float64(inOrder(all)-start) * 1400 * 8 / (d / 2).Seconds()
	time.Sleep(time.Second)
	return rate
}

// inOrder is how many segments the flows' receivers have without a gap.
func inOrder(flows []*simnet.Bulk) (n uint64) {
	for _, b := range flows {
		n += b.InOrder()
	}
	return n
}

func TestOneFlowGetsTheSum(t *testing.T) {
	slow(t)
	for _, kind := range []string{"udp", "tcp"} {
		for _, rate := range []int64{mbit(8), mbit(16)} {
			t.Run(fmt.Sprint(kind, rate), func(t *testing.T) {
				specs := []linkSpec{link(rate, 5*time.Millisecond), link(rate, 5*time.Millisecond)}
				for i := range specs {
					specs[i].transport = kind
				}
				sim(t, 1, specs, func(tn *tunnel) {
					tn.start()
					time.Sleep(2 * time.Second)
					// 1,400 of 1,460 outer bytes is what headers leave.
					capacity := 2 * float64(rate) * 1400 / 1460
					out := tn.throughput(tn.local.host, tn.remote.host, 20*time.Second) / capacity
					in := tn.throughput(tn.remote.host, tn.local.host, 20*time.Second) / capacity
					t.Logf("out %.1f %%, in %.1f %%", 100*out, 100*in)
					floor := 0.85
					if kind == "tcp" {
						floor = 0.75 // the model's TCP stalls by chance: 82 to 91 % seen
					}
					if out < floor || in < floor {
						t.Errorf("out %.1f %%, in %.1f %% of the capacity", 100*out, 100*in)
					}
				})
			})
		}
	}
}

func TestACallSurvivesTheDeathOfEitherLink(t *testing.T) {
	for _, kind := range []string{"udp", "tcp"} {
		for dead := range 2 {
			t.Run(fmt.Sprint(kind, dead), func(t *testing.T) {
				specs := []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 5*time.Millisecond)}
				for i := range specs {
					specs[i].transport = kind
				}
				sim(t, 1, specs, func(tn *tunnel) {
					tn.start()
					time.Sleep(2 * time.Second)
					up := tn.check.Flow(tn.local.host, tn.remote.host, false)
					down := tn.check.Flow(tn.remote.host, tn.local.host, false)
					until := tn.net.Now() + 5*time.Second
					up.Call(11*time.Millisecond, 1400, until)
					down.Call(11*time.Millisecond, 1400, until)
					time.Sleep(2 * time.Second)
					tn.links[dead].Cut(true)
					time.Sleep(4 * time.Second)
					for i, f := range []*simnet.Flow{up, down} {
						s := f.All()
						t.Logf("%d: %+v", i, s)
						if s.Sent < 450 || s.Lost != 0 || s.LongestGap > 60*time.Millisecond {
							t.Errorf("direction %d: %v", i, &s)
						}
					}
				})
			})
		}
	}
}

func TestAPathDeadAtTheStartHoldsNothingUp(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 5*time.Millisecond)}, func(tn *tunnel) {
		tn.links[0].Cut(true)
		tn.start()
		time.Sleep(time.Second)
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(11*time.Millisecond, 1400, tn.net.Now()+time.Second)
		time.Sleep(2 * time.Second)
		if s := f.All(); s.Lost != 0 || s.LongestGap > 40*time.Millisecond {
			t.Errorf("%v", &s)
		}
		tn.links[0].Cut(false)
		time.Sleep(3 * time.Second)
		if s := tn.local.portal.Status().Paths[0].State; s != "up" {
			t.Errorf("the dead path is %s after its link came back", s)
		}
	})
}

func TestALinkCutAndReturnedIsUsedAgain(t *testing.T) {
	for _, kind := range []string{"udp", "tcp"} {
		t.Run(kind, func(t *testing.T) {
			specs := []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 5*time.Millisecond)}
			for i := range specs {
				specs[i].transport = kind
			}
			sim(t, 1, specs, func(tn *tunnel) {
				tn.start()
				time.Sleep(2 * time.Second)
				b := tn.check.NewBulk(tn.local.host, tn.remote.host, false, 1400, 0, tn.net.Now()+50*time.Second)
				rate := func(d time.Duration) float64 {
					start := b.InOrder()
					time.Sleep(d)
					return float64(b.InOrder()-start) * 1400 * 8 / d.Seconds()
				}
				time.Sleep(10 * time.Second)
				before := rate(8 * time.Second)
				tn.links[1].Cut(true)
				rate(time.Second)
				during := rate(14 * time.Second)
				tn.links[1].Cut(false)
				time.Sleep(3 * time.Second)
				after := rate(8 * time.Second)
				t.Logf("before %.1f, during %.1f, after %.1f Mbit/s", before/1e6, during/1e6, after/1e6)
				if during < 0.8*8e6*1400/1460 {
					t.Errorf("%.1f Mbit/s while one link of 8 was left", during/1e6)
				}
				share := 0.9
				if kind == "tcp" {
					share = 0.8 // as above
				}
				if after < share*before {
					t.Errorf("%.1f Mbit/s after the link came back, %.1f before it went", after/1e6, before/1e6)
				}
				time.Sleep(8 * time.Second)
			})
		})
	}
}

func TestEitherPortalMayRestart(t *testing.T) {
	for _, which := range []string{"local", "remote"} {
		t.Run(which, func(t *testing.T) {
			sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 30*time.Millisecond)}, func(tn *tunnel) {
				tn.start()
				time.Sleep(2 * time.Second)
				e := tn.local
				if which == "remote" {
					e = tn.remote
				}
				e.crash()
				time.Sleep(100 * time.Millisecond)
				e.start()
				restarted := tn.net.Now()
				for _, pair := range [][2]*end{{tn.local, tn.remote}, {tn.remote, tn.local}} {
					f := tn.check.Flow(pair[0].host, pair[1].host, false)
					f.Call(10*time.Millisecond, 500, restarted+4*time.Second)
					defer func() {
						if d, ok := f.AliveAfter(restarted); !ok || d > 2*time.Second {
							t.Errorf("traffic flows %v after the restart (%v)", d, ok)
						}
					}()
				}
				time.Sleep(5 * time.Second)
			})
		})
	}
}

func TestANATMayRebind(t *testing.T) {
	spec := link(mbit(8), 10*time.Millisecond)
	spec.nat = true
	sim(t, 1, []linkSpec{spec, spec}, func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		up := tn.check.Flow(tn.local.host, tn.remote.host, false)
		down := tn.check.Flow(tn.remote.host, tn.local.host, false)
		until := tn.net.Now() + 6*time.Second
		up.Call(10*time.Millisecond, 500, until)
		down.Call(10*time.Millisecond, 500, until)
		time.Sleep(2 * time.Second)
		tn.links[0].Rebind()
		time.Sleep(2 * time.Second)
		tn.links[1].Rebind()
		time.Sleep(3 * time.Second)
		for _, f := range []*simnet.Flow{up, down} {
			if s := f.All(); s.Lost != 0 || s.LongestGap > 150*time.Millisecond {
				t.Errorf("%v", &s)
			}
		}
		for _, p := range tn.remote.portal.Status().Paths {
			if p.State != "up" {
				t.Errorf("path %s is %s", p.Name, p.State)
			}
		}
	})
}

func TestAnAddressMayChange(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 10*time.Millisecond)}, func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(10*time.Millisecond, 500, tn.net.Now()+4*time.Second)
		time.Sleep(time.Second)
		tn.links[0].Readdress(addr("10.9.9.9"))
		time.Sleep(4 * time.Second)
		if s := f.All(); s.Lost > 5 || s.LongestGap > 300*time.Millisecond {
			t.Errorf("%v", &s)
		}
	})
}

func TestKeysAreMadeAnewWithoutLoss(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 10*time.Millisecond), link(mbit(8), 40*time.Millisecond)}, func(tn *tunnel) {
		tn.start()
		time.Sleep(time.Second)
		up := tn.check.Flow(tn.local.host, tn.remote.host, false)
		down := tn.check.Flow(tn.remote.host, tn.local.host, false)
		until := tn.net.Now() + 5*time.Minute
		up.Call(10*time.Millisecond, 300, until)
		down.Call(10*time.Millisecond, 300, until)
		for range 6 {
			time.Sleep(51 * time.Second)
			if age := tn.remote.portal.Status().Session.AgeS; age > 120 {
				t.Errorf("keys are %.0f s old", age)
			}
		}
		for _, f := range []*simnet.Flow{up, down} {
			if s := f.All(); s.Lost != 0 || s.OutOfOrder != 0 {
				t.Errorf("%v", &s)
			}
		}
		if n := tn.local.portal.Status().Session.Handshakes; n < 3 || n > 5 {
			t.Errorf("%d handshakes in five minutes", n)
		}
	})
}

func TestTheMTUFollowsTheSmallestPath(t *testing.T) {
	narrow := link(mbit(8), 10*time.Millisecond)
	narrow.up.MTU, narrow.down.MTU = 1492, 1492
	narrower := link(mbit(8), 10*time.Millisecond)
	narrower.up.MTU, narrower.down.MTU = 1410, 1410
	sim(t, 1, []linkSpec{narrow, narrower}, func(tn *tunnel) {
		tn.start()
		time.Sleep(5 * time.Second)
		for _, e := range []*end{tn.local, tn.remote} {
			if mtu := e.portal.Status().MTU; mtu > 1410-60-ackRoom || mtu < 1410-60-ackRoom-4 {
				t.Errorf("MTU %d over paths of 1492 and 1410", mtu)
			}
		}
		tn.links[1].Cut(true)
		time.Sleep(3 * time.Second)
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(10*time.Millisecond, 500, tn.net.Now()+time.Second)
		time.Sleep(2 * time.Second)
		if mtu := tn.local.portal.Status().MTU; mtu > 1492-60-ackRoom || mtu < 1492-60-ackRoom-4 {
			t.Errorf("MTU %d over the path of 1492 alone", mtu)
		}
	})
}

// The TUN has it as soon as the search is over, though nothing else happens then.
func TestTheTUNLearnsTheMTUAtOnce(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 20*time.Millisecond), link(mbit(8), 25*time.Millisecond)}, func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second) // the next sign of life is due in 13
		for _, e := range []*end{tn.local, tn.remote} {
			mtu, tun := e.portal.Status().MTU, e.host.Tun().MTU()
			if full := 1500 - 60 - ackRoom; mtu > full || mtu < full-4 || tun != mtu {
				t.Errorf("%s portal: MTU %d, that of its TUN %d", e.portal.Status().Role, mtu, tun)
			}
		}
	})
}

func TestAPathMayBeOneDirectional(t *testing.T) {
	a, b := link(mbit(8), 5*time.Millisecond), link(mbit(8), 5*time.Millisecond)
	a.edit = func(p *config.Path) { p.Direction = config.Send }
	b.edit = func(p *config.Path) { p.Direction = config.Receive }
	sim(t, 1, []linkSpec{a, b}, func(tn *tunnel) {
		tn.start()
		time.Sleep(2 * time.Second)
		up := tn.check.Flow(tn.local.host, tn.remote.host, false)
		down := tn.check.Flow(tn.remote.host, tn.local.host, false)
		until := tn.net.Now() + 2*time.Second
		up.Call(5*time.Millisecond, 1000, until)
		down.Call(5*time.Millisecond, 1000, until)
		time.Sleep(3 * time.Second)
		for _, f := range []*simnet.Flow{up, down} {
			if s := f.All(); s.Lost != 0 {
				t.Errorf("%v", &s)
			}
		}
		paths := tn.local.portal.Status().Paths
		if paths[0].Tx.Bytes < 10*paths[0].Rx.Bytes || paths[1].Rx.Bytes < 10*paths[1].Tx.Bytes {
			t.Errorf("data went the wrong way: %+v", paths)
		}
	})
}

func TestRedundantSendsEverythingTwice(t *testing.T) {
	lossy := link(mbit(8), 5*time.Millisecond)
	lossy.up.Loss = 0.2
	sim(t, 1, []linkSpec{lossy, lossy}, func(tn *tunnel) {
		tn.local.config.Interface.Scheduler = "redundant"
		tn.start()
		time.Sleep(2 * time.Second)
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(10*time.Millisecond, 500, tn.net.Now()+20*time.Second)
		time.Sleep(22 * time.Second)
		if s := f.All(); float64(s.Lost) > 0.08*float64(s.Sent) {
			t.Errorf("twice over links that lose 20 %%: %v", &s)
		}
	})
}

func TestALinkThatDiedWhileIdleIsFoundInTime(t *testing.T) {
	// The quicker link dies while nothing moves; the first packets needed
	// afterwards must come through all the same, and soon.
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 40*time.Millisecond)}, func(tn *tunnel) {
		tn.start()
		time.Sleep(40 * time.Second)
		tn.links[0].Cut(true)
		time.Sleep(3 * time.Second)
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(20*time.Millisecond, 200, tn.net.Now()+time.Second)
		time.Sleep(2 * time.Second)
		if s := f.All(); s.Lost != 0 || s.LongestGap > 200*time.Millisecond {
			t.Errorf("%v", &s)
		}
	})
}

func TestAnIdleTunnelIsQuiet(t *testing.T) {
	sim(t, 1, []linkSpec{link(mbit(8), 5*time.Millisecond), link(mbit(8), 40*time.Millisecond)}, func(tn *tunnel) {
		tn.start()
		time.Sleep(10 * time.Second)
		before := tn.links[0].Up.Counters().In
		time.Sleep(10 * time.Minute)
		// A keepalive and its acknowledgement each way every 15 s, new keys now
		// and then, a search for a larger MTU.
		if n := tn.links[0].Up.Counters().In - before; n > 200 {
			t.Errorf("%d packets in ten idle minutes", n)
		}
	})
}

func TestALinkThatIsDeadOneWayBlocksNothing(t *testing.T) {
	// The quickest way to the remote, and no way back: what goes there first
	// must not swallow the answers that other links could bring.
	sim(t, 1, []linkSpec{link(mbit(8), 2*time.Millisecond), link(mbit(8), 40*time.Millisecond), link(mbit(8), 60*time.Millisecond)}, func(tn *tunnel) {
		tn.links[0].Down.Change(func(c *simnet.Conditions) { c.Cut = true })
		tn.start()
		f := tn.check.Flow(tn.local.host, tn.remote.host, false)
		f.Call(20*time.Millisecond, 200, tn.net.Now()+3*time.Second)
		time.Sleep(4 * time.Second)
		if d, ok := f.AliveAfter(0); !ok || d > time.Second {
			t.Errorf("alive after %v (%v)", d, ok)
		}
	})
}
