package simnet

import "time"

// event is something that happens at a moment of virtual time: a packet comes
// out of its pipe, or a function is called.
type event struct {
	at time.Duration // since the network's start
	// src and seq order events of one moment: by who made them, then by number.
	// They do not depend on the order in which goroutines happened to run.
	src uint32
	seq uint64

	pkt  *packet // delivered, or
	call func()  // called: with the lock held, unless
	user bool    // it belongs to a user of the network
}

func (e *event) before(f *event) bool {
	if e.at != f.at {
		return e.at < f.at
	}
	if e.src != f.src {
		return e.src < f.src
	}
	return e.seq < f.seq
}

// eventHeap is a binary heap; container/heap would allocate for each event.
type eventHeap []event

func (h *eventHeap) push(e event) {
	*h = append(*h, e)
	h.up(len(*h) - 1)
}

func (h *eventHeap) pop() event {
	s := *h
	e := s[0]
	last := len(s) - 1
	s[0] = s[last]
	s[last] = event{}
	*h = s[:last]
	h.down(0)
	return e
}

// fix restores the order after the times of any number of events have changed.
func (h *eventHeap) fix() {
	for i := len(*h)/2 - 1; i >= 0; i-- {
		h.down(i)
	}
}

func (h *eventHeap) up(i int) {
	s := *h
	for i > 0 {
		parent := (i - 1) / 2
		if !s[i].before(&s[parent]) {
			return
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

func (h *eventHeap) down(i int) {
	s := *h
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(s); c++ {
			if s[c].before(&s[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}
