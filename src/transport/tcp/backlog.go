package tcp

import "time"

// What the kernel has taken of us and not sent is given to this path for good,
// though another may have room, and waits where no scheduler sees it. It should
// last while our goroutine wakes and brings more, and hardly longer: so it is
// bounded in time, which is in bytes at the rate that the connection had of late.
const (
	// backlogTime is how long a full backlog takes to leave. The kernel wakes us
	// when half of it has; one write of the same size comes on top.
	backlogTime = 5 * time.Millisecond
	// minBacklog and maxBacklog bound it in bytes: about three packets, and the
	// largest that the kernel cuts in one go. Even the smallest lets through
	// 5 Gbit/s, so a rate that was low is no bound to a rise.
	minBacklog = 4 << 10
	maxBacklog = 64 << 10
	// backlogWindow is how often the rate is taken.
	backlogWindow = 50 * time.Millisecond
)

// backlog sizes the unsent backlog of one connection.
type backlog struct {
	bytes int // the bound
	since time.Time
	sent  int // since then
}

func newBacklog(now time.Time) backlog { return backlog{bytes: 4 * minBacklog, since: now} }

// add tells that n bytes went out and says whether the bound changed.
func (b *backlog) add(n int, now time.Time) bool {
	b.sent += n
	passed := now.Sub(b.since)
	if passed < backlogWindow {
		return false
	}
	bytes := int(float64(b.sent) * float64(backlogTime) / float64(passed))
	bytes = min(max(bytes, minBacklog), maxBacklog)
	b.since, b.sent = now, 0
	if 8*bytes > 7*b.bytes && 8*bytes < 9*b.bytes {
		return false // not worth a system call
	}
	b.bytes = bytes
	return true
}
