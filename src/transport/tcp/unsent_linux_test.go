package tcp

import (
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

func unsent(t *testing.T, f *flow) (n int) {
	t.Helper()
	raw, err := f.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// A peer that does not read stops Send, with little unsent, and Close ends
// the wait.
func TestUnsentIsBounded(t *testing.T) {
	dialled, accepted := pair(t, listen(t))
	accepted.Authenticated()
	var sent atomic.Int64
	ended := make(chan error)
	go func() {
		ms := messages(64, 1400)
		for {
			_, err := dialled.Send(ms)
			if err != nil {
				ended <- err
				return
			}
			sent.Add(int64(len(ms)))
		}
	}()
	// It waits when nothing moved for a while, the kernel's buffers being full.
	for last, since := int64(-1), time.Now(); time.Since(since) < 200*time.Millisecond; runtime.Gosched() {
		if n := sent.Load(); n != last {
			last, since = n, time.Now()
		}
	}
	if n := unsent(t, dialled); n == 0 || n > 2*maxBacklog+2000 {
		t.Errorf("%d bytes wait unsent, want some, and at most %d", n, 2*maxBacklog)
	}
	dialled.Close()
	if err := <-ended; !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Send ended with %v, want ErrClosed", err)
	}
}
