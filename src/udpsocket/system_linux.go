package udpsocket

import (
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A header is laid out as the kernel's struct mmsghdr, or this does not compile.
var _ = [1]struct{}{}[unsafe.Sizeof(header{})-unsafe.Sizeof(struct {
	unix.Msghdr
	Len uint32
}{})]

// receiveBatch fills hs in order and returns how many, at least one, or why
// the first could not be filled.
func receiveBatch(fd uintptr, hs []header) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&hs[0])), uintptr(len(hs)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// sendBatch sends hs in order and returns how many, at least one, or why the
// first was not sent.
func sendBatch(fd uintptr, hs []header) (int, unix.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&hs[0])), uintptr(len(hs)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// setDatagramOptions prepares a new UDP socket.
func setDatagramOptions(fd int, ipv6 bool) error {
	// PROBE sets DF, lets out whatever the interface can carry, and ignores the
	// path MTU that ICMP messages, which anybody can forge, put in the kernel's
	// cache: the portal finds it itself (RFC 8899). An IPv6 socket takes the
	// IPv4 option for its mapped addresses; a host without IPv4 refuses it.
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
	if ipv6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
	}
	if err != nil {
		return fmt.Errorf("cannot forbid fragmentation: %w", err)
	}
	raiseBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer)
	raiseBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, sendBuffer)
	return nil
}

// raiseBuffer asks for size bytes; without privilege the kernel gives what
// net.core.rmem_max or wmem_max allows.
func raiseBuffer(fd, force, option, size int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, size) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size)
	}
}

// moreBuffers are the bounds of what who has no privilege may ask for.
const moreBuffers = "net.core.rmem_max=4194304 net.core.wmem_max=1048576, or run as root"

// setPacketInfo asks for packet information with every datagram.
func setPacketInfo(fd int, ipv6 bool) error {
	if ipv6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

func readPacketInfo4(head *unix.Cmsghdr, data unsafe.Pointer, size int) netip.Addr {
	if head.Level != unix.IPPROTO_IP || head.Type != unix.IP_PKTINFO || size < unix.SizeofInet4Pktinfo {
		return netip.Addr{}
	}
	return netip.AddrFrom4((*unix.Inet4Pktinfo)(data).Addr)
}

func writePacketInfo4(head *unix.Cmsghdr, data unsafe.Pointer, from netip.Addr) int {
	head.Level = unix.IPPROTO_IP
	head.Type = unix.IP_PKTINFO
	head.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	*(*unix.Inet4Pktinfo)(data) = unix.Inet4Pktinfo{Spec_dst: from.As4()}
	return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
}

const (
	dualStack       = true // a socket of IPv6 has DF on its IPv4 too
	canBindToDevice = true
)

// bindToDevice makes the socket leave and receive by the named interface only.
func bindToDevice(fd int, device string) error {
	if err := unix.BindToDevice(fd, device); err != nil {
		return fmt.Errorf("cannot bind to interface %q: %w", device, err)
	}
	return nil
}

const rawNeeds = "root, or the capability CAP_NET_RAW"

// checkRaw knows nothing that would keep packets of a protocol from leaving.
func checkRaw(uint8, bool) error { return nil }

// setFIB is for where canBindToDevice is false.
func setFIB(int, int) error { return nil }

// streamFlags end a record with every write: the next one starts a new buffer
// in the kernel instead of filling up the last to 64 KiB, which it does without
// asking whether the unsent bytes are too many already.
const streamFlags = unix.MSG_EOR

// streamBuffer is half of what a connection may hold unacknowledged, in bytes.
const streamBuffer = 4 << 20

// windowIsBuffered says that LimitUnsent has to follow the window.
const windowIsBuffered = false

// limitUnsent sets what LimitUnsent promises. It cannot fail on a TCP socket.
func limitUnsent(fd, n int) {
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
}

// setStreamOptions prepares a TCP socket; package net has set TCP_NODELAY.
func setStreamOptions(fd int, o StreamOptions) error {
	// The bytes in flight need room: with the usual 4 MiB, of which a writer
	// that waits gets two thirds, BBR reached 80 Mbit/s on a link of 100 Mbit/s
	// and 100 ms; so, 85 to 95. Without privilege the system's own sizing is better
	// than the little that net.core.wmem_max allows.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, streamBuffer)
	if o.DeadAfter > 0 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(o.DeadAfter.Milliseconds())); err != nil {
			return fmt.Errorf("cannot set the connection's timeout: %w", err)
		}
	}
	return setCongestion(fd, o.Congestion)
}
