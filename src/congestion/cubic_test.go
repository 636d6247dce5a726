package congestion

import (
	"time"

	"netcombiner/src/mono"
)

// testCubic is a CUBIC flow, slow start and all: the cross traffic most often met.
type testCubic struct {
	cubic     Cubic
	threshold float64
	rtt       time.Duration
	recovery  uint64
}

func newTestCubic() *testCubic {
	return &testCubic{cubic: Cubic{Window: InitialWindow}, threshold: MaxWindow}
}

func (*testCubic) Sent(mono.Time, int)  {}
func (*testCubic) PacingRate() int64    { return 0 }
func (*testCubic) Bandwidth() float64   { return 0 }
func (c *testCubic) Window() (int, int) { return int(c.cubic.Window), MaxBytes }

func (c *testCubic) Lost(_ mono.Time, l Loss) {
	if l.Largest >= c.recovery {
		c.recovery = l.Next
		c.cubic.Cut()
		c.threshold = c.cubic.Window
	}
}

func (c *testCubic) Acknowledged(now mono.Time, a Acknowledgement) {
	if a.RTT > 0 {
		c.rtt = a.RTT
	}
	if c.cubic.Window < c.threshold {
		c.cubic.Window += float64(a.Packets)
	} else {
		c.cubic.Grow(now, c.rtt, float64(a.Packets))
	}
}
