//go:build linux

package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"netcombiner/src/control"
	"netcombiner/src/testbed/emulator"
	"netcombiner/src/testbed/lab"
)

// Attacks on a tunnel by someone who sees one of its links and can put packets
// on it: frames recorded there, as they were or altered.

// recording is what entered link a, each way.
type recording [2][][]byte

// record begins to record what enters link a, each way.
func record(l *lab.Lab) error {
	const frames = 1000
	a := l.Link("a")
	return errors.Join(a.Record(emulator.Up, frames), a.Record(emulator.Down, frames))
}

// recorded ends the recording and returns the tunnel's messages in it. Both
// ways have some, or that is an error.
func recorded(l *lab.Lab) (r recording, err error) {
	for way := range r {
		frames, err := l.Link("a").Recorded(emulator.Way(way))
		if err != nil {
			return r, err
		}
		if r[way] = slices.DeleteFunc(frames, func(f []byte) bool { return !isMessage(f) }); len(r[way]) == 0 {
			return r, fmt.Errorf("none of the %d frames going %v is a message of the tunnel over UDP", len(frames), emulator.Way(way))
		}
	}
	return r, nil
}

// Where things are in a frame without IP options.
const (
	ipAt      = 14
	udpAt     = ipAt + 20
	payloadAt = udpAt + 8
)

func isMessage(f []byte) bool {
	port := func(at int) bool { return binary.BigEndian.Uint16(f[at:]) == lab.Port }
	return len(f) > payloadAt && f[12] == 8 && f[13] == 0 && f[ipAt] == 0x45 && f[ipAt+9] == 17 && (port(udpAt) || port(udpAt+2))
}

// alter changes a copy of a frame; the checksums are set right afterwards.
type alter func(frame []byte, rng *rand.Rand) []byte

func again(f []byte, _ *rand.Rand) []byte { return f }

func flipped(f []byte, rng *rand.Rand) []byte {
	f[payloadAt+rng.IntN(len(f)-payloadAt)] ^= 1 << rng.IntN(8)
	return f
}

func truncated(f []byte, rng *rand.Rand) []byte {
	return f[:payloadAt+1+rng.IntN(len(f)-payloadAt-1)]
}

// stranger is an address behind the same provider, to which an answer would
// come by the same link.
const stranger = 77

func fromAnother(f []byte, rng *rand.Rand) []byte {
	f[ipAt+15] = stranger
	binary.BigEndian.PutUint16(f[udpAt:], uint16(1024+rng.IntN(60000)))
	return f
}

func noise(f []byte, rng *rand.Rand) []byte {
	f = truncated(f, rng)
	for i := payloadAt; i < len(f); i++ {
		f[i] = byte(rng.Uint32())
	}
	return f
}

// correct sets lengths and checksums right. UDP over IPv4 may go without one.
func correct(f []byte) []byte {
	put := binary.BigEndian.PutUint16
	put(f[ipAt+2:], uint16(len(f)-ipAt))
	put(f[udpAt+4:], uint16(len(f)-udpAt))
	put(f[udpAt+6:], 0)
	put(f[ipAt+10:], 0)
	var sum uint32
	for i := ipAt; i < udpAt; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(f[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	put(f[ipAt+10:], ^uint16(sum))
	return f
}

// outcome tells what became of packets sent to a portal.
type outcome struct{ sent, rejected, forwarded, answered int }

// attack sends recorded frames, altered, out of the far end of the link that
// they were recorded on, to a tunnel otherwise idle. A way of which r has
// none is left out.
func attack(ctx context.Context, l *lab.Lab, t *lab.Tunnel, r recording, how alter) (total outcome, err error) {
	rng := rand.New(rand.NewPCG(1, 2))
	local, err := localPort(t)
	if err != nil {
		return total, err
	}
	for way, frames := range r {
		if len(frames) == 0 {
			continue
		}
		victim := t.Remote
		if emulator.Way(way) == emulator.Down {
			victim = t.Local
		}
		// What an idle tunnel says by itself in that time is no answer.
		idle, err := watch(ctx, l, victim, emulator.Way(way), func() error { return nil })
		if err != nil {
			return total, err
		}
		busy, err := watch(ctx, l, victim, emulator.Way(way), func() error {
			for i, f := range frames {
				f = how(slices.Clone(f), rng)
				if emulator.Way(way) == emulator.Down {
					binary.BigEndian.PutUint16(f[udpAt+2:], local)
				}
				if err := l.Link("a").Inject(emulator.Way(way), correct(f)); err != nil {
					return err
				}
				if i%50 == 49 { // not faster than a socket's buffer holds
					if err := pause(ctx, 5*time.Millisecond); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			return total, err
		}
		total.sent += len(frames)
		total.rejected += min(len(frames), busy.rejected-idle.rejected)
		total.forwarded += max(0, busy.forwarded-idle.forwarded)
		// Keepalives come at their own times: a few more are no answer, one to every packet is.
		if extra := busy.answered - idle.answered; extra > max(20, idle.answered/2) {
			total.answered += extra
		}
	}
	return total, nil
}

// localPort is where the local portal's socket for link a is now. A restarted
// portal has another than the one in the recorded frames, and what comes there
// would never reach it.
func localPort(t *lab.Tunnel) (uint16, error) {
	s, err := t.Local.Status()
	if err != nil {
		return 0, err
	}
	for _, p := range s.Paths {
		if p.Name == "a" {
			addr, err := netip.ParseAddrPort(p.Local)
			return addr.Port(), err
		}
	}
	return 0, errors.New("the local portal has no path a")
}

// watch does something, and counts for a second and a half what a portal
// rejects, forwards, and sends over link a against the given way.
func watch(ctx context.Context, l *lab.Lab, victim *lab.Portal, way emulator.Way, do func() error) (o outcome, err error) {
	count := func() (o outcome, err error) {
		s, err := victim.Status()
		if err != nil {
			return o, err
		}
		sent, err := l.Link("a").Stats(1 - way)
		return outcome{rejected: rejected(s), forwarded: int(s.Tunnel.Rx.Packets), answered: int(sent.Arrived)}, err
	}
	before, err := count()
	if err != nil {
		return o, err
	}
	began := time.Now()
	if err := do(); err != nil {
		return o, err
	}
	if err := pause(ctx, 1500*time.Millisecond-time.Since(began)); err != nil {
		return o, err
	}
	after, err := count()
	return outcome{
		rejected:  after.rejected - before.rejected,
		forwarded: after.forwarded - before.forwarded,
		answered:  after.answered - before.answered,
	}, err
}

func rejected(s *control.Status) int {
	return int(s.Rejected.Mac + s.Rejected.Replay + s.Rejected.Malformed + s.Rejected.Source)
}
