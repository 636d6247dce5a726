//go:build linux

package testbed

import (
	"context"
	"fmt"
	"math"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
)

// truth is how far an emulated link is from what it was told to be.
type truth struct {
	rate  float64       // of the rate, relative: 0.01 is 1 % too fast
	delay time.Duration // of the median one-way delay
	p99   time.Duration // of its 99th percentile
	tcp   float64       // payload rate of one direct TCP flow, of what the link can carry
}

// evaluateEmulator shows that links have the rate, the delay and the faults that
// they were told to have.
func evaluateEmulator(ctx context.Context, e *evaluation) error {
	for _, s := range []link.Shape{
		{Rate: 4e6, Delay: 15 * time.Millisecond},
		{Rate: 16e6, Delay: 5 * time.Millisecond},
		{Rate: 100e6, Delay: 50 * time.Millisecond},
	} {
		for _, d := range e.directions {
			name := fmt.Sprintf("%d Mbit/s %v %s", s.Rate/1e6, s.Delay, d.name)
			var rate, delay, p99, tcp []float64
			for range e.Runs {
				t, err := measureTruth(ctx, s, d.down, min(e.For, 2*time.Second), min(e.For, 5*time.Second))
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
				rate = append(rate, 100*math.Abs(t.rate))
				delay = append(delay, float64(t.delay.Abs())/1e6)
				p99 = append(p99, float64(t.p99.Abs())/1e6)
				tcp = append(tcp, 100*t.tcp)
			}
			e.add(name, "rate is off by", "%", AtMost(2), rate)
			e.add(name, "median delay is off by", "ms", AtMost(1), delay)
			e.add(name, "99th percentile of delay is off by", "ms", AtMost(1), p99)
			e.add(name, "a direct TCP flow gets", "% of capacity", nil, tcp)
		}
	}
	return evaluateFaults(ctx, e)
}

// faults is how far an emulated link's faults are from what they were told to be.
type faults struct {
	mean      time.Duration // of the delay
	deviation float64       // of the delay, relative
	loss      float64       // absolute
	queue     time.Duration // of the longest wait
}

func evaluateFaults(ctx context.Context, e *evaluation) error {
	for _, d := range e.directions {
		const name = "50 ± 8 ms, 2 % loss, 300 ms of queue "
		var mean, deviation, loss, queue []float64
		for range e.Runs {
			f, err := measureFaults(ctx, d)
			if err != nil {
				return fmt.Errorf("%s%s: %w", name, d.name, err)
			}
			mean = append(mean, float64(f.mean.Abs())/1e6)
			deviation = append(deviation, 100*math.Abs(f.deviation))
			loss = append(loss, 100*math.Abs(f.loss))
			queue = append(queue, float64(f.queue.Abs())/1e6)
		}
		e.add(name+d.name, "mean delay is off by", "ms", AtMost(1), mean)
		e.add(name+d.name, "standard deviation of delay is off by", "%", AtMost(5), deviation)
		e.add(name+d.name, "loss is off by", "percentage points", AtMost(1), loss)
		e.add(name+d.name, "longest wait in the full queue is off by", "ms", AtMost(2), queue)
	}
	return nil
}

