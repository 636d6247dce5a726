package udpsocket

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Batch is how many datagrams cross into the kernel in one call at most; more
// come out of it where it has joined some.
const Batch = 64

// maxFaults bounds how often one call takes up a fault and tries again before
// it waits for the kernel to say that there is something new.
const maxFaults = 16

// header is the kernel's struct mmsghdr: one datagram of a batch, or one run.
// Nothing in it points at memory that the garbage collector does not see.
type header struct {
	unix.Msghdr
	n uint32 // bytes received
}

// slots is the storage that the kernel reads and fills in a batch, made once
// for each direction of a socket, about 14 KiB.
type slots struct {
	headers [Batch]header
	iovecs  [Batch]unix.Iovec
	names   [Batch]unix.RawSockaddrInet6 // or Inet4, which is shorter
	control [Batch]controlBuffer
}

// point makes iovec i speak of buf.
func (s *slots) point(i int, buf []byte) {
	s.iovecs[i].Base = unsafe.SliceData(buf)
	s.iovecs[i].SetLen(len(buf))
}

// receiveEach does the work of recvmmsg with a call for each datagram.
func receiveEach(fd uintptr, hs []header) (int, unix.Errno) {
	for i := range hs {
		n, _, errno := unix.Syscall(unix.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&hs[i].Msghdr)), unix.MSG_DONTWAIT)
		if errno != 0 {
			if i > 0 {
				errno = 0 // what is there is handed up first
			}
			return i, errno
		}
		hs[i].n = uint32(n)
	}
	return len(hs), 0
}

// sendEach does the work of sendmmsg with a call for each datagram.
func sendEach(fd uintptr, hs []header) (int, unix.Errno) {
	for i := range hs {
		_, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&hs[i].Msghdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		if errno != 0 {
			if i > 0 {
				errno = 0 // the caller goes on at this datagram and meets it again
			}
			return i, errno
		}
	}
	return len(hs), 0
}
