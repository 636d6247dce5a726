package udpsocket

import (
	"encoding/binary"
	"time"
)

// FreeBSD bounds what a connection holds, sent or not, and not the unsent part
// alone. So its buffer is made as large as what may be in flight, which the kernel
// tells, and what may be unsent; and looked at again and again, as the former grows.

const (
	// unsentEvery is how often the buffer follows the window.
	unsentEvery = 50 * time.Millisecond
	// minStreamBuffer and maxStreamBuffer bound it in bytes: as good as nothing in
	// flight, and 300 Mbit/s over 100 ms. The kernel may give less than the latter.
	minStreamBuffer = 64 << 10
	maxStreamBuffer = 4 << 20
)

// unsent is a StreamWriter's bound.
type unsent struct {
	limit  int // bytes; 0: none was set
	looked time.Time
}

// stale says, every unsentEvery, that the window is to be looked at.
func (u *unsent) stale(now time.Time) bool {
	if u.limit == 0 || now.Sub(u.looked) < unsentEvery {
		return false
	}
	u.looked = now
	return true
}

// The beginning of FreeBSD's struct tcp_info (netinet/tcp.h), which has not changed
// since FreeBSD 7: where the congestion window is, and the one that the other end
// gives, in bytes.
const (
	tcpInfoCongestion = 80
	tcpInfoReceiver   = 100
	tcpInfoSize       = 104
)

// bufferFor is how large a buffer is to be, in bytes, by the kernel's tcp_info and
// what may be unsent.
func bufferFor(info []byte, limit int) int {
	congestion := binary.NativeEndian.Uint32(info[tcpInfoCongestion:])
	receiver := binary.NativeEndian.Uint32(info[tcpInfoReceiver:])
	flying := min(congestion, receiver, maxStreamBuffer)
	return min(max(int(flying)+limit, minStreamBuffer), maxStreamBuffer)
}
