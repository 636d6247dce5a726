// Package mono is the clock of the pure core: a reading is a count of
// nanoseconds, so it fits in one word, costs nothing to compare, and cannot be
// mistaken for the wall clock, which routers do not have at boot.
//
// Only the shell (package portal) reads a Clock, once a batch; everything
// below it is handed the time.
package mono

import "time"

// Time is a moment: nanoseconds since its Clock was made. The zero Time means
// "never" wherever a deadline is stored.
type Time int64

// Never is a deadline that does not come.
const Never Time = 1<<63 - 1

// Add returns t moved by d.
func (t Time) Add(d time.Duration) Time { return t + Time(d) }

// Sub returns the time that passed from u to t.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t - u) }

// Clock tells Times. Its zero reading lies an hour in the past, so that no
// moment that a running portal sees is the zero Time.
type Clock struct{ start time.Time }

// NewClock returns a clock that starts now. Inside a testing/synctest bubble
// it follows the bubble's time.
func NewClock() Clock { return Clock{time.Now().Add(-time.Hour)} }

// Now reads the clock.
func (c Clock) Now() Time { return Time(time.Since(c.start)) }
