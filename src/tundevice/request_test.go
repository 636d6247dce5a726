package tundevice

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// What the kernel reads, byte by byte, of a little-endian machine: as ifconfig(8) has it.
func TestRequests(t *testing.T) {
	nc0 := "6e633000000000000000000000000000"
	zeros := func(n int) string { return strings.Repeat("00", n) }
	for what, tc := range map[string]struct {
		got  []byte
		want string
	}{
		"MTU": {numberRequest("nc0", 1280), nc0 + "00050000" + zeros(12)},
		"an IPv4 address": {aliasRequest("nc0", netip.MustParsePrefix("172.19.152.3/31")),
			nc0 + "10020000" + "ac139803" + zeros(8) + zeros(16) + "10020000" + "fffffffe" + zeros(8) + zeros(4)},
		"an IPv6 address": {aliasRequest("nc0", netip.MustParsePrefix("fd19:152::3/127")),
			nc0 + "1c1c0000" + zeros(4) + "fd190152000000000000000000000003" + zeros(4) +
				zeros(28) +
				"1c1c0000" + zeros(4) + "fffffffffffffffffffffffffffffffe" + zeros(4) +
				"20000000" + zeros(16) + "ffffffff" + "ffffffff" + zeros(8)},
		"no IPv4 address more": {addressRequest("nc0", netip.MustParseAddr("172.19.152.3")), nc0 + "10020000" + "ac139803" + zeros(8)},
		"no IPv6 address more": {addressRequest("nc0", netip.MustParseAddr("fd19:152::3")),
			nc0 + "1c1c0000" + zeros(4) + "fd190152000000000000000000000003" + zeros(4) + zeros(244)},
		"the mark":         {groupRequest("nc0", Mark), nc0 + zeros(8) + hex.EncodeToString([]byte("netcombiner")) + zeros(5)},
		"the longest name": {request("abcdefghijklmnop", sizeRequest), hex.EncodeToString([]byte("abcdefghijklmno")) + zeros(17)},
	} {
		if got := hex.EncodeToString(tc.got); got != tc.want {
			t.Errorf("%s:\n got %s\nwant %s", what, got, tc.want)
		}
	}
	if n := numberIn(numberRequest("nc0", 1432)); n != 1432 {
		t.Errorf("read back: %d", n)
	}
}

func TestGroups(t *testing.T) {
	list := append(request("all", requestName), append(request("tun", requestName), request("netcombiner", requestName)...)...)
	if got := groupNames(list[:len(list)-1]); !slices.Equal(got, []string{"all", "tun"}) {
		t.Errorf("of a list that is cut off: %q", got)
	}
	if got := groupNames(list); !slices.Equal(got, []string{"all", "tun", "netcombiner"}) {
		t.Errorf("%q", got)
	}
}

func TestHolder(t *testing.T) {
	for status, want := range map[string]int{
		"": 0, "\tOpened by PID 4711\n": 4711, "\tspeed 1G\n\tOpened by PID 7\n\tmore 9\n": 7, "\tOpened by PID ?\n": -1, "\tOpened by PID 0\n": -1,
	} {
		if got := holderIn(status); got != want {
			t.Errorf("%q: %d, want %d", status, got, want)
		}
	}
}

// Only what is ours and nobody's any more is taken away.
func TestNameTaken(t *testing.T) {
	for _, tc := range []struct {
		found
		is   error
		says string
	}{
		{found{[]string{"all", "tun", "netcombiner"}, 0}, nil, ""},
		{found{[]string{"all", "tun", "netcombiner"}, 12}, syscall.EBUSY, "process 12 holds it"},
		{found{[]string{"all", "tun", "netcombiner"}, -1}, syscall.EBUSY, "in use"},
		{found{[]string{"all", "tun"}, 0}, syscall.EEXIST, "not netcombiner's: choose another name"},
		{found{[]string{"all"}, 0}, syscall.EEXIST, "ifconfig nc0 destroy"},
		{found{nil, 0}, syscall.EEXIST, "exists already"},
	} {
		err := tc.judge("nc0")
		if !errors.Is(err, tc.is) || tc.is == nil && err != nil || err != nil && !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%+v: %v", tc.found, err)
		}
	}
	if (found{groups: []string{"all", "tun", "netcombiner"}}).removing() || !(found{groups: []string{"all", "netcombiner"}}).removing() {
		t.Error("a TUN being removed has left the group of TUNs")
	}
}
