package daemon

import (
	"slices"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/routing"
)

// Beside is what goes beside the tunnel: what bypasses it, and all else while
// the fallback is on.
type Beside struct {
	Bypasses []routing.Standing
	Direct   bool
}

func (b *Beside) addTo(s *control.Status) {
	for _, w := range b.Bypasses {
		s.Bypasses = append(s.Bypasses, control.Bypass{What: w.What, Via: w.Via, State: w.State, Why: w.Hint})
	}
	if b.Direct {
		s.Fallback = "direct"
		s.Hints = append(slices.Clone(s.Hints), "every path has failed: traffic leaves by the links themselves (Fallback = direct), until one is back")
	}
}

// judges says whether it matters to the routing how the paths are.
func (f *follower) judges() bool {
	c := f.Current()
	return c.Interface.Fallback || len(c.Bypasses) > 0
}

// look judges how the paths are now.
func (f *follower) look() {
	if !f.judges() {
		f.judge, f.direct, f.lost = routing.Judge{}, false, nil
		return
	}
	f.direct, f.lost = f.judge.Look(time.Since(f.began), health(f.Current().Paths, f.Status().Paths))
}

// health is how the configured paths are. One that was set down says nothing.
func health(paths []config.Path, status []control.Path) (list []routing.PathHealth) {
	for _, c := range paths {
		i := slices.IndexFunc(status, func(p control.Path) bool { return p.Name == c.Name })
		if i < 0 || c.Down {
			continue
		}
		p := &status[i]
		list = append(list, routing.PathHealth{
			WAN:    routing.WAN{Device: c.Device, Source: c.Source},
			Works:  p.Works(),
			Proved: p.Failures > 0,
		})
	}
	return list
}

// tell says what has changed of what goes beside the tunnel, in the log and to
// whoever asks for the status.
func (f *follower) tell() {
	now := Beside{f.routing.Bypasses(), f.inForce.Direct}
	if now.Direct != f.told.Direct {
		if now.Direct {
			f.Log.Warn("every path has failed: traffic leaves by the links themselves", "fallback", "direct")
		} else {
			f.Log.Info("a path is back: traffic enters the tunnel again", "fallback", "none")
		}
	}
	for _, b := range now.Bypasses {
		if slices.Contains(f.told.Bypasses, b) {
			continue
		}
		if b.State == "direct" {
			f.Log.Info("bypass", "what", b.What, "via", b.Via, "goes", b.State)
		} else {
			f.Log.Warn("bypass", "what", b.What, "via", b.Via, "goes", b.State, "why", b.Hint)
		}
	}
	f.told = now
	if f.Beside != nil {
		f.Beside(now)
	}
}
