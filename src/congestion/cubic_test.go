package congestion

import (
	"time"

	"netcombiner/src/mono"
)

// testCubic is a CUBIC flow, slow start and all: the cross traffic most often met.
type testCubic struct {
	cubic
	threshold float64
	rtt       time.Duration
	recovery  uint64
}

func newTestCubic() *testCubic {
	return &testCubic{cubic: cubic{window: InitialWindow}, threshold: MaxWindow}
}

func (*testCubic) Sent(mono.Time, int)  {}
func (*testCubic) PacingRate() int64    { return 0 }
func (*testCubic) Bandwidth() float64   { return 0 }
func (c *testCubic) Window() (int, int) { return int(c.window), MaxBytes }

func (c *testCubic) Lost(_ mono.Time, l Loss) {
	if l.Largest >= c.recovery {
		c.recovery = l.Next
		c.cut()
		c.threshold = c.window
	}
}

func (c *testCubic) Acknowledged(now mono.Time, a Acknowledgement) {
	if a.RTT > 0 {
		c.rtt = a.RTT
	}
	if c.window < c.threshold {
		c.window += float64(a.Packets)
	} else {
		c.grow(now, c.rtt, float64(a.Packets))
	}
}