// measureFaults measures one direction of a link with jitter that reorders and
// with loss, and then without those the depth of its queue.
func measureFaults(ctx context.Context, d direction) (faults, error) {
	const rate, delay, jitter, loss, queue = 16e6, 50 * time.Millisecond, 8 * time.Millisecond, 0.02, 300 * time.Millisecond
	s := link.Shape{Rate: rate, Delay: delay, Jitter: jitter, Reorder: true, Loss: loss, Queue: link.Queue{Time: queue}}
	l, err := lab.New(lab.Config{Links: []lab.LinkConfig{lab.Symmetric("wan", s)}, Seed: 1})
	if err != nil {
		return faults{}, err
	}
	defer l.Close()
	// 4000 lone small datagrams: the deviation shows to 1 % and the loss to 0.2 points.
	const small = 72 // bytes with its headers: 100
	alone, err := measure.Call{For: 4 * time.Second, Down: d.down, Size: small, Every: time.Millisecond}.Run(ctx, l.Local, l.Server, lab.Server.V4, nil)
	if err != nil {
		return faults{}, err
	}
	var sum, squares float64
	for _, d := range alone.Delay {
		sum += float64(d)
		squares += float64(d) * float64(d)
	}
	n := float64(max(1, len(alone.Delay)))
	f := faults{
		mean:      time.Duration(sum/n) - delay - time.Duration(100*8*1e9/rate),
		deviation: math.Sqrt(squares/n-sum*sum/n/n)/float64(jitter) - 1,
		loss:      float64(alone.Lost)/float64(alone.Sent) - loss,
	}
	s.Jitter, s.Loss = 0, 0
	if err := l.Link("wan").SetShape(d.way(), s); err != nil {
		return faults{}, err
	}
	// A third more than fits has filled it within a second.
	const every = time.Duration(1500 * 8 * 1e9 / (rate * 4 / 3))
	full, err := measure.Call{For: 2 * time.Second, Down: d.down, Size: 1472, Every: every}.Run(ctx, l.Local, l.Server, lab.Server.V4, nil)
	if err != nil {
		return faults{}, err
	}
	f.queue = full.MaxDelay() - delay - queue
	return f, nil
}

// measureTruth raises a lab with one link of shape s and measures one direction of it,
// with UDP and with TCP for so long each.
func measureTruth(ctx context.Context, s link.Shape, down bool, udp, tcp time.Duration) (truth, error) {
	l, err := lab.New(lab.Config{Links: []lab.LinkConfig{lab.Symmetric("wan", s)}})
	if err != nil {
		return truth{}, err
	}
	defer l.Close()
	// A lone small datagram every 5 ms meets no queue: delay, and its own serialisation.
	const small = 72 // bytes with its headers: 100
	alone, err := measure.Call{For: udp, Down: down, Size: small, Every: 5 * time.Millisecond}.Run(ctx, l.Local, l.Server, lab.Server.V4, nil)
	if err != nil {
		return truth{}, err
	}
	if alone.Lost > 0 {
		return truth{}, fmt.Errorf("%d of %d datagrams are lost on a link without loss", alone.Lost, alone.Sent)
	}
	var delays []float64
	for _, d := range alone.Delay {
		delays = append(delays, float64(d))
	}
	want := s.Delay + time.Duration(100*8*1e9/s.Rate)
	t := truth{
		delay: time.Duration(measure.Median(delays)) - want,
		p99:   time.Duration(measure.Quantile(delays, 0.99)) - want,
	}
	// A third more than fits keeps the queue full.
	const big = 1472 // bytes with its headers: 1500
	every := time.Duration(1500 * 8 * 1e9 / (float64(s.Rate) * 4 / 3))
	full, err := measure.Call{For: udp, Down: down, Size: big, Every: every}.Run(ctx, l.Local, l.Server, lab.Server.V4, nil)
	if err != nil {
		return truth{}, err
	}
	if full.Lost == 0 {
		return truth{}, fmt.Errorf("a third more than the link carries was not enough to fill it")
	}
	t.rate = full.Rate/float64(s.Rate) - 1
	server, err := measure.StartIperf(l.Server, lab.Server.V4)
	if err != nil {
		return truth{}, err
	}
	defer server.Close()
	got, err := server.TCP(ctx, l.Local, measure.TCPTest{For: tcp, Down: down})
	if err != nil {
		return truth{}, err
	}
	t.tcp = got / payload(s.Rate)
	return t, nil
}

// payload is what TCP with timestamps carries over a link of a rate, bit/s:
// 1448 bytes in every packet of 1500.
func payload(rate int64) float64 { return float64(rate) * 1448 / 1500 }
