//go:build linux

// Command testbed raises netcombiner's lab and measures in it: what `make demo`,
// `make evaluate` and `make bench` run. It needs root and iperf3.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"netcombiner/src/testbed"
	"netcombiner/src/testbed/netns"
)

const usage = `usage:
  testbed demo     [options]   show what netcombiner does, in under three minutes
  testbed evaluate [options]   measure, and compare with what it must show
  testbed bench    [options]   measure where only the processor limits, beside wireguard-go
  testbed lab      [options]   the demo's lab with a tunnel, to look around in
  testbed list                 the evaluations' names
Options of each: testbed demo -h, testbed evaluate -h.
`

func main() {
	err := run(os.Args[1:])
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		os.Exit(2)
	case errors.Is(err, errInterrupted):
		fmt.Fprintln(os.Stderr, "testbed:", errInterrupted)
		os.Exit(130)
	default:
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
}

var (
	errUsage       = errors.New("usage")
	errInterrupted = errors.New("interrupted; everything is taken down")
)

func run(args []string) error {
	if len(args) == 0 {
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	flags := flag.NewFlagSet("testbed "+args[0], flag.ContinueOnError)
	var do func(context.Context) error
	switch args[0] {
	case "demo", "lab":
		var c testbed.DemoConfig
		flags.DurationVar(&c.For, "for", 0, "how `long` each throughput measurement lasts (default 8s)")
		flags.StringVar(&c.Transport, "transport", "", "`name` of the paths' transport: udp or tcp (default udp)")
		flags.StringVar(&c.Routing, "routing", "", "`kind` of the tunnel: nat, portal or none (default nat)")
		flags.StringVar(&c.Program, "program", "", "the daemon's `file` (default build/netcombiner)")
		flags.StringVar(&c.Dir, "dir", "", "`folder` of summary.json and the logs (default build/demo)")
		do = func(ctx context.Context) error { return testbed.Demo(ctx, c, os.Stdout) }
		if args[0] == "lab" {
			do = func(ctx context.Context) error { return testbed.Hold(ctx, c, os.Stdout) }
		}
	case "evaluate":
		var c testbed.EvaluateConfig
		flags.StringVar(&c.Only, "only", "", "`parts`, or figures of the paper (4.6, C.1), separated by commas (default: all); profiles:loss_2 or profiles:jit_* are cases of one")
		flags.IntVar(&c.Runs, "runs", 0, "`number` of runs of each figure (default 3)")
		flags.DurationVar(&c.For, "for", 0, "how `long` each throughput measurement lasts (default 10s)")
		flags.StringVar(&c.Transports, "transports", "", "`names`, separated by commas (default udp,tcp; udp in the parts that are not the paper's)")
		flags.StringVar(&c.Directions, "directions", "", "`names`, separated by commas (default down,up)")
		flags.StringVar(&c.Inner, "inner", "", "`name` of the congestion control of the TCP flows through the tunnel (default cubic)")
		flags.Float64Var(&c.Scale, "scale", 0, "`part` of their rates that the links of profiles, latency, metric and udp get, for a slow host (default 1)")
		flags.StringVar(&c.Routing, "routing", "", "`kind` of the tunnels: nat, portal or none (default nat)")
		flags.IntVar(&c.Count, "count", 0, "`number` of homes of the VPS in many (default 100)")
		flags.StringVar(&c.Program, "program", "", "the daemon's `file` (default build/netcombiner)")
		flags.StringVar(&c.Dir, "dir", "", "`folder` of results.json (default build/evaluation)")
		flags.BoolVar(&c.Keep, "keep", false, "keep what results.json has and this evaluation does not measure again")
		do = func(ctx context.Context) error { return testbed.Evaluate(ctx, c, os.Stdout) }
	case "bench":
		var c testbed.BenchConfig
		flags.StringVar(&c.Only, "only", "", "`names` of tunnels (udp-auto, two-*) and kinds of traffic (flow, ping), separated by commas (default: all)")
		flags.IntVar(&c.Runs, "runs", 0, "`number` of runs of everything (default 1)")
		flags.DurationVar(&c.For, "for", 0, "how `long` each throughput measurement lasts (default 3s)")
		flags.StringVar(&c.Program, "program", "", "the daemon's `file` (default build/netcombiner)")
		flags.StringVar(&c.Binary, "binary", "", "the daemon's `file` for linux/arm64, whose size is told")
		flags.StringVar(&c.Wireguard, "wireguard", "", "another wireguard-go's `file`, to be measured beside the system's")
		flags.BoolVar(&c.Profile, "profile", false, "the daemon is built with -tags profile: keep local.pprof and remote.pprof")
		flags.StringVar(&c.Dir, "dir", "", "`folder` of results.json and table.md (default build/bench)")
		do = func(ctx context.Context) error { return testbed.Bench(ctx, c, os.Stdout) }
	case "list":
		do = func(context.Context) error {
			for _, p := range testbed.Parts {
				title := p.Title
				if len(p.Figures) > 0 {
					title += " (the paper's " + strings.Join(p.Figures, ", ") + ")"
				}
				fmt.Printf("%-10s %s\n", p.Name, title)
				if len(p.Cases) > 0 {
					fmt.Printf("%-10s   cases: %s\n", "", strings.Join(p.Cases, ", "))
				}
			}
			return nil
		}
	default:
		fmt.Fprint(os.Stderr, usage)
		return errUsage
	}
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "testbed: unexpected %q\n", flags.Arg(0))
		return errUsage
	}
	if args[0] != "list" {
		if err := netns.Privileged(); err != nil {
			return err
		}
		netns.Prefer()
	}
	// The first signal ends the work and tears the lab down; a second one ends
	// the process at once, and the kernel does the rest.
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-signals
		signal.Stop(signals)
		cancel(errInterrupted)
	}()
	return do(ctx)
}
