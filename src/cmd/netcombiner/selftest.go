package main

import (
	"flag"
	"fmt"
	"runtime"
	"strings"

	"netcombiner/src/kernels"
	"netcombiner/src/selftest"
)

const selftestHelp = `Makes a TUN, sends packets through it, joins two portals over the loopback
interface, and says line by line what of a tunnel's needs is here, and what to
do where something is missing. It undoes all it made, touches no tunnel that
runs, and takes 10 s at most. With IFACE it also asks for what the configuration
of that tunnel needs: links, gateways, ports, routing.

  ok       it is here, and works
  missing  the host does not have it
  failed   the host has it, and it does not work
  untried  something else is missing first

The exit status is 0 where the tunnel, or without IFACE a plain one, has all
that it needs, and else 1.

  --json  for programs: version, system, ok, and checks, each with check, verdict,
          found, do, and needed

Example: netcombiner selftest nc0
`

// selftest asks the host whether a tunnel would work on it.
func (a *app) selftest(args []string) error {
	flags := flag.NewFlagSet("selftest", flag.ContinueOnError)
	asJSON := flags.Bool("json", false, "")
	rest, err := parse(flags, args, 0, 1)
	if err != nil {
		return err
	}
	tunnel, err := a.tunnelToTest(rest)
	if err != nil {
		return err
	}
	ctx, stop := untilInterrupted()
	defer stop()
	found := struct {
		Version string             `json:"version"`
		System  string             `json:"system"`
		OK      bool               `json:"ok"`
		Checks  []selftest.Verdict `json:"checks"`
	}{Version: versionText(), System: runtime.GOOS + "/" + runtime.GOARCH + " " + kernels.Release()}
	var lacking []string
	tell := func(line any) {
		if !*asJSON {
			fmt.Fprintln(a.out, line)
		}
	}
	tell("netcombiner " + found.Version + " on " + found.System)
	found.OK = a.hostToTest(a.configDir).Run(ctx, tunnel, func(v selftest.Verdict) {
		found.Checks = append(found.Checks, v)
		if !v.Good() {
			lacking = append(lacking, v.Check)
		}
		tell(v)
	})
	if *asJSON {
		err = a.printJSON(found)
	}
	if err != nil || found.OK {
		tell("The tunnel has all that it needs here.")
		return err
	}
	tell("Not here, and the tunnel needs it: " + strings.Join(lacking, ", ") + ".")
	return reported(exitFailed)
}

// tunnelToTest is the one that is named, or nil.
func (a *app) tunnelToTest(args []string) (*selftest.Tunnel, error) {
	if len(args) == 0 {
		return nil, nil
	}
	if err := checkInterface(args[0]); err != nil {
		return nil, err
	}
	path := a.configPath(args[0])
	text, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	o, err := a.options(args[0], path, text)
	return &selftest.Tunnel{Interface: args[0], Config: o.Config}, err
}
