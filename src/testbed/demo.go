//go:build linux

package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/measure"
)

// DemoConfig says how the demonstration runs.
type DemoConfig struct {
	For       time.Duration // of each throughput measurement; 0: 8 s
	Transport string        // empty: udp
	Routing   string        // empty: nat
	Program   string        // the daemon; empty: build/netcombiner
	Dir       string        // where summary.json and the daemons' logs go; empty: build/demo
}

// Summary is what the demonstration found: the content of summary.json.
// Rates are payload at the receiver in Mbit/s.
type Summary struct {
	Started    time.Time       `json:"started"`
	Seconds    float64         `json:"seconds"`
	Machine    measure.Machine `json:"machine"`
	Load       float64         `json:"load"`
	Alone      []LinkSpeed     `json:"alone"` // each link without the tunnel
	Sum        Speed           `json:"sum"`
	Tunnel     Speed           `json:"tunnel"`
	TunnelPart Speed           `json:"tunnel_percent_of_sum"`
	Call       CallSummary     `json:"call"`
}

// Speed is both directions of something.
type Speed struct {
	Down float64 `json:"down"`
	Up   float64 `json:"up"`
}

// LinkSpeed is a link's.
type LinkSpeed struct {
	Link string `json:"link"`
	Speed
}

// CallSummary tells how a call lived through a link's death and return.
type CallSummary struct {
	Link    string   `json:"link"` // that died
	DiesAtS float64  `json:"dies_at_s"`
	BackAtS float64  `json:"back_at_s"`
	LastsS  float64  `json:"lasts_s"`
	Down    CallSide `json:"down"`
	Up      CallSide `json:"up"`
}

// CallSide is one direction of a call.
type CallSide struct {
	Sent         int     `json:"sent"`
	Lost         int     `json:"lost"`
	LongestGapMs float64 `json:"longest_gap_ms"`
	GapAtS       float64 `json:"gap_at_s"`
}

// The demonstration's call.
const (
	callLasts = 15 * time.Second
	callDies  = 5 * time.Second
	callBack  = 10 * time.Second
)

// demoLinks are a house's usual two.
var demoLinks = []lab.LinkConfig{
	{Name: "dsl", Down: link.Shape{Rate: 16e6, Delay: 15 * time.Millisecond}, Up: link.Shape{Rate: 4e6, Delay: 15 * time.Millisecond}},
	{Name: "lte", Down: link.Shape{Rate: 8e6, Delay: 30 * time.Millisecond}, Up: link.Shape{Rate: 8e6, Delay: 30 * time.Millisecond}},
}

