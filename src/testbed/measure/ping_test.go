//go:build linux

package measure

import (
	"slices"
	"testing"
	"time"
)

func TestParsePing(t *testing.T) {
	r := parsePing([]byte(`PING 198.51.100.2 (198.51.100.2) 56(84) bytes of data.
64 bytes from 198.51.100.2: icmp_seq=1 ttl=62 time=15.3 ms
64 bytes from 198.51.100.2: icmp_seq=3 ttl=62 time=8 ms
64 bytes from 198.51.100.2: icmp_seq=3 ttl=62 time=70.1 ms (DUP!)
64 bytes from 198.51.100.2: icmp_seq=2 ttl=62 time=40.25 ms
From 192.168.1.1 icmp_seq=4 Destination Net Unreachable

--- 198.51.100.2 ping statistics ---
5 packets transmitted, 3 received, +1 duplicates, +1 errors, 40% packet loss, time 83ms
`), 5)
	want := []time.Duration{15300 * time.Microsecond, 8 * time.Millisecond, 40250 * time.Microsecond}
	if r.Sent != 5 || r.Lost != 2 || !slices.Equal(r.RTT, want) {
		t.Errorf("%+v, want 2 of 5 lost and %v", r, want)
	}
	if got := r.Quantile(1); got != 40.25 {
		t.Errorf("the longest took %v ms", got)
	}
}
