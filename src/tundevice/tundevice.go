// Package tundevice is the TUN interface: one of the four places that touch
// the operating system (the others are udpsocket, linkwatch and routing).
//
// A TUN lives as long as a process holds its file. Create makes one; File and
// FromFile hand it from the process that started the daemon to the daemon;
// Configure gives it addresses and brings it up. Whoever deletes it from
// outside (ip link del nc0, ifconfig nc0 destroy) ends the daemon: Read returns
// ErrGone. FreeBSD keeps what a killed process leaves: CleanUp is for that.
//
// On Linux the kernel hands over, and is handed, many packets in one piece
// (package superpacket) where it can. What it takes is probed at the start, and
// noticed later if that was wrong; Options.Offload says whether to ask at all.
//
// What a packet of 1400 bytes costs, in ns, the best of many batches (2 cores of
// an AMD EPYC VM, Linux 6.18): to read, 153 of a super-packet of 44, 210 of 16,
// 362 of 4, 950 of its own or without offload; to write, 248 in a run of 48, 364
// of 16, 774 of 4, 1117 of 2, 1830 alone or without. That includes its cutting,
// 115, or the finding of runs, 125: checksums mostly.
package tundevice

import "errors"

// Device is a TUN interface, or in tests a double of one (package tuntest).
type Device interface {
	// Read waits for at least one packet and fills bufs[i][offset:offset+sizes[i]]
	// of the first n buffers. One goroutine reads. Each buffer must hold
	// offset + MTU bytes; a packet that does not fit is dropped. It returns an
	// error only when the device is finished: ErrGone, or os.ErrClosed after
	// Close.
	Read(bufs [][]byte, sizes []int, offset int) (n int, err error)
	// Write writes the packets bufs[i][offset:]; the offset bytes before each
	// packet (at least Headroom) are scratch for the device. One goroutine
	// writes at a time. The caller owns the buffers again on return. Packets of
	// one flow stay in order; flows may overtake each other. n is how many
	// packets the system took; one that it refuses (not IP, interface down) is
	// dropped without an error. An error means that the device is finished, as
	// with Read.
	Write(bufs [][]byte, offset int) (n int, err error)
	// BatchSize is how many buffers a Read may fill at most.
	BatchSize() int
	// SetMTU sets the interface's MTU, in bytes. Linux takes IPv6, addresses
	// and all, off an interface below MinMTU6.
	SetMTU(mtu int) error
	Name() string
	Close() error
}

// Headroom is how many bytes a Device may scribble on before a packet that is
// written: room for a virtio-net header.
const Headroom = 16

// MinMTU6 is the smallest MTU that carries IPv6, in bytes (RFC 8200 section 5).
const MinMTU6 = 1280

// ErrGone is returned by Read and Write once the interface was deleted by
// somebody else.
var ErrGone = errors.New("the interface was deleted")

// maxName is the longest interface name, in bytes: IFNAMSIZ less its NUL.
const maxName = 15
