package udpsocket

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"netcombiner/src/kernels"
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
	if release := kernels.Release(); kernels.SpoilsUDP(release) {
		return false, joins, "Linux " + release + " would spoil datagrams that it cuts"
	}
	return true, joins, ""
}
