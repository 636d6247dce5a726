package portal

import (
	"context"
	"errors"
	"time"

	"netcombiner/src/mono"
	"netcombiner/src/path"
)

const (
	// partingTime is how long a path that is taken away goes on taking what comes
	// on it, at most: until the remote says that it sends nothing more there.
	partingTime = time.Second
	// movingTime is how long a flow that was replaced goes on taking what comes
	// on it: the remote moves a round trip later.
	movingTime = time.Second
)

var errNoAnswer = errors.New("no answer by the new way; the old one goes on")

// move replaces a flow that works by one that goes the way which is wanted now.
// The old one goes on until the new one is proved. It returns the flow that the
// path has in the end, or nil.
func (k *keeper) move(ctx context.Context, old *flow) *flow {
	for {
		next, changed, err := k.dialUnlessChanged(ctx)
		if err == nil {
			k.attach(next)
			if k.proved(ctx, next) {
				k.complaint = ""
				time.AfterFunc(movingTime, func() { old.Close() })
				return next
			}
			hangUp(next)
			changed, err = len(k.changed) > 0, errNoAnswer // or it is to go yet another way
		}
		if !changed {
			k.complain(ctx, err)
			k.attempt++
		}
		switch {
		case ctx.Err() != nil:
			return old // and what is on its way on it
		case !k.carries(old):
			return hangUp(old)
		case !changed:
			k.wait(ctx, dialAgain)
		}
	}
}

// proved waits until the path uses f, and says whether it came to that.
func (k *keeper) proved(ctx context.Context, f *flow) bool {
	patience := time.NewTimer(giveUpConnecting)
	defer patience.Stop()
	for !k.carries(f) {
		select {
		case <-k.look:
		case <-k.changed: // perhaps to yet another way
			k.tellChanged()
			return false
		case <-f.dead:
			return false
		case <-patience.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// carries says that the path is up, and f is its flow.
func (k *keeper) carries(f *flow) bool {
	k.portal.mu.Lock()
	defer k.portal.mu.Unlock()
	state, _ := k.path.State()
	return state == path.Up && k.path.Uses(f)
}

// awaitParting waits until the remote has left the path too, or long enough.
// Where the portal ends, there is nothing to wait for.
func (k *keeper) awaitParting() {
	patience := time.NewTimer(partingTime)
	defer patience.Stop()
	for {
		k.portal.mu.Lock()
		leaving := k.portal.core.leaving(k.id)
		k.portal.mu.Unlock()
		if !leaving {
			return
		}
		select {
		case <-k.look:
		case <-patience.C:
			return
		case <-k.portal.ctx.Done():
			return
		}
	}
}

// forget drops the path of a keeper that has ended. Its ID is free when it is
// configured no more.
func (p *Portal) forget(k *keeper) {
	p.do(func(now mono.Time) {
		p.core.dropPath(now, k.path)
		if !p.configured(k) {
			p.release(k)
		}
	})
}
