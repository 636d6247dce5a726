package udpsocket

import "time"

// stopwatch sums up the time between its starts and stops.
type stopwatch struct {
	begun time.Time
	sum   time.Duration
}

func (s *stopwatch) start()               { s.begun = time.Now() }
func (s *stopwatch) stop()                { s.sum += time.Since(s.begun) }
func (s *stopwatch) nanoseconds() float64 { return float64(s.sum.Nanoseconds()) }
