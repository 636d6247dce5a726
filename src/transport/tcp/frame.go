package tcp

import (
	"encoding/binary"
	"fmt"

	"netcombiner/src/transport"
)

// prefixSize is the length of the length before a message, in bytes.
const prefixSize = 4

const (
	// strangerBuffer is the receive buffer of a stranger, in bytes. A first
	// message that does not fit is not one of ours.
	strangerBuffer = 4 << 10
	// fullBuffer holds the longest message, and so a batch of usual ones.
	fullBuffer = prefixSize + transport.MaxMessage
)

// deframer cuts a stream of bytes into messages.
type deframer struct {
	buf        []byte
	start, end int // buf[start:end] was read from the stream and not yet handed up
	skip       int // bytes of a message too long for its Buf, still to be left out
}

// room returns where to put more of the stream, once take found no whole
// message in what is there; read says how much was put. The buffer grows to size.
func (d *deframer) room(size int) []byte {
	kept := d.buf[d.start:d.end]
	if len(d.buf) < size {
		d.buf = make([]byte, size)
	}
	d.start, d.end = 0, copy(d.buf, kept)
	return d.buf[d.end:]
}

func (d *deframer) read(n int) { d.end += n }

// take copies whole messages to the Bufs of ms and returns how many. A message
// longer than its Buf is dropped. The error says that the stream is not one of
// messages of at most longest bytes; those before the fault come first.
func (d *deframer) take(ms []transport.Message, longest int) (n int, err error) {
	for n < len(ms) {
		left := min(d.skip, d.end-d.start)
		d.start += left
		d.skip -= left
		if d.end-d.start < prefixSize {
			break
		}
		size := binary.BigEndian.Uint32(d.buf[d.start:])
		if size == 0 || size > uint32(longest) {
			if n > 0 {
				break
			}
			return 0, fmt.Errorf("a message claims to be %d bytes long, at most %d are allowed", size, longest)
		}
		if int(size) > len(ms[n].Buf) {
			d.start += prefixSize
			d.skip = int(size)
			continue
		}
		whole := prefixSize + int(size)
		if d.end-d.start < whole {
			break
		}
		ms[n].N = copy(ms[n].Buf, d.buf[d.start+prefixSize:d.start+whole])
		d.start += whole
		n++
	}
	return n, nil
}
