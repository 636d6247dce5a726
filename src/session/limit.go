package session

import (
	"hash/maphash"
	"net/netip"
	"time"

	"netcombiner/src/mono"
)

// Strangers' HELLOs are answered this often at most, each in a row and a
// second. A RETRY costs one MAC and a REPLY two scalar multiplications; they
// count apart, so that recordings, which get no more than a RETRY, do not keep
// out who has a cookie. RETRYs count for each source too, so that whoever sends
// recordings keeps out nobody but its neighbours.
const (
	repliesRate = 20
	retriesRate = 20  // to one source
	retriesAll  = 320 // to all together: for who can send in many names
)

// A source is all that one stranger can be thought to have: an IPv4 /24, or the
// IPv6 /56 that providers give to a household.
const (
	sourceBits4 = 24
	sourceBits6 = 56
)

// limiter says how often RETRYs are sent. Sources share its buckets by a hash
// that nobody else can foretell, so their number costs no memory, and nobody can
// choose with whom to share one.
type limiter struct {
	seed    maphash.Seed
	all     bucket
	sources [256]bucket
}

func newLimiter() limiter { return limiter{seed: maphash.MakeSeed()} }

// take says whether a RETRY may go to from now, and if so counts it.
func (l *limiter) take(now mono.Time, from netip.Addr) bool {
	return l.source(from).take(now, retriesRate) && l.all.take(now, retriesAll)
}

// source is the bucket for from.
func (l *limiter) source(from netip.Addr) *bucket {
	from = from.Unmap()
	bits := sourceBits6
	if from.Is4() {
		bits = sourceBits4
	}
	prefix, _ := from.Prefix(bits) // the zero Prefix of the zero Addr will do
	return &l.sources[maphash.Comparable(l.seed, prefix)%uint64(len(l.sources))]
}

// bucket holds tokens for a second. The zero bucket is full.
type bucket struct{ full mono.Time } // when it is, if nothing is taken until then

// take says whether there is a token, and if so takes it. rate is how many the
// bucket gets a second.
func (b *bucket) take(now mono.Time, rate int) bool {
	full := max(b.full, now).Add(time.Second / time.Duration(rate))
	if full.Sub(now) > time.Second {
		return false
	}
	b.full = full
	return true
}