// Demo shows on out what netcombiner is for, in under three minutes.
func Demo(ctx context.Context, c DemoConfig, out *os.File) error {
	if c.For == 0 {
		c.For = 8 * time.Second
	}
	if c.Dir == "" {
		c.Dir = filepath.Join("build", "demo")
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	l, err := lab.New(lab.Config{Links: demoLinks})
	if err != nil {
		return err
	}
	defer l.Close()
	server, err := measure.StartIperf(l.Server, lab.Server.V4)
	if err != nil {
		return err
	}
	defer server.Close()

	fmt.Fprint(out, `
A home with two Internet links, made of network namespaces on this machine:

    client ── local portal ══ dsl 16/4 Mbit/s, 15 ms ══ internet ── remote portal
                           ══ lte  8/8 Mbit/s, 30 ms ══          ── server

`)
	v := newView(out, l)
	d := &demo{c: c, lab: l, server: server, view: v}
	s, err := d.run(ctx)
	v.Close()
	if err != nil {
		return err
	}
	s.print(out)
	file := filepath.Join(c.Dir, "summary.json")
	if err := writeJSON(file, s); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nThe figures are in %s, the portals' logs beside it.\n", file)
	return nil
}

// demo is a demonstration under way.
type demo struct {
	c      DemoConfig
	lab    *lab.Lab
	server *measure.Iperf
	view   *view
}

func (d *demo) run(ctx context.Context) (s Summary, err error) {
	s = Summary{Started: time.Now().UTC().Truncate(time.Second), Machine: measure.ThisMachine()}
	d.view.Say("One TCP flow (iperf3, CUBIC) over each link alone, without netcombiner:")
	for _, l := range demoLinks {
		alone := LinkSpeed{Link: l.Name}
		alone.Speed, err = d.speed(ctx, l.Name+" alone", func(t *measure.TCPTest) { t.Device = l.Name })
		if err != nil {
			return s, err
		}
		s.Alone = append(s.Alone, alone)
		s.Sum.Down += alone.Down
		s.Sum.Up += alone.Up
	}

	d.view.Phase(5*time.Second, "starting netcombiner on both portals")
	t, err := d.lab.StartTunnel(lab.TunnelConfig{Program: d.c.Program, Transport: d.c.Transport, Routing: d.c.Routing, LogDir: d.c.Dir})
	if err != nil {
		return s, err
	}
	defer t.Close()
	if err := waitUp(ctx, t); err != nil {
		return s, err
	}
	d.view.Tunnel(t)
	defer d.view.Tunnel(nil)

	d.view.Say("\nThe same flow through netcombiner, over both links:")
	if s.Tunnel, err = d.speed(ctx, "netcombiner", nil); err != nil {
		return s, err
	}
	s.TunnelPart = Speed{Down: 100 * s.Tunnel.Down / s.Sum.Down, Up: 100 * s.Tunnel.Up / s.Sum.Up}

	d.view.Say("\nA call (UDP, 1.05 Mbit/s each way) while the dsl dies and comes back:")
	if s.Call, err = d.call(ctx, t, "dsl"); err != nil {
		return s, err
	}
	d.view.Phase(0, "")
	s.Load = measure.Load()
	s.Seconds = time.Since(s.Started).Seconds()
	return s, nil
}

// speed measures one TCP flow in both directions.
func (d *demo) speed(ctx context.Context, name string, how func(*measure.TCPTest)) (s Speed, err error) {
	for _, dir := range directions {
		d.view.Phase(d.c.For, "%s, %s", name, dir.name)
		test, from := measure.TCPTest{For: d.c.For, Down: dir.down}, d.lab.Client
		if how != nil { // without the tunnel: a flow of the router's own, on one WAN
			how(&test)
			from = d.lab.Local
		}
		got, err := d.server.TCP(ctx, from, test)
		if err != nil {
			return s, err
		}
		d.view.Say("  %-12s %-5s %5.1f Mbit/s", name, dir.name, got/1e6)
		if dir.down {
			s.Down = got / 1e6
		} else {
			s.Up = got / 1e6
		}
	}
	return s, nil
}

// call makes a call both ways while a link dies and returns.
func (d *demo) call(ctx context.Context, t *lab.Tunnel, dies string) (s CallSummary, err error) {
	size, err := datagram(t)
	if err != nil {
		return s, err
	}
	s = CallSummary{Link: dies, DiesAtS: callDies.Seconds(), BackAtS: callBack.Seconds(), LastsS: callLasts.Seconds()}
	d.view.Phase(callLasts, "call")
	// What befalls the link has its own goroutine: it must not delay the call.
	var wg sync.WaitGroup
	var fate error
	course := func() {
		wg.Go(func() {
			began := time.Now()
			for _, step := range []struct {
				at         time.Duration
				cut        bool
				note, said string
			}{
				{callDies, true, "DEAD: all packets vanish", "dies, silently"},
				{callBack, false, "", "is back"},
			} {
				if fate = pause(ctx, step.at-time.Since(began)); fate != nil {
					return
				}
				if fate = d.lab.Link(dies).Cut(step.cut); fate != nil {
					return
				}
				d.view.Note(dies, step.note)
				d.view.Say("  %4.1f s: the %s %s", time.Since(began).Seconds(), dies, step.said)
			}
		})
	}
	var results [2]measure.CallResult
	var errs [2]error
	for i, dir := range directions {
		began := course
		if i > 0 {
			began = nil
		}
		wg.Go(func() {
			results[i], errs[i] = measure.Call{For: callLasts, Down: dir.down, Size: size, Port: uint16(5210 + i)}.
				Run(ctx, d.lab.Client, d.lab.Server, lab.Server.V4, began)
		})
	}
	wg.Wait()
	if err := errors.Join(fate, errs[0], errs[1]); err != nil {
		return s, err
	}
	for i, dir := range directions {
		r := results[i]
		side := CallSide{Sent: r.Sent, Lost: r.Lost, LongestGapMs: float64(r.Gap) / 1e6, GapAtS: r.GapAt.Seconds()}
		if dir.down {
			s.Down = side
		} else {
			s.Up = side
		}
		d.view.Say("  call %-5s %v", dir.name, r)
	}
	return s, nil
}

// print shows the table at the end.
func (s Summary) print(out *os.File) {
	fmt.Fprintln(out)
	rows := [][]string{{"one TCP flow, Mbit/s", "down", "up"}}
	add := func(name string, v Speed) {
		rows = append(rows, []string{name, fmt.Sprintf("%.1f", v.Down), fmt.Sprintf("%.1f", v.Up)})
	}
	for _, a := range s.Alone {
		add(a.Link+" alone", a.Speed)
	}
	add("both, added up", s.Sum)
	add("netcombiner", s.Tunnel)
	rows = append(rows, []string{"of the sum", fmt.Sprintf("%.0f %%", s.TunnelPart.Down), fmt.Sprintf("%.0f %%", s.TunnelPart.Up)})
	table(out, rows, 1)
	fmt.Fprintln(out)
	rows = [][]string{{fmt.Sprintf("call of %.0f s, %s dead from %.0f to %.0f s", s.Call.LastsS, s.Call.Link, s.Call.DiesAtS, s.Call.BackAtS), "down", "up"}}
	down, up := s.Call.Down, s.Call.Up
	rows = append(rows,
		[]string{"datagrams lost", fmt.Sprintf("%d of %d", down.Lost, down.Sent), fmt.Sprintf("%d of %d", up.Lost, up.Sent)},
		[]string{"longest gap", fmt.Sprintf("%.0f ms", down.LongestGapMs), fmt.Sprintf("%.0f ms", up.LongestGapMs)})
	table(out, rows, 1)
	fmt.Fprintf(out, "\n%v, load %.2f, %.0f s\n", s.Machine, s.Load, s.Seconds)
}
