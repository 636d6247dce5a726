// Package superpacket cuts what Linux hands over on a TUN in one piece, and
// joins what it may be handed so: one system call for many packets. It is pure,
// and takes any bytes: they come from the local network, and from the peer.
//
// Glossary
//
//	super-packet   one packet of up to 64 KiB that stands for several of one
//	               flow, with a header that says how (TSO, USO; GSO in the kernel)
//	frame          a virtio-net header and the packet, as the TUN's file has it
//	segment        one of the packets that it stands for
//	run            packets that may be written as one super-packet
package superpacket

import (
	"encoding/binary"
	"errors"
)

const (
	// HeaderSize is how many bytes of a frame precede the packet: struct
	// virtio_net_hdr (virtio 1.2, section 5.1.6). All zero says: a packet of its
	// own, checksums done.
	HeaderSize = 10
	// MaxFrame is how long a frame may be, in bytes: the header, an IPv6 one and
	// all that its length can tell of.
	MaxFrame = HeaderSize + ipv6Header + maxLength
	// MaxHeaders is how long the headers of a run are at most, in bytes.
	MaxHeaders = HeaderSize + ipv6Header + maxTCPHeader
	// MaxRun is how many packets a run has at most. Linux before 6.9 takes 64
	// UDP segments; of full size, fewer fill a super-packet.
	MaxRun = 64
)

// Kinds of super-packet (VIRTIO_NET_HDR_GSO_…).
const (
	kindNone  = 0
	kindTCP4  = 1
	kindTCP6  = 4
	kindUDP   = 5
	kindECN   = 0x80 // a flag beside: the first segment alone has CWR
	needsSum  = 1    // VIRTIO_NET_HDR_F_NEEDS_CSUM
	ipv4Plain = 0x45 // version 4, no options
)

const (
	protoTCP     = 6
	protoUDP     = 17
	protoESP     = 50
	protoICMP6   = 58
	ipv4Header   = 20
	ipv6Header   = 40
	udpHeader    = 8
	tcpHeader    = 20
	maxTCPHeader = 60
	maxLength    = 65535
	// Where the checksums stand in their headers.
	ipSumAt, tcpSumAt, udpSumAt = 10, 16, 6

	tcpFIN = 0x01
	tcpPSH = 0x08
	tcpACK = 0x10
	tcpECE = 0x40
	tcpCWR = 0x80
)

// ErrMalformed is returned for a frame that makes no sense.
var ErrMalformed = errors.New("a malformed super-packet")

// header is a virtio-net header, in the host's byte order.
type header struct {
	flags, kind uint8
	headers     int // length of the packet's headers; a hint that may be wrong
	size        int // of each segment's payload but the last's
	sumStart    int // offset of what the checksum covers
	sumAt       int // where, in that, it belongs
}

func parseHeader(b []byte) header {
	word := func(at int) int { return int(binary.NativeEndian.Uint16(b[at:])) }
	return header{flags: b[0], kind: b[1], headers: word(2), size: word(4), sumStart: word(6), sumAt: word(8)}
}

func (h header) put(b []byte) {
	b[0], b[1] = h.flags, h.kind
	for i, v := range [...]int{h.headers, h.size, h.sumStart, h.sumAt} {
		binary.NativeEndian.PutUint16(b[2+2*i:], uint16(v))
	}
}
