package main

import (
	"fmt"
	"strings"

	"netcombiner/src/places"
)

const runHelp = `Usage: netcombiner [-f] [--config FILE] IFACE

Runs a tunnel: reads /etc/netcombiner/IFACE.conf, makes the interface, hands it
to a background process, and returns once all is ready.

  -f             stay in the foreground, and log to stderr
  --config FILE  read another file

Example: netcombiner nc0 && ip address show nc0
`

const downHelp = `Returns once the interface, routes and rules are gone. After a crash or kill -9
it undoes what was left, and says what that was.

Example: netcombiner down nc0
`

const showHelp = `  --json     for programs: one object; an array of them without IFACE
  --metrics  for Prometheus: its text format, of one tunnel or all
  --watch    show it again every second, until q or Ctrl-C

Colours are for terminals only, and never with NO_COLOR in the environment.

Example: netcombiner show nc0 --watch
`

const checkHelp = `Tells every error at once, with line, key and what is allowed. FILE ends in
.conf or holds a slash; - is standard input; without any, or with --all, every
file of /etc/netcombiner is checked. Of several it also tells what they take
from each other: a port, an address, a key, the interface.

  --json  for programs, on standard output: ok, problems, each with file, line,
          section, name (of a path), key, message, allowed, and all that as text
          in one line; and warnings, with file and message

Example: netcombiner check nc0
`

const genkeyHelp = `The key is a secret that both portals share: the same line in both files.

Example: (umask 077; netcombiner genkey > /etc/netcombiner/nc0.key)
`

const serviceHelp = `  install    start it at each boot; "start" starts it now
  uninstall  stop it, and start it no more
  start, stop
  status     exit status 1 when the service does not run

It is for hosts without a package of netcombiner, and knows systemd, OpenRC,
SysV init and FreeBSD's rc.

Example: netcombiner service install nc0 && netcombiner service start nc0
`

const versionHelp = `Example: netcombiner version
`

const helpHelp = `Example: netcombiner help show
`

func (a *app) help(args []string) error {
	if len(args) > 1 {
		return usageError(fmt.Sprintf("help: too much: %q", args[1]))
	}
	if len(args) == 1 {
		c, ok := find(args[0])
		if !ok {
			return usageError(fmt.Sprintf("help: no command %q", args[0]))
		}
		fmt.Fprintf(a.out, "Usage: %s\n\n%s.\n%s", usageLine(c), strings.ToUpper(c.summary[:1])+c.summary[1:], here(c.help, places.Config))
		return nil
	}
	var b strings.Builder
	b.WriteString(here(runHelp, places.Config) + "\nOther commands:\n")
	for _, c := range commands {
		fmt.Fprintf(&b, "  %-39s %s\n", usageLine(c)[len("netcombiner "):], c.summary)
	}
	b.WriteString(`
Exit status: 0 done, 1 it failed (one line on stderr says why), 2 wrong usage
or configuration. NETCOMBINER_RUN_DIR moves /var/run/netcombiner, where each
tunnel has its control socket; NETCOMBINER_STATE_DIR moves the directory where
quotas are counted, ` + places.State() + `.
`)
	fmt.Fprint(a.out, b.String())
	return nil
}

// here makes a text that speaks of Linux's folder of configurations speak of this
// system's.
func here(text, config string) string {
	return strings.ReplaceAll(text, "/etc/netcombiner", config)
}

func usageLine(c command) string {
	return strings.TrimSpace("netcombiner " + c.name + " " + c.args)
}
