// Package kernels knows what is wrong with some Linux kernels, where they do not say.
package kernels

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Release is what uname -r says, or "".
func Release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}

// SpoilsUDP tells the releases of Linux that spoil the headers and checksums of
// UDP datagrams that they cut themselves, on their way to some network cards,
// which nothing on this host shows. 7.0.0 to 7.1.4: introduced by b10b446ce7ad
// (7.0-rc1), mended by 78effd8 and 5f17ae0f595a (7.1-rc5, 7.1.5);
// github.com/tailscale/tailscale/issues/19777. 6.17: seen on Ubuntu's, the cause
// unknown; issue 21335 there.
func SpoilsUDP(release string) bool {
	v := version(release)
	return v[0] == 7 && (v[1] == 0 || v[1] == 1 && v[2] <= 4) || v[0] == 6 && v[1] == 17
}

// version returns the numbers that release begins with: 6, 1, 0 of "6.1.0-18-amd64".
// Not by fmt.Sscanf: nothing else in the daemon needs it, and it is 60 kB.
func version(release string) (v [3]int) {
	for i, word := range strings.SplitN(release, ".", len(v)) {
		v[i], _ = strconv.Atoi(word[:len(word)-len(strings.TrimLeft(word, "0123456789"))])
	}
	return v
}
