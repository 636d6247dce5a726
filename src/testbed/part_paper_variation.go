//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"netcombiner/src/testbed/emulator"
	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/measure"
)

// The course of the variation evaluation, from the stream's start.
const (
	variationPhase  = 10 * time.Second // each of three: as before, changed, as before
	variationTail   = 5 * time.Second  // the end of a phase, when its level should be constant
	variationWindow = 500 * time.Millisecond
	seriesStep      = 100 * time.Millisecond // of what is plotted
)

// evaluateVariation is the paper's figure 4.9: the capacity of one link of two
// falls and returns, or rises and returns, during a TCP flow.
func evaluateVariation(ctx context.Context, e *evaluation) error {
	for _, course := range [][3][]int64{
		{{2 * mb, 2 * mb}, {1 * mb, 2 * mb}, {2 * mb, 2 * mb}},
		{{1 * mb, 1 * mb}, {2 * mb, 1 * mb}, {1 * mb, 1 * mb}},
	} {
		for _, rate := range slices.Compact(slices.Sorted(slices.Values(course[1]))) {
			if err := e.direct(ctx, rate); err != nil {
				return fmt.Errorf("direct: %w", err)
			}
		}
		if err := e.variation(ctx, course); err != nil {
			return fmt.Errorf("%s: %w", linksName(course[0]), err)
		}
	}
	return nil
}

func variationLasts(e *evaluation) time.Duration {
	direct := labTakes + time.Duration(len(e.directions)*e.Runs)*(e.For+testTakes)
	return 2*direct + 2*e.each(3*variationPhase+testTakes)
}

// variation measures one course of three sets of links' rates, a phase each.
func (e *evaluation) variation(ctx context.Context, course [3][]int64) error {
	l, err := lab.New(lab.Config{Links: linksOf(course[0])})
	if err != nil {
		return err
	}
	defer l.Close()
	for _, transport := range e.transports {
		t, err := e.tunnel(ctx, l, transport)
		if err != nil {
			return err
		}
		for _, d := range e.directions {
			if err := e.variationOf(ctx, l, course, transport, d); err != nil {
				t.Close()
				return fmt.Errorf("%s %s: %w", transport, d.name, err)
			}
		}
		t.Close()
	}
	return e.exactness(courseName(course), l)
}

// courseName is a course in words: "16+16 → 8+16 → 16+16 Mbit/s".
func courseName(course [3][]int64) string {
	var names []string
	for _, rates := range course {
		names = append(names, strings.TrimSuffix(linksName(rates), " Mbit/s"))
	}
	return strings.Join(names, " → ") + " Mbit/s"
}

func (e *evaluation) variationOf(ctx context.Context, l *lab.Lab, course [3][]int64, transport string, d direction) error {
	name := e.inner(courseName(course) + " " + transport + " " + d.name)
	series := Series{Part: e.part, Case: name, Step: seriesStep.Seconds()}
	var settled, level [3][]float64
	for phase, rates := range course {
		series.Events = append(series.Events, Event{
			At: (time.Duration(phase) * variationPhase).Seconds(), Text: linksName(rates), Sum: e.sumAlone(rates, d) / 1e6,
		})
	}
	for run := range e.Runs {
		s, err := vary(ctx, l, course, measure.TCPTest{Down: d.down, Congestion: e.Inner})
		if err != nil {
			return err
		}
		for phase, rates := range course {
			from, sum := time.Duration(phase)*variationPhase, e.sumAlone(rates, d)
			took := settles(s, from, from+variationPhase, sum)
			settled[phase] = append(settled[phase], took.Seconds())
			level[phase] = append(level[phase], 100*s.Rate(from+variationPhase-variationTail, from+variationPhase)/sum)
		}
		series.Runs = append(series.Runs, scale(s.Series(3*variationPhase, seriesStep), 1e-6))
		e.say("%s, run %d of %d: after the change in %.1f s at the new level, then at %.0f %% of the sum; after the return %.1f s, %.0f %%",
			name, run+1, e.Runs, settled[1][run], level[1][run], settled[2][run], level[2][run])
	}
	e.report.PutSeries(series)
	for phase, what := range []string{"before", "after the change", "after the return"} {
		if phase > 0 {
			e.put(Row{Case: name, Metric: "within 10 % of the new level " + what + " in", Unit: "s", Target: AtMost(2), Samples: settled[phase], Paper: "reached"})
		}
		e.put(Row{Case: name, Metric: "level " + what + ", of the sum", Unit: "%", Target: AtLeast(90), Samples: level[phase], Paper: "reached"})
	}
	return nil
}

// vary lets a TCP flow run while the first link goes through a course, and returns its memory.
func vary(ctx context.Context, l *lab.Lab, course [3][]int64, flow measure.TCPTest) (*measure.Stream, error) {
	set := func(rates []int64) error {
		a := l.Links[0]
		return errors.Join(a.SetRate(emulator.Down, rates[0]), a.SetRate(emulator.Up, rates[0]))
	}
	s, err := measure.StartStream(ctx, l.Client, l.Server, lab.Server.V4, 5204, flow)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	defer set(course[0])
	for phase, rates := range course {
		if err := pause(ctx, time.Duration(phase)*variationPhase-s.Now()); err != nil {
			return nil, err
		}
		if err := set(rates); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, time.Duration(len(course))*variationPhase-s.Now()); err != nil {
		return nil, err
	}
	return s, s.Broken()
}

// settles is how long from a moment on a stream takes until its rate over a
// window is within a tenth of a level; the whole phase if it never is.
func settles(s *measure.Stream, from, to time.Duration, level float64) time.Duration {
	for at := from; at+variationWindow <= to; at += measure.Bin {
		if r := s.Rate(at, at+variationWindow); r >= 0.9*level && r <= 1.1*level {
			return at - from
		}
	}
	return to - from
}
