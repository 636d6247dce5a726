package udpsocket

import (
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// FreeBSD's recvmmsg and sendmmsg are loops in its C library.
func receiveBatch(fd uintptr, hs []header) (int, unix.Errno) { return receiveEach(fd, hs) }
func sendBatch(fd uintptr, hs []header) (int, unix.Errno)    { return sendEach(fd, hs) }

// dualStack says that a socket of IPv6 serves IPv4 as well as one of its own.
// Here it has no DF, and a packet that is too long would go in fragments.
const dualStack = false

// setDatagramOptions prepares a new UDP or raw IP socket.
func setDatagramOptions(fd int, ipv6 bool) error {
	// DF, and EMSGSIZE instead of fragments: the portal finds the path MTU
	// itself (RFC 8899).
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_DONTFRAG, 1)
	if ipv6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1)
	}
	if err != nil {
		return fmt.Errorf("cannot forbid fragmentation: %w", err)
	}
	raiseBuffer(fd, unix.SO_RCVBUF, receiveBuffer)
	raiseBuffer(fd, unix.SO_SNDBUF, sendBuffer)
	return nil
}

// raiseBuffer asks for size bytes and steps down: FreeBSD refuses what is over
// kern.ipc.maxsockbuf with ENOBUFS instead of giving what it can.
func raiseBuffer(fd, option, size int) {
	stepDown(size, func(size int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, size) })
}

// moreBuffers is the bound of all sockets, of which the kernel takes an eighth for
// itself.
const moreBuffers = "kern.ipc.maxsockbuf=8388608"

// setPacketInfo asks for packet information with every datagram.
func setPacketInfo(fd int, ipv6 bool) error {
	if ipv6 {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVDSTADDR, 1)
}

func readPacketInfo4(head *unix.Cmsghdr, data unsafe.Pointer, size int) netip.Addr {
	if head.Level != unix.IPPROTO_IP || head.Type != unix.IP_RECVDSTADDR || size < 4 {
		return netip.Addr{}
	}
	return netip.AddrFrom4(*(*[4]byte)(data))
}

func writePacketInfo4(head *unix.Cmsghdr, data unsafe.Pointer, from netip.Addr) int {
	head.Level = unix.IPPROTO_IP
	head.Type = unix.IP_SENDSRCADDR
	head.SetLen(unix.CmsgLen(4))
	*(*[4]byte)(data) = from.As4()
	return unix.CmsgSpace(4)
}

const rawNeeds = "root, and in a jail allow.raw_sockets"

// checkRaw reports why packets of that protocol would never leave: ipfw takes what
// it does not know for an extension header of IPv6, and drops it.
func checkRaw(protocol uint8, ipv6 bool) error {
	on := func(name string) bool {
		n, err := unix.SysctlUint32(name)
		return err == nil && n != 0
	}
	const drops = "net.inet6.ip6.fw.deny_unknown_exthdrs"
	if ipv6 && on("net.inet6.ip6.fw.enable") && on(drops) {
		return fmt.Errorf("this host's ipfw drops IPv6 packets of protocol %d: sysctl %s=0 lets them pass, or use IPv4, or another Transport", protocol, drops)
	}
	return nil
}

// canBindToDevice says that a socket is bound to an address of the device's
// instead. That alone does not choose the way out: its FIB does, or a route-to rule
// of pf for the address.
const canBindToDevice = false

func bindToDevice(int, string) error { return nil }

func setFIB(fd, table int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SETFIB, table); err != nil {
		return fmt.Errorf("cannot leave by FIB %d (sysctl net.fibs says how many there are): %w", table, err)
	}
	return nil
}

const streamFlags = 0

// windowIsBuffered says that LimitUnsent has to follow the window.
const windowIsBuffered = true

// limitUnsent makes the buffer as large as the window and n; see unsent.
func limitUnsent(fd, n int) {
	var info [tcpInfoSize]byte
	size := uint32(len(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	if errno == 0 && size == tcpInfoSize {
		raiseBuffer(fd, unix.SO_SNDBUF, bufferFor(info[:], n))
	}
}

// tcpMaxUnackTime is TCP_MAXUNACKTIME of netinet/tcp.h: seconds without progress.
const tcpMaxUnackTime = 68

// setStreamOptions prepares a TCP socket; package net has set TCP_NODELAY.
func setStreamOptions(fd int, o StreamOptions) error {
	if seconds := int(o.DeadAfter / time.Second); seconds > 0 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, tcpMaxUnackTime, seconds) // FreeBSD 14; before, the portal alone finds out
	}
	return setCongestion(fd, o.Congestion)
}
