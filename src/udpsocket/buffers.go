package udpsocket

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// Buffers is how much a socket's buffers hold, in bytes.
type Buffers struct{ Receive, Send int }

// WantedBuffers are what each Socket asks for.
var WantedBuffers = Buffers{receiveBuffer, sendBuffer}

// MoreBuffers is what a person types for a kernel that gives less.
const MoreBuffers = "sysctl " + moreBuffers

// Buffers tells what the kernel gave. Linux tells twice that, and needs the other
// half itself.
func (s *Socket) Buffers() (b Buffers, err error) {
	part := 1
	if runtime.GOOS == "linux" {
		part = 2
	}
	err = control(s.raw, func(fd int) error {
		var err error
		if b.Receive, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF); err != nil {
			return err
		}
		b.Send, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF)
		return err
	})
	return Buffers{b.Receive / part, b.Send / part}, err
}
