package linkwatch

// maxPending is how many different events wait for a slow reader at most.
// More become one Resync.
const maxPending = 64

// pending is what was seen and not yet delivered: each event once, in the
// order of its last occurrence, so that of a link that went down and up again
// the reader sees the "up" last. It is pure.
type pending struct{ events []Event }

func (p *pending) add(e Event) {
	for i, old := range p.events {
		if old == e {
			p.events = append(p.events[:i], p.events[i+1:]...)
			break
		}
	}
	if e.Kind == Resync || len(p.events) == maxPending {
		p.events = append(p.events[:0], Event{Kind: Resync})
		return
	}
	p.events = append(p.events, e)
}

// next returns the oldest event without taking it.
func (p *pending) next() (Event, bool) {
	if len(p.events) == 0 {
		return Event{}, false
	}
	return p.events[0], true
}

// take removes e after its delivery. It may meanwhile have been superseded.
func (p *pending) take(e Event) {
	if len(p.events) > 0 && p.events[0] == e {
		p.events = append(p.events[:0], p.events[1:]...)
	}
}
