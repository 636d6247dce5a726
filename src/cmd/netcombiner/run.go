package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"netcombiner/src/config"
	"netcombiner/src/control"
	"netcombiner/src/daemon"
)

// run starts a tunnel, or is the background process of one.
func (a *app) run(args []string) error {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	foreground := fs.Bool("f", false, "")
	file := fs.String("config", "", "")
	showVersion := fs.Bool("version", false, "")
	rest, err := parse(fs, args, 0, 1)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return a.help(nil)
	case err != nil:
		return err
	case *showVersion:
		return a.version(nil)
	case len(rest) == 0:
		return usageError("no interface given")
	}
	iface := rest[0]
	if _, taken := find(iface); taken {
		return usageError(iface + ": a command comes first, its options after it")
	}
	if err := checkInterface(iface); err != nil {
		return err
	}
	path, err := filepath.Abs(cmp.Or(*file, a.configPath(iface)))
	if err != nil {
		return err
	}
	if daemon.IsChild() {
		return a.runChild(iface, path)
	}
	return a.start(iface, path, *foreground)
}

// runChild is the background process of a tunnel, whose configuration comes from its parent.
func (a *app) runChild(iface, path string) error {
	err := daemon.Child(func(r io.Reader) (daemon.Options, error) {
		text, err := io.ReadAll(r)
		if err != nil {
			return daemon.Options{}, err
		}
		return a.options(iface, path, text)
	})
	if err != nil {
		return reported(exitFailed) // to the parent, or in the log
	}
	return nil
}

func (a *app) start(iface, path string, foreground bool) error {
	text, err := readConfig(path)
	if err != nil {
		return err
	}
	o, err := a.options(iface, path, text)
	if err != nil {
		return err
	}
	for _, w := range config.Warnings(path, o.Config) {
		fmt.Fprintln(a.err, "warning:", w)
	}
	if foreground {
		return about(iface, daemon.Foreground(o))
	}
	return about(iface, daemon.Detach(o))
}

// readConfig says of a file that is not there what makes one.
func readConfig(path string) ([]byte, error) {
	text, err := config.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = configError{fmt.Errorf("%w; \"netcombiner help init\" tells how to make one", err)}
	case err != nil:
		err = configError{err}
	}
	return text, err
}

func (a *app) configPath(iface string) string { return filepath.Join(a.configDir, iface+".conf") }

func (a *app) options(iface, path string, text []byte) (daemon.Options, error) {
	c, err := config.Parse(path, bytes.NewReader(text))
	if err != nil {
		return daemon.Options{}, err
	}
	return daemon.Options{
		Interface: iface, Config: c, ConfigFile: path, ConfigText: text,
		Version: versionText(), System: a.system,
	}, nil
}

func (a *app) down(args []string) error {
	iface, err := parseInterface(flag.NewFlagSet("down", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	c, err := control.Dial(iface)
	if err == nil {
		defer c.Close()
		err = c.Down()
	}
	if errors.Is(err, control.ErrNotRunning) || errors.Is(err, control.ErrDied) {
		return about(iface, a.cleanUp(iface))
	}
	return about(iface, err)
}

// cleanUp does what "down" can still do when nothing runs: undo what a killed
// daemon left.
func (a *app) cleanUp(iface string) error {
	undone, err := daemon.CleanUp(iface, a.system)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.out, "%s: it did not run; a killed run had left this, now undone:\n  %s\n", iface, strings.Join(undone, "\n  "))
	return err
}

func (a *app) genkey(args []string) error {
	if _, err := parse(flag.NewFlagSet("genkey", flag.ContinueOnError), args, 0, 0); err != nil {
		return err
	}
	if info, err := a.out.Stat(); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o007 != 0 {
		fmt.Fprintln(a.err, "warning: everyone can read this file; umask 077 before it keeps the key secret")
	}
	_, err := fmt.Fprintln(a.out, config.GenerateKey().Base64())
	return err
}
