//go:build linux

package testbed

import (
	"context"
	"fmt"
	"time"

	"netcombiner/src/testbed/emulator"
	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// evaluateReplay attacks a live tunnel with what was recorded on one of its
// links, as it was and altered.
func evaluateReplay(ctx context.Context, e *evaluation) error {
	l, err := lab.New(lab.Config{Links: even(2, 8e6)})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := record(l); err != nil {
		return err
	}
	t, err := e.tunnel(ctx, l, "udp")
	if err != nil {
		return err
	}
	defer t.Close()
	for _, d := range directions {
		if _, err := (measure.Call{For: 2 * time.Second, Down: d.down, Size: 1000}).Run(ctx, l.Client, l.Server, lab.Server.V4, nil); err != nil {
			return err
		}
	}
	r, err := recorded(l)
	if err != nil {
		return err
	}
	// The local portal's sockets are connected: of strangers the kernel tells it nothing.
	up := recording{emulator.Up: r[emulator.Up]}
	for _, a := range []struct {
		name string
		how  alter
		of   recording
	}{
		{"sent again", again, r},
		{"with a bit flipped", flipped, r},
		{"truncated", truncated, r},
		{"replaced by noise", noise, r},
		{"from another address", fromAnother, up},
	} {
		var lost, forwarded, answered, memory []float64
		for range e.Runs {
			before := t.Remote.Memory() + t.Local.Memory()
			o, err := attack(ctx, l, t, a.of, a.how)
			if err != nil {
				return fmt.Errorf("%s: %w", a.name, err)
			}
			lost = append(lost, float64(o.sent-o.rejected))
			forwarded = append(forwarded, float64(o.forwarded))
			answered = append(answered, float64(o.answered))
			memory = append(memory, float64(t.Remote.Memory()+t.Local.Memory()-before)/1e6)
		}
		name := fmt.Sprintf("%d packets %s", len(a.of[emulator.Up])+len(a.of[emulator.Down]), a.name)
		e.add(name, "not counted as rejected", "", AlwaysAtMost(0), lost)
		e.add(name, "forwarded", "", AlwaysAtMost(0), forwarded)
		e.add(name, "answered", "", AlwaysAtMost(0), answered)
		e.add(name, "memory grown by", "MB", AtMost(4), memory)
	}
	// After all that the tunnel works as before.
	size, err := datagram(t)
	if err != nil {
		return err
	}
	c, err := measure.Call{For: 2 * time.Second, Size: size}.Run(ctx, l.Client, l.Server, lab.Server.V4, nil)
	if err != nil {
		return err
	}
	e.add("a call afterwards", "datagrams lost", "", AlwaysAtMost(0), []float64{float64(c.Lost)})
	return nil
}
