// Package replay remembers which sequence numbers have been seen, so that a
// packet recorded on the way and sent again is not delivered again: the window
// of RFC 6479 (no bit shifting), the paper's section 2.2.3.
//
// Words:
//
//	window   the numbers from highest-Width()+1 to highest; older ones are refused unseen
//	block    64 neighbouring numbers, one bit each
//	ring     the blocks; number s lives in block (s/64) mod len(ring)
//
// Where a classic window shifts all its bits when a higher number comes, this
// one clears the blocks that it enters anew. The price is one block: a ring of
// b bits makes a window of b-64 numbers, since the newest block is half full.
package replay

import (
	"fmt"
	"math/bits"
)

const blockBits = 64

// DefaultBits is the ring that a session uses: 128 KiB of memory for a window
// of 1,048,512 numbers. Two paths 300 ms apart at 1 Gbit/s of the smallest
// packets that TCP makes (40 bytes, 3.1 million a second) differ by 937,500,
// and by 300,000 once the tunnel's own headers count.
const DefaultBits = 1 << 20

// Window is one session's memory of the numbers it accepted. All producers
// share it, for a packet seen on one path must not pass on another. It has no
// lock: its owner calls it under the lock that it takes once a batch anyway.
type Window struct {
	highest uint64
	mask    uint64 // len(ring)-1
	ring    []uint64
}

// New returns an empty window whose ring has ringBits bits (ringBits/8 bytes):
// a power of two, at least 128. Anything else is a mistake of the program, and
// it panics.
func New(ringBits int) *Window {
	if ringBits < 2*blockBits || bits.OnesCount(uint(ringBits)) != 1 {
		panic(fmt.Sprintf("replay: ring of %d bits: must be a power of two, at least %d", ringBits, 2*blockBits))
	}
	blocks := ringBits / blockBits
	return &Window{mask: uint64(blocks - 1), ring: make([]uint64, blocks)}
}

// Width is how many numbers the window spans: one that lies Width or more
// below the highest accepted is refused, seen or not.
func (w *Window) Width() uint64 { return w.mask * blockBits }

// Highest is the highest number accepted, 0 before the first.
func (w *Window) Highest() uint64 { return w.highest }

// Check says whether Accept would accept seq, and changes nothing.
func (w *Window) Check(seq uint64) bool {
	switch {
	case seq == 0: // never sent, so that a zeroed field is never fresh
		return false
	case seq > w.highest:
		return true
	case w.highest-seq >= w.Width():
		return false
	}
	return w.ring[seq/blockBits&w.mask]>>(seq%blockBits)&1 == 0
}

// Accept says whether seq is fresh (not zero, not too old, not accepted
// before), and if so marks it as seen. Only a number whose packet is proved
// authentic may come here: a forged high one would make the window refuse
// all that follow.
func (w *Window) Accept(seq uint64) bool {
	if !w.Check(seq) {
		return false
	}
	block := seq / blockBits
	if seq > w.highest {
		w.enter(block)
		w.highest = seq
	}
	w.ring[block&w.mask] |= 1 << (seq % blockBits)
	return true
}

// enter clears the blocks after the highest one, up to and including block. A
// jump over the whole ring clears each block once.
func (w *Window) enter(block uint64) {
	current := w.highest / blockBits
	if block-current > w.mask {
		clear(w.ring)
		return
	}
	for b := current + 1; b <= block; b++ {
		w.ring[b&w.mask] = 0
	}
}
