//go:build linux

package measure

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/src/testbed/netns"
)

func TestReadPing(t *testing.T) {
	r := readPing(strings.NewReader(`PING 198.51.100.2 (198.51.100.2) 56(84) bytes of data.
64 bytes from 198.51.100.2: icmp_seq=1 ttl=62 time=15.3 ms
64 bytes from 198.51.100.2: icmp_seq=3 ttl=62 time=8 ms
64 bytes from 198.51.100.2: icmp_seq=3 ttl=62 time=70.1 ms (DUP!)
64 bytes from 198.51.100.2: icmp_seq=6 ttl=62 time=90 ms
64 bytes from 198.51.100.2: icmp_seq=2 ttl=62 time=40.25 ms
From 192.168.1.1 icmp_seq=4 Destination Net Unreachable

--- 198.51.100.2 ping statistics ---
6 packets transmitted, 4 received, +1 duplicates, +1 errors, 33% packet loss, time 83ms
`), 5)
	want := []time.Duration{15300 * time.Microsecond, 8 * time.Millisecond, 40250 * time.Microsecond}
	if r.Sent != 5 || !slices.Equal(r.Lost, []int{4, 5}) || !slices.Equal(r.RTT, want) {
		t.Errorf("%+v, want 4 and 5 of 5 lost and %v", r, want)
	}
	if got := r.Quantile(1); got != 40.25 {
		t.Errorf("the longest took %v ms", got)
	}
}

// An answer to the last echo counts though it takes much longer than those before,
// and one that never comes is missed.
func TestPingAwaitsTheLast(t *testing.T) {
	if err := netns.Privileged(); err != nil {
		t.Skip("skipped: ", err)
	}
	for _, c := range []struct {
		name string
		mute uint16 // the number that is not answered
		lost []int
	}{{"all answered", 0, nil}, {"one lost", 2, []int{2}}, {"the last lost", 5, []int{5}}} {
		t.Run(c.name, func(t *testing.T) {
			n, err := netns.New("ping")
			if err != nil {
				t.Fatal(err)
			}
			defer n.Close()
			here, there := netip.MustParsePrefix("192.0.2.1/24"), netip.MustParseAddr("192.0.2.2")
			far := echoer(t, n, func(seq uint16) (wait time.Duration, answer bool) {
				if seq == 5 {
					wait = 150 * time.Millisecond
				}
				return wait, seq != c.mute
			})
			if err := n.Address("tap0", here); err != nil {
				t.Fatal(err)
			}
			if err := n.Neighbour("tap0", there, far); err != nil {
				t.Fatal(err)
			}
			r, err := Ping{For: 100 * time.Millisecond, Device: "tap0"}.Run(t.Context(), n, there)
			if err != nil || r.Sent != 5 || !slices.Equal(r.Lost, c.lost) {
				t.Errorf("%+v, %v; want %v of 5 lost", r, err, c.lost)
			}
		})
	}
}

// echoer answers, on a TAP "tap0", each echo as how tells for its number, and
// returns its hardware address.
func echoer(t *testing.T, n *netns.Namespace, how func(seq uint16) (wait time.Duration, answer bool)) net.HardwareAddr {
	t.Helper()
	near, far := net.HardwareAddr{2, 0, 0, 0, 0, 1}, net.HardwareAddr{2, 0, 0, 0, 0, 2}
	fd, err := n.TAP("tap0", 1500, near)
	if err != nil {
		t.Fatal(err)
	}
	tap := os.NewFile(uintptr(fd), "tap0")
	ended := make(chan struct{})
	t.Cleanup(func() { tap.Close(); <-ended })
	go func() {
		defer close(ended)
		for frame := make([]byte, 2000); ; {
			size, err := tap.Read(frame)
			if err != nil {
				return
			}
			f := frame[:size]
			const ethernet, ip = 14, 34 // where what follows begins
			if size < ip+8 || f[12] != 8 || f[13] != 0 || f[ethernet+9] != 1 || f[ip] != 8 {
				continue // no echo request over IPv4
			}
			wait, answer := how(uint16(f[ip+6])<<8 | uint16(f[ip+7]))
			if !answer {
				continue
			}
			copy(f, near)
			copy(f[6:], far)
			from := [4]byte(f[ethernet+12:])
			copy(f[ethernet+12:], f[ethernet+16:ethernet+20])
			copy(f[ethernet+16:], from[:])
			f[ip] = 0 // a reply: 0x0800 less, which the checksum makes up for
			sum := uint32(f[ip+2])<<8 + uint32(f[ip+3]) + 0x800
			sum = sum&0xffff + sum>>16
			f[ip+2], f[ip+3] = byte(sum>>8), byte(sum)
			reply := slices.Clone(f)
			time.AfterFunc(wait, func() { tap.Write(reply) })
		}
	}()
	return far
}
