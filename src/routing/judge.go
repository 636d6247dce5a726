package routing

import "time"

// How long a Judge waits before it believes.
const (
	// patience is how long nothing may work before traffic goes another way: a
	// remote portal that is started again is back long before.
	patience = 5 * time.Second
	// calm is how long something must work before traffic comes back, and each
	// time that this was too early, within relapse, twice as long, up to maxCalm.
	calm    = 3 * time.Second
	relapse = time.Minute
	maxCalm = time.Minute
)

// PathHealth is how a path is doing. Paths of one WAN stand for it together.
type PathHealth struct {
	WAN   WAN
	Works bool // carries data, or could
	// Proved says that it has worked: if it does not now, the WAN may be to blame.
	Proved bool
}

// Judge decides from the paths what may leave beside the tunnel. It has no
// clock: times are since any one moment. The zero value has seen nothing yet.
type Judge struct {
	all  gate
	wans map[WAN]*gate
}

// Look takes how the paths are at the time now. direct says that none has worked
// for a while, so that the fallback is to serve; lost are the WANs whose paths
// have all failed while another WAN's work.
func (j *Judge) Look(now time.Duration, paths []PathHealth) (direct bool, lost []WAN) {
	any, works, proved := false, map[WAN]bool{}, map[WAN]bool{}
	var order []WAN
	for _, p := range paths {
		if _, known := works[p.WAN]; !known {
			order = append(order, p.WAN)
		}
		any = any || p.Works
		works[p.WAN] = works[p.WAN] || p.Works
		proved[p.WAN] = proved[p.WAN] || p.Proved
	}
	direct = j.all.pass(now, !any)
	before := j.wans
	j.wans = map[WAN]*gate{}
	for _, wan := range order {
		g := before[wan]
		if g == nil {
			g = &gate{}
		}
		j.wans[wan] = g
		// While nothing works, the remote portal is to blame as likely.
		if g.pass(now, !works[wan] && proved[wan] && any) && wan != (WAN{}) {
			lost = append(lost, wan)
		}
	}
	return direct, lost
}

// gate follows a condition, late.
type gate struct {
	is       bool
	differs  bool // the condition is not what is believed…
	since    time.Duration
	calm     time.Duration // before the next return; 0: the usual
	returned time.Duration
	again    bool // it has returned before
}

// pass takes the condition at the time now, and returns what is believed.
func (g *gate) pass(now time.Duration, bad bool) bool {
	if bad == g.is {
		g.differs = false
		return g.is
	}
	if !g.differs {
		g.differs, g.since = true, now
	}
	wait := patience
	if g.is {
		wait = max(g.calm, calm)
	}
	if now-g.since < wait {
		return g.is
	}
	g.differs, g.is = false, bad
	switch {
	case !bad:
		g.returned, g.again = now, true
	case g.again && g.since-g.returned < relapse:
		g.calm = min(2*max(g.calm, calm), maxCalm)
	default:
		g.calm = 0
	}
	return g.is
}
