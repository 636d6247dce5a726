package udpsocket

import (
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// segmentSpace is what writeSegment writes, in bytes.
var segmentSpace = unix.CmsgSpace(2)

// writeSegment makes the kernel cut a run into datagrams of size bytes, in the
// control messages of which used bytes are written, and returns how many more.
func writeSegment(control *controlBuffer, used, size int) int {
	head := (*unix.Cmsghdr)(unsafe.Add(unsafe.Pointer(control), used))
	head.Level = unix.IPPROTO_UDP
	head.Type = unix.UDP_SEGMENT
	head.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Add(unsafe.Pointer(head), unix.CmsgLen(0))) = uint16(size)
	return segmentSpace
}

// readSegment returns how long the datagrams are that the kernel joined, if
// this control message of length bytes tells it.
func readSegment(head *unix.Cmsghdr, data unsafe.Pointer, length int) int {
	if head.Level != unix.IPPROTO_UDP || head.Type != unix.UDP_GRO || length < 4 {
		return 0
	}
	return int(*(*int32)(data))
}

// probeOffload asks what the kernel can do, and makes it join. unable says why
// it does not cut, where that is worth a word.
func probeOffload(fd int) (cuts, joins bool, unable string) {
	joins = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1) == nil
	if _, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); err != nil {
		return false, joins, "the kernel is older than Linux 4.18"
	}
	var name unix.Utsname
	if err := unix.Uname(&name); err == nil {
		if release := unix.ByteSliceToString(name.Release[:]); cutsWrongly(release) {
			return false, joins, "Linux " + release + " would spoil datagrams that it cuts"
		}
	}
	return true, joins, ""
}

// cutsWrongly tells the kernels that spoil the headers and checksums of
// datagrams on their way to some network cards, which nothing on this host
// shows. Linux 7.0.0 to 7.1.4: introduced by b10b446 (7.0-rc1), mended by
// 78effd8 and 5f17ae0 (7.1-rc5, 7.1.5); github.com/tailscale/tailscale/issues/19777.
// 6.17: seen on Ubuntu's, the cause unknown; issue 21335 there.
func cutsWrongly(release string) bool {
	v := version(release)
	return v[0] == 7 && (v[1] == 0 || v[1] == 1 && v[2] <= 4) || v[0] == 6 && v[1] == 17
}

// version returns the numbers that release begins with: 6, 1, 0 of "6.1.0-18-amd64".
func version(release string) (v [3]int) {
	for i, word := range strings.SplitN(release, ".", len(v)) {
		digits := strings.IndexFunc(word, func(r rune) bool { return r < '0' || r > '9' })
		if digits >= 0 {
			word = word[:digits]
		}
		v[i], _ = strconv.Atoi(word)
	}
	return v
}
