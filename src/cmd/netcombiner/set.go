package main

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"netcombiner/src/control"
)

// These commands change a tunnel that runs. What a value may be, the daemon says.

func (a *app) set(args []string) error {
	iface, c, rest, err := parseChange("set", args)
	if err != nil {
		return err
	}
	if c.Bypass != "" {
		return usageError("set: a bypass is removed and added: remove IFACE bypass PREFIX")
	}
	if c.Settings, err = parseSettings("set", rest, c.Path != ""); err != nil {
		return err
	}
	if len(c.Settings) == 0 {
		return usageError("set: which KEY and VALUE?")
	}
	return a.change(iface, "set", c)
}

func (a *app) add(args []string) error {
	iface, c, rest, err := parseChange("add", args)
	if err != nil {
		return err
	}
	if c.Path == "" && c.Bypass == "" {
		return usageError("add: only paths and bypasses can be added: add IFACE path NAME KEY VALUE, add IFACE bypass PREFIX via WAN")
	}
	if c.Settings, err = parseSettings("add", rest, false); err != nil {
		return err
	}
	return a.change(iface, "add", c)
}

func (a *app) remove(args []string) error {
	iface, c, rest, err := parseChange("remove", args)
	switch {
	case err != nil:
		return err
	case c.Path == "" && c.Bypass == "":
		return usageError("remove: only paths and bypasses can be removed: remove IFACE path NAME, remove IFACE bypass PREFIX")
	case len(rest) > 0:
		return usageError(fmt.Sprintf("remove: too much: %q", rest[0]))
	}
	return a.change(iface, "remove", c)
}

func (a *app) reload(args []string) error {
	iface, err := parseInterface(flag.NewFlagSet("reload", flag.ContinueOnError), args)
	if err != nil {
		return err
	}
	return a.change(iface, "reload", control.Change{})
}

// parseChange reads IFACE [path NAME|bypass PREFIX], and returns what follows.
func parseChange(command string, args []string) (iface string, c control.Change, rest []string, err error) {
	switch { // package flag would take a value that begins with "-" for its own
	case slices.Contains(args, "-h"), slices.Contains(args, "--help"):
		return "", c, nil, flag.ErrHelp
	case len(args) == 0:
		return "", c, nil, usageError(command + ": which interface?")
	}
	iface, rest = args[0], args[1:]
	if err := checkInterface(iface); err != nil {
		return "", c, nil, err
	}
	for word, name := range map[string]*string{"path": &c.Path, "bypass": &c.Bypass} {
		if len(rest) == 0 || !strings.EqualFold(rest[0], word) {
			continue
		}
		if len(rest) == 1 || rest[1] == "" {
			return "", c, nil, usageError(command + ": which " + word + "?")
		}
		*name, rest = rest[1], rest[2:]
		break
	}
	return iface, c, rest, nil
}

// parseSettings reads KEY VALUE pairs; of a path, up and down stand alone.
func parseSettings(command string, words []string, path bool) (all []control.Setting, err error) {
	for len(words) > 0 {
		key := words[0]
		words = words[1:]
		s := control.Setting{Key: key}
		if !path || !strings.EqualFold(key, "up") && !strings.EqualFold(key, "down") {
			if len(words) == 0 {
				return nil, usageError(fmt.Sprintf("%s: %.40q: which VALUE?", command, key))
			}
			s.Value, words = words[0], words[1:]
		}
		all = append(all, s)
	}
	return all, nil
}

// change asks the daemon, and tells what it could not do.
func (a *app) change(iface, command string, c control.Change) error {
	client, err := control.Dial(iface)
	if err != nil {
		return about(iface, err)
	}
	defer client.Close()
	notes, err := client.Change(command, c)
	if errors.Is(err, control.ErrInvalid) {
		for line := range strings.Lines(err.Error()) {
			if command != "reload" { // whose lines begin with the file
				line = "netcombiner: " + iface + ": " + line
			}
			fmt.Fprintln(a.err, strings.TrimSuffix(line, "\n"))
		}
		return reported(exitWrong)
	}
	for _, n := range notes {
		fmt.Fprintf(a.err, "%s: %s\n", iface, n)
	}
	return about(iface, err)
}
