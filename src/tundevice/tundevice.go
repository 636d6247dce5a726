// Package tundevice is the TUN interface: one of the four places that touch
// the operating system (the others are udpsocket, linkwatch and routing).
package tundevice

// Device is a TUN interface, or in tests a double of one.
type Device interface {
	// Read waits for at least one packet and fills bufs[i][offset:offset+sizes[i]]
	// of the first n buffers. One goroutine reads. Each buffer must hold
	// offset + MTU bytes.
	Read(bufs [][]byte, sizes []int, offset int) (n int, err error)
	// Write writes the packets bufs[i][offset:]; the offset bytes before each
	// packet (at least Headroom) are scratch for the device. One goroutine
	// writes at a time. The caller owns the buffers again on return.
	Write(bufs [][]byte, offset int) (n int, err error)
	// BatchSize is how many buffers a Read may fill at most.
	BatchSize() int
	// SetMTU sets the interface's MTU, in bytes.
	SetMTU(mtu int) error
	Name() string
	Close() error
}

// Headroom is how many bytes a Device may scribble on before a packet that is
// written: room for a virtio-net header.
const Headroom = 16
