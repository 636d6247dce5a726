package portal

import (
	"fmt"
	"log/slog"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/path"
)

const (
	// neverUp is how long a path that has a flow may get no answer before it is said.
	neverUp = 30 * time.Second
	// redialling is how long a path is without a flow at most, when it tries another.
	redialling = 2 * time.Second
)

// Why a path stopped working, where it is not the link's silence.
const (
	whyFlow    = "its interface, address or connection is gone"
	whyChanged = "its interface or address changed"
	whyPeer    = "the other portal started anew"
	whyLeft    = "the other portal stopped"
)

// history is what the log has told of a path, by its number.
type history struct {
	began  mono.Time // when it began to try, or last changed between working and not
	down   mono.Time // since when it has had no flow, when last seen without; 0: it had one
	works  bool
	worked bool // ever
	said   bool // that it gets no answer
}

// tell logs that a path works, works no more, or works again, with how long it
// did not, or did.
func (k *core) tell(now mono.Time, p *path.Path) {
	h := &k.histories[p.ID]
	state, _ := p.State()
	if k.stopping || p.Leaving() {
		return // somebody wants it so
	}
	if (state == path.Up) == h.works {
		k.tellUnanswered(now, p, h)
		return
	}
	lasted := rounded(now.Sub(h.began))
	_, remote := p.Addresses()
	switch {
	case h.works:
		k.note(slog.LevelWarn, "path failed", "path", p.Name, "remote", place(remote), "up_for", lasted, "why", k.whyStopped(p, state))
	case h.worked:
		k.note(slog.LevelInfo, "path back", "path", p.Name, "remote", place(remote), "down_for", lasted)
	default:
		k.note(slog.LevelInfo, "path up", "path", p.Name, "remote", place(remote), "after", lasted)
	}
	h.works, h.worked, h.began = !h.works, true, now
}

// tellUnanswered says once that a path which never worked gets no answer, though
// another one does.
func (k *core) tellUnanswered(now mono.Time, p *path.Path, h *history) {
	state, since := p.State()
	switch {
	case state == path.Down:
		h.down = since
		return
	case h.began == 0, !h.worked && h.down != 0 && since.Sub(h.down) > redialling:
		h.began = since
	case !h.worked && !h.said && state == path.Connecting && k.local && k.works && now.Sub(h.began) >= neverUp:
		h.said = true
		_, remote := p.Addresses()
		k.note(slog.LevelWarn, "path gets no answer; trying on", "path", p.Name, "remote", place(remote),
			"for", rounded(now.Sub(h.began)), "transport", p.Transport)
	}
	h.down = 0
}

func (k *core) whyStopped(p *path.Path, state path.State) string {
	switch {
	case k.why != "":
		return k.why
	case state == path.Failed:
		return fmt.Sprintf("no answer for %v", rounded(p.Silence))
	case state == path.Down:
		return whyFlow
	}
	return whyChanged
}

// rounded leaves what a person reads of a time.
func rounded(d time.Duration) time.Duration {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
