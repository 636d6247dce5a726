//go:build linux

package testbed

import (
	"context"
	"io"
	"testing"
	"time"

	"netcombiner/src/testbed/measure"
)

// A tunnel is changed by commands while it carries a flow and a call. Bounds are
// wide, for a busy host; `make evaluate ONLY=live` measures, and changes more.
func TestChangesOfALiveTunnel(t *testing.T) {
	privileged(t)
	e := &evaluation{EvaluateConfig: EvaluateConfig{Program: build(t)}, out: io.Discard}
	steps := []liveStep{
		{typed: "set nc0 path lte metric 5", links: 1},
		{typed: "set nc0 path dsl bind sat", links: 1},
		{typed: "remove nc0 path lte", links: 1},
		{typed: "reload nc0", links: 1},
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for try := range 3 {
		r, err := e.live(ctx, "udp", direction{name: "down", down: true}, steps)
		switch {
		case err != nil:
			t.Fatal(err)
		case r.call.Lost == 0 && r.lowest > 0.25:
			return
		case try < 2:
			t.Logf("try %d, load %.1f: %v", try+1, measure.Load(), r)
		default:
			t.Error(r)
		}
	}
}
