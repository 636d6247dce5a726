package congestion

import "netcombiner/src/mono"

const (
	// InitialWindow is the window of a new path, in packets (RFC 6928).
	InitialWindow = 10
	// MinWindow is what losses leave at least.
	MinWindow = 2
	// MaxWindow bounds every window, in packets, and so the memory of a path.
	MaxWindow = 1 << 15
	// MaxBytes is more than any window has.
	MaxBytes = 1 << 30
)

// NewReno is the paper's controller (section 3.1.3): TCP New Reno's growth
// (RFC 5681, RFC 6582) on packets and NACKs instead of bytes and duplicate
// acknowledgements. Nothing is retransmitted, so there is no recovery phase to
// wait out: a changed NACK halves the window at once, and further losses of
// packets sent before that do not halve it again.
type NewReno struct {
	window    int
	threshold int // slow start ends here
	grown     int // packets acknowledged towards the next packet of window
	recovery  uint64
}

// NewNewReno returns a controller in slow start.
func NewNewReno() *NewReno {
	return &NewReno{window: InitialWindow, threshold: MaxWindow}
}

// Sent does nothing: the window bounds what is in flight, not what is sent.
func (*NewReno) Sent(mono.Time, int) {}

// Acknowledged grows the window: by the packets acknowledged in slow start,
// by one a window afterwards.
func (r *NewReno) Acknowledged(_ mono.Time, a Acknowledgement) {
	if !a.Limited {
		return
	}
	if r.window < r.threshold {
		r.window = min(r.window+a.Packets, r.threshold, MaxWindow)
		return
	}
	r.grown += a.Packets
	if r.grown >= r.window {
		r.grown -= r.window
		r.window = min(r.window+1, MaxWindow)
	}
}

// Lost halves the window, once for the losses of one window.
func (r *NewReno) Lost(_ mono.Time, l Loss) {
	if l.Largest < r.recovery {
		return
	}
	r.recovery = l.Next
	r.window = max(r.window/2, MinWindow)
	r.threshold = r.window
	r.grown = 0
}

// Window implements Controller.
func (r *NewReno) Window() (int, int) { return r.window, MaxBytes }

// Bandwidth implements Controller: New Reno has no model.
func (*NewReno) Bandwidth() float64 { return -1 }

// PacingRate implements Controller: the acknowledgements are the clock.
func (*NewReno) PacingRate() int64 { return 0 }
