package handshake

import (
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"time"

	"golang.org/x/crypto/blake2s"

	"netcombiner/src/mono"
)

// SlotLength is how long one cookie is handed out. It is accepted in the next
// slot too, so it lives between one and two of these.
const SlotLength = 30 * time.Second

// CookieJar makes and knows cookies without remembering any: a cookie is a
// keyed hash over the number of the slot of time in which it was made. The
// secret is made with the jar and dies with the process, so no cookie from before
// a restart is valid. It belongs to one goroutine, or to a lock.
type CookieJar struct {
	hash              hash.Hash // keyed with the secret
	generation        uint64    // raised by Renew
	slot              uint64    // now
	current, previous Cookie    // of slot and of slot-1
}

// NewCookieJar draws the secret from rand.
func NewCookieJar(rand io.Reader) (*CookieJar, error) {
	var key Key
	if _, err := io.ReadFull(rand, key[:]); err != nil {
		return nil, fmt.Errorf("handshake: no secret for cookies: %w", err)
	}
	j := &CookieJar{hash: mustKeyed(blake2s.New128(key[:]))}
	j.fill()
	return j, nil
}

// Make returns the cookie to hand out now. now never goes back from call to call.
func (j *CookieJar) Make(now mono.Time) Cookie {
	j.turn(now)
	return j.current
}

// Valid says whether c was made in this slot or the one before, after the last
// Renew.
func (j *CookieJar) Valid(now mono.Time, c Cookie) bool {
	j.turn(now)
	current := subtle.ConstantTimeCompare(c[:], j.current[:])
	previous := subtle.ConstantTimeCompare(c[:], j.previous[:])
	return current|previous == 1
}

// Renew makes every cookie handed out so far invalid.
func (j *CookieJar) Renew() {
	j.generation++
	j.fill()
}

// turn moves on to the slot of now. The cookies are made once a slot, so that
// refusing a HELLO costs no hash here.
func (j *CookieJar) turn(now mono.Time) {
	if slot := uint64(now / mono.Time(SlotLength)); slot != j.slot {
		j.slot = slot
		j.fill()
	}
}

func (j *CookieJar) fill() {
	j.current, j.previous = j.bake(j.slot), j.bake(j.slot-1)
}

func (j *CookieJar) bake(slot uint64) (c Cookie) {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], j.generation)
	binary.BigEndian.PutUint64(b[8:], slot)
	j.hash.Reset()
	j.hash.Write(b[:])
	j.hash.Sum(c[:0])
	return c
}

// Format keeps the cookies out of what is printed.
func (CookieJar) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret) }
