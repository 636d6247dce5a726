package udpsocket

import (
	"encoding/binary"
	"testing"
	"time"
)

func TestBufferFollowsTheWindow(t *testing.T) {
	for _, tc := range []struct {
		congestion, receiver uint32
		limit, want          int
	}{
		{14480, 65535, 4 << 10, 64 << 10},
		{1 << 20, 4 << 20, 64 << 10, 1<<20 + 64<<10},
		{4 << 20, 1 << 20, 64 << 10, 1<<20 + 64<<10},
		{1 << 30, 1 << 30, 64 << 10, 4 << 20},
		{1<<32 - 1, 1<<32 - 1, 64 << 10, 4 << 20},
		{1 << 20, 0, 16 << 10, 64 << 10},
	} {
		info := make([]byte, tcpInfoSize)
		binary.NativeEndian.PutUint32(info[tcpInfoCongestion:], tc.congestion)
		binary.NativeEndian.PutUint32(info[tcpInfoReceiver:], tc.receiver)
		if got := bufferFor(info, tc.limit); got != tc.want {
			t.Errorf("windows %d and %d, %d unsent: %d, want %d", tc.congestion, tc.receiver, tc.limit, got, tc.want)
		}
	}
}

func TestWindowIsLookedAtNowAndThen(t *testing.T) {
	var u unsent
	now := time.Unix(1000, 0)
	if u.stale(now) {
		t.Error("without a bound")
	}
	u.limit = 4096
	for i, want := range []bool{true, false, false, true} {
		if got := u.stale(now.Add(time.Duration(i) * 20 * time.Millisecond)); got != want {
			t.Errorf("after %d ms: %v", 20*i, got)
		}
	}
}
