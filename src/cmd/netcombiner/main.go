// Command netcombiner runs tunnels that use several Internet links as one, and
// tells of them. It holds flags and wiring only: package daemon runs, config
// reads, control talks.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"netcombiner/src/config"
	"netcombiner/src/daemon"
	"netcombiner/src/places"
	"netcombiner/src/selftest"
	"netcombiner/src/service"
	"netcombiner/src/setup"
	"netcombiner/src/tundevice"
)

func main() {
	asInit()
	stop := profile()
	status := newApp().main(os.Args[1:])
	stop()
	os.Exit(status)
}

// Exit statuses.
const (
	exitDone   = 0
	exitFailed = 1 // it did not work: one line on stderr says why
	exitWrong  = 2 // wrong usage or configuration
)

// app is the program with what it touches outside.
type app struct {
	in, out, err *os.File
	configDir    string // where IFACE.conf is
	system       daemon.System
	host         func() (service.Host, error)            // where services are installed
	setup        func(a *app, out io.Writer) *setup.Host // what init sets up, telling of it on out
	hostToTest   func(configurations string) *selftest.Host
}

func newApp() *app {
	return &app{os.Stdin, os.Stdout, os.Stderr, places.Config, system(), service.This, (*app).setupHost, selftest.This}
}

// command is a word that may stand in the place of an interface.
type command struct {
	name    string
	args    string // as in the usage line
	summary string
	help    string // options, then an example
	run     func(a *app, args []string) error
}

// commands is filled by init: help prints it.
var commands []command

func init() {
	commands = []command{
		{"init", "remote|local TOKEN [IFACE] …", "set a host up: the VPS first, then the home", initHelp, (*app).init},
		{"down", "IFACE", "stop a tunnel and undo all it did to the host", downHelp, (*app).down},
		{"show", "[IFACE] [--json|--metrics] [--watch]", "show the state of one tunnel, or of all", showHelp, (*app).show},
		{"set", "IFACE [path NAME] KEY VALUE…", "change a tunnel that runs", setHelp, (*app).set},
		{"add", "IFACE path NAME|bypass PREFIX KEY VALUE…", "add a path or bypass to a tunnel that runs", addHelp, (*app).add},
		{"remove", "IFACE path NAME|bypass PREFIX", "remove a path or bypass from a tunnel that runs", removeHelp, (*app).remove},
		{"reload", "IFACE", "apply the changed file to a tunnel that runs", reloadHelp, (*app).reload},
		{"check", "[--json] [--all] [FILE|IFACE|- …]", "tell everything that is wrong in configurations", checkHelp, (*app).check},
		{"selftest", "[IFACE] [--json]", "tell whether a tunnel would work on this host, and what is missing", selftestHelp, (*app).selftest},
		{"genkey", "", "print a new key", genkeyHelp, (*app).genkey},
		{"service", "install|uninstall|start|stop|status IFACE", "let the host start a tunnel at boot", serviceHelp, (*app).service},
		{"version", "", "print the version", versionHelp, (*app).version},
		{"help", "[COMMAND]", "print this, or more about a command", helpHelp, (*app).help},
	}
}

func find(name string) (command, bool) {
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return commands[i], true
}

// usageError is a command line that cannot be meant.
type usageError string

func (e usageError) Error() string { return string(e) }

// configError is a configuration that cannot be used.
type configError struct{ error }

// reported is an exit status whose reason somebody was told already.
type reported int

func (r reported) Error() string { return "reported" }

func (a *app) main(args []string) int { return a.report(a.dispatch(args)) }

// report tells what went wrong and returns the exit status for it.
func (a *app) report(err error) int {
	if err == nil {
		return exitDone
	}
	if r, ok := errors.AsType[reported](err); ok {
		return int(r)
	}
	if all, ok := errors.AsType[config.Errors](err); ok {
		fmt.Fprintln(a.err, all) // each line says where
		return exitWrong
	}
	fmt.Fprintf(a.err, "netcombiner: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	if _, ok := errors.AsType[configError](err); ok {
		return exitWrong
	}
	if _, ok := errors.AsType[usageError](err); ok {
		fmt.Fprintln(a.err, `See "netcombiner help".`)
		return exitWrong
	}
	return exitFailed
}

func (a *app) dispatch(args []string) error {
	if len(args) == 0 {
		return usageError("no interface or command given")
	}
	name := args[0]
	c, ok := find(name)
	if !ok {
		return a.run(args)
	}
	err := c.run(a, args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return a.help([]string{name})
	}
	return err
}

// parse reads flags wherever they stand among the other arguments, which it
// returns: at least least and at most most.
func parse(fs *flag.FlagSet, args []string, least, most int) ([]string, error) {
	fs.Init(fs.Name(), flag.ContinueOnError)
	fs.SetOutput(io.Discard) // main prints
	fs.Usage = nil
	var rest []string
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usageError(err.Error())
		}
		if args = fs.Args(); len(args) == 0 {
			break
		}
		rest, args = append(rest, args[0]), args[1:]
	}
	switch {
	case len(rest) < least:
		return nil, usageError(fs.Name() + ": which interface?")
	case len(rest) > most:
		what := fmt.Sprintf("too much: %q", rest[most])
		if fs.Name() != "" {
			what = fs.Name() + ": " + what
		}
		return nil, usageError(what)
	}
	return rest, nil
}

// parseInterface is parse for a command that takes just an interface.
func parseInterface(fs *flag.FlagSet, args []string) (string, error) {
	rest, err := parse(fs, args, 1, 1)
	if err != nil {
		return "", err
	}
	return rest[0], checkInterface(rest[0])
}

// checkInterface refuses what no interface, or none of ours, can be called.
func checkInterface(name string) error {
	if err := config.CheckInterfaceName(name); err != nil {
		return usageError(fmt.Sprintf("%.40q: %v", name, err))
	}
	if err := tundevice.CheckName(name); err != nil {
		return usageError(err.Error())
	}
	return nil
}

// about says which interface an error is about.
func about(iface string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", iface, err)
}

// printJSON prints v for a program to read.
func (a *app) printJSON(v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(a.out, string(text))
	return err
}

// untilInterrupted ends with Ctrl-C or SIGTERM.
func untilInterrupted() (context.Context, func()) {
	return signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
}
