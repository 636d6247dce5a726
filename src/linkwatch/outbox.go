package linkwatch

import (
	"context"
	"sync"
)

// outbox is where events wait for a slow reader, who so never holds up the
// kernel and costs bounded memory.
type outbox struct {
	mu      sync.Mutex
	pending pending
	wake    chan struct{} // something is pending
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

func (o *outbox) add(e Event) {
	o.mu.Lock()
	o.pending.add(e)
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// deliver passes on what is pending, at the reader's pace.
func (o *outbox) deliver(ctx context.Context, events chan<- Event) {
	defer close(events)
	for {
		o.mu.Lock()
		e, ok := o.pending.next()
		o.mu.Unlock()
		if !ok {
			select {
			case <-o.wake:
			case <-ctx.Done():
				return
			}
			continue
		}
		select {
		case events <- e:
			o.mu.Lock()
			o.pending.take(e)
			o.mu.Unlock()
		case <-o.wake: // e may have been superseded: look again
		case <-ctx.Done():
			return
		}
	}
}
